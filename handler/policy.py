"""Who may have what. Nothing is allowed that the policy does not name.

The policy is written in TOML; `scripts/build` checks it and packs it as JSON, which is what the function
reads: a cold start parses no TOML.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from handler.errors import NotGranted, PolicyInvalid, RecipientProblem, RecipientRefused
from handler.order import RECIPIENTS_LIMIT, Duration, ProjectId, Region, TagKey, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handler.order import KeyPairOrder

# Slash and comma would end the id inside an Authorization header.
CallerId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
NamePattern = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_*?]{1,64}$")]
ValuePattern = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]
RecipientTexts = Annotated[
    tuple[Annotated[str, StringConstraints(strict=True, min_length=1)], ...],
    Field(max_length=RECIPIENTS_LIMIT),
]


class _PolicyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Grant(_PolicyPart):
    """One permission: every field has to hold.

    Patterns know `*` (any run of characters) and `?` (any one), match the whole text, and nothing else in
    them is special.
    """

    names: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = Field(
        description='a list of patterns for key names, for example ["ci_*"]'
    )
    projects: Annotated[tuple[ProjectId, ...], Field(min_length=1)] = Field(
        default=(0,), description="a list of project numbers, for example [0, 1234]"
    )
    regions: Annotated[tuple[Region, ...], Field(min_length=1)] = Field(
        description='a list of regions, for example ["ap-guangzhou"]'
    )
    required_tags: dict[TagKey, ValuePattern] = Field(
        default_factory=dict, description='a table of tags and value patterns, for example { team = "*" }'
    )
    optional_tags: dict[TagKey, ValuePattern] = Field(
        default_factory=dict, description='a table of tags and value patterns, for example { note = "*" }'
    )
    longest_expiry: Duration | None = Field(
        default=None, description='a duration such as "12h" or "30d", after which key pairs are removed'
    )
    own_recipients: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="true where a request may bring its own recipients, else false"
    )

    def refuses(self, order: KeyPairOrder) -> str | None:
        """Return which part of this grant `order` falls outside of, as a reason code; None if inside."""
        if not any(_matches(order.name, pattern) for pattern in self.names):
            return "name"
        if order.project_id not in self.projects:
            return "project"
        if order.region not in self.regions:
            return "region"
        for key, pattern in self.required_tags.items():
            if key not in order.tags or not _matches(order.tags[key], pattern):
                return "required-tag"
        # A tag can carry permissions in the cloud, so one that is not named is not let through.
        for key, value in order.tags.items():
            pattern = self.required_tags.get(key) or self.optional_tags.get(key) or ""
            if not _matches(value, pattern):
                return "tag"
        if order.recipients and not self.own_recipients:
            return "own-recipients"
        longest = self.longest
        if longest is not None and order.expires_in is not None and order.expires_in > longest:
            return "expiry"
        return None

    @property
    def longest(self) -> int | None:
        """The longest life of a key pair in seconds; None where it may live for ever."""
        return None if self.longest_expiry is None else seconds(self.longest_expiry)


class Caller(_PolicyPart):
    """Somebody who may ask: how they prove who they are, where their keys go, what they may have."""

    tc3: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="true where the caller signs with TC3-HMAC-SHA256, else false"
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
            raise ValueError("pinned without recipients")
        return self


class Policy(_PolicyPart):
    """All callers, and the recipients that every envelope is sealed to besides the caller's."""

    escrow: RecipientTexts = Field(
        default=(), description='a list of recipients, for example ["age1…"]; left out where there is none'
    )
    callers: dict[CallerId, Caller] = Field(description="a table [callers.NAME] for each caller")

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
        """Read a policy compiled to JSON; raise PolicyInvalid if it cannot be read."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            raise PolicyInvalid(
                f"{path}: not a readable policy in JSON; scripts/build makes one of policy.toml"
            ) from None
        return cls.parse(data)

    def grant(self, caller_id: str, order: KeyPairOrder) -> KeyPairOrder:
        """Return `order` with its final recipients and expiry, if the policy grants it to the caller.

        The recipients are its own ones, else those registered for the caller, and escrow in either case.
        An order that names no expiry gets the longest that its grant allows.

        Raises NotGranted, or RecipientRefused where nobody could open the result.
        """
        caller = self.callers[caller_id]
        refusals = [grant.refuses(order) for grant in caller.grants]
        if None not in refusals:
            raise NotGranted(f"not-granted-{refusals[0]}")
        longest = caller.grants[refusals.index(None)].longest
        own = order.recipients or caller.recipients
        # Escrow alone would make a key that its caller cannot open.
        if not own:
            raise RecipientRefused(RecipientProblem.MISSING)
        escrow = [recipient for recipient in self.escrow if recipient not in own]
        expires_in = longest if order.expires_in is None else order.expires_in
        return replace(order, recipients=(*own, *escrow), expires_in=expires_in)


def _matches(text: str, pattern: str) -> bool:
    # fnmatchcase anchors both ends; '[' would open a set, so it is made literal.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


_Location: TypeAlias = "tuple[int | str, ...]"


def _faults(error: ValidationError) -> Iterator[str]:
    problems: list[tuple[_Location, str]] = [(problem["loc"], problem["type"]) for problem in error.errors()]
    for location, kind in problems:
        # A list with a bad item is reported as too short as well.
        if not any(other[: len(location)] == location != other for other, _ in problems):
            yield _advice(location, kind)


def _advice(location: _Location, kind: str) -> str:
    path = ".".join(str(part) for part in location if part != "[key]") or "the file"
    # The model that holds the key at fault, and the name of that key.
    model: type[BaseModel] = Policy
    key = str(location[0]) if location else ""
    if location[:1] == ("callers",) and len(location) > 2:  # noqa: PLR2004  # callers.NAME.KEY
        model, key = Caller, str(location[2])
        if key == "grants" and len(location) > 4:  # noqa: PLR2004  # callers.NAME.grants.POSITION.KEY
            model, key = Grant, str(location[4])
    if kind == "value_error" and model is Policy:
        return f"{path}: a grant has own_recipients = false, and no recipients are registered; write either"
    if kind == "extra_forbidden":
        return f"{path}: there is no such key; write one of {', '.join(model.model_fields)}"
    if key == "[key]":
        return f"{path}: not a caller id; write letters, digits, '_', '-' and '.', 64 at most"
    problem = "missing" if kind == "missing" else "malformed"
    field = model.model_fields.get(key)
    return f"{path}: {problem}; write {field.description if field else 'a policy with [callers.NAME] tables'}"
