"""The goals, and whether they are met; limits differ for the pure and the compiled library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.benchmarks.results import Table


@dataclass(frozen=True, slots=True)
class Goal:
    """One row: a figure that must be at most its limit, or at least."""

    text: str
    figure: str
    pure: float
    compiled: float
    at_least: bool = False

    def is_met(self, measured: float, *, compiled: bool) -> bool:
        """Whether the figure is within the limit."""
        limit = self.limit(compiled=compiled)
        return measured >= limit if self.at_least else measured <= limit

    def limit(self, *, compiled: bool) -> float:
        """The limit that holds for this build."""
        return self.compiled if compiled else self.pure


GOALS: Final = (
    Goal("async hit, no ttl: x bare coroutine", "async hit", 1.9, 1.25),
    Goal("threads hit, no ttl: x dict", "threads hit", 8.5, 6.0),
    Goal("miss: x create_task", "miss", 1.55, 1.35),
    Goal("join: x bare shared future", "join", 1.7, 1.4),
    Goal("10,000 waiters of one key: loads", "herd loads", 1, 1),
    Goal("10,000 waiters of one key: x bare shared future", "herd", 1.35, 1.2),
    Goal("memory per entry: bytes", "memory", 220, 170),
    Goal("8 processes x 100 callers: loads", "fleet herd loads", 1, 1),
    Goal("8 processes x 100 callers: commands at the store", "fleet herd commands", 60, 60),
    Goal("the holder killed: seconds until the next load", "fleet takeover", 0.3, 0.3),
    Goal("shared, nothing there: x bare GET", "fleet cold lookup", 4.7, 4.7),
    Goal("shared, in the store: x bare GET", "fleet warm lookup", 1.5, 1.5),
    Goal("shared, near: x hit of a cache of one process", "near hit", 1.1, 1.1),
    Goal("async-lru's hit: x herdless's", "async-lru / herdless, hit", 4.0, 7.0, at_least=True),
    Goal("async-lru's herd: x herdless's", "async-lru / herdless, herd", 1.5, 1.7, at_least=True),
    Goal("async-lru's memory: x herdless's", "async-lru / herdless, memory", 4.0, 5.0, at_least=True),
)


def judge(figures: dict[str, float], *, compiled: bool) -> Table:
    """Goal, measured, met or not; a dash where the section was not run. compiled: which library was measured."""
    rows: list[tuple[str, str, float | None, str]] = []
    for goal in GOALS:
        sign = ">=" if goal.at_least else "<="
        measured = figures.get(goal.figure)
        verdict = "-" if measured is None else "met" if goal.is_met(measured, compiled=compiled) else "NOT met"
        rows.append((goal.text, f"{sign} {goal.limit(compiled=compiled):g}", measured, verdict))
    note = f"The limits are those of the {'compiled' if compiled else 'pure Python'} library."
    return Table("Goals", ("goal", "limit", "measured", "verdict"), tuple(rows), note)
