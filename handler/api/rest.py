"""`POST /v1/key-pairs`: JSON in, 201 and JSON out, errors as problem details (RFC 9457)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.alias_generators import to_camel

from handler.api.issue_endpoint import IssueEndpoint, IssueRequest
from handler.api.problem_details import ProblemDetailsEndpoint
from handler.api.request_fields import OrderModel, json_body, read
from handler.errors import MalformedRequest, Unauthenticated
from handler.http.messages import Response, json_response
from handler.order import (  # pydantic reads the annotations at run time
    ANSWER_TTL,
    Action,
    Duration,
    EnvelopeFormat,
    KeyName,
    KeyPairOrder,
    PrivateKeyFormat,
    ProjectId,
    Recipients,
    Region,
    Tags,
)
from handler.sealing.recipient_problems import PGP_RECIPIENT_LIMIT, RECIPIENT_LIMIT
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.caller import AuthenticatedCaller
    from handler.http.messages import Request
    from handler.issuance.issuer import IssuedKeyPair, ReleasedKeyPair
    from handler.issuance.order_terms import OrderTerms


# draft-ietf-httpapi-idempotency-key-header-07 section 2.1: an sf-string (RFC 8941 section 3.3.3). Many
# clients omit the quotes; it is the same key.
IDEMPOTENCY_KEY = re.compile(
    r'"(?P<quoted>[\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|(?P<bare>[A-Za-z0-9_.:-]{1,255})'
)


class KeyPairRequest(OrderModel, alias_generator=to_camel):
    """The body of a request, its fields in camelCase."""

    key_name: KeyName = Field(description="Name of the key pair, unique in the account.")
    recipients: Recipients | None = Field(
        default=None,
        description="Public keys to which the private key is sealed, all of one kind: age recipients and SSH "
        "public key lines (ssh-ed25519, ssh-rsa), or JWKs and SSH public key lines (ecdsa-sha2-...), or "
        "certificates and public keys in PEM, or PGP public key blocks. Each is one key of at most "
        f"{RECIPIENT_LIMIT} characters, a PGP key of {PGP_RECIPIENT_LIMIT}; a JWK may be an object. "
        "Comments, armor headers and text around PEM are ignored. Null: the caller's registered ones.",
    )
    project_id: ProjectId | None = Field(default=0, description="Project of the key pair.")
    region: Region | None = Field(default=None, description="Null: the function's default region.")
    tags: Tags | None = Field(
        default=None,
        description="Tags of the key pair. Keys must not begin with qcs:, project: or keypair-function:, in "
        "upper or lower case.",
    )
    private_key_format: PrivateKeyFormat | None = Field(
        default=PrivateKeyFormat.PKCS1,
        description="pkcs1: RSA PRIVATE KEY, as the cloud returns it; pkcs8: PRIVATE KEY (RFC 5958), which "
        "PuTTYgen and paramiko do not read; openssh: OPENSSH PRIVATE KEY; ppk: PuTTY-User-Key-File-3, for "
        "PuTTY, WinSCP and Xshell. None of them is encrypted inside the envelope.",
    )
    envelope_format: EnvelopeFormat | None = Field(
        default=None,
        description="Required format of the envelope. Null: the kind of the recipients determines it.",
    )
    expires_in: Duration | None = Field(
        default=None,
        description="When to remove the key pair, counted from now: 90m, 12h, 30d. Null: after the longest "
        "time that the policy allows.",
    )


@dataclass(frozen=True)
class RestEndpoint(ProblemDetailsEndpoint, IssueEndpoint):
    """Issues key pairs over REST."""

    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the body."""
        stated = _idempotency_key(request, caller)
        body = json_body(request)
        if "publicKey" in body:
            # Imported here, so that other requests do not pay for it.
            from handler.api.import_request import ImportRequest

            return IssueRequest(read(ImportRequest, body).order(self.default_region), stated)
        wanted = read(KeyPairRequest, body)
        return IssueRequest(wanted.order(self.default_region, wanted.tags or {}), stated)

    def release(self, order: KeyPairOrder, terms: OrderTerms) -> Callable[[], Response]:
        """Issue the key pair, or import it."""
        if order.action is Action.CREATE:
            return super().release(order, terms)
        imported = self.issuer.import_key_pair(order, terms)
        return lambda: _created(imported)

    def render(self, issued: IssuedKeyPair) -> Response:
        """Return 201 with the key pair."""
        return _created(issued)


def _created(released: ReleasedKeyPair) -> Response:
    headers = {"Idempotency-Key-TTL": str(ANSWER_TTL)}
    return json_response(201, released.to_wire(), headers=headers)


def _idempotency_key(request: Request, caller: AuthenticatedCaller) -> str | None:
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    parsed = IDEMPOTENCY_KEY.fullmatch(header.strip())
    if parsed is None:
        raise MalformedRequest("idempotency-key")
    # SECURITY BOUNDARY: a header that the signature does not cover could be replaced. A captured request with
    # a new key would be a new request.
    if "idempotency-key" not in caller.signed_headers:
        raise Unauthenticated("idempotency-key-not-signed")
    return parsed["quoted"] or parsed["bare"]
