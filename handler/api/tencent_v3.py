"""`POST /`: the key pair actions of CVM's API v3, so that the official SDKs and tccli can be clients.

https://cloud.tencent.com/document/api/213/15702 (CreateKeyPair) and 15703 (ImportKeyPair). The other actions
are in `handler.api.tencent_v3_inventory`. The SDKs return `KeyPair.PrivateKey` and drop fields that
they do not know, so the sealed key is in that field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_pascal

from handler import errors
from handler.api.issue_endpoint import IssueEndpoint, IssueRequest
from handler.api.request_fields import OrderModel, internal_code, json_body, message, read
from handler.api.wire_models import WireModel
from handler.errors import FieldProblem
from handler.http.messages import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    TAGS_LIMIT,
    Action,
    ClientToken,
    Duration,
    EnvelopeFormat,
    KeyName,
    KeyPairOrder,
    PrivateKeyFormat,
    ProjectId,
    Recipients,
    RecipientText,
    Region,
    TagKey,
    TagValue,
    seconds,
)
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.auth.caller import AuthenticatedCaller
    from handler.auth.nonces import Nonces
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request
    from handler.issuance.inventory import Inventory
    from handler.issuance.issuer import IssuedKeyPair
    from handler.issuance.order_terms import OrderTerms

CREATE = "CreateKeyPair"
IMPORT = "ImportKeyPair"
INVENTORY = ("DescribeKeyPairs", "DeleteKeyPairs", "ModifyKeyPairAttribute")
VERSION = "2017-03-12"

_CODES: dict[type[errors.KeyPairFunctionError], str] = {
    errors.MalformedRequest: "InvalidParameter",
    errors.UnsupportedMediaType: "InvalidRequest",
    errors.Unauthenticated: "AuthFailure.SignatureFailure",
    errors.NotGranted: "UnauthorizedOperation",
    errors.UnknownAction: "InvalidAction",
    errors.UnknownVersion: "NoSuchVersion",
    errors.RegionMismatch: "UnsupportedRegion",
    errors.NameTaken: "InvalidKeyPairName.Duplicate",
    errors.PublicKeyTaken: "InvalidPublicKey.Duplicate",
    errors.PublicKeyRefused: "InvalidPublicKey.Malformed",
    errors.KeyPairNotFound: "InvalidKeyPairId.NotFound",
    errors.KeyPairDeleted: "InvalidKeyPairId.NotFound",
    errors.KeyPairInUse: "InvalidParameterValue.KeyPairNotSupported",
    errors.KeyPairFixed: "UnsupportedOperation",
    errors.RequestInFlight: "ResourceInUse",
    errors.IdempotencyKeyReused: "InvalidParameterValue.ClientTokenReused",
    errors.ProjectNotFound: "InvalidProjectId.NotFound",
    errors.TagsRefused: "InvalidParameterValue.Tags",
    errors.RecipientRefused: "InvalidParameterValue.Recipients",
    errors.QuotaReached: "InvalidKeyPair.LimitExceeded",
    errors.CloudBusy: "RequestLimitExceeded",
    errors.RateLimited: "RequestLimitExceeded",
}
"""CVM's own codes where it has one, otherwise the common codes (api/213/30435)."""

_RULE_CODES = {"required": "MissingParameter", "unknown": "UnknownParameter"}
_FIELD_CODES = {
    ("KeyName", "too-long"): "InvalidKeyPairNameTooLong",
    ("KeyName", "too-short"): "InvalidKeyPairNameEmpty",
    ("KeyName", "pattern"): "InvalidKeyPairNameIncludeIllegalChar",
    ("KeyId", "pattern"): "InvalidKeyPairId.Malformed",
    ("KeyIds", "pattern"): "InvalidKeyPairId.Malformed",
    ("KeyIds", "too-many"): "InvalidParameterValue.LimitExceeded",
    ("KeyIds", "too-few"): "MissingParameter",
    ("KeyIds", "with-filters"): "InvalidParameter",
    ("Filters", "pattern"): "InvalidFilter",
    ("Filters", "too-many"): "InvalidFilterValue.LimitExceeded",
    ("Limit", "range"): "InvalidParameterValueLimit",
    ("Offset", "range"): "InvalidParameterValueOffset",
}
"""The first part of a field and the rule that it breaks -> CVM's code."""


class _Tag(WireModel, alias_generator=to_pascal):
    key: TagKey
    value: TagValue


class _TagSpecification(WireModel, alias_generator=to_pascal):
    resource_type: Literal["keypair"]
    tags: Annotated[list[_Tag], Field(max_length=TAGS_LIMIT)]


_TagSpecifications = Annotated[list[_TagSpecification], Field(max_length=1)]


class CreateKeyPairRequest(OrderModel, alias_generator=to_pascal):
    """The body of a request, its fields in PascalCase.

    CVM's parameters, and six additions of this function: Recipients, PrivateKeyFormat, EnvelopeFormat,
    Region, ExpiresIn and ClientToken.
    """

    key_name: KeyName
    project_id: ProjectId
    tag_specification: _TagSpecifications | None = None
    recipients: Recipients | None = None
    private_key_format: PrivateKeyFormat | None = None
    envelope_format: EnvelopeFormat | None = None
    region: Region | None = None
    expires_in: Duration | None = None
    client_token: ClientToken | None = None


