"""The moves of an entry, drawn from `herdless_core.table`: a picture for people, for which nothing is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, TypeAlias

from herdless_core.table import AGEING, EVENTS, STATES, TABLE

TIME: Final = "time"

Move: TypeAlias = tuple[str, str]
Point: TypeAlias = tuple[float, float]


def causes() -> dict[Move, list[str]]:
    """What leads from one state to another one: the events in the order of the table, then time alone."""
    found: dict[Move, list[str]] = {}
    for cause, source, target in _moves():
        if source != target:
            found.setdefault((source, target), []).append(cause)
    return found


def _moves() -> Iterable[tuple[str, str, str]]:
    for state in STATES:
        for event in EVENTS:
            for target in in_order(TABLE[state][event]):
                yield event.__name__, state.__name__, target
    for state in STATES:
        for target in in_order(AGEING[state]):
            yield TIME, state.__name__, target


def in_order(states: Iterable[type]) -> list[str]:
    """The names of these states, in the order of the table."""
    return [state.__name__ for state in STATES if state in states]


# The picture

WIDTH: Final = 1120
HEIGHT: Final = 580
BOX_WIDTH: Final = 140
BOX_HEIGHT: Final = 46
PLACES: Final[dict[str, Point]] = {
    "Absent": (110, 270),
    "Pending": (420, 270),
    "Fresh": (720, 270),
    "Stale": (1010, 270),
    "Evicted": (575, 525),
}
HOLDS: Final = {
    "Absent": "nothing",
    "Pending": "a flight",
    "Fresh": "a value within its ttl",
    "Stale": "a value past its ttl",
    "Evicted": "at most a flight",
}
BENDS: Final[dict[Move, float]] = {
    ("Absent", "Pending"): 34,
    ("Pending", "Absent"): 34,
    ("Absent", "Fresh"): 105,
    ("Fresh", "Absent"): 130,
    ("Pending", "Fresh"): 34,
    ("Fresh", "Pending"): 34,
    ("Fresh", "Stale"): 34,
    ("Stale", "Fresh"): 34,
    ("Stale", "Pending"): -118,
    ("Stale", "Absent"): -215,
    ("Absent", "Evicted"): -60,
    ("Pending", "Evicted"): 34,
    ("Stale", "Evicted"): 50,
}
"""How far an edge swings out to its left, in the direction of its arrow."""


def svg() -> str:
    """The diagram as SVG: places and bends are chosen by hand, edges and causes come from the table."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        "<title>The states of an entry and what leads from one to another</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="#47525e"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    edges = causes()
    parts += [_edge(move, names) for move, names in edges.items()]
    parts += [_box(state) for state in PLACES]
    parts += [_label(move, names) for move, names in edges.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(state: str) -> str:
    x, y = PLACES[state]
    return (
        f'<rect x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10" '
        f'fill="{_color(state)}" stroke="#47525e" stroke-width="1.4"/>'
        f'<text x="{x:g}" y="{y - 2:g}" text-anchor="middle" font-size="16" font-weight="bold" fill="#1f2933">'
        f"{state}</text>"
        f'<text x="{x:g}" y="{y + 14:g}" text-anchor="middle" font-size="10.5" fill="#47525e">{HOLDS[state]}</text>'
    )


def _color(state: str) -> str:
    colors = {"Pending": "#fff3c9", "Fresh": "#d8f3dc", "Stale": "#fde2cf", "Evicted": "#e6e8eb"}
    return colors.get(state, "#f7f8fa")


def _edge(move: Move, names: list[str]) -> str:
    control = _control(move)
    (x1, y1), (x2, y2) = (_border(state, control) for state in move)
    dashes = ' stroke-dasharray="5 4"' if names == [TIME] else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f} Q{control[0]:.1f} {control[1]:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        f'stroke="#47525e" stroke-width="1.4"{dashes} marker-end="url(#tip)"/>'
    )


def _label(move: Move, names: list[str]) -> str:
    control = _control(move)
    (x1, y1), (x2, y2) = (_border(state, control) for state in move)
    x, y = (x1 + 2 * control[0] + x2) / 4, (y1 + 2 * control[1] + y2) / 4
    lines = [", ".join(names[first : first + 2]) for first in range(0, len(names), 2)]
    width, height = 6.3 * max(map(len, lines)) + 6, 14 * len(lines) + 2
    box = (
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height}" fill="#ffffff"/>'
    )
    return box + "".join(
        f'<text x="{x:.1f}" y="{y + 4.5 + 14 * (number - (len(lines) - 1) / 2):.1f}" text-anchor="middle" '
        f'font-size="12" fill="#1f2933">{line}</text>'
        for number, line in enumerate(lines)
    )


def _control(move: Move) -> Point:
    """The control point of the edge's curve, twice as far out as the curve itself."""
    (x1, y1), (x2, y2) = (PLACES[state] for state in move)
    length = math.hypot(x2 - x1, y2 - y1)
    out = 2 * BENDS.get(move, 0) / length
    return (x1 + x2) / 2 + (y2 - y1) * out, (y1 + y2) / 2 - (x2 - x1) * out


def _border(state: str, towards: Point) -> Point:
    """Where the line from the middle of the state's box towards a point leaves the box."""
    x, y = PLACES[state]
    dx, dy = towards[0] - x, towards[1] - y
    share = min(BOX_WIDTH / 2 / abs(dx) if dx else math.inf, BOX_HEIGHT / 2 / abs(dy) if dy else math.inf)
    return x + dx * share, y + dy * share
