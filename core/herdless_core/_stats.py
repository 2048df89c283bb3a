"""What a keyspace counts, and how it tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never, final

from herdless_core._effects import Answer, Join, Refuse, Reply, Value
from herdless_core._errors import LoadCancelled
from herdless_core._events import DeadlinePassed, Event, Get, LoadFailed, LoadSucceeded


@final
@dataclass(slots=True)
class Stats:
    """What a cache has done since it was made, and what it holds now.

    hits + stale_hits + joins + misses + refusals are the lookups; each counts once. One that raised before it was
    answered (ReentrantLoad, CacheClosed, an unhashable key) counts nothing. Every load has ended by a value or by an
    error that is an answer, or is counted as a failure, a timeout or a cancellation, or is in flight. Threads without
    the GIL may lose some hits.
    """

    hits: Final[int]
    stale_hits: Final[int]
    joins: Final[int]
    misses: Final[int]
    loads: Final[int]
    """Flights started: misses and refreshes."""
    load_failures: Final[int]
    load_timeouts: Final[int]
    load_cancellations: Final[int]
    """Loads given up before their end: the last waiter left, or a put, a removal or a closing came first."""
    refusals: Final[int]
    """Lookups refused because `max_waiters` waited already."""
    soft_answers: Final[int]
    """Lookups, among the joins and misses, that were answered with a value that is kept since `soft_timeout` was over.
    """
    evictions: Final[int]
    """Entries removed by capacity."""
    size: Final[int]
    """Values held, those past their time but not yet swept included."""
    maxsize: Final[int | None]
    weight: Final[int]
    """What the values held weigh together, as `weigh` said when they came; a remembered error weighs 1. 0 where there
    is no maxweight."""
    maxweight: Final[int | None]
    in_flight: Final[int]
    """Flights whose end is awaited now."""


@final
class Counters:
    """The numbers behind `Stats` that no table knows."""

    __slots__ = (
        "evictions",
        "hits",
        "joins",
        "load_cancellations",
        "load_failures",
        "load_timeouts",
        "misses",
        "refusals",
        "soft_answers",
        "stale_hits",
    )

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Count from 0 again."""
        self.hits = self.stale_hits = self.joins = self.misses = self.refusals = 0
        self.soft_answers = 0
        self.load_failures = self.load_timeouts = self.load_cancellations = self.evictions = 0

    def count_lookup(self, reply: Reply) -> None:
        """A lookup was answered by this."""
        match reply:
            case Join():
                if reply.leads:
                    self.misses += 1
                else:
                    self.joins += 1
            case Answer():
                if isinstance(reply.outcome, Value) and reply.outcome.is_stale:
                    self.stale_hits += 1
                else:
                    self.hits += 1
            case Refuse():
                self.refusals += 1
            case _:
                assert_never(reply)

    def count_end(self, event: Event) -> None:
        """A flight ended by this event. Its failure was counted when it was reported."""
        match event:
            case DeadlinePassed() | Get():
                self.load_timeouts += 1
            case LoadSucceeded():
                pass
            case LoadFailed():
                self.load_cancellations += isinstance(event.error, LoadCancelled)
            case _:
                self.load_cancellations += 1
