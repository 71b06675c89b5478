"""`POST /v1/key-pairs`: JSON in, 201 and JSON out, errors as problem details (RFC 9457)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from handler.api.fields import WireModel, json_body, read
from handler.claims import ANSWER_TTL
from handler.door import Wish
from handler.errors import KeyPairFunctionError, MalformedRequest, MethodNotAllowed, Unauthenticated
from handler.http import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    Duration,
    KeyName,
    KeyPairOrder,
    PrivateKeyFormat,
    ProjectId,
    Recipients,
    Region,
    Tags,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.door import Proof
    from handler.http import Request
    from handler.issuing import IssuedKeyPair

PATH = "/v1/key-pairs"

# draft-ietf-httpapi-idempotency-key-header-07 section 2.1: an sf-string (RFC 8941 section 3.3.3). Many
# clients send the text without its quotes; it is the same key.
_IDEMPOTENCY_KEY = re.compile(
    r'"(?P<quoted>[\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|(?P<bare>[A-Za-z0-9_.:-]{1,255})'
)


class KeyPairRequest(WireModel):
    """The body of a request, its fields in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)

    key_name: KeyName
    recipients: Recipients | None = None
    project_id: ProjectId = 0
    region: Region | None = None
    tags: Tags = Field(default_factory=dict)
    private_key_format: PrivateKeyFormat = PrivateKeyFormat.PKCS1
    expires_in: Duration | None = None


@dataclass(frozen=True)
class RestDoor:
    """`handler.door.Door` for REST."""

    authenticate: Callable[[Request], Proof]
    default_region: str

    name = "rest"

    def prove(self, request: Request) -> Proof:
        """Return who sent `request`."""
        return self.authenticate(request)

    def understand(self, request: Request, proof: Proof) -> Wish:
        """Read the body."""
        idempotency_key = _idempotency_key(request, proof)
        body = read(KeyPairRequest, json_body(request))
        order = KeyPairOrder(
            name=body.key_name,
            region=body.region or self.default_region,
            project_id=body.project_id,
            recipients=tuple(body.recipients or ()),
            tags=body.tags,
            private_key_format=body.private_key_format,
            expires_in=None if body.expires_in is None else seconds(body.expires_in),
        )
        return Wish(order, idempotency_key)

    def answer(self, issued: IssuedKeyPair) -> Response:
        """Return 201 with the key pair."""
        sealed = issued.sealed_private_key
        return json_response(
            201,
            {
                "keyId": issued.key_id,
                "keyName": issued.key_name,
                "projectId": issued.project_id,
                "region": issued.region,
                "publicKey": issued.public_key,
                "fingerprint": issued.fingerprint,
                "createdAt": issued.created_at,
                "expiresAt": issued.expires_at,
                "sealedPrivateKey": {
                    "format": sealed.format,
                    "recipients": list(sealed.recipients),
                    "ciphertext": sealed.ciphertext,
                    "openWith": sealed.open_with,
                },
                "requestId": issued.request_id,
            },
            headers={"Idempotency-Key-TTL": str(ANSWER_TTL)},
        )

    def refuse(self, error: KeyPairFunctionError, request_id: str) -> Response:
        """Return problem details."""
        return problem(error, request_id)


def _idempotency_key(request: Request, proof: Proof) -> str:
    header = request.headers.get("idempotency-key")
    if header is None:
        return f"request:{proof.request_key}"
    parsed = _IDEMPOTENCY_KEY.fullmatch(header.strip())
    if parsed is None:
        raise MalformedRequest("idempotency-key")
    # SECURITY BOUNDARY: a header that the signature does not cover could be exchanged, and a captured
    # request, sent again under a new key, would be a new request.
    if "idempotency-key" not in proof.covers:
        raise Unauthenticated("idempotency-key-not-signed")
    # TC3 signs header values in lower case. Were 'a' and 'A' two keys, the signature would cover neither.
    return "key:" + (parsed["quoted"] or parsed["bare"]).lower()


def problem(error: KeyPairFunctionError, request_id: str) -> Response:
    """Return `error` as problem details (RFC 9457): constant texts and the request's id."""
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)  # RFC 9110 section 10.2.1
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "TC3-HMAC-SHA256"  # RFC 9110 section 11.6.1
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    body: dict[str, object] = {
        "type": f"urn:keypair-function:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "requestId": request_id,
    }
    if error.problems:
        body["errors"] = [
            {"field": field.field, "rule": field.rule} | ({"advice": field.advice} if field.advice else {})
            for field in error.problems
        ]
    return json_response(error.status, body, content_type="application/problem+json", headers=headers)
