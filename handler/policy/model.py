"""Who may have what. Nothing is allowed that the policy does not name.

The policy is written in TOML; `scripts/build` checks it and packs it as JSON, which is what the function
reads: a cold start parses no TOML.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from handler.errors import NotGranted, PolicyInvalid, RecipientRefused
from handler.order import RECIPIENTS_LIMIT
from handler.policy.grants import CALLER, Grant, PolicyPart, in_a_name
from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handler.order import KeyPairOrder

# Slash and comma would end the id inside an Authorization header.
CallerId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
IssuerName = CallerId
Rate = Annotated[
    str, StringConstraints(strict=True, max_length=16, pattern=r"^[1-9][0-9]{0,5}/(minute|hour|day)$")
]
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Public-key ones only: with a shared secret the function could make the tokens that it believes."""
SignatureV2 = Literal["HmacSHA256", "HmacSHA1"]
ClaimValue = (
    Annotated[str, Field(strict=True)]
    | Annotated[int, Field(strict=True)]
    | Annotated[bool, Field(strict=True)]
)
# Plain HTTP on this machine only: whoever answers there makes the callers.
_ORIGIN = (
    r"(https://[a-z0-9.-]+|http://(127\.0\.0\.1|localhost))"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_JWKS_URL = rf"^{_ORIGIN}/[\x21-\x7e]*$"
ChatId = Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,128}$")]
_USER = "{user}"


def _with_one_user(template: str) -> str:
    if template.count(_USER) != 1:
        raise ValueError("not one {user}")
    return template


# {user} in the path only: in the host's place it would choose where the function goes.
KeysTemplate = Annotated[
    str,
    StringConstraints(
        strict=True, max_length=512, pattern=r"^https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?/[\x21-\x7e]*$"
    ),
    AfterValidator(_with_one_user),
]
Origin = Annotated[str, StringConstraints(strict=True, pattern=rf"^{_ORIGIN}$")]
RecipientTexts = Annotated[
    tuple[Annotated[str, StringConstraints(strict=True, min_length=1)], ...],
    Field(max_length=RECIPIENTS_LIMIT),
]


_RULE = "rule"
_UNREADABLE = "{}: not a readable policy in JSON; scripts/build makes one of policy.toml"


def _public_keys_only(jwks: dict[str, JsonValue]) -> dict[str, JsonValue]:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys:
        raise ValueError("no keys")
    # A policy is packed into the code, which many can read.
    if not all(isinstance(key, dict) and key.get("kty") != "oct" and "d" not in key for key in keys):
        raise ValueError("not public keys")
    return jwks


class TokenIssuer(PolicyPart):
    """Somebody whose signed tokens (JWT, RFC 7519) prove who calls."""

    issuer: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)] = Field(
        description="the iss of its tokens, letter for letter"
    )
    audience: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)] = Field(
        description="the aud that its tokens carry for this function and for nothing else"
    )
    algorithms: Annotated[tuple[TokenAlgorithm, ...], Field(min_length=1)] = Field(
        description='a list of signature algorithms, for example ["RS256"]'
    )
    jwks_url: Annotated[str, StringConstraints(strict=True, pattern=_JWKS_URL)] | None = Field(
        default=None, description="the https:// address of its keys; or leave it out and write jwks"
    )
    jwks: Annotated[dict[str, JsonValue], AfterValidator(_public_keys_only)] | None = Field(
        default=None, description="its public keys as a JWKS, RFC 7517 section 5; or leave it out"
    )
    once: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="true where a token is good for one request only, else false"
    )

    @model_validator(mode="after")
    def _keys_from_one_place(self) -> TokenIssuer:
        if (self.jwks_url is None) == (self.jwks is None):
            raise _broken("write either jwks or jwks_url")
        return self


class TokenBinding(PolicyPart):
    """Which tokens of an issuer stand for a caller: those in which every one of these claims is so."""

    issuer: IssuerName = Field(description="the name of one of the [issuers.NAME] tables")
    claims: Annotated[dict[str, ClaimValue], Field(min_length=1)] = Field(
        description='a table of claims and their values, for example { repository_id = "1234" }'
    )


