"""One permission of a caller, and the rules that an order must meet to use it."""

from __future__ import annotations

import fnmatch
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from handler.order import TAGS_LIMIT, Action, Duration, ProjectId, Region, TagKey, TagValue, seconds
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.order import KeyPairOrder

CALLER = "{caller}"
"""Stands for the caller's id in a name pattern."""
_ANY_CALLER = "*"

NamePattern = Annotated[
    str, StringConstraints(strict=True, max_length=64, pattern=r"^(\{caller\}|[A-Za-z0-9_*?])+$")
]
ValuePattern = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]


OtherCaller = Annotated[
    str, StringConstraints(strict=True, pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$")
]


@dataclass(frozen=True)
class ExistingKeyPair:
    """A key pair that a caller wants to see or to delete."""

    name: str
    region: str
    project_id: int
    owner: str
    """The caller that got it."""


class PolicyPart:
    """A table of the policy. Unknown keys are refused."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True)
class Grant(PolicyPart):
    """One permission. An order must meet every rule of one grant.

    Patterns match the whole text. `*` stands for any number of characters and `?` for exactly one; no other
    character is special. In a name pattern `{caller}` stands for the caller's id, with `_` for `-` and `.`.
    """

    names: Annotated[
        tuple[NamePattern, ...],
        Field(min_length=1, description='a list of patterns for key names, for example ["ci_*"]'),
    ]
    regions: Annotated[
        tuple[Region, ...],
        Field(min_length=1, description='a list of regions, for example ["ap-guangzhou"]'),
    ]
    projects: Annotated[
        tuple[ProjectId, ...],
        Field(min_length=1, description="a list of project numbers, for example [0, 1234]"),
    ] = (0,)
    forced_tags: Annotated[
        dict[TagKey, TagValue],
        Field(
            max_length=TAGS_LIMIT,
            description='a table of tags that every key pair gets, for example { env = "staging" }',
        ),
    ] = field(default_factory=dict)
    required_tags: Annotated[
        dict[TagKey, ValuePattern],
        Field(description='a table of tags and value patterns, for example { team = "*" }'),
    ] = field(default_factory=dict)
    optional_tags: Annotated[
        dict[TagKey, ValuePattern],
        Field(description='a table of tags and value patterns, for example { note = "*" }'),
    ] = field(default_factory=dict)
    longest_expiry: Annotated[
        Duration | None,
        Field(description='a duration such as "12h" or "30d", after which key pairs are removed'),
    ] = None
    own_recipients: Annotated[
        bool,
        Field(strict=True, description="true if a request may name its own recipients, else false"),
    ] = False
    actions: Annotated[
        tuple[Action, ...],
        Field(min_length=1, description='a list of "create", "list", "delete" and "import"'),
    ] = (Action.CREATE,)
    callers: Annotated[
        tuple[OtherCaller, ...],
        Field(description='a list of callers whose key pairs may be listed and deleted as well, or ["*"]'),
    ] = ()

    def violations(self, caller_id: str, order: KeyPairOrder) -> list[str]:
        """Return the reason codes of all rules that `order` breaks; none if the grant allows it."""
        longest = self.longest_expiry_seconds
        allowed = {
            **self._scope(order.action, caller_id, order),
            "required-tag": all(
                key in order.tags and _matches(order.tags[key], pattern)
                for key, pattern in self.required_tags.items()
            ),
            "tag": all(self._allows_tag(key, value) for key, value in order.tags.items()),
            "own-recipients": self.own_recipients or not order.recipients,
            "expiry": longest is None or order.expires_in is None or order.expires_in <= longest,
        }
        return [rule for rule, holds in allowed.items() if not holds]

    def existing_violations(self, action: Action, caller_id: str, key_pair: ExistingKeyPair) -> list[str]:
        """Return the rules that `action` on a key pair breaks, as `violations` does."""
        allowed = {
            **self._scope(action, caller_id, key_pair),
            "caller": bool({key_pair.owner, _ANY_CALLER} & {caller_id, *self.callers}),
        }
        return [rule for rule, holds in allowed.items() if not holds]

    def _scope(
        self, action: Action, caller_id: str, key_pair: KeyPairOrder | ExistingKeyPair
    ) -> dict[str, bool]:
        return {
            "action": action in self.actions,
            "name": any(_matches(key_pair.name, pattern) for pattern in self.names_for(caller_id)),
            "project": key_pair.project_id in self.projects,
            "region": key_pair.region in self.regions,
        }

    def names_for(self, caller_id: str) -> tuple[str, ...]:
        """Return the name patterns with `{caller}` replaced."""
        own = caller_id_as_name(caller_id)
        return tuple(pattern.replace(CALLER, own) for pattern in self.names)

    @property
    def longest_expiry_seconds(self) -> int | None:
        """The longest lifetime of a key pair in seconds; None if it is unlimited."""
        return None if self.longest_expiry is None else seconds(self.longest_expiry)

    def _allows_tag(self, key: str, value: str) -> bool:
        # Tags can carry permissions in the cloud, so a tag that the grant does not name is refused.
        if key in self.forced_tags:
            return self.forced_tags[key] == value
        pattern = self.required_tags.get(key) or self.optional_tags.get(key)
        return pattern is not None and _matches(value, pattern)


def caller_id_as_name(caller_id: str) -> str:
    """Return a caller's id in the characters that key names allow."""
    return caller_id.replace("-", "_").replace(".", "_")


def _matches(text: str, pattern: str) -> bool:
    # fnmatchcase anchors both ends. '[' would start a set, so it is escaped.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
