"""`/v1/key-pairs`: lists, shows and deletes what the caller has."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic.alias_generators import to_camel

from handler.api.problem_details import ProblemDetailsEndpoint
from handler.api.request_fields import read
from handler.api.wire_models import WireAnswer, WireModel
from handler.http.messages import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    RFC_3339,
    Action,
    KeyName,
    Region,
)
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.admission import Admission
    from handler.auth.caller import AuthenticatedCaller
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request
    from handler.issuance.inventory import Inventory, OwnedKeyPair

_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_PAGE = 100


def _number(text: object) -> object:
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,3}", text) else text


class RegionQuery(WireModel, alias_generator=to_camel):
    """The query of a request about one key pair."""

    region: Region | None = Field(default=None, description="The function's default region if left out.")


class ListQuery(RegionQuery):
    """The query of a list."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_*?]{1,64}$")] | None = Field(
        default=None, description="A name, or a pattern: * matches any characters, ? exactly one."
    )
    caller: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="Only key pairs that this caller got, for operators."
    )
    expiring_before: Annotated[str, StringConstraints(pattern=_MOMENT)] | None = Field(
        default=None, description="Only key pairs that expire before this moment: 2026-12-31T00:00:00Z."
    )
    limit: Annotated[int, Field(ge=1, le=_PAGE), BeforeValidator(_number)] = Field(
        default=_PAGE, description="How many key pairs to return at most."
    )
    after: KeyName | None = Field(default=None, description="`next` of the page before.")

    def matches(self, pair: OwnedKeyPair) -> bool:
        """Tell whether this query asks for a key pair, whatever its page."""
        expires = None if pair.expires_at is None else pair.expires_at.strftime(RFC_3339)
        return (
            (self.name is None or fnmatch.fnmatchcase(pair.key_name, self.name))
            and (self.caller is None or pair.caller == self.caller)
            # Times of this form are in the order of their texts.
            and (self.expiring_before is None or (expires is not None and expires < self.expiring_before))
        )


class OwnedAnswer(WireAnswer):
    """A key pair that the caller has."""

    key_id: str
    key_name: str
    project_id: int
    region: str
    caller: str = Field(description="The caller that got it.")
    public_key: str | None = Field(description="In OpenSSH format. Null: the cloud does not say.")
    fingerprint: str | None = Field(description="SHA256:..., as ssh-keygen -l prints it.")
    created_at: str | None = Field(description="RFC 3339, in UTC.")
    expires_at: str | None = Field(
        description="When the key pair will be removed: RFC 3339, in UTC. Null: never."
    )
    expires_soon: bool = Field(description="Whether it expires within seven days.")
    instance_ids: tuple[str, ...] = Field(description="The instances that use it. It cannot be deleted then.")
    tags: dict[str, str] = Field(description="Its tags, without those of this function.")


class ListAnswer(WireAnswer):
    """One page of the caller's key pairs, by name."""

    key_pairs: tuple[OwnedAnswer, ...]
    next: str | None = Field(
        description="The parameter `after` of the next page. Null: this is the last one."
    )


@dataclass(frozen=True)
class _InventoryEndpoint(ProblemDetailsEndpoint):
    verify: Callable[[Request], AuthenticatedCaller]
    admission: Admission
    inventory: Inventory
    default_region: str

    def _admitted(self, context: RequestContext, action: Action) -> str:
        """Return the id of the caller, whose request has been counted."""
        caller = self.admission.authenticate(self.verify, context)
        # With a token two equal requests are two requests: each of them asks the cloud.
        self.admission.count(caller.caller_id, caller.message, context, action)
        return caller.caller_id


class ListEndpoint(_InventoryEndpoint):
    """Lists the caller's key pairs."""

    def handle(self, context: RequestContext) -> Response:
        """Return one page."""
        caller_id = self._admitted(context, Action.LIST)
        query = read(ListQuery, context.request.query)
        context.trail.note(key_name=query.name, owner=query.caller)
        found = self.inventory.list(
            query.region or self.default_region,
            query.matches,
            caller_id=caller_id,
            invocation=context.invocation,
            trail=context.trail,
        )
        rest = [pair for pair in found if query.after is None or pair.key_name > query.after]
        page = rest[: query.limit]
        following = page[-1].key_name if len(rest) > len(page) else None
        answer = ListAnswer(key_pairs=tuple(map(_answer, page)), next=following)
        return json_response(200, answer.model_dump(mode="json", by_alias=True))


class KeyPairEndpoint(_InventoryEndpoint):
    """Shows one key pair, or deletes it."""

    def handle(self, context: RequestContext) -> Response:
        """Return the key pair, or 204 once it is deleted."""
        deleting = context.request.method == "DELETE"
        caller_id = self._admitted(context, Action.DELETE if deleting else Action.LIST)
        region = read(RegionQuery, context.request.query).region or self.default_region
        key_id = context.request.path.rpartition("/")[2]
        invocation, trail = context.invocation, context.trail
        if deleting:
            self.inventory.delete([key_id], region, caller_id=caller_id, invocation=invocation, trail=trail)
            return Response(204, "", "application/json")
        found = self.inventory.show(key_id, region, caller_id=caller_id, invocation=invocation, trail=trail)
        return json_response(200, _answer(found).model_dump(mode="json", by_alias=True))


def _answer(pair: OwnedKeyPair) -> OwnedAnswer:
    expires = None if pair.expires_at is None else pair.expires_at.strftime(RFC_3339)
    return OwnedAnswer.model_validate({**vars(pair), "expires_at": expires})
