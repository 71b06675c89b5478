"""Writes handler/api/openapi.json, which describes the REST API (OpenAPI 3.1).

All that can be taken from the code is: the bodies from the classes, the answers from the tree of errors.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, TypeAlias

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from handler import errors
from handler.api.import_request import ImportRequest
from handler.api.key_pairs import ListAnswer, ListQuery, OwnedAnswer, RegionQuery
from handler.api.pages import OPENAPI
from handler.api.problem import Problem
from handler.api.rest import IDEMPOTENCY_KEY, KeyPairRequest
from handler.composition import KEY_PAIRS_PATH
from handler.issuance.issuer import IssuedKeyPair, ReleasedKeyPair
from handler.order import ANSWER_TTL, KEY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydantic import BaseModel

    from handler.http.strict_json import Json

_Error: TypeAlias = type[errors.KeyPairFunctionError]

# Examples get copied. The private halves of these keys were thrown away as they were made: a key pair that
# is sealed to one of them by mistake can be opened by nobody.
_AGE = "age17hqem4grcwuqyxwca6tst74ycdzpvtk5f5qdzzv70u57xdfz5seq0hgvyz"
_JWK = (
    '{"kty":"EC","crv":"P-256","x":"v9eoS9U1HrmzYDKFGuFditet3tO9kt7mHCkOROWZC28",'
    '"y":"b3M0pzVT3OaEftzYoI3qqtd1Tg_NCLuvKrG04s26xrY"}'
)
_PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/T784go0kjz/QVOC2TXpsrg0eNhg
VnYvllSQLc3QjB/zI9OdWwqpkT+76LfAJaMKuwbAYwYZSccBOppKUAcl3w==
-----END PUBLIC KEY-----
"""
_SSH_RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCd3V7H0KAqBBTqj5zaK0BpeKLyg0cde/stE9EY5pXlV2ZrbUzWsk"
    "mc9s0O7nTYMdpMAY/tyGnKUxzbofjHyePGjCSMeN8/GsYdo1TZKOEUvJsjOM79OMEB++BnZjKyXJaSir3hyfDReV3V"
    "JcGD+JW7NfJAOY8sLL/VnscLZf7YnbrMmQrC7yEqBGt8NSn/AK/Z2jN601KOVrdouu3gbzGf7gkIH8i0eVFqujQuDN"
    "Xfohrlsa7CHYoJM5UMdYWAzyA5xRii03SWh+auXcQEiPyzlX50Ftzj4GEaxl73/WPTqkJWQBpmuyrUznTe0/yrbG+k"
    "BIvtdodlwQ2W1OChvClFwIyQEz/wgQbdPdHXMMduTbSQ3RuWYFNjXeKazZk/htVeZPi0EJNCa5lInTLEc6fGCdANF+"
    "sjJKEKwYAoNY3vAlCe+mmF1PhDkpPQJ59HT5EIF8upP/fhMB0zESt3hEVLL+GWtDNbu1hta0fEM97Q9r+yJqu7SN8Z"
    "tvnVs0t66/E="
)
_EXAMPLES: dict[str, dict[str, Json]] = {
    "age": {
        "keyName": "web_1",
        "recipients": [_AGE],
        "tags": {"team": "core"},
        "expiresIn": "30d",
    },
    "jwk": {
        "keyName": "web_2",
        "recipients": [_JWK],
        "envelopeFormat": "jwe",
    },
    "pem": {
        "keyName": "web_3",
        "recipients": [_PEM],
        "privateKeyFormat": "openssh",
    },
    "import": {
        "keyName": "web_4",
        "publicKey": _SSH_RSA,
    },
}

_ELSEWHERE: set[_Error] = {
    errors.KeyPairFixed,
    errors.KeyPairInUse,
    errors.KeyPairNotFound,
    errors.KeysNotFound,
    errors.KeysUnavailable,
    errors.NotFound,
    errors.NotUnderstood,
    errors.PickedUp,
    errors.PlatformRefused,
    errors.PlatformUnavailable,
    errors.RegionMismatch,
    errors.UnknownAction,
    errors.UnknownVersion,
    errors.Unregistered,
}
"""What a request to these paths never gets."""
_FOR_A_PAGE: set[_Error] = {
    errors.MalformedRequest,
    errors.MethodNotAllowed,
    errors.BodyTooLarge,
    errors.InternalFault,
    errors.Misconfigured,
}
_FOR_READING: set[_Error] = {
    *_FOR_A_PAGE,
    errors.AuditUnavailable,
    errors.CloudBusy,
    errors.CloudUnreachable,
    errors.IssuerUnavailable,
    errors.NotGranted,
    errors.OutOfTime,
    errors.RateLimited,
    errors.StoreUnavailable,
    errors.Unauthenticated,
}
_FOR_ONE: set[_Error] = {errors.KeyPairNotFound, errors.NotFound}
_FOR_DELETING: set[_Error] = {errors.KeyPairInUse, errors.OutcomeUnknown, errors.RequestInFlight}
_OF_A_RATE = {"RateLimit", "RateLimit-Policy"}
_BEFORE_THE_RATE: set[_Error] = {
    errors.BodyTooLarge,
    errors.MethodNotAllowed,
    errors.RateLimited,
    errors.Unauthenticated,
}
"""Answers to these do not tell what is left of a caller's rate."""

