"""What is asked for, checked before anything leaves this machine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client.errors import UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("pkcs1", "pkcs8", "openssh", "ppk")

NAME_LIMIT = 25
_NAME_LETTERS = re.compile(r"[A-Za-z0-9_]*")
DURATION = re.compile(r"[1-9][0-9]{0,4}[mhd]")
_REGION = re.compile(r"[a-z]+(-[a-z0-9]+)+")
_PATTERN = re.compile(r"[A-Za-z0-9_*?]{1,64}")
_TAG_SIGNS = frozenset("+-=._:/@() ")


@dataclass(frozen=True)
class Order:
    """A key pair to be made. `recipients` is empty where the ones that the policy registers are used."""

    name: str
    recipients: tuple[str, ...]
    region: str = ""
    expires_in: str = ""
    project: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    key_format: str = "pkcs1"

    def body(self) -> bytes:
        """Return the request's body; equal orders have equal bodies."""
        content: dict[str, Any] = {"keyName": self.name}
        if self.recipients:
            content["recipients"] = list(self.recipients)
        if self.region:
            content["region"] = self.region
        if self.expires_in:
            content["expiresIn"] = self.expires_in
        if self.project:
            content["projectId"] = self.project
        if self.tags:
            content["tags"] = dict(self.tags)
        if self.key_format in {"pkcs8", "openssh"}:
            content["privateKeyFormat"] = self.key_format
        return json.dumps(content, sort_keys=True).encode()


def same_order(one: bytes, other: bytes) -> bool:
    """Tell whether two bodies ask for the same, whomever it is sealed to."""

    def asked_for(body: bytes) -> Mapping[str, Any]:
        return {key: value for key, value in json.loads(body).items() if key != "recipients"}

    return asked_for(one) == asked_for(other)


def check_name(name: str) -> str:
    """Return the name of a key pair. Raises UsageProblem, with a name that would do."""
    rule = tr("A name has 1 to 25 letters, digits or '_'.")
    if not _NAME_LETTERS.fullmatch(name) or not 1 <= len(name) <= NAME_LIMIT:
        usable = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:NAME_LIMIT] or "web_1"
        raise UsageProblem(
            tr("{name!r} cannot be the name of a key pair. {rule}", name=name, rule=rule),
            tr("For example: {usable}", usable=usable),
        )
    return name


def check_pattern(text: str) -> str:
    """Return a pattern of names. Raises UsageProblem."""
    if not _PATTERN.fullmatch(text):
        raise UsageProblem(
            tr("No key pair can have a name like {text!r}.", text=text),
            tr("Names have letters, digits and '_'; in a pattern '*' matches any characters, '?' one."),
        )
    return text


def check_duration(text: str) -> str:
    """Return how long a key pair stays. Raises UsageProblem."""
    if not DURATION.fullmatch(text):
        raise UsageProblem(tr("{text!r} is not a duration.", text=text), tr("Write 90m, 12h or 30d."))
    return text


def seconds(duration: str) -> int:
    """Return the seconds in a duration such as `12h`. Raises UsageProblem."""
    return int(check_duration(duration)[:-1]) * {"m": 60, "h": 3600, "d": 86400}[duration[-1]]


def check_region(text: str) -> str:
    """Return a region. Raises UsageProblem."""
    if not _REGION.fullmatch(text):
        raise UsageProblem(
            tr("{text!r} is not a region.", text=text),
            tr("Write it as the cloud does, such as ap-guangzhou."),
        )
    return text


def check_project(text: str) -> int:
    """Return the number of a project. Raises UsageProblem."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise UsageProblem(
            tr("{text!r} is not the number of a project.", text=text),
            tr("Write it as the console shows it, such as 1234."),
        )
    return int(text)


def check_tags(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return tags, each given as KEY=VALUE. Raises UsageProblem."""
    tags: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key or not value:
            raise UsageProblem(
                tr("{text!r} is not a tag.", text=text), tr("Write --tag KEY=VALUE, such as --tag team=web.")
            )
        if any(not letter.isalnum() and letter not in _TAG_SIGNS for letter in key + value):
            raise UsageProblem(
                tr("{text!r} is not a tag.", text=text),
                tr("Use letters, digits and +-=._:/@() in tags.") + " " + tr("Give --tag once for each tag."),
            )
        if key in tags:
            raise UsageProblem(tr("The tag {key!r} is given twice.", key=key), tr("Give it once."))
        tags[key] = value
    return tuple(tags.items())
