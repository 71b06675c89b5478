"""Parses request bodies, and reports the fields at fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from handler.api.wire_models import WireModel
from handler.errors import FieldProblem, MalformedRequest
from handler.http.messages import require_json
from handler.http.strict_json import parse_json_object
from handler.order import KeyPairOrder, PrivateKeyFormat, seconds
from handler.sealing import refuse_private_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.errors import KeyPairFunctionError
    from handler.http.messages import Request
    from handler.http.strict_json import Json
    from handler.order import EnvelopeFormat

_RULES = {
    "missing": "required",
    "extra_forbidden": "unknown",
    "string_type": "string",
    "int_type": "integer",
    "bool_type": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "string_pattern_mismatch": "pattern",
    "string_too_long": "too-long",
    "string_too_short": "too-short",
    "too_long": "too-many",
    "too_short": "too-few",
    "enum": "enumeration",
    "greater_than_equal": "range",
    "less_than_equal": "range",
}
_PROBLEMS_LIMIT = 20
_DEPTH_LIMIT = 6
_NAME_LIMIT = 32


class OrderModel(WireModel):
    """The body of a request for a key pair.

    Each endpoint declares the fields itself, because clients can see their order: OpenAPI lists them in it,
    and the first of several problems determines the error code of API v3.
    """

    if TYPE_CHECKING:
        key_name: str
        project_id: int | None
        region: str | None
        recipients: list[str] | None
        private_key_format: PrivateKeyFormat | None
        envelope_format: EnvelopeFormat | None
        expires_in: str | None

    def order(self, default_region: str, tags: Mapping[str, str]) -> KeyPairOrder:
        """Return the order in this request. A field that is null has its default."""
        return KeyPairOrder(
            name=self.key_name,
            region=self.region or default_region,
            project_id=self.project_id or 0,
            recipients=tuple(self.recipients or ()),
            tags=tags,
            private_key_format=self.private_key_format or PrivateKeyFormat.PKCS1,
            envelope_format=self.envelope_format,
            expires_in=None if self.expires_in is None else seconds(self.expires_in),
        )


_Wire = TypeVar("_Wire", bound=WireModel)


def json_body(request: Request) -> dict[str, Json]:
    """Return the JSON object in the body of an authenticated request.

    Raises UnsupportedMediaType, MalformedRequest, or RecipientRefused if it contains a private key.
    """
    require_json(request)
    body = parse_json_object(request.unverified_body)
    # Serialized again, so that a private key written with JSON escapes is found as well.
    refuse_private_keys(json.dumps(body, ensure_ascii=False))
    return body


def read(model: type[_Wire], parsed: Mapping[str, object]) -> _Wire:
    """Return `parsed` as `model`; raise MalformedRequest with the fields at fault."""
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        problems = [
            FieldProblem(_path(problem["loc"]), _RULES.get(problem["type"], "invalid"))
            for problem in error.errors()[:_PROBLEMS_LIMIT]
        ]
        raise MalformedRequest("fields", tuple(dict.fromkeys(problems))) from None


def internal_code(error: KeyPairFunctionError) -> str:
    """Return the code of an error for which Tencent's APIs have none."""
    return "InternalError." + "".join(part.capitalize() for part in error.code.split("-"))


def message(error: KeyPairFunctionError) -> str:
    """Return one line of text: the title and each field at fault."""
    return error.title + "".join(
        f" {problem.field}: {problem.rule}{problem.advice and '; '}{problem.advice}."
        for problem in error.problems
    )


def _path(location: tuple[int | str, ...]) -> str:
    """Return a location with dots. Text of the caller appears only if it could be a field's name."""
    known = [str(part) if isinstance(part, int) or part.isidentifier() else "*" for part in location]
    return ".".join(part if len(part) <= _NAME_LIMIT else "*" for part in known[:_DEPTH_LIMIT])
