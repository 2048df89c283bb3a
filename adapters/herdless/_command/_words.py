"""The report in words and cells, whatever they are printed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from herdless._command._plan import COLD, MIX_SECONDS, ZIPF_EXPONENT, Plan
from herdless._command._report import Report
from herdless._command._run import PLAIN, Row
from herdless._command._timeline import Segment, cells

HEADERS: Final = ("runtime", "cache", "callers", "origin\nqueries", "queries\nsaved", "latency\np50", "latency\np99")
WIDTHS: Final = (7, 9, 7, 7, 7, 7, 7)
LEFT_ALIGNED: Final = 2
"""So many columns are text, the others are numbers."""
GAP: Final = 2
LEAST_BAR, MOST_BAR = 10, 60

GLYPHS: Final = {"absent": "·", "pending": "▒", "fresh": "█", "stale": "▄", "evicted": "▁"}
ASCII_GLYPHS: Final = {"absent": ".", "pending": "?", "fresh": "#", "stale": "=", "evicted": "x"}


def glyphs_for(encoding: str) -> Mapping[str, str]:
    """The one character that stands for each state."""
    return GLYPHS if encoding.lower().startswith("utf") else ASCII_GLYPHS


def bar_width(width: int) -> int:
    """How many cells a time line gets on lines of `width` characters."""
    return max(LEAST_BAR, min(MOST_BAR, width - sum(WIDTHS) - GAP * len(WIDTHS)))


def introduction(report: Report) -> list[str]:
    """Where values come from, and what was left out."""
    alone = report.source.query_seconds
    lines = [f"origin: {report.source.name}" + ("" if alone is None else f"; one query alone takes {duration(alone)}")]
    return lines + [f"left out: {why}" for why in report.left_out.values()]


def heading(plan: Plan, keys: int, seed: int) -> str:
    """What the callers of this phase do."""
    callers = f"{len(plan.callers):,} callers"
    if plan.phase == COLD:
        return f"Cold herd: {callers} at once on one key"
    return (
        f"Mix with expiry: {plan.lookups:,} lookups of {keys:,} keys in {MIX_SECONDS:g} s, ttl {plan.ttl:g} s, "
        f"Zipf {ZIPF_EXPONENT:g}, seed {seed}"
    )


def row_cells(report: Report, row: Row) -> tuple[str, ...]:
    """The texts under HEADERS."""
    saved = report.saved(row)
    return (
        row.runtime,
        row.cache,
        f"{row.callers:,}",
        f"{row.queries:,}",
        "" if saved is None else f"{saved:,}",
        duration(row.p50),
        duration(row.p99),
    )


def phases(report: Report) -> Iterator[tuple[Plan, list[Row], float]]:
    """Each phase, its rows, and the seconds for which its time lines stand: the longest run of herdless in it."""
    for plan in report.plans:
        rows = [row for row in report.rows if row.phase == plan.phase]
        yield plan, rows, max(row.elapsed for row in rows if row.cache != PLAIN)


def bar(row: Row, scale: float, width: int, glyphs: Mapping[str, str]) -> list[tuple[str, str]]:
    """The time line of a row: stretches of one state, each with its characters; nothing for the plain cache."""
    states = cells(row.time_line, scale, width)
    return [(state, glyphs[state] * len(list(group))) for state, group in groupby(states) if state is not None]


def legend(report: Report, glyphs: Mapping[str, str]) -> list[tuple[str, str]]:
    """The states that occur in the report, each with what a time line shows for it."""
    occurring = {segment.state for row in report.rows for segment in row.time_line}
    meaning = {"pending": "pending, however short"}
    return [(state, f"{glyph} {meaning.get(state, state)}") for state, glyph in glyphs.items() if state in occurring]


def watched(report: Report) -> str:
    """Whose time lines they are."""
    return f"Time lines of {report.plans[0].watched!r}, the hottest key:"


def as_it_happened(report: Report) -> Iterator[tuple[str, str]]:
    """For each runtime the states of the cold key's entry, with their instants."""
    for row in report.rows:
        if row.phase == COLD and row.time_line:
            yield row.runtime, "; ".join(_told(segment) for segment in row.time_line if segment.state != "absent")


def _told(segment: Segment) -> str:
    waiting = f", up to {segment.waiters:,} waiting" if segment.waiters else ""
    return f"{segment.state} at {duration(segment.began)}{waiting}"


def remarks(report: Report) -> list[str]:
    """What would puzzle a reader of the table."""
    return [
        f"{row.runtime}: the plain cache had its value before most of the herd came, see herdless herd --help"
        for row in report.rows
        if row.phase == COLD and row.cache == PLAIN and 2 * row.queries < row.callers
    ]


def verdict(report: Report) -> list[str]:
    """Whether the promise was kept, and on what evidence."""
    if report.violations:
        return [f"BROKEN: {what}" for what in report.violations]
    rows = [row for row in report.rows if row.cache != PLAIN]
    loads, generations = sum(row.queries for row in rows), sum(row.generations or 0 for row in rows)
    return [f"Checked: {generations:,} generations begun by herdless, {loads:,} loads seen by the origin."]


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    rounded = float(f"{seconds:.3g}")
    if rounded >= 1:
        return _three_digits(rounded, "s")
    if rounded >= 1e-3:
        return _three_digits(rounded * 1e3, "ms")
    return _three_digits(rounded * 1e6, "us")


def _three_digits(number: float, unit: str) -> str:
    decimals = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{decimals}f} {unit}"