class ChatBinding(PolicyPart):
    """Which user of a chat platform stands for a caller: by ids, never by names, which people choose."""

    platform: Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z]{1,32}$")] = Field(
        description='the name of a chat platform, for example "slack"'
    )
    tenant: ChatId = Field(description='the id of the workspace or company there, for example "T01AB2CD3EF"')
    user: ChatId = Field(description='the id of the user there, for example "U01AB2CD3EF"')


class Caller(PolicyPart):
    """Somebody who may ask: how they prove who they are, where their keys go, what they may have."""

    tc3: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="true where the caller signs with TC3-HMAC-SHA256, else false"
    )
    v2: tuple[SignatureV2, ...] = Field(
        default=(), description='a list of signatures of the API v2, for example ["HmacSHA256"]'
    )
    jwt: tuple[TokenBinding, ...] = Field(
        default=(), description="one or more [[callers.NAME.jwt]] tables, each with issuer and claims"
    )
    chat: tuple[ChatBinding, ...] = Field(
        default=(),
        description="one or more [[callers.NAME.chat]] tables, each with platform, tenant and user",
    )
    rate: Rate | None = Field(
        default=None,
        description='how many requests are taken, for example "20/hour" (minute, hour, day)',
    )
    recipients: RecipientTexts = Field(
        default=(), description='a list of recipients, for example ["ssh-ed25519 AAAA…"]'
    )
    grants: Annotated[tuple[Grant, ...], Field(min_length=1)] = Field(
        description="one or more [[callers.NAME.grants]] tables"
    )

    @model_validator(mode="after")
    def _somebody_can_open(self) -> Caller:
        if not self.recipients and not all(grant.own_recipients for grant in self.grants):
            raise _broken(
                "a grant has own_recipients = false, and no recipients are registered; write either"
            )
        return self


class Web(PolicyPart):
    """The page for browsers, which is there if this is."""

    issuer: IssuerName | None = Field(
        default=None,
        description="the name of the [issuers.NAME] table to sign in at; without it people type a secret",
    )
    client_id: Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,255}$")] | None = Field(
        default=None, description="the client id that the issuer has given to the page"
    )
    origins: tuple[Origin, ...] = Field(
        default=(),
        description='a list of other origins whose pages may call, for example ["https://intranet.example"]',
    )

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Web:
        if (self.issuer is None) != (self.client_id is None):
            raise _broken("write both issuer and client_id, or neither")
        return self


