"""The report of `scripts/verify-live`, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.verification.checks import ASSUMPTIONS, Finding, Status

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_json(findings: Mapping[str, Finding], region: str) -> str:
    """Return the report as JSON."""
    listed = [
        {
            "id": one.id,
            "assumption": one.text,
            "status": findings[one.id].status.value,
            "seen": findings[one.id].detail,
            **({"meaning": one.if_broken} if findings[one.id].status is Status.BROKEN else {}),
        }
        for one in ASSUMPTIONS
    ]
    return json.dumps({"region": region, "assumptions": listed}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(findings: Mapping[str, Finding], region: str) -> str:
    """Return the report as Markdown: what is broken first, with what it means and what to do."""
    broken = [one for one in ASSUMPTIONS if findings[one.id].status is Status.BROKEN]
    unchecked = [one for one in ASSUMPTIONS if findings[one.id].status is Status.NOT_CHECKED]
    holding = [one for one in ASSUMPTIONS if findings[one.id].status is Status.HOLDS]
    lines = [
        f"# What holds in {region}",
        "",
        f"{len(holding)} assumptions hold, {len(broken)} are broken, {len(unchecked)} were not checked.",
    ]
    if broken:
        lines += ["", "## Broken"]
    for one in broken:
        seen = findings[one.id].detail
        lines += ["", f"### {one.id}", "", f"Assumed: {one.text}.", "", f"Seen: {seen}.", "", one.if_broken]
    if unchecked:
        lines += ["", "## Not checked", ""]
        lines += [f"- {one.id}: {one.text}. {findings[one.id].detail}." for one in unchecked]
    if holding:
        lines += ["", "## Holds", ""]
        lines += [f"- {one.id}: {one.text}." for one in holding]
    return "\n".join(lines) + "\n"