class ImportKeyPairRequest(WireModel, alias_generator=to_pascal):
    """The body of an import: CVM's parameters, and three additions of this function."""

    key_name: KeyName
    project_id: ProjectId
    public_key: RecipientText
    tag_specification: _TagSpecifications | None = None
    region: Region | None = None
    expires_in: Duration | None = None
    client_token: ClientToken | None = None

    def order(self, default_region: str, tags: Mapping[str, str]) -> KeyPairOrder:
        """Return the order in this request."""
        return KeyPairOrder(
            name=self.key_name,
            region=self.region or default_region,
            project_id=self.project_id,
            tags=tags,
            expires_in=None if self.expires_in is None else seconds(self.expires_in),
            public_key=self.public_key,
        )


@dataclass(frozen=True)
class TencentV3Endpoint(IssueEndpoint):
    """Serves the SDKs of Tencent Cloud."""

    inventory: Callable[[], Inventory]
    nonces: Nonces | None
    """None where not all instances know what one of them has seen used."""

    def handle(self, context: RequestContext) -> Response:
        """Issue or import a key pair, or answer from the inventory."""
        if context.request.headers.get("x-tc-action") not in INVENTORY:
            return super().handle(context)
        # Imported here, so that an issue does not pay for it.
        from handler.api.tencent_v3_inventory import InventoryAction

        caller = self.admission.authenticate(self.authenticate, context)
        action = InventoryAction(self.inventory(), self.default_region, caller, context)
        action.admit(self.admission, self.nonces)
        return envelope({**action.answer(), "RequestId": context.request_id})

    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the headers and the body."""
        # SECURITY BOUNDARY: most SDKs do not sign these two headers, so whoever relays a request can change
        # the action. That turns no create or import into anything else: their parameters differ.
        action = request.headers.get("x-tc-action")
        if action not in (CREATE, IMPORT):
            raise errors.UnknownAction
        require_version(request)
        parameters = json_body(request)
        body: CreateKeyPairRequest | ImportKeyPairRequest
        if action == CREATE:
            body = read(CreateKeyPairRequest, parameters)
        else:
            body = read(ImportKeyPairRequest, parameters)
        tags = [tag for specification in body.tag_specification or () for tag in specification.tags]
        region = region_of(request, caller, body.region, self.default_region)
        order = body.order(region, {tag.key: tag.value for tag in tags})
        if len(order.tags) != len(tags):
            raise errors.MalformedRequest("fields", (FieldProblem("TagSpecification.0.Tags", "twice"),))
        return IssueRequest(order, body.client_token)

    def release(self, order: KeyPairOrder, terms: OrderTerms) -> Callable[[], Response]:
        """Issue the key pair, or import it."""
        if order.action is Action.CREATE:
            return super().release(order, terms)
        imported = self.issuer.import_key_pair(order, terms)
        return lambda: envelope(
            {
                "KeyId": imported.key_id,
                "Fingerprint": imported.fingerprint,
                "ExpiresAt": imported.expires_at,
                "RequestId": imported.request_id,
            }
        )

    def render(self, issued: IssuedKeyPair) -> Response:
        """Return CVM's response, with the sealed key in place of the plain one."""
        sealed = issued.sealed_private_key
        return envelope(
            {
                "KeyPair": {
                    "KeyId": issued.key_id,
                    "KeyName": issued.key_name,
                    "ProjectId": issued.project_id,
                    "PublicKey": issued.public_key,
                    "PrivateKey": sealed.ciphertext,
                },
                "Fingerprint": issued.fingerprint,
                "SealedWith": sealed.format,
                "SealedTo": list(sealed.recipients),
                "OpenWith": sealed.open_with,
                "ExpiresAt": issued.expires_at,
                "RequestId": issued.request_id,
            }
        )

    def render_error(self, error: errors.KeyPairFunctionError, context: RequestContext) -> Response:
        """Return CVM's form of an error."""
        body = {"Code": _code(error), "Message": message(error)}
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return envelope({"Error": body, "RequestId": context.request_id}, headers)


def require_version(request: Request) -> None:
    """Raise UnknownVersion unless a request states the version of this API."""
    if request.headers.get("x-tc-version") != VERSION:
        raise errors.UnknownVersion


def region_of(request: Request, caller: AuthenticatedCaller, stated: str | None, default: str) -> str:
    """Return the region that a request is about; raise RegionMismatch.

    SECURITY BOUNDARY: most SDKs do not sign X-TC-Region. Unless it is signed it decides nothing, but a
    contradiction is reported.
    """
    header = request.headers.get("x-tc-region", "")
    signed = _region(header) if "x-tc-region" in caller.signed_headers else None
    region = stated or signed or default
    if header not in ("", region):
        raise errors.RegionMismatch
    return region


def _region(header: str) -> str | None:
    """Return the region in a header; None if it is empty or malformed."""
    try:
        region: str = TypeAdapter(Region).validate_python(header)
    except ValidationError:
        return None
    return region


def envelope(response: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    """Return `response` in the form of API v3."""
    # Always 200, and Content-Type exactly `application/json`: otherwise the SDKs report a transport error, or
    # mistake an error for a success.
    return json_response(200, {"Response": response}, headers=headers)


def _code(error: errors.KeyPairFunctionError) -> str:
    if isinstance(error, errors.MalformedRequest) and error.problems:
        problem = error.problems[0]
        own = _FIELD_CODES.get((problem.field.partition(".")[0], problem.rule))
        return own or _RULE_CODES.get(problem.rule, "InvalidParameterValue")
    if type(error) in _CODES:
        return _CODES[type(error)]
    return internal_code(error)
