"""One permission of the policy."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from handler.order import TAGS_LIMIT, Duration, ProjectId, Region, TagKey, TagValue, seconds

if TYPE_CHECKING:
    from handler.order import KeyPairOrder

CALLER = "{caller}"
"""In a pattern for names: the caller's id."""

NamePattern = Annotated[
    str, StringConstraints(strict=True, max_length=64, pattern=r"^(\{caller\}|[A-Za-z0-9_*?])+$")
]
ValuePattern = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]


class PolicyPart(BaseModel):
    """A table of the policy; keys that are not in the model are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Grant(PolicyPart):
    """One permission: every field has to hold.

    Patterns know `*` (any run of characters) and `?` (any one), match the whole text, and nothing else in
    them is special; in those for names `{caller}` stands for the caller's id, `_` in it for `-` and `.`.
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
    forced_tags: Annotated[dict[TagKey, TagValue], Field(max_length=TAGS_LIMIT)] = Field(
        default_factory=dict,
        description='a table of tags that every key pair gets, for example { env = "staging" }',
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

    def refuses(self, caller_id: str, order: KeyPairOrder) -> str | None:
        """Return which part of this grant `order` falls outside of, as a reason code; None if inside."""
        if not any(_matches(order.name, pattern) for pattern in self.names_of(caller_id)):
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
            if self.forced_tags.get(key, value) != value or not (
                key in self.forced_tags or _matches(value, pattern)
            ):
                return "tag"
        if order.recipients and not self.own_recipients:
            return "own-recipients"
        longest = self.longest
        if longest is not None and order.expires_in is not None and order.expires_in > longest:
            return "expiry"
        return None

    def names_of(self, caller_id: str) -> tuple[str, ...]:
        """Return the patterns for key names as they are for one caller."""
        own = in_a_name(caller_id)
        return tuple(pattern.replace(CALLER, own) for pattern in self.names)

    @property
    def longest(self) -> int | None:
        """The longest life of a key pair in seconds; None where it may live for ever."""
        return None if self.longest_expiry is None else seconds(self.longest_expiry)


def in_a_name(caller_id: str) -> str:
    """Return a caller's id in the letters of key names."""
    return caller_id.replace("-", "_").replace(".", "_")


def _matches(text: str, pattern: str) -> bool:
    # fnmatchcase anchors both ends; '[' would open a set, so it is made literal.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
