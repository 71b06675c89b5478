"""The policy: all callers with their grants. Whatever it does not name is refused.

Operators write it in TOML. `scripts/build` checks it and packs it as JSON. A cold start parses no TOML, and
does not check again what the build has checked (`handler.policy.compiled`).

The annotations are the rules for each key. pydantic reads them when a policy is checked.
"""

from __future__ import annotations

from collections.abc import Mapping  # pydantic reads the annotations at run time
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from handler.order import RECIPIENTS_LIMIT, Action, RecipientText
from handler.policy.grants import CALLER, Grant, PolicyPart, caller_id_as_name
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

RULE = "rule"
"""The type of pydantic's error for a rule that several keys break together."""


def broken_rule(text: str) -> PydanticCustomError:
    """Return the error for a rule that several keys break together; `text` says how to correct them."""
    return PydanticCustomError(RULE, text)


# A slash or comma would end the id inside an Authorization header.
CallerId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
IssuerName = CallerId
Rate = Annotated[
    str, StringConstraints(strict=True, max_length=16, pattern=r"^[1-9][0-9]{0,5}/(minute|hour|day)$")
]
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""Public-key algorithms only. With a shared secret the function could forge the tokens it accepts."""
SignatureV2 = Literal["HmacSHA256", "HmacSHA1"]
ClaimValue = (
    Annotated[str, Field(strict=True)]
    | Annotated[int, Field(strict=True)]
    | Annotated[bool, Field(strict=True)]
)
ClaimOf: TypeAlias = "tuple[str, type, str | int | float | None]"
"""A claim of a token: its name, the type of its value, because True, 1 and 1.0 are equal, and the value."""
# Plain HTTP only on this machine: whoever answers there decides who the callers are.
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


# {user} may stand in the path only. In the host part, users would choose which server is called.
KeysTemplate = Annotated[
    str,
    StringConstraints(
        strict=True, max_length=512, pattern=r"^https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?/[\x21-\x7e]*$"
    ),
    AfterValidator(_with_one_user),
]
Origin = Annotated[str, StringConstraints(strict=True, pattern=rf"^{_ORIGIN}$")]
RecipientTexts = Annotated[
    tuple[Annotated[RecipientText, StringConstraints(min_length=1)], ...],
    Field(max_length=RECIPIENTS_LIMIT),
]


def _public_keys_only(jwks: dict[str, JsonValue]) -> dict[str, JsonValue]:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys:
        raise ValueError("no keys")
    # The policy is packed into the code, which many people can read.
    if not all(isinstance(key, dict) and key.get("kty") != "oct" and key.get("d") is None for key in keys):
        raise ValueError("not public keys")
    return jwks


@dataclass(frozen=True)
class TokenIssuer(PolicyPart):
    """An issuer of signed tokens (JWT, RFC 7519) that identify callers."""

    issuer: Annotated[
        str,
        StringConstraints(strict=True, min_length=1, max_length=255),
        Field(description="the iss claim of its tokens, character for character"),
    ]
    audience: Annotated[
        str,
        StringConstraints(strict=True, min_length=1, max_length=255),
        Field(description="the aud claim of the tokens that it issues for this function only"),
    ]
    algorithms: Annotated[
        tuple[TokenAlgorithm, ...],
        Field(min_length=1, description='a list of signature algorithms, for example ["RS256"]'),
    ]
    jwks_url: Annotated[
        Annotated[str, StringConstraints(strict=True, pattern=_JWKS_URL)] | None,
        Field(description="the https:// address of its keys, or omit it and write jwks"),
    ] = None
    jwks: Annotated[
        Annotated[dict[str, JsonValue], AfterValidator(_public_keys_only)] | None,
        Field(description="its public keys as a JWKS (RFC 7517 section 5), or omit it"),
    ] = None
    once: Annotated[
        bool, Field(strict=True, description="true if a token is valid for one request only, else false")
    ] = False

    @model_validator(mode="after")
    def _keys_from_one_place(self) -> TokenIssuer:
        if (self.jwks_url is None) == (self.jwks is None):
            raise broken_rule("write either jwks or jwks_url")
        return self


@dataclass(frozen=True)
class TokenBinding(PolicyPart):
    """Tokens that identify a caller. A token matches if it carries every claim with exactly that value."""

    issuer: Annotated[IssuerName, Field(description="the name of one of the [issuers.NAME] tables")]
    claims: Annotated[
        dict[str, ClaimValue],
        Field(
            min_length=1,
            description='a table of claims and their values, for example { repository_id = "1234" }',
        ),
    ]

    @property
    def sorted_claims(self) -> tuple[ClaimOf, ...]:
        """The claims by name."""
        return tuple((name, type(value), value) for name, value in sorted(self.claims.items()))


@dataclass(frozen=True)
class ChatBinding(PolicyPart):
    """A chat user who is the caller. Users are named by id, because people can choose their names."""

    platform: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[a-z]{1,32}$"),
        Field(description='the name of a chat platform, for example "slack"'),
    ]
    tenant: Annotated[
        ChatId, Field(description='the id of the workspace or company there, for example "T01AB2CD3EF"')
    ]
    user: Annotated[ChatId, Field(description='the id of the user there, for example "U01AB2CD3EF"')]


@dataclass(frozen=True)
class Caller(PolicyPart):
    """A caller: how it authenticates, which recipients are registered for it, and what it may order."""

    grants: Annotated[
        tuple[Grant, ...], Field(min_length=1, description="one or more [[callers.NAME.grants]] tables")
    ]
    tc3: Annotated[
        bool, Field(strict=True, description="true if the caller signs with TC3-HMAC-SHA256, else false")
    ] = False
    v2: Annotated[
        tuple[SignatureV2, ...],
        Field(description='a list of signature methods of the API v2, for example ["HmacSHA256"]'),
    ] = ()
    jwt: Annotated[
        tuple[TokenBinding, ...],
        Field(description="one or more [[callers.NAME.jwt]] tables, each with issuer and claims"),
    ] = ()
    chat: Annotated[
        tuple[ChatBinding, ...],
        Field(
            description="one or more [[callers.NAME.chat]] tables, each with platform, tenant and user",
        ),
    ] = ()
    operator: Annotated[
        bool,
        Field(
            strict=True,
            description="true where the caller may ask whether the function is ready, else false",
        ),
    ] = False
    generation: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=10**9,
            description="the number of the caller's secret; the next number revokes the one before",
        ),
    ] = 1
    rate: Annotated[
        Rate | None,
        Field(description='how many requests are allowed, for example "20/hour" (minute, hour, day)'),
    ] = None
    recipients: Annotated[
        RecipientTexts, Field(description='a list of recipients, for example ["ssh-ed25519 AAAA…"]')
    ] = ()

    @model_validator(mode="after")
    def _every_key_has_a_recipient(self) -> Caller:
        creating = [grant for grant in self.grants if Action.CREATE in grant.actions]
        if not self.recipients and not all(grant.own_recipients for grant in creating):
            raise broken_rule(
                "no recipients are registered, and a grant has own_recipients = false; change one of the two"
            )
        return self


@dataclass(frozen=True)
class Web(PolicyPart):
    """Settings for the web page. It is served only if this table exists."""

    issuer: Annotated[
        IssuerName | None,
        Field(
            description="the name of the [issuers.NAME] table to sign in with; "
            "without it people type a secret"
        ),
    ] = None
    client_id: Annotated[
        Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,255}$")] | None,
        Field(description="the client id that the issuer assigned to the page"),
    ] = None
    origins: Annotated[
        tuple[Origin, ...],
        Field(
            description="a list of other origins whose pages may call this function, "
            'for example ["https://intranet.example"]'
        ),
    ] = ()

    @model_validator(mode="after")
    def _sign_in_is_complete(self) -> Web:
        if (self.issuer is None) != (self.client_id is None):
            raise broken_rule("write both issuer and client_id, or neither")
        return self


@dataclass(frozen=True)
class Policy(PolicyPart):
    """All callers, and what applies to all of them."""

    callers: Annotated[Mapping[CallerId, Caller], Field(description="a table [callers.NAME] for each caller")]
    escrow: Annotated[
        RecipientTexts, Field(description='a list of recipients, for example ["age1…"], or omit it')
    ] = ()
    """Every private key is sealed to them as well."""
    failed_rate: Annotated[
        Rate,
        Field(
            description='how many requests from one address may fail to authenticate, for example "60/minute"'
        ),
    ] = "60/minute"
    issuers: Annotated[
        dict[IssuerName, TokenIssuer], Field(description="a table [issuers.NAME] for each token issuer")
    ] = field(default_factory=dict)
    web: Annotated[
        Web | None, Field(description="a table [web], which may be empty, or omit it to serve no page")
    ] = None
    keys_from: Annotated[
        dict[CallerId, KeysTemplate],
        Field(
            description="a table of addresses where users publish SSH keys, "
            'for example { github = "https://github.com/{user}.keys" }'
        ),
    ] = field(default_factory=dict)

    @model_validator(mode="after")
    def _caller_names_differ(self) -> Policy:
        templated = [
            caller_id_as_name(caller_id)
            for caller_id, caller in self.callers.items()
            if any(CALLER in pattern for grant in caller.grants for pattern in grant.names)
        ]
        if len(set(templated)) != len(templated):
            raise broken_rule("{caller} is the same in the key names of two callers; rename one of them")
        return self

    @model_validator(mode="after")
    def _issuers_exist(self) -> Policy:
        for caller in self.callers.values():
            if any(proof.issuer not in self.issuers for proof in caller.jwt):
                raise broken_rule("a caller's jwt names an issuer that has no [issuers.NAME] table")
        known = {(issuer.issuer, issuer.audience) for issuer in self.issuers.values()}
        if len(known) != len(self.issuers):
            raise broken_rule("two [issuers.NAME] tables have the same issuer and audience; merge them")
        if self.web and self.web.issuer and self.web.issuer not in self.issuers:
            raise broken_rule("web names an issuer that has no [issuers.NAME] table")
        return self

    @model_validator(mode="after")
    def _chat_users_are_unique(self) -> Policy:
        proofs = [proof for caller in self.callers.values() for proof in caller.chat]
        if len({(proof.platform, proof.tenant, proof.user) for proof in proofs}) != len(proofs):
            raise broken_rule("a chat user is listed twice; keep one entry")
        return self

    # What follows is asked of all callers together. A policy with an index overrides it.

    @cached_property
    def chat_callers(self) -> Mapping[tuple[str, str, str], str]:
        """(platform, tenant, user) -> caller id."""
        return {
            (proof.platform, proof.tenant, proof.user): caller_id
            for caller_id, caller in self.callers.items()
            for proof in caller.chat
        }

    def chat_caller(self, platform: str, tenant: str, user: str) -> str | None:
        """Return the caller who is this chat user."""
        return self.chat_callers.get((platform, tenant, user))

    @property
    def chat_platforms(self) -> frozenset[str]:
        """The names of the platforms that callers have chat users at."""
        return frozenset(platform for platform, _, _ in self.chat_callers)

    @property
    def used_once(self) -> list[str]:
        """The keys of this policy whose nonces or tokens may be used once, whichever instance sees them."""
        tokens = [f"issuers.{name}.once" for name, issuer in self.issuers.items() if issuer.once]
        return tokens + self.v2_keys

    @property
    def v2_keys(self) -> list[str]:
        """The keys that let callers use API v2. A policy with an index knows only the first."""
        return [f"callers.{caller_id}.v2" for caller_id, caller in self.callers.items() if caller.v2]

    @property
    def generations(self) -> Mapping[str, int]:
        """Caller -> the generation of its secret, where it is not the first."""
        return {
            caller_id: caller.generation
            for caller_id, caller in self.callers.items()
            if caller.generation != 1
        }

    @cached_property
    def bindings(self) -> Mapping[tuple[str, tuple[ClaimOf, ...]], Collection[str]]:
        """Issuer and claims, sorted by name -> the callers that these claims identify."""
        found: dict[tuple[str, tuple[ClaimOf, ...]], set[str]] = {}
        for caller_id, caller in self.callers.items():
            for proof in caller.jwt:
                found.setdefault((proof.issuer, proof.sorted_claims), set()).add(caller_id)
        return found

    def callers_bound(self, issuer: str, claims: tuple[ClaimOf, ...]) -> Collection[str]:
        """Return the callers whom these claims, sorted by name, identify."""
        return self.bindings.get((issuer, claims), ())

    @cached_property
    def claim_names(self) -> Mapping[str, Collection[tuple[str, ...]]]:
        """Issuer -> the sorted names of claims that identify some caller."""
        found: dict[str, set[tuple[str, ...]]] = {}
        for issuer, claims in self.bindings:
            found.setdefault(issuer, set()).add(tuple(name for name, _, _ in claims))
        return found

    @property
    def regions(self) -> frozenset[str]:
        """All regions that the policy grants."""
        grants = [grant for caller in self.callers.values() for grant in caller.grants]
        return frozenset(region for grant in grants for region in grant.regions)

    @classmethod
    def parse(cls, data: object) -> Policy:
        """Return the policy in `data` (parsed TOML or JSON) after checking it.

        Raises PolicyInvalid, whose text names each key path at fault and what to write there.
        """
        from handler.policy.checking import check

        return check(data)

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy that was packed as JSON; raise PolicyInvalid as `parse` does, or if unreadable.

        With an index beside it, callers are read when they are asked for.
        """
        from handler.policy.compiled import CompiledPolicy

        found = CompiledPolicy.beside(path)
        if found is not None:
            return found
        from handler.policy.checking import check_file

        return check_file(path)
