"""A small writer of SVG: horizontal bars, and lines on logarithmic axes. The same figures give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 720
ROW: Final = 22
LABELS: Final = 230
"""Pixels for the names at the left of bars."""
OWN: Final = "#0b7a75"
OTHER: Final = "#9aa5b1"
WRONG: Final = "#c44536"
PALETTE: Final = (OWN, "#d98324", "#5b6c9d", WRONG, OTHER, "#7a4988")


def bars(title: str, values: Mapping[str, float], *, unit: str, wrong: frozenset[str] = frozenset()) -> str:
    """One bar for each value, on a logarithmic scale; those in `wrong` in red, herdless's own in its colour."""
    least = 10 ** math.floor(math.log10(min(values.values())))
    span = math.log10(max(values.values()) / least) or 1.0
    body = []
    for row, (name, value) in enumerate(values.items()):
        top = 40 + row * ROW
        length = (WIDTH - LABELS - 110) * math.log10(value / least) / span
        colour = WRONG if name in wrong else OWN if "herdless" in name else OTHER
        body.append(_text(LABELS - 8, top + 15, name, anchor="end"))
        body.append(
            f'<rect x="{LABELS}" y="{top + 3}" width="{max(length, 1):.1f}" height="{ROW - 6}" fill="{colour}"/>'
        )
        body.append(
            _text(LABELS + length + 6, top + 15, f"{value:,.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}")
        )
    return _page(title, 52 + len(values) * ROW, body)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> str:
    """One line for each series of points; both axes logarithmic."""
    points = [point for line in series.values() for point in line]
    left, right = _decades([at for at, _ in points])
    low, high = _decades([value for _, value in points])
    box = (70, 40, WIDTH - 170, 330)  # left, top, right, bottom

    def place(at: float, value: float) -> tuple[float, float]:
        across = (math.log10(at) - left) / (right - left)
        up = (math.log10(value) - low) / (high - low)
        return box[0] + across * (box[2] - box[0]), box[3] - up * (box[3] - box[1])

    body = _grid(box, (left, right), (low, high))
    body += [_text((box[0] + box[2]) / 2, box[3] + 36, x, anchor="middle"), _text(8, 32, y)]
    for number, (name, line) in enumerate(series.items()):
        colour = PALETTE[number % len(PALETTE)]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in (place(*point) for point in line))
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body.append(_text(box[2] + 12, box[1] + 16 + number * 18, name, colour=colour))
    return _page(title, box[3] + 50, body)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _grid(box: tuple[int, int, int, int], across: tuple[int, int], up: tuple[int, int]) -> list[str]:
    left, top, right, bottom = box
    found = []
    for power in range(across[0], across[1] + 1):
        at = left + (right - left) * (power - across[0]) / (across[1] - across[0])
        found.append(_line(at, top, at, bottom))
        found.append(_text(at, bottom + 16, f"{10**power:,g}", anchor="middle"))
    for power in range(up[0], up[1] + 1):
        at = bottom - (bottom - top) * (power - up[0]) / (up[1] - up[0])
        found.append(_line(left, at, right, at))
        found.append(_text(left - 6, at + 4, f"{10.0**power:,g}", anchor="end"))
    return found


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e3e7eb"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#1f2933") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _page(title: str, height: int, body: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    heading = f'<text x="8" y="20" font-size="14" font-weight="bold" fill="#1f2933">{escape(title)}</text>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', heading, *body, "</svg>", ""])
