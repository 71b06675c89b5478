"""Draws what `scripts/bench --starts` has measured as a bar chart in SVG, without any library."""

from __future__ import annotations

import statistics
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROW, _LEFT, _WIDTH, _RIGHT = 26, 190, 420, 90
_OURS, _THEIRS = "#0969da", "#8c959f"


def bars(title: str, unit: str, rows: Mapping[str, Sequence[float]], ours: frozenset[str]) -> str:
    """Return a chart: the median of each row as a bar, its quartiles as a line."""
    longest = max(statistics.quantiles(values, n=4)[2] for values in rows.values())
    height = _ROW * (len(rows) + 1) + 12
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, values) in enumerate(rows.items(), 1):
        low, median, high = (value / longest * _WIDTH for value in statistics.quantiles(values, n=4))
        top = number * _ROW + 4
        colour = _OURS if name in ours else _THEIRS
        lines += [
            f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{top + 2}" width="{median:.0f}" height="16" fill="{colour}"/>',
            f'<path d="M{_LEFT + low:.0f} {top + 10}H{_LEFT + high:.0f}" stroke="black" stroke-width="2"/>',
            f'<text x="{_LEFT + high + 8:.0f}" y="{top + 14}">{statistics.median(values):.0f} {unit}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
