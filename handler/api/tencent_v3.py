"""`POST /`: CreateKeyPair of CVM's API v3, so that the official SDKs and tccli can be clients.

https://cloud.tencent.com/document/api/213/15702. The SDKs return `KeyPair.PrivateKey` and drop fields that
they do not know, so the sealed key is in that field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_pascal

from handler import errors
from handler.api.issue_endpoint import IssueEndpoint, IssueRequest
from handler.api.request_fields import OrderModel, json_body, message, read
from handler.api.wire_models import WireModel
from handler.errors import FieldProblem
from handler.http.messages import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    TAGS_LIMIT,
    ClientToken,
    Duration,
    EnvelopeFormat,
    KeyName,
    PrivateKeyFormat,
    ProjectId,
    Recipients,
    Region,
    TagKey,
    TagValue,
)
from handler.records import dataclass

if TYPE_CHECKING:
    from handler.auth.caller import AuthenticatedCaller
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request
    from handler.issuance.issuer import IssuedKeyPair

ACTION = "CreateKeyPair"
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

_KEY_NAME_CODES = {
    "too-long": "InvalidKeyPairNameTooLong",
    "too-short": "InvalidKeyPairNameEmpty",
    "pattern": "InvalidKeyPairNameIncludeIllegalChar",
}
_FIELD_CODES = {"required": "MissingParameter", "unknown": "UnknownParameter"}


class _Tag(WireModel, alias_generator=to_pascal):
    key: TagKey
    value: TagValue


class _TagSpecification(WireModel, alias_generator=to_pascal):
    resource_type: Literal["keypair"]
    tags: Annotated[list[_Tag], Field(max_length=TAGS_LIMIT)]


class CreateKeyPairRequest(OrderModel, alias_generator=to_pascal):
    """The body of a request, its fields in PascalCase.

    CVM's parameters, and six additions of this function: Recipients, PrivateKeyFormat, EnvelopeFormat,
    Region, ExpiresIn and ClientToken.
    """

    key_name: KeyName
    project_id: ProjectId
    tag_specification: Annotated[list[_TagSpecification], Field(max_length=1)] | None = None
    recipients: Recipients | None = None
    private_key_format: PrivateKeyFormat | None = None
    envelope_format: EnvelopeFormat | None = None
    region: Region | None = None
    expires_in: Duration | None = None
    client_token: ClientToken | None = None


@dataclass(frozen=True)
class TencentV3Endpoint(IssueEndpoint):
    """Issues key pairs to the SDKs of Tencent Cloud."""

    path = "/"
    methods = ("POST",)
    audit_name = "tencent-v3"

    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the headers and the body."""
        # The SDKs do not sign these two headers, so a signature is good for any action. There is only one.
        if request.headers.get("x-tc-action") != ACTION:
            raise errors.UnknownAction
        if request.headers.get("x-tc-version") != VERSION:
            raise errors.UnknownVersion
        body = read(CreateKeyPairRequest, json_body(request))
        tags = [tag for specification in body.tag_specification or () for tag in specification.tags]
        # SECURITY BOUNDARY: nor do most of them sign X-TC-Region. Unless it is signed it decides nothing, but
        # a contradiction is reported.
        stated = request.headers.get("x-tc-region", "")
        signed = _region(stated) if "x-tc-region" in caller.signed_headers else None
        order = body.order(signed or self.default_region, {tag.key: tag.value for tag in tags})
        if stated not in ("", order.region):
            raise errors.RegionMismatch
        if len(order.tags) != len(tags):
            raise errors.MalformedRequest("fields", (FieldProblem("TagSpecification.0.Tags", "twice"),))
        return IssueRequest(order, body.client_token)

    def render(self, issued: IssuedKeyPair) -> Response:
        """Return CVM's response, with the sealed key in place of the plain one."""
        sealed = issued.sealed_private_key
        return _envelope(
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
        return _envelope({"Error": body, "RequestId": context.request_id}, headers)


def _region(header: str) -> str | None:
    """Return the region in a header; None if it is empty or malformed."""
    try:
        region: str = TypeAdapter(Region).validate_python(header)
    except ValidationError:
        return None
    return region


def _envelope(response: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    # Always 200, and Content-Type exactly `application/json`: otherwise the SDKs report a transport error, or
    # mistake an error for a success.
    return json_response(200, {"Response": response}, headers=headers)


def _code(error: errors.KeyPairFunctionError) -> str:
    for problem in error.problems:
        if isinstance(error, errors.MalformedRequest):
            if problem.field == "KeyName" and problem.rule in _KEY_NAME_CODES:
                return _KEY_NAME_CODES[problem.rule]
            return _FIELD_CODES.get(problem.rule, "InvalidParameterValue")
    if type(error) in _CODES:
        return _CODES[type(error)]
    return "InternalError." + "".join(part.capitalize() for part in error.code.split("-"))
