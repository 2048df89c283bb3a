"""What a shared cache counts, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from herdless_core import Restarted, Stats
from herdless_core._fleet.requests import Swap


@final
@dataclass(frozen=True, slots=True)
class SharedStats:
    """What one process's part of a shared cache has done since it was made, and what it holds now."""

    hits: int
    """Lookups answered from this process's memory."""
    joins: int
    """Lookups that waited for one of this process that had been asked for already."""
    fetched: int
    """Times that an outcome was found in the store."""
    loads: int
    """Loads that this process ran, those included that it ran alone or that were fenced."""
    load_failures: int
    """Of these, those that ended by an error."""
    takeovers: int
    """Flights of others that were given up by this process, since their lease was over or their holder gone."""
    fenced: int
    """Loads of this process of which nothing was kept, since another took their place or the store was gone."""
    soft_answers: int
    """Times that what is kept was the answer, since `soft_timeout` passed before a load ended."""
    store_errors: int
    """Lookups for which the store could not be asked."""
    blind: int
    """Times that this process stopped to trust what it holds, since it had not heard from the store in time."""
    size: int
    """Values held in this process."""
    maxsize: int | None
    in_flight: int
    """Keys that are being asked for now."""


@final
class SharedCounters:
    """The numbers behind `SharedStats`. Threads without the GIL may lose some."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """From 0."""
        self.hits = self.fetched = self.loads = self.load_failures = 0
        self.takeovers = self.fenced = self.soft_answers = self.store_errors = 0

    def count_swap(self, swap: Swap) -> None:
        """It was won."""
        self.takeovers += sum(isinstance(step.event, Restarted) for step in swap.steps)

    def stats(self, near: Stats, blind: int) -> SharedStats:
        """With what the near cache counts, and the trust."""
        return SharedStats(
            hits=near.hits + self.hits,
            joins=near.joins,
            fetched=self.fetched,
            loads=self.loads,
            load_failures=self.load_failures,
            takeovers=self.takeovers,
            fenced=self.fenced,
            soft_answers=self.soft_answers,
            store_errors=self.store_errors,
            blind=blind,
            size=near.size,
            maxsize=near.maxsize,
            in_flight=near.in_flight,
        )
