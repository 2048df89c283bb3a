"""docs/tutorial.md: the pictures and figures of its five steps, from running the page's own code under traffic.

The traffic and the database are simulated in virtual time, so the figures are the same on every machine; the cache is
the real one, on the real event loop.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from statistics import quantiles
from types import SimpleNamespace
from typing import Any, Final, final

from docs.generate.spec import filled
from herdless.asyncio import cached
from tests.benchmarks.virtual import VirtualTimeLoop, run

PAGE: Final = Path(__file__).parents[1] / "tutorial.md"
PICTURES: Final = PAGE.parent / "tutorial"

SECONDS: Final = 10
VISITORS_PER_SECOND: Final = 100
QUERY_SECONDS: Final = 0.2
CONNECTIONS: Final = 10
DOWN: Final = (6.0, 8.0)
"""From when to when queries fail, after as long as they take."""

_BLOCK: Final = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_REPLACED: Final = re.compile(r"^(import time|from herdless\S* import .*)\n", re.MULTILINE)


@final
@dataclass(slots=True)
class Day:
    """What was seen: instants in seconds since the beginning."""

    queries: list[float] = field(default_factory=list)
    answers: list[tuple[float, float, bool]] = field(default_factory=list)
    """When each visitor came, how long until the answer, whether it was an error."""


def pages() -> Mapping[Path, str]:
    """The page with its figures, and the pictures."""
    page = PAGE.read_text(encoding="utf-8")
    days = [day_of(block) for block in _BLOCK.findall(page)]
    pictures = {
        PICTURES / f"step-{number}.svg": svg({_heading(f"Step {number}", day): day})
        for number, day in enumerate(days, start=1)
    }
    both = {"A dict with a ttl": days[1], "herdless": days[3]}
    pictures[PICTURES / "herd.svg"] = svg({_heading(name, day): day for name, day in both.items()})
    return {PAGE: filled(page, {"the five steps": figures(days)}), **pictures}


def day_of(block: str) -> Day:
    """Run the block's `front_page` under the traffic."""
    loop = VirtualTimeLoop()
    day = Day()
    names: dict[str, Any] = {
        "cached": partial(cached, clock=loop.time_ns),
        "time": SimpleNamespace(monotonic=loop.time),
    }
    exec(_REPLACED.sub("", block), names)  # noqa: S102 - the page's own code
    logging.disable(logging.WARNING)  # of the refreshes that fail
    try:
        run(_traffic(names, loop, day), loop)
    finally:
        logging.disable(logging.NOTSET)
    return day


async def _traffic(names: dict[str, Any], loop: VirtualTimeLoop, day: Day) -> None:
    pool = asyncio.Semaphore(CONNECTIONS)

    async def query() -> str:
        day.queries.append(loop.time())
        async with pool:
            is_down = DOWN[0] <= loop.time() < DOWN[1]
            await asyncio.sleep(QUERY_SECONDS)
        if is_down:
            raise ConnectionError("the database is down")
        return "the front page"

    names["query"] = query
    chance = Random(7)
    visits = []
    while loop.time() < SECONDS:
        visits.append(asyncio.create_task(_visit(names["front_page"], loop, day)))
        await asyncio.sleep(chance.expovariate(VISITORS_PER_SECOND))
    await asyncio.gather(*visits)


async def _visit(front_page: Callable[[], Awaitable[str]], loop: VirtualTimeLoop, day: Day) -> None:
    came = loop.time()
    is_error = False
    try:
        await front_page()
    except ConnectionError:
        is_error = True
    day.answers.append((came, loop.time() - came, is_error))


def figures(days: list[Day]) -> str:
    """The table of all steps."""
    lines = ["| step | visitors | queries | waited at all | slowest 1 % | errors |", "|---" * 6 + "|"]
    for number, day in enumerate(days, start=1):
        waits = [wait for _, wait, _ in day.answers]
        errors = sum(is_error for _, _, is_error in day.answers)
        waited = sum(wait > 0 for wait in waits) / len(waits)
        slowest = quantiles(waits, n=100)[-1]
        cells = (number, len(waits), len(day.queries), f"{waited:.1%}", f"over {slowest * 1e3:,.0f} ms", errors)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


# The picture

BARS: Final = 200
WIDTH: Final = 720
HEIGHT: Final = 290
LEFT: Final = 60
ACROSS: Final = (WIDTH - LEFT - 20) / BARS
QUERIES: Final = (40, 120)
WAITS: Final = (150, 260)
"""Tops and bottoms of the two halves, in pixels."""
MOST_QUERIES: Final = 12
MOST_SECONDS: Final = 1.0
_INK: Final = "#1f2933"


def _heading(name: str, day: Day) -> str:
    return f"{name}: {len(day.queries):,} queries for {len(day.answers):,} visitors"


def svg(days: Mapping[str, Day]) -> str:
    """The pictures of some days, by their headings, one below the other."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(days)}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{'; '.join(days)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (heading, day) in enumerate(days.items()):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_picture(heading, day), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _picture(heading: str, day: Day) -> Iterator[str]:
    """The queries begun, and the slowest answer, for each twentieth of a second."""
    began, slowest, failed = [0] * BARS, [0.0] * BARS, [False] * BARS
    for at in day.queries:
        began[_bar_of(at)] += 1
    for came, wait, is_error in day.answers:
        bar = _bar_of(came)
        slowest[bar], failed[bar] = max(slowest[bar], wait), failed[bar] or is_error
    left, right = map(_across, DOWN)
    yield f'<rect x="{left:.1f}" y="30" width="{right - left:.1f}" height="{WAITS[1] - 30}" fill="#f6e7e4"/>'
    yield _text((left + right) / 2, 42, "the database is down", "middle")
    yield f'<text x="8" y="20" font-size="14" font-weight="bold" fill="{_INK}">{heading}</text>'
    yield from _axis(QUERIES, str(MOST_QUERIES), "queries")
    yield from _axis(WAITS, f"{MOST_SECONDS:g} s", "slowest")
    for bar in range(BARS):
        yield from _bar(QUERIES, bar, began[bar] / MOST_QUERIES, "#0b7a75")
        yield from _bar(WAITS, bar, slowest[bar] / MOST_SECONDS, "#c44536" if failed[bar] else "#5b6c9d")
    for at in range(0, SECONDS + 1, 2):
        yield _text(_across(at), WAITS[1] + 18, f"{at} s", "middle")


def _bar_of(at: float) -> int:
    return min(BARS - 1, int(at * BARS / SECONDS))


def _across(at: float) -> float:
    return LEFT + at / SECONDS * BARS * ACROSS


def _bar(half: tuple[int, int], bar: int, share: float, colour: str) -> list[str]:
    height = min(share, 1.0) * (half[1] - half[0])
    if not height:
        return []
    left = LEFT + bar * ACROSS
    return [
        f'<rect x="{left:.1f}" y="{half[1] - height:.1f}" width="{ACROSS:.1f}" height="{height:.1f}" fill="{colour}"/>'
    ]


def _axis(half: tuple[int, int], most: str, what: str) -> list[str]:
    return [
        f'<path d="M{LEFT} {half[0]}V{half[1]}H{WIDTH - 20}" fill="none" stroke="#9aa5b1"/>',
        _text(LEFT - 6, half[0] + 10, most, "end"),
        _text(LEFT - 6, (half[0] + half[1]) / 2 + 4, what, "end"),
        _text(LEFT - 6, half[1], "0", "end"),
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{text}</text>'
