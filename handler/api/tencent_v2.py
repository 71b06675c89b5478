"""`/v2/index.php`: CreateKeyPair of CVM's legacy API v2, so that its clients work unchanged.

The response is that of the legacy documentation, with the sealed key in `secretkey`. There are no tags,
because that API has none. Its clients use GET by default, so the whole request is in the URL and may be
logged on the way. That reveals no secret: the signature is good for this request only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel

from handler import errors
from handler.api.issue_endpoint import IssueEndpoint, IssueRequest
from handler.api.request_fields import OrderModel, internal_code, message, read
from handler.auth.signature_v2 import parameters_of
from handler.http.messages import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    ClientToken,
    Duration,
    EnvelopeFormat,
    KeyName,
    PrivateKeyFormat,
    ProjectId,
    Recipients,
    Region,
)
from handler.sealing import refuse_private_keys
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.auth.caller import AuthenticatedCaller
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request
    from handler.issuance.issuer import IssuedKeyPair

ACTION = "CreateKeyPair"

# Parameters of the signature, and the name of the client.
_COMMON = {"Action", "Nonce", "RequestClient", "SecretId", "Signature", "SignatureMethod", "Timestamp"}

# https://cloud.tencent.com/document/product/214/11594
_REGIONS = {
    "bj": "ap-beijing",
    "ca": "na-toronto",
    "cd": "ap-chengdu",
    "cq": "ap-chongqing",
    "de": "eu-frankfurt",
    "gz": "ap-guangzhou",
    "hk": "ap-hongkong",
    "in": "ap-mumbai",
    "jp": "ap-tokyo",
    "kr": "ap-seoul",
    "sg": "ap-singapore",
    "sh": "ap-shanghai",
    "th": "ap-bangkok",
    "use": "na-ashburn",
    "usw": "na-siliconvalley",
}
"""The short names of regions, which only this version of the API uses."""

# The numbers are the common codes (https://cloud.tencent.com/document/api/309/7025), the words are CVM's.
# 4104 (no such SecretId) and 4500 (replay, clock) are not used: every failure to authenticate is 4100, so
# that a response does not reveal which ids exist or how close a forged request came.
_CODES: dict[type[errors.KeyPairFunctionError], tuple[int, str]] = {
    errors.MalformedRequest: (4000, "InvalidParameter"),
    errors.UnknownAction: (4000, "InvalidAction.NotFound"),
    errors.IdempotencyKeyReused: (4000, "InvalidParameterValue.ClientTokenReused"),
    errors.TagsRefused: (4000, "InvalidParameterValue.Tags"),
    errors.RecipientRefused: (4000, "InvalidParameterValue.Recipients"),
    errors.Unauthenticated: (4100, "AuthFailure"),
    errors.NotGranted: (4102, "UnauthorizedOperation"),
    errors.RateLimited: (4400, "RequestLimitExceeded"),
    errors.CloudBusy: (4400, "RequestLimitExceeded"),
    errors.ProjectNotFound: (5000, "InvalidProjectId.NotFound"),
    errors.KeyPairDeleted: (5000, "InvalidKeyPairId.NotFound"),
    errors.NameTaken: (5100, "InvalidKeyPairName.Duplicate"),
    errors.RequestInFlight: (5100, "ResourceInUse"),
    errors.QuotaReached: (5100, "InvalidKeyPair.LimitExceeded"),
    errors.UnknownVersion: (6100, "NoSuchVersion"),
}
_REFUSED = (4000, "InvalidRequest")
"""For errors that only other endpoints raise."""
_INTERNAL = 6000


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) else text


def _full_name(region: str) -> str:
    return _REGIONS.get(region, region)


class CreateKeyPairParameters(OrderModel, alias_generator=to_camel):
    """The parameters except the common ones. keyName and projectId are those of the cloud's API."""

    key_name: KeyName
    project_id: Annotated[ProjectId, BeforeValidator(_number)] = 0
    region: Annotated[Region, BeforeValidator(_full_name)] | None = Field(default=None, alias="Region")
    recipients: Recipients | None = None
    private_key_format: PrivateKeyFormat = PrivateKeyFormat.PKCS1
    envelope_format: EnvelopeFormat | None = None
    expires_in: Duration | None = None
    client_token: ClientToken | None = None


@dataclass(frozen=True)
class TencentV2Endpoint(IssueEndpoint):
    """Issues key pairs to the clients of the legacy API."""

    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the parameters, all of which are signed."""
        del caller
        parameters = parameters_of(request)
        refuse_private_keys("\n".join(parameters.values()))
        if parameters.get("Action") != ACTION:
            raise errors.UnknownAction
        # With this parameter, the cloud's legacy host answers as API v3. Here API v3 has its own endpoint.
        if "Version" in parameters:
            raise errors.UnknownVersion
        wanted = read(CreateKeyPairParameters, _fields(parameters))
        order = wanted.order(self.default_region, tags={})
        return IssueRequest(order, wanted.client_token)

    def render(self, issued: IssuedKeyPair) -> Response:
        """Return the legacy response, with the sealed key in place of the plain one."""
        return json_response(
            200,
            {
                "code": 0,
                "codeDesc": "Success",
                "message": "",
                "data": {
                    "keyId": issued.key_id,
                    "keyName": issued.key_name,
                    "pubkey": issued.public_key,
                    "secretkey": issued.sealed_private_key.ciphertext,
                },
            },
            # In a header, because the documented body has no field for it.
            headers={"X-Request-Id": issued.request_id},
        )

    def render_error(self, error: errors.KeyPairFunctionError, context: RequestContext) -> Response:
        """Return the legacy form of an error, with status 200 as the clients expect."""
        code, description = _code(error)
        headers = {"X-Request-Id": context.request_id}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        body = {"code": code, "codeDesc": description, "message": message(error)}
        return json_response(200, body, headers=headers)


def _fields(parameters: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the parameters except the common ones, with the recipients collected into a list."""
    fields: dict[str, str | list[str]] = {
        name: value for name, value in parameters.items() if name not in _COMMON
    }
    # recipients.0, recipients.1 and so on. One after a gap remains, and is refused as an unknown field.
    recipients: list[str] = []
    while (name := f"recipients.{len(recipients)}") in fields:
        del fields[name]
        recipients.append(parameters[name])
    if recipients:
        # A bare `recipients` remains, and is refused because it is not a list.
        fields.setdefault("recipients", recipients)
    return fields


def _code(error: errors.KeyPairFunctionError) -> tuple[int, str]:
    if type(error) in _CODES:
        return _CODES[type(error)]
    if isinstance(error, errors.RequestRefused):
        return _REFUSED
    return _INTERNAL, internal_code(error)
