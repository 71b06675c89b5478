"""Key pairs that the function lists: how they are found and shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from client.answers import PAGE, has_shape, incomplete, moment
from client.errors import RequestRefused, UsageProblem
from client.explanations import explained, require_grants
from client.language import tr
from client.order import check_name
from client.service import KEY_PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from client.service import Service

    KeyPair = Mapping[str, Any]
    """As `GET /v1/key-pairs` describes one."""

_KEY_ID = re.compile(r"skey-[0-9a-z]{1,32}")


def listed(service: Service, regions: Sequence[str], **query: str) -> list[KeyPair]:
    """Return the key pairs that a query finds, by name. Raises a ClientError."""
    found = {
        pair["keyId"]: pair for region in regions for pair in _pages(service, {**query, "region": region})
    }
    return sorted(found.values(), key=lambda pair: (str(pair["keyName"]), str(pair["region"])))


def _pages(service: Service, query: Mapping[str, str]) -> Iterator[KeyPair]:
    after = ""
    while True:
        answer = service.ask("GET", KEY_PAIRS, {**query, "after": after})
        page = answer.content
        if answer.status != HTTPStatus.OK or not page:
            raise explained(answer, service)
        # The pages are in order of name. Without that there might be no last one.
        if not has_shape(page, PAGE) or (page["next"] and page["next"] <= after):
            raise incomplete()
        yield from page["keyPairs"]
        after = page["next"]
        if not after:
            return


def found(service: Service, regions: Sequence[str], name: str) -> KeyPair:
    """Return the one key pair with this name or id. Raises UsageProblem or RequestRefused."""
    if "*" in name or "?" in name:
        raise UsageProblem(
            tr("{name!r} is a pattern, and this command takes names.", name=name),
            tr("See what matches: keypair list {name!r}", name=name),
        )
    pairs = listed(service, regions, name="" if _KEY_ID.fullmatch(name) else check_name(name))
    matching = [pair for pair in pairs if name in (pair["keyId"], pair["keyName"])]
    if not matching:
        raise RequestRefused(
            tr("You have no key pair {name}.", name=name), tr("See what there is: keypair list")
        )
    return matching[0]  # names are unique in an account, and so are ids


def regions_to_ask(service: Service, region: str) -> Sequence[str]:
    """Return the region that was chosen, else all in which the caller may list; "" is the function's own."""
    if region:
        return [region]
    grants = require_grants(service)
    return grants.get("listRegions") or [""]


def table(pairs: Sequence[KeyPair], now: float) -> list[str]:
    """Return the lines of a table, the first one with the headings."""
    callers = len({pair["caller"] for pair in pairs}) > 1
    headings = [tr("NAME"), tr("REGION"), tr("ID"), tr("CREATED"), tr("EXPIRES"), tr("USED BY")]
    rows = [headings + [tr("CALLER")] * callers]
    for pair in pairs:
        row = [
            pair["keyName"],
            pair["region"],
            pair["keyId"],
            local_day(pair["createdAt"]),
            ends(pair, now),
            ", ".join(pair["instanceIds"]) or "-",
        ]
        rows.append(row + [pair["caller"]] * callers)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def ends(pair: KeyPair, now: float) -> str:
    """Return when a key pair ends; how soon, if that is within seven days."""
    if not pair["expiresAt"]:
        return "-"
    day = local_day(pair["expiresAt"])
    if not pair["expiresSoon"]:
        return day
    if is_over(pair, now):
        return f"{day} {tr('(over)')}"
    left = moment(pair["expiresAt"]) - datetime.fromtimestamp(now, timezone.utc)
    if left.days > 1:
        return f"{day} {tr('(in {days} d)', days=left.days)}"
    if left < timedelta(hours=1):
        return f"{day} {tr('(within an hour)')}"
    return f"{day} {tr('(in {hours:.0f} h)', hours=left / timedelta(hours=1))}"


def is_over(pair: KeyPair, now: float) -> bool:
    """Tell whether a key pair has expired."""
    return bool(pair["expiresAt"]) and moment(pair["expiresAt"]).timestamp() <= now


def local_day(text: str | None) -> str:
    """Return a time as a day here; a dash if the cloud does not say."""
    return moment(text).astimezone().strftime("%Y-%m-%d") if text else "-"