class Policy(PolicyPart):
    """All callers, and the recipients that every envelope is sealed to besides the caller's."""

    escrow: RecipientTexts = Field(
        default=(), description='a list of recipients, for example ["age1…"]; left out where there is none'
    )
    failed_rate: Rate = Field(
        default="60/minute",
        description='how many requests of one address may fail to prove a caller, for example "60/minute"',
    )
    issuers: dict[IssuerName, TokenIssuer] = Field(
        default_factory=dict, description="a table [issuers.NAME] for each issuer of tokens"
    )
    web: Web | None = Field(
        default=None, description="a table [web], which may be empty; left out where there is no page"
    )
    keys_from: dict[CallerId, KeysTemplate] = Field(
        default_factory=dict,
        description="a table of places where users publish SSH keys, "
        'for example { github = "https://github.com/{user}.keys" }',
    )
    callers: dict[CallerId, Caller] = Field(description="a table [callers.NAME] for each caller")

    @model_validator(mode="after")
    def _names_are_kept_apart(self) -> Policy:
        templated = [
            in_a_name(caller_id)
            for caller_id, caller in self.callers.items()
            if any(CALLER in pattern for grant in caller.grants for pattern in grant.names)
        ]
        if len(set(templated)) != len(templated):
            raise _broken("two callers whose ids {caller} does not tell apart in a key name; rename one")
        return self

    @model_validator(mode="after")
    def _issuers_are_there(self) -> Policy:
        for caller in self.callers.values():
            if any(proof.issuer not in self.issuers for proof in caller.jwt):
                raise _broken("a caller's jwt names an issuer that has no [issuers.NAME] table")
        known = {(issuer.issuer, issuer.audience) for issuer in self.issuers.values()}
        if len(known) != len(self.issuers):
            raise _broken("two [issuers.NAME] tables with one issuer and one audience; make it one")
        if self.web and self.web.issuer and self.web.issuer not in self.issuers:
            raise _broken("web names an issuer that has no [issuers.NAME] table")
        return self

    @model_validator(mode="after")
    def _one_caller_each(self) -> Policy:
        proofs = [proof for caller in self.callers.values() for proof in caller.chat]
        if len({(proof.platform, proof.tenant, proof.user) for proof in proofs}) != len(proofs):
            raise _broken("a user of a chat platform stands for two callers, or twice for one; keep one")
        return self

    @cached_property
    def chat_callers(self) -> Mapping[tuple[str, str, str], str]:
        """(platform, tenant, user) -> id of the caller."""
        return {
            (proof.platform, proof.tenant, proof.user): caller_id
            for caller_id, caller in self.callers.items()
            for proof in caller.chat
        }

    @property
    def regions(self) -> frozenset[str]:
        """All regions that are granted to somebody."""
        grants = [grant for caller in self.callers.values() for grant in caller.grants]
        return frozenset(region for grant in grants for region in grant.regions)

    @classmethod
    def parse(cls, data: object) -> Policy:
        """Return the policy in `data` (parsed TOML or JSON).

        Raises PolicyInvalid; its text names each key path at fault and what to write there instead.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise PolicyInvalid("\n".join(_faults(error))) from None

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy compiled to JSON; raise PolicyInvalid as `parse` does, or if it cannot be read."""
        collecting = gc.isenabled()
        # Of ten thousand callers' objects none is garbage, and looking for some takes longer than the rest.
        gc.disable()
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError:
            raise PolicyInvalid(_UNREADABLE.format(path)) from None
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":
                raise PolicyInvalid(_UNREADABLE.format(path)) from None
            raise PolicyInvalid("\n".join(_faults(error))) from None
        finally:
            if collecting:
                gc.enable()

    def grant(self, caller_id: str, order: KeyPairOrder) -> KeyPairOrder:
        """Return `order` with its final recipients, tags and expiry, if the policy grants it to the caller.

        The recipients are its own ones, else those registered for the caller.
        An order that names no expiry gets the longest that its grant allows.

        Raises NotGranted, or RecipientRefused where nobody could open the result.
        """
        caller = self.callers[caller_id]
        refusals = [grant.refuses(caller_id, order) for grant in caller.grants]
        if None not in refusals:
            raise NotGranted(f"not-granted-{refusals[0]}")
        grant = caller.grants[refusals.index(None)]
        own = order.recipients or caller.recipients
        if not own:
            raise RecipientRefused(RecipientProblem.MISSING)
        expires_in = grant.longest if order.expires_in is None else order.expires_in
        tags = {**order.tags, **grant.forced_tags}
        return replace(order, recipients=own, tags=tags, expires_in=expires_in)


def _faults(error: ValidationError) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        location = problem["loc"]
        # A list with a bad item is reported as too short as well.
        if not any(other["loc"][: len(location)] == location != other["loc"] for other in problems):
            path = ".".join(str(part) for part in location if part != "[key]") or "the file"
            told = problem["msg"] if problem["type"] == _RULE else _advice(location, problem["type"])
            yield f"{path}: {told}"


_TABLES: dict[str, type[BaseModel]] = {
    "callers": Caller,
    "chat": ChatBinding,
    "grants": Grant,
    "issuers": TokenIssuer,
    "jwt": TokenBinding,
}
_SINGLE_TABLES: dict[str, type[BaseModel]] = {"web": Web}


def _advice(location: tuple[int | str, ...], kind: str) -> str:
    # The model that holds the key at fault, and the name of that key.
    model: type[BaseModel] = Policy
    rest = location
    while len(rest) > 2 and rest[0] in _TABLES:  # noqa: PLR2004  # TABLE.NAME.KEY, or TABLE.POSITION.KEY
        model, rest = _TABLES[str(rest[0])], rest[2:]
    if len(rest) > 1 and rest[0] in _SINGLE_TABLES:
        model, rest = _SINGLE_TABLES[str(rest[0])], rest[1:]
    key = str(rest[0]) if rest else ""
    if kind == "extra_forbidden":
        return f"there is no such key; write one of {', '.join(model.model_fields)}"
    if key == "[key]":
        return "not a caller id or name; write letters, digits, '_', '-' and '.', 64 at most"
    problem = "missing" if kind == "missing" else "malformed"
    field = model.model_fields.get(key)
    return f"{problem}; write {field.description if field else 'a policy with [callers.NAME] tables'}"


def _broken(rule: str) -> PydanticCustomError:
    return PydanticCustomError(_RULE, rule)