_HEADERS: dict[str, Json] = {
    "Allow": {"required": True, "schema": {"type": "string"}},
    "Idempotency-Key-TTL": {
        "description": "Seconds for which the same request gets this answer.",
        "required": True,
        "schema": {"type": "integer", "const": ANSWER_TTL},
    },
    "RateLimit": {
        "description": "Where the caller has a rate: how many requests are left, and the seconds until all "
        "of them are (draft-ietf-httpapi-ratelimit-headers-10).",
        "schema": {"type": "string", "pattern": '^"caller";r=[0-9]+;t=[0-9]+$'},
    },
    "RateLimit-Policy": {
        "description": "The caller's rate limit, if it has one: requests and seconds.",
        "schema": {"type": "string", "pattern": '^"caller";q=[0-9]+;w=[0-9]+$'},
    },
    "Retry-After": {
        "description": "Seconds, where waiting helps.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
}

_SCHEMAS = "#/components/schemas/"
_TC3 = (
    "The signature of Tencent Cloud's API v3, as its SDKs make it: TC3-HMAC-SHA256 Credential=CALLER/DATE/"
    "SERVICE/tc3_request, SignedHeaders=content-type;host, Signature=... with an id and a secret of this "
    "function's own. X-TC-Timestamp goes with it; all other headers that matter are signed as well. See "
    "https://cloud.tencent.com/document/api/213/30654."
)
_DESCRIPTION = (
    "Makes SSH key pairs in Tencent Cloud, and lists and deletes them. The private key comes sealed to "
    "public keys of the caller's. Key pairs of other callers do not exist. "
    "Requests are not larger than 64 KiB. Paths that are not described here are answered 404."
)


class _WithoutTitles(GenerateJsonSchema):
    """A field's title would be its name again."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # the signature is pydantic's
        return False


def document() -> dict[str, Json]:
    """Return the description."""
    bodies: tuple[type, ...] = (KeyPairRequest, ImportRequest)
    answers: tuple[type, ...] = (IssuedKeyPair, ReleasedKeyPair, ListAnswer, Problem)
    _, models = TypeAdapter.json_schemas(
        [
            *((body, "validation", TypeAdapter(body)) for body in bodies),
            *((answer, "serialization", TypeAdapter(answer)) for answer in answers),
        ],
        ref_template=_SCHEMAS + "{model}",
        schema_generator=_WithoutTitles,
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Key pair function", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": {
            KEY_PAIRS_PATH: {
                "post": _create(_errors() - _ELSEWHERE),
                "get": _read(
                    "listKeyPairs",
                    "List the caller's key pairs",
                    {"200": ("One page, by name.", ListAnswer)},
                    _query(ListQuery),
                    _FOR_READING,
                ),
            },
            f"{KEY_PAIRS_PATH}/{{keyId}}": {
                "get": _read(
                    "showKeyPair",
                    "Show a key pair",
                    {"200": ("The key pair.", OwnedAnswer)},
                    [_KEY_ID, *_query(RegionQuery)],
                    _FOR_READING | _FOR_ONE,
                ),
                "delete": _read(
                    "deleteKeyPair",
                    "Delete a key pair",
                    {"204": ("It is deleted. A retry gets this too.", None)},
                    [_KEY_ID, *_query(RegionQuery)],
                    _FOR_READING | _FOR_ONE | _FOR_DELETING,
                ),
            },
            "/healthz": {
                "get": _page(
                    "health",
                    "Tell whether the function runs",
                    {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
                )
            },
            "/openapi.json": {"get": _page("description", "Return this description", {"type": "object"})},
        },
        "components": {
            "schemas": models["$defs"],
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A signed token of an issuer that the policy names.",
                },
                "tc3": {"type": "apiKey", "in": "header", "name": "Authorization", "description": _TC3},
            },
        },
    }


def _errors() -> set[_Error]:
    """Return the tree of errors, as far as callers are told them apart."""
    return {
        error
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.KeyPairFunctionError)
        and hasattr(error, "code")
    }


def _create(possible: set[_Error]) -> Json:
    return {
        "operationId": "createKeyPair",
        "summary": "Make a key pair, or import a public key",
        "description": "The same request again gets the same answer, byte for byte, and no second key pair.",
        "security": [{"bearer": []}, {"tc3": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Stands for this request, in upper or lower case; with tc3 it has to be "
                "signed. Without it, the order itself is the key: the same order of the same caller gets the "
                "same answer while its key pair exists.",
                "schema": {"type": "string", "pattern": _ecma(IDEMPOTENCY_KEY)},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _either(KeyPairRequest, ImportRequest),
                    "examples": {name: {"value": example} for name, example in _EXAMPLES.items()},
                }
            },
        },
        "responses": {
            "201": {
                "description": "The key pair.",
                "headers": _headers({"Idempotency-Key-TTL"} | _OF_A_RATE),
                "content": {"application/json": {"schema": _either(IssuedKeyPair, ReleasedKeyPair)}},
            },
            **_problems(possible, rated=True),
        },
    }


_KEY_ID: Json = {
    "name": "keyId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{KEY_ID}$"},
}


def _query(model: type[BaseModel]) -> list[Json]:
    """Return the parameters in the query that a model reads."""
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    parameters: list[Json] = []
    for name, described in schema["properties"].items():
        text = described.pop("description")
        described.pop("default")
        # A parameter that is left out has no value; it is never null.
        choice = next((one for one in described.get("anyOf", ()) if one != {"type": "null"}), described)
        parameters.append({"name": name, "in": "query", "description": text, "schema": choice})
    return parameters


def _read(
    name: str,
    summary: str,
    answers: dict[str, tuple[str, type[BaseModel] | None]],
    parameters: list[Json],
    possible: set[_Error],
) -> Json:
    """Return an operation without a body."""
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"bearer": []}, {"tc3": []}],
        "parameters": parameters,
        "responses": {
            **{
                status: {
                    "description": text,
                    "headers": _headers(_OF_A_RATE),
                    **(
                        {"content": {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}}
                        if model
                        else {}
                    ),
                }
                for status, (text, model) in answers.items()
            },
            **_problems(possible, rated=True),
        },
    }


def _page(name: str, summary: str, schema: Json) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            **_problems(_FOR_A_PAGE, rated=False),
        },
    }


def _problems(possible: set[_Error], *, rated: bool) -> dict[str, Json]:
    """Return the answers that tell of these errors; callers have a rate where it is `rated`."""
    return {
        str(status): _problem(status, {error for error in possible if error.status == status}, rated=rated)
        for status in sorted({error.status for error in possible})
    }


def _problem(status: int, possible: set[_Error], *, rated: bool) -> Json:
    titles = {error.code: error.title for error in sorted(possible, key=lambda error: error.code)}
    headers = set(_OF_A_RATE) if rated and possible - _BEFORE_THE_RATE else set()
    if errors.MethodNotAllowed in possible:
        headers.add("Allow")
    if errors.Unauthenticated in possible:
        headers.add("WWW-Authenticate")
    if any(error.retry_after is not None or error is errors.RateLimited for error in possible):
        headers.add("Retry-After")
    schema: Json = {
        "$ref": _SCHEMAS + Problem.__name__,
        "properties": {"status": {"const": status}, "code": {"enum": list(titles)}},
    }
    return {
        "description": " ".join(f"{code}: {title}" for code, title in titles.items()),
        **({"headers": _headers(headers)} if headers else {}),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _either(*models: type) -> Json:
    return {"anyOf": [{"$ref": _SCHEMAS + model.__name__} for model in models]}


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}


def _ecma(pattern: re.Pattern[str]) -> str:
    """Return a pattern that is matched whole, as JSON Schema has it (ECMA-262): anchored, no named groups."""
    unnamed = re.sub(r"\(\?P<\w+>", "(", pattern.pattern)
    return f"^({unnamed})$"


def text() -> str:
    """Return the file: ASCII, the same bytes for the same code."""
    return json.dumps(document(), indent=1, ensure_ascii=True) + "\n"


def main(arguments: list[str], file: Path = OPENAPI) -> int:
    """Write the file, or tell whether it is current; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/openapi", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if it is not current"
    )
    if not parser.parse_args(arguments).check:
        file.write_text(text(), encoding="ascii")
        return 0
    if file.is_file() and file.read_text(encoding="ascii") == text():
        return 0
    print(f"{file} is not current; scripts/openapi writes it.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
