"""The states of one key's entry over time, told from the steps that the cache reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, final

from herdless_core import NANOSECONDS_PER_SECOND, Entry, Fresh, Stale, Step, age


@final
@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time in which the entry was in one state. Seconds since the start of the run."""

    state: str
    began: float
    ended: float
    waiters: int
    """The most that waited at a time."""


def time_line(steps: Sequence[Step], started_at: int, elapsed: float) -> tuple[Segment, ...]:
    """The states from `started_at`, in the steps' nanoseconds, until `elapsed` seconds later; none without steps.

    A value that ages takes no step, so between two steps the entry is asked what it is by `age`.
    """
    end = started_at + round(elapsed * NANOSECONDS_PER_SECOND)
    steps = [step for step in steps if started_at <= step.now < end]
    if not steps:
        return ()
    moments = [Moment(started_at, steps[0].before)]
    for step, following in zip(steps, [*(step.now for step in steps[1:]), end], strict=True):
        moments += _aging(step.after, step.now, following)

    def seconds(now: int) -> float:
        return min(max(now - started_at, 0) / NANOSECONDS_PER_SECOND, elapsed)

    segments = []
    groups = [list(group) for _, group in groupby(moments, key=lambda moment: type(moment.entry))]
    for group, following in zip(groups, [*(group[0].now for group in groups[1:]), end], strict=True):
        waiters = max(moment.entry.flight.waiters if moment.entry.flight else 0 for moment in group)
        name = type(group[0].entry).__name__.lower()
        segments.append(Segment(name, seconds(group[0].now), seconds(following), waiters))
    return tuple(segments)


@final
@dataclass(frozen=True, slots=True)
class Moment:
    """The entry from this instant on."""

    now: int
    entry: Entry


def _aging(entry: Entry, now: int, until: int) -> Iterator[Moment]:
    yield Moment(now, entry)
    while isinstance(entry, Fresh | Stale):
        now = entry.fresh_until if isinstance(entry, Fresh) else entry.kept_until
        if now >= until:
            return
        entry = age(entry, now)
        yield Moment(now, entry)


_SHOWN_FIRST: Final = ("pending", "evicted", "stale", "fresh", "absent")
"""Of several states within one cell of a bar the first of these: a load is short, and would never be seen else."""


def cells(segments: Iterable[Segment], scale: float, width: int) -> list[str | None]:
    """The state to show in each of `width` cells that stand for `scale` seconds; None past the end of the run."""
    bar: list[str | None] = [None] * width
    for segment in segments:
        first = int(segment.began / scale * width)
        last = max(first, int(segment.ended / scale * width - 1e-9))
        for cell in range(first, min(last + 1, width)):
            shown = bar[cell]
            if shown is None or _SHOWN_FIRST.index(segment.state) < _SHOWN_FIRST.index(shown):
                bar[cell] = segment.state
    return bar
