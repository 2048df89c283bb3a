"""What one cache did, in figures: those of `stats()`, and those that only an observer sees."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, assert_never, final

from herdless._log import MOST_KINDS, OTHER_KINDS
from herdless._shared.stats import SharedStats
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    DeadlinePassed,
    Expire,
    Fresh,
    Get,
    Join,
    LoadCancelled,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Stale,
    Stats,
    Step,
    TooManyLoads,
)
from herdless_core._holdings import removal_cause

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds of the histogram of load times."""

Result: TypeAlias = Literal["value", "answer", "failure", "timeout", "cancelled"]
"""How a load ended: by a value; by an error that is an answer, or is none; too late; or it was given up."""


@final
@dataclass(slots=True)
class Histogram:
    """How long loads took, in seconds. `counts` has one number for each bucket, and one for what is above all."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> Histogram:
        """Of no load yet."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def record(self, seconds: float) -> None:
        """Count a load."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def add(self, other: Histogram) -> None:
        """Count the other's loads too."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@final
@dataclass(slots=True)
class Figures:
    """All figures of one name. The first seven only grow; those by a text are 0 where the text is missing."""

    bounds: tuple[float, ...]
    lookups: Counter[str] = field(default_factory=Counter)
    """By outcome: `hit`, `stale`, `joined`, `loaded`, `refused`."""
    loads: Counter[str] = field(default_factory=Counter)
    """By what they were for: `miss`, `refresh`; of shared caches `any`."""
    ends: Counter[str] = field(default_factory=Counter)
    """Loads that gave nothing, by kind: `failure`, `timeout`, `cancelled`."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failures by the class of the error."""
    removals: Counter[str] = field(default_factory=Counter)
    """Values that were removed, by cause: `evicted`, `invalidated`, `expired`, `replaced`."""
    fleet: Counter[str] = field(default_factory=Counter)
    """Of shared caches: `fetched`, `takeovers`, `fenced`, `soft_answers`, `store_errors`, `blind`."""
    seconds: dict[str, Histogram] = field(default_factory=dict)
    """Load times by `Result`."""
    size: int = 0
    maxsize: int | None = 0
    """None where one of the caches has none."""
    in_flight: int = 0
    waiters: int = 0

    def add(self, other: Figures) -> None:
        """Add another cache's, all but what it holds now."""
        for own, more in (
            (self.lookups, other.lookups),
            (self.loads, other.loads),
            (self.ends, other.ends),
            (self.errors, other.errors),
            (self.removals, other.removals),
            (self.fleet, other.fleet),
        ):
            own.update(more)
        for result, histogram in list(other.seconds.items()):
            self.seconds.setdefault(result, Histogram.empty(self.bounds)).add(histogram)

    def add_present(self, stats: Stats | SharedStats, waiters: int) -> None:
        """Add what a cache holds now."""
        self.size += stats.size
        self.maxsize = None if self.maxsize is None or stats.maxsize is None else self.maxsize + stats.maxsize
        self.in_flight += stats.in_flight
        self.waiters += waiters

    def count(self, stats: Stats | SharedStats, less: Stats | SharedStats | None) -> None:
        """Add what `stats` counts, and `less` did not yet."""
        before = _counted(less)
        for (of, word), now in _counted(stats).items():
            getattr(self, of)[word] += now - before.get((of, word), 0)


def _counted(stats: Stats | SharedStats | None) -> dict[tuple[str, str], int]:
    """By figure and word."""
    match stats:
        case None:
            return {}
        case Stats():
            return {
                ("lookups", "hit"): stats.hits,
                ("lookups", "stale"): stats.stale_hits,
                ("lookups", "joined"): stats.joins,
                ("lookups", "loaded"): stats.misses,
                ("lookups", "refused"): stats.refusals,
                ("loads", "miss"): stats.misses,
                ("loads", "refresh"): stats.loads - stats.misses,
                ("ends", "failure"): stats.load_failures,
                ("ends", "timeout"): stats.load_timeouts,
                ("ends", "cancelled"): stats.load_cancellations,
            }
        case SharedStats():
            return {
                ("lookups", "hit"): stats.hits,
                ("lookups", "joined"): stats.joins,
                ("loads", "any"): stats.loads,
                ("ends", "failure"): stats.load_failures,
                ("fleet", "fetched"): stats.fetched,
                ("fleet", "takeovers"): stats.takeovers,
                ("fleet", "fenced"): stats.fenced,
                ("fleet", "soft_answers"): stats.soft_answers,
                ("fleet", "store_errors"): stats.store_errors,
                ("fleet", "blind"): stats.blind,
            }
    assert_never(stats)


def fell(stats: Stats | SharedStats, before: Stats | SharedStats | None) -> bool:
    """Whether a counter is less than it was: `cache_clear` counts from 0 again."""
    now = _counted(stats)
    return any(now[word] < then for word, then in _counted(before).items())


@final
class LoadFigures:
    """The observer of one cache: load times, errors and removals. It is called inside the cache's lock."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.figures: Final = Figures(bounds)

    def __call__(self, key: Any, step: Step) -> None:
        """Count what the step did."""
        ended = end_of(step)
        if ended is not None:
            result, seconds = ended
            histogram = self.figures.seconds.setdefault(result, Histogram.empty(self.figures.bounds))
            histogram.record(seconds)
            if result == "failure" and isinstance(step.event, LoadFailed):
                self._count_error(step.event.error)
        cause = removal(step)
        if cause is not None:
            self.figures.removals[cause] += 1

    def _count_error(self, error: BaseException) -> None:
        errors, kind = self.figures.errors, type(error).__qualname__
        errors[kind if kind in errors or len(errors) < MOST_KINDS else OTHER_KINDS] += 1


def end_of(step: Step) -> tuple[Result, float] | None:
    """How the load ended that the step ended, and after how many seconds; None where it ended none."""
    flight, after = step.before.flight, step.after.flight
    if flight is None or (after is not None and after.generation == flight.generation):
        return None
    return _result(step, flight.generation), max(0, step.now - flight.started_at) / NANOSECONDS_PER_SECOND


def _result(step: Step, generation: int) -> Result:
    match step.event:
        case LoadSucceeded() if step.event.generation == generation:
            return "value"
        case LoadFailed() if step.event.generation == generation:
            if step.event.is_answer:
                return "answer"
            if isinstance(step.event.error, LoadTimeout | TooManyLoads):
                return "timeout"
            return "cancelled" if isinstance(step.event.error, LoadCancelled) else "failure"
        case DeadlinePassed() | Get():
            return "timeout"
        case _:
            return "cancelled"


def purpose_of(step: Step) -> Literal["miss", "refresh"]:
    """What the load is for that the step starts: a lookup that has to wait for it, or to replace what may be held, as
    `refresh`, `reload` and the cache itself do. By the same words as `Figures.loads`.
    """
    reply = step.effects[0] if step.effects else None
    reloads = isinstance(step.event, Get) and step.event.reloads
    return "miss" if isinstance(reply, Join) and not reloads else "refresh"


def removal(step: Step) -> str | None:
    """The cause by which the value went that the entry held, in the words of the glossary; None where none went. The
    same value in its own place (`NOT_MODIFIED`, `touch`) has not gone.
    """
    before, after = step.before, step.after
    if not isinstance(before, Fresh | Stale) or not before.holds_value:
        return None
    if isinstance(after, Fresh | Stale) and after.value is before.value:
        return None
    return "expired" if isinstance(step.event, Expire) else removal_cause(before, after, step.now)
