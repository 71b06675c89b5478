"""DescribeKeyPairs, DeleteKeyPairs and ModifyKeyPairAttribute of CVM's API v3, for a caller's own key pairs.

https://cloud.tencent.com/document/api/213/15699, 15700 and 15701.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_pascal

from handler.api.request_fields import json_body, read
from handler.api.tencent_v3 import region_of, require_version
from handler.api.wire_models import WireModel
from handler.audit import Decision
from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import (
    FieldProblem,
    KeyPairFixed,
    KeyPairNotFound,
    MalformedRequest,
    Unauthenticated,
    UnknownAction,
)
from handler.order import KEY_ID, Action, Region  # pydantic reads the annotations at run time
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from handler.auth.admission import Admission
    from handler.auth.caller import AuthenticatedCaller
    from handler.auth.nonces import Nonces
    from handler.http.endpoint import RequestContext
    from handler.http.strict_json import Json
    from handler.issuance.inventory import Inventory, OwnedKeyPair

_AT_ONCE = 100
"""Key pairs in a request or a page at most."""
_PAGE = 20
_TOGETHER = 2.0
"""Seconds after its first use for which a signature may be used again, for another action."""
_Id = Annotated[str, StringConstraints(strict=True, pattern=rf"^{KEY_ID}$")]
_FilterName = Annotated[
    str, StringConstraints(strict=True, pattern=r"^(project-id|key-name|tag-key|tag-value|tag:.{1,127})$")
]
_Text = Annotated[str, StringConstraints(strict=True, max_length=255)]


class _Filter(WireModel, alias_generator=to_pascal):
    name: _FilterName
    values: Annotated[list[_Text], Field(max_length=5)]

    def matches(self, pair: OwnedKeyPair) -> bool:
        """Tell whether a key pair has one of the values."""
        # The tags of this function are not the caller's, so no filter finds them.
        properties = {
            "project-id": {str(pair.project_id)},
            "key-name": {pair.key_name},
            "tag-key": set(pair.tags),
            "tag-value": set(pair.tags.values()),
        }
        tag = pair.tags.get(self.name.partition(":")[2])
        found = properties.get(self.name, {tag})
        return not found.isdisjoint(self.values)


class DescribeKeyPairsRequest(WireModel, alias_generator=to_pascal):
    """The body of DescribeKeyPairs, and the addition Region."""

    key_ids: Annotated[list[_Id], Field(max_length=_AT_ONCE)] | None = None
    filters: Annotated[list[_Filter], Field(max_length=10)] | None = None
    offset: Annotated[int, Field(strict=True, ge=0)] | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=_AT_ONCE)] | None = None
    region: Region | None = None


class DeleteKeyPairsRequest(WireModel, alias_generator=to_pascal):
    """The body of DeleteKeyPairs, and the addition Region."""

    key_ids: Annotated[list[_Id], Field(min_length=1, max_length=_AT_ONCE)]
    region: Region | None = None


class ModifyKeyPairAttributeRequest(WireModel, alias_generator=to_pascal):
    """The body of ModifyKeyPairAttribute, and the addition Region."""

    key_id: _Id
    key_name: _Text | None = None
    description: _Text | None = None
    region: Region | None = None


@dataclass(frozen=True)
class InventoryAction:
    """One authenticated request."""

    inventory: Inventory
    default_region: str
    caller: AuthenticatedCaller
    context: RequestContext

    def admit(self, admission: Admission, nonces: Nonces | None) -> None:
        """Count the request; raise RateLimited, UnknownVersion, or Unauthenticated for a used signature.

        SECURITY BOUNDARY: unless the action is signed, a captured list of ids could be sent again to delete
        them. So a signature is good for the action that it came with first, and for others right after that
        only: Terraform looks at a key pair and deletes it, and both requests in one second are signed alike.
        Without `nonces` that all instances share nobody knows what came first. Then only a signed action
        deletes; others raise UnknownAction.
        """
        if "x-tc-action" not in self.caller.signed_headers:
            if nonces is not None:
                self._use(nonces)
            elif self._name == "DeleteKeyPairs":
                raise UnknownAction("delete-needs-shared-store")
        verb = Action.DELETE if self._name == "DeleteKeyPairs" else Action.LIST
        admission.count(self.caller.caller_id, self.caller.request_key, self.context, verb)
        require_version(self.context.request)

    def _use(self, nonces: Nonces) -> None:
        """Raise Unauthenticated if the signature came with another action before."""
        now = self.context.trail.clock.now()
        first = nonces.first_use(
            "tc3-action",
            self.caller.caller_id,
            self.caller.request_key,
            use=f"{self._name} {now}",
            ttl=SIGNATURE_WINDOW.nonce_ttl,
        )
        action, _, at = (first or "").partition(" ")
        if action != self._name and now - float(at or 0) > _TOGETHER:
            raise Unauthenticated("tc3-action")

    def answer(self) -> dict[str, object]:
        """Return what `Response` holds, without the request id; raise an error of `handler.errors`."""
        act = {
            "DescribeKeyPairs": self._describe,
            "DeleteKeyPairs": self._delete,
            "ModifyKeyPairAttribute": self._modify,
        }[self._name]
        return act(json_body(self.context.request))

    @property
    def _name(self) -> str:
        return self.context.request.headers["x-tc-action"]

    def _region(self, stated: str | None) -> str:
        return region_of(self.context.request, self.caller, stated, self.default_region)

    def _describe(self, parameters: Mapping[str, Json]) -> dict[str, object]:
        body = read(DescribeKeyPairsRequest, parameters)
        key_ids, filters = body.key_ids or [], body.filters or []
        if key_ids and filters:
            raise MalformedRequest("fields", (FieldProblem("KeyIds", "with-filters"),))
        found: Sequence[OwnedKeyPair]
        try:
            if len(key_ids) == 1:
                # By its id, which finds a new key pair sooner than a list does.
                found = [self._show(key_ids[0], body.region)]
            else:
                found = self._list(key_ids, filters, body.region)
        except KeyPairNotFound:
            self.context.trail.write(Decision.LISTED, "0 key pairs")
            found = []
        offset = body.offset or 0
        page = found[offset : offset + (body.limit or _PAGE)]
        return {
            "TotalCount": len(found),
            "KeyPairSet": [_described(pair) for pair in page],
            # Not in the key pairs: the typed clients warn of fields that they do not know.
            "ExpiringSoon": [pair.key_id for pair in page if pair.expires_soon],
        }

    def _list(
        self, key_ids: Collection[str], filters: Sequence[_Filter], region: str | None
    ) -> Sequence[OwnedKeyPair]:
        return self.inventory.list(
            self._region(region),
            lambda pair: (
                (not key_ids or pair.key_id in key_ids) and all(wanted.matches(pair) for wanted in filters)
            ),
            caller_id=self.caller.caller_id,
            invocation=self.context.invocation,
            trail=self.context.trail,
        )

    def _show(self, key_id: str, region: str | None) -> OwnedKeyPair:
        return self.inventory.show(
            key_id,
            self._region(region),
            caller_id=self.caller.caller_id,
            invocation=self.context.invocation,
            trail=self.context.trail,
        )

    def _delete(self, parameters: Mapping[str, Json]) -> dict[str, object]:
        body = read(DeleteKeyPairsRequest, parameters)
        self.inventory.delete(
            body.key_ids,
            self._region(body.region),
            caller_id=self.caller.caller_id,
            invocation=self.context.invocation,
            trail=self.context.trail,
        )
        return {}

    def _modify(self, parameters: Mapping[str, Json]) -> dict[str, object]:
        body = read(ModifyKeyPairAttributeRequest, parameters)
        if body.key_name is None and body.description is None:
            raise MalformedRequest("fields", (FieldProblem("KeyName", "required"),))
        pair = self._show(body.key_id, body.region)
        # The ownership tag covers the name, and the description says that the key pair was released.
        if body.key_name not in (None, pair.key_name) or body.description not in (None, pair.description):
            raise KeyPairFixed
        return {}


def _described(pair: OwnedKeyPair) -> dict[str, object]:
    """Return a key pair in CVM's form."""
    return {
        "KeyId": pair.key_id,
        "KeyName": pair.key_name,
        "ProjectId": pair.project_id,
        "Description": pair.description,
        "PublicKey": pair.public_key,
        "AssociatedInstanceIds": list(pair.instance_ids),
        "CreatedTime": pair.created_at,
        "Tags": [{"Key": key, "Value": value} for key, value in pair.tags.items()],
    }
