"""The instants of a trace on a scale that TLC's integers can hold, exactly.

All durations of a policy are multiples of some unit, so every instant that the machine computes is a multiple of it
away from one at which something happened. Two instants therefore compare like their whole units, and where those are
equal like what is left over. Of what is left over only the order matters: each is replaced by its rank. An instant is
its units, times the number of ranks, plus its rank; a duration is its units times the number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, final

from herdless_core import (
    LONG_AGO,
    NEVER,
    Answer,
    Failure,
    Fresh,
    Lifetime,
    LoadSucceeded,
    Policy,
    Put,
    Rearm,
    Settle,
    Stale,
    StartLoad,
    Step,
    Value,
    after,
)

END_OF_TIME: Final = 1_000_000_000
"""`EndOfTime` of TraceCacheEntry.tla."""

LARGEST: Final = END_OF_TIME // 10
"""So many ticks may a duration have."""


class OutsideOfSpecification(Exception):
    """The specification has no words for this."""


@final
class Scale:
    """Instants of one trace as whole numbers that compare in the same way. Raises OutsideOfSpecification for a trace
    whose numbers would be too large.
    """

    def __init__(self, policy: Policy, steps: Sequence[Step]) -> None:
        lifetime = policy.lifetime
        self.lifetimes: Final = _lifetimes(policy, steps)
        """Those that values have, the policy's first."""
        durations = {
            "Ttl": lifetime.ttl,
            "EarlyRefresh": lifetime.early_refresh,
            "StaleWhileRevalidate": lifetime.stale_while_revalidate,
            "StaleIfError": lifetime.stale_if_error,
            "NegativeTtl": policy.negative_lifetime.ttl,
            "LoadTimeout": policy.load_timeout,
            "RefreshBackoff": policy.refresh_backoff,
        }
        every = [*durations.values(), *(each for lifetime in self.lifetimes for each in _durations(lifetime))]
        finite = [each for each in every if each < NEVER]
        self._unit: Final = math.gcd(*finite) or 1
        self._has_ages: Final = any(finite)
        self.durations: Final = {
            name: NEVER if each >= NEVER else each // self._unit for name, each in durations.items()
        }
        units = self.durations
        ends = (0, *(after(each.ttl, each.kept) for each in self.lifetimes))
        in_units = [end // self._unit for end in ends if end < NEVER] + [units["NegativeTtl"], units["LoadTimeout"]]
        self._ages_end: Final = max(end for end in in_units if end < NEVER)
        self._horizon: Final = sum(finite) // self._unit + 1
        instants = {instant for step in steps for instant in _instants(step)} - {LONG_AGO, NEVER}
        residues = sorted({instant % self._unit for instant in instants})
        self._ranks: Final = {residue: rank for rank, residue in enumerate(residues)}
        self.size = len(residues)
        """Ticks in a unit; may be made larger, so that it is the same for many traces."""
        if not self.has_room_for(self.size):
            raise OutsideOfSpecification(
                f"its durations add up to {self._horizon:,} times their common measure, after which things happen at "
                f"{self.size:,} different moments: more than TLC's integers hold"
            )

    def units(self, lifetime: Lifetime) -> tuple[int, ...]:
        """The durations of a lifetime that values of this trace have, in units."""
        return tuple(each if each >= NEVER else each // self._unit for each in _durations(lifetime))

    def duration(self, units: int) -> int:
        """So many units, in ticks."""
        return END_OF_TIME if units >= NEVER else units * self.size

    def has_room_for(self, size: int) -> bool:
        """Whether so many ticks in a unit still give numbers that TLC can hold."""
        return self._horizon * size <= LARGEST

    def passed(self, before: int, now: int) -> int:
        """How many ticks lie between; no more than make a difference; -1 where time goes back."""
        if now < before:
            return -1
        if not self._has_ages:
            return 0
        return min(self._tick(now) - self._tick(before), self._horizon * self.size)

    def until(self, instant: int, now: int) -> int:
        """From now until the instant; one that is past is now."""
        if instant >= NEVER:
            return END_OF_TIME
        return 0 if instant <= now else self._tick(instant) - self._tick(now)

    def age(self, began: int, now: int) -> int:
        """How old is what began then, up to the age at which nothing differs any more."""
        cap = self._ages_end * self.size
        return cap if began <= LONG_AGO else min(self._tick(now) - self._tick(began), cap)

    def _tick(self, instant: int) -> int:
        whole, residue = divmod(instant, self._unit)
        return whole * self.size + self._ranks[residue]


def _lifetimes(policy: Policy, steps: Sequence[Step]) -> tuple[Lifetime, ...]:
    given = (step.event.lifetime for step in steps if isinstance(step.event, Put | LoadSucceeded))
    entries = (entry for step in steps for entry in (step.before, step.after) if isinstance(entry, Fresh))
    held = (entry.lifetime for entry in entries if not isinstance(entry.value, Failure))
    return tuple({_durations(each): each for each in (policy.lifetime, *given, *held) if each is not None}.values())


def _durations(lifetime: Lifetime) -> tuple[int, ...]:
    return (lifetime.ttl, lifetime.early_refresh, lifetime.stale_while_revalidate, lifetime.stale_if_error)


def _instants(step: Step) -> Iterator[int]:
    """Every instant that a step names."""
    yield step.now
    if isinstance(step.event, Put | LoadSucceeded):
        yield step.now - step.event.age
    for entry in (step.before, step.after):
        if isinstance(entry, Fresh):
            yield from (entry.loaded_at, entry.refresh_at, entry.hit_until)
        if isinstance(entry, Stale):
            yield from (entry.loaded_at, entry.stale_until, entry.kept_until, entry.retry_at)
        if entry.flight is not None:
            yield from (entry.flight.started_at, entry.flight.due_at)
    for effect in step.effects:
        if isinstance(effect, StartLoad | Rearm):
            yield effect.due_at
        if isinstance(effect, Answer | Settle) and isinstance(effect.outcome, Value):
            yield effect.outcome.loaded_at
