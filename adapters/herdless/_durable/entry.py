"""One entry that outlives its instance: the machine, stepped over what is stored.

`DurableEntry` commits every step and writes what must be durable, all without waiting, and returns the effects; what is
left for the object to do is to run loads and to answer waiters. So whoever is woken finds everything written.

A generation is at least the time in milliseconds, so it is not used again after the storage was freed, and with it the
last one forgotten. Every load and every put claims one. Before each step the one that was claimed last is compared: if
it is not this instance's own, the platform has replaced this instance. It then adopts what is stored, so that its own
loads are superseded, and the machine itself drops what they bring.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Final, final

from herdless._durable.storage import NANOSECONDS_PER_MILLISECOND, EntryStorage
from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Absent,
    Answer,
    DeadlinePassed,
    Effects,
    Entry,
    Event,
    Evicted,
    Expire,
    Failure,
    Forget,
    Fresh,
    Get,
    Invalidate,
    Join,
    Lifetime,
    LoadFailed,
    Outcome,
    Policy,
    Put,
    Refresh,
    Refuse,
    Report,
    Restarted,
    Save,
    Stale,
    StartLoad,
    Stats,
    Value,
    age,
    peek,
    read,
    transition,
)

LEASE: Final = 15 * 60 * NANOSECONDS_PER_SECOND
"""How long after the start of a load the alarm looks whether an instance died of it, and left something behind."""


@final
class DurableEntry:
    """The entry of one object. All instants are integer nanoseconds since 1970.

    keeps_warm: whether the alarm refreshes the value, rather than only freeing what has expired.
    """

    def __init__(self, storage: EntryStorage, policy: Policy, now: int, *, keeps_warm: bool) -> None:
        self._storage: Final = storage
        self._policy: Final = policy
        self._keeps_warm: Final = keeps_warm
        self._entry: Entry = ABSENT
        self._evicted: Final[dict[int, Entry]] = {}
        """The entries that were invalidated while callers waited for their flights, by generation."""
        self._generation = 0
        """The last one that this instance claimed or read."""
        self._claimed = 0
        """What the storage says if nobody else has written since."""
        self._counts: Final[Counter[str]] = Counter()
        self._adopt(now)

    # Requests

    def hit(self, now: int) -> Value | None:
        """The answer to a lookup that needs no step."""
        hit = read(self._entry, now)
        if hit is not None:
            self._counts["hits"] += 1
        return hit

    def get(self, now: int) -> Effects:
        """A caller looks the key up; exactly one effect is the Reply."""
        return self._step(Get(self._next_generation(now)), now)

    def peek(self, now: int) -> Outcome | None:
        """What a lookup would be answered with at once; starts nothing."""
        return peek(self._entry, now)

    def put(self, value: object, lifetime: Lifetime, now: int) -> Effects:
        """A caller gives the value."""
        self._claim(self._next_generation(now))
        return self._step(Put(value, lifetime), now)

    def invalidate(self, now: int) -> Effects:
        """Nobody who asks from now on is answered with what was known or is being loaded."""
        self._catch_up(now)
        return self._step(Invalidate(), now)

    def expire(self, now: int) -> Effects:
        """A fresh value is stale from now on."""
        self._catch_up(now)
        return self._step(Expire(), now)

    def refresh(self, now: int) -> Effects:
        """A load is started in the background, unless one is in flight."""
        return self._step(Refresh(self._next_generation(now)), now)

    def alarm(self, now: int) -> Effects:
        """The alarm went off, perhaps not for the first time: whatever is due is done, and the next one set."""
        self._storage.alarm_went_off()
        self._catch_up(now)
        is_due = self._keeps_warm and self._entry.flight is None and now >= _refresh_at(self._entry)
        self._entry = age(self._entry, now)
        if is_due:
            return self.refresh(now)
        self._tidy(now)
        return ()

    # Reports

    def report(self, event: Report, now: int) -> Effects:
        """A flight of this instance came to its end, or to its deadline."""
        self._catch_up(now)
        if isinstance(event, LoadFailed):
            self._counts["load_failures"] += self.is_in_flight(event.generation)
        return self._step(event, now, event.generation)

    def is_in_flight(self, generation: int) -> bool:
        """Whether the end of this flight is still awaited."""
        return generation in self._evicted or _generation(self._entry) == generation

    def waiters(self, generation: int) -> int:
        """How many callers wait for this flight."""
        flight = self._evicted.get(generation, self._entry).flight
        return 0 if flight is None or flight.generation != generation else flight.waiters

    def stats(self) -> Stats:
        """What this instance has done since it was started."""
        counts = {field.name: self._counts[field.name] for field in fields(Stats)}
        size = int(isinstance(self._entry, (Fresh, Stale)))
        in_flight = len(self._evicted) + (self._entry.flight is not None)
        return Stats(**counts | {"size": size, "maxsize": 1, "in_flight": in_flight})

    # Steps

    def _step(self, event: Event, now: int, generation: int = 0) -> Effects:
        before = self._evicted.get(generation, self._entry)
        after, effects = transition(before, event, now, self._policy)
        self._commit(before, after)
        for effect in effects:
            match effect:
                case StartLoad():
                    self._claim(effect.generation)
                case Save():
                    self._storage.save(after)
                case Forget():
                    self._storage.forget()
                case _:
                    pass
        self._count(event, before, after, effects)
        if after is not before:
            self._tidy(now)
        return effects

    def _commit(self, before: Entry, after: Entry) -> None:
        """The next entry takes its place: an evicted one beside the key's own, while it is waited for."""
        if isinstance(before, Evicted) and before.flight is not None:
            del self._evicted[before.flight.generation]
        else:
            self._entry = ABSENT if isinstance(after, Evicted) else after
        if isinstance(after, Evicted) and after.flight is not None:
            self._evicted[after.flight.generation] = after

    def _count(self, event: Event, before: Entry, after: Entry, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Answer():
                    is_stale = isinstance(effect.outcome, Value) and effect.outcome.is_stale
                    self._counts["stale_hits" if is_stale else "hits"] += 1
                case Join():
                    self._counts["misses" if effect.leads else "joins"] += 1
                case Refuse():
                    self._counts["refusals"] += 1
                case StartLoad():
                    self._counts["loads"] += 1
                case _:
                    pass
        if isinstance(event, (DeadlinePassed, Get)) and before.flight is not None:
            self._counts["load_timeouts"] += _generation(after) != before.flight.generation

    # Generations

    def _next_generation(self, now: int) -> int:
        self._catch_up(now)
        return max(self._generation + 1, now // NANOSECONDS_PER_MILLISECOND)

    def _claim(self, generation: int) -> None:
        self._storage.claim(generation)
        self._generation = self._claimed = generation

    def _catch_up(self, now: int) -> None:
        if self._storage.generation() != self._claimed:
            self._adopt(now)

    def _adopt(self, now: int) -> None:
        """What is stored becomes this instance's entry. Flights of whoever wrote it are not this instance's."""
        self._storage.adopt_alarm()
        self._claimed = self._storage.generation()
        self._generation = max(self._generation, self._claimed)
        self._entry, _ = transition(self._storage.entry(), Restarted(), now, self._policy)

    # Storage and alarm

    def _tidy(self, now: int) -> None:
        """Nothing to remember: nothing is stored. Otherwise the alarm is set to when something is due."""
        if isinstance(self._entry, Absent) and not self._evicted:
            self._storage.free()
            self._claimed = 0
        else:
            self._storage.wake_at(self._wake_at(now))

    def _wake_at(self, now: int) -> int:
        entry = self._entry
        flights = [flown.flight for flown in (entry, *self._evicted.values()) if flown.flight is not None]
        if flights:
            lease = max(flight.started_at for flight in flights) + LEASE
            return lease if lease > now else now + LEASE
        if not isinstance(entry, (Fresh, Stale)):
            return NEVER
        return min(_refresh_at(entry), entry.kept_until) if self._keeps_warm else entry.kept_until


def _generation(entry: Entry) -> int | None:
    return None if entry.flight is None else entry.flight.generation


def _refresh_at(entry: Entry) -> int:
    """From when on the entry's value may be refreshed though nobody asks; `NEVER` for one that has none."""
    match entry:
        case Fresh() if not isinstance(entry.value, Failure):
            return entry.refresh_at
        case Stale():
            return entry.retry_at
        case _:
            return NEVER
