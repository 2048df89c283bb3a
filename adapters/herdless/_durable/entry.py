"""One entry that outlives its instance: a keyspace of one key, and what of it is stored.

`DurableEntry` takes every step and writes what must be durable, all without waiting, and returns the effects; what is
left for the object to do is to run loads and to answer waiters. So whoever is woken finds everything written.

A generation is at least the time in milliseconds, so it is not used again after the storage was freed, and with it the
last one forgotten. Every load and every put claims one. Before each step the one that was claimed last is compared: if
it is not this instance's own, the platform has replaced this instance. It then adopts what is stored, so that its own
loads are superseded, and the machine itself drops what they bring.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from herdless._durable.storage import NANOSECONDS_PER_MILLISECOND, EntryStorage
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Absent,
    Effects,
    Entry,
    Failure,
    Forget,
    Fresh,
    Keyspace,
    Observer,
    Outcome,
    Policy,
    RunningLoad,
    Save,
    Stale,
    StartLoad,
    Stats,
    Value,
    age,
    read,
)

LEASE: Final = 15 * 60 * NANOSECONDS_PER_SECOND
"""How long after the start of a load the alarm looks whether an instance died of it, and left something behind."""


@final
class DurableEntry:
    """The entry of one object. All instants are integer nanoseconds since 1970; values are encoded.

    keeps_warm: whether the alarm refreshes the value, rather than only freeing what has expired.
    observe: called with the key and every step, once it is taken.
    """

    def __init__(
        self,
        storage: EntryStorage,
        key: str,
        policy: Policy,
        now: int,
        *,
        keeps_warm: bool = False,
        observe: Observer | None = None,
    ) -> None:
        self._storage: Final = storage
        self._key: Final = key
        self._keeps_warm: Final = keeps_warm
        self._keyspace: Final = Keyspace[str](policy, observe=observe)
        self._claimed = 0
        """What the storage says if nobody else has written since."""
        self._generation = 0
        """The last one that this instance claimed or read; unlike `_claimed` it outlives what is stored."""
        self._lease_until = 0
        self._hits = 0
        self._adopt(now)

    # Requests

    def hit(self, now: int) -> Value | None:
        """The answer to a lookup that needs no step."""
        hit = read(self._keyspace.entry(self._key), now)
        if hit is not None:
            self._hits += 1
        return hit

    def get(self, now: int, loading: RunningLoad | None = None) -> Effects:
        """A caller looks the key up, inside the load `loading` if any; the first effect is the Reply.

        Raises ReentrantLoad when that load would wait for itself.
        """
        self._catch_up(now)
        return self._written(self._keyspace.get(self._key, now, loading), now)

    def peek(self, now: int) -> Outcome | None:
        """What a lookup would be answered with at once; starts nothing."""
        return self._keyspace.peek(self._key, now)

    def put(self, value: object, now: int, luck: float = 0.0) -> Effects:
        """A caller gives the value, or `Loaded(value, ...)`; `luck` in [0, 1[ is the random number for the jitter."""
        self._catch_up(now)
        self._claim(self._next_generation(now))
        return self._written(self._keyspace.put(self._key, value, now, luck), now)

    def invalidate(self, now: int) -> Effects:
        """Nobody who asks from now on is answered with what was known or is being loaded."""
        self._catch_up(now)
        return self._written(self._keyspace.invalidate(self._key, now), now)

    def expire(self, now: int) -> Effects:
        """A fresh value is stale from now on."""
        self._catch_up(now)
        return self._written(self._keyspace.expire(self._key, now), now)

    def refresh(self, now: int) -> Effects:
        """A load is started in the background, unless one is in flight."""
        self._catch_up(now)
        return self._written(self._keyspace.refresh(self._key, now), now)

    def alarm(self, now: int) -> Effects:
        """The alarm went off, perhaps not for the first time: whatever is due is done, and the next one set."""
        self._storage.alarm_went_off()
        self._catch_up(now)
        entry = self._entry(now)
        if self._keeps_warm and entry.flight is None and now >= _refresh_at(entry):
            return self.refresh(now)
        return self._written((), now)

    # Reports

    def load_succeeded(self, generation: int, value: object, now: int, luck: float = 0.0) -> Effects:
        """The loader returned the value, or `Loaded(value, ...)`; `luck` as for `put`."""
        self._catch_up(now)
        return self._written(self._keyspace.load_succeeded(generation, value, now, luck), now)

    def load_failed(self, generation: int, error: BaseException, now: int) -> Effects:
        """The loader ended by an exception."""
        self._catch_up(now)
        return self._written(self._keyspace.load_failed(generation, error, now), now)

    def deadline_passed(self, generation: int, now: int) -> Effects:
        """The timer of this flight went off."""
        self._catch_up(now)
        return self._written(self._keyspace.deadline_passed(generation, now), now)

    # Questions

    def running_load(self, generation: int) -> RunningLoad:
        """The node of this flight, for the context in which its loader is called."""
        return self._keyspace.running_load(generation)

    def lendable(self, value: object, now: int) -> tuple[int, int]:
        """For how long a reader may keep this answer: its ttl and its stale_while_revalidate.

        As long as the entry itself still does. What is stale here is asked for again after the back-off, lest every
        lookup of a reader become one here; what is not held any more is not kept there either.
        """
        entry = self._entry(now)
        if not isinstance(entry, (Fresh, Stale)) or entry.value != value:
            return 0, 0
        if isinstance(entry, Stale):
            return self._keyspace.policy.refresh_backoff, 0
        return entry.fresh_until - now if entry.lifetime.ttl < NEVER else NEVER, entry.lifetime.stale_while_revalidate

    def stats(self) -> Stats:
        """What this instance has done since it was started."""
        return replace(self._keyspace.stats(hits=self._hits), maxsize=1)

    def _entry(self, now: int) -> Entry:
        return age(self._keyspace.entry(self._key), now)

    # Generations

    def _next_generation(self, now: int) -> int:
        return max(self._generation + 1, now // NANOSECONDS_PER_MILLISECOND)

    def _claim(self, generation: int) -> None:
        self._storage.claim(generation)
        self._claimed = self._generation = generation

    def _catch_up(self, now: int) -> None:
        """Before every step: what a successor has written counts, and no generation of its is used again."""
        if self._storage.generation() != self._claimed:
            self._adopt(now)
        self._keyspace.skip_to(self._next_generation(now))

    def _adopt(self, now: int) -> None:
        """What is stored becomes this instance's entry. Flights of whoever wrote it are not this instance's."""
        self._storage.adopt_alarm()
        self._claimed = self._storage.generation()
        self._generation = max(self._generation, self._claimed)
        self._keyspace.restore(self._key, self._storage.entry(), now)

    # Storage and alarm

    def _written(self, effects: Effects, now: int) -> Effects:
        """The effects of a step, once what they order to be stored is, and the alarm set."""
        for effect in effects:
            match effect:
                case StartLoad():
                    self._claim(effect.generation)
                    self._lease_until = now + LEASE
                case Save():
                    self._storage.save(self._keyspace.entry(self._key))
                case Forget():
                    self._storage.forget()
                case _:
                    pass
        self._keyspace.ended.clear()  # who waited for them is known by `Flights`
        in_flight, entry = self._keyspace.stats().in_flight, self._entry(now)
        if in_flight:
            self._storage.wake_at(self._lease(now))
        elif isinstance(entry, Absent):
            self._storage.free()
            self._claimed = 0
        else:
            self._storage.wake_at(self._due_at(entry))
        return effects

    def _lease(self, now: int) -> int:
        if self._lease_until <= now:
            self._lease_until = now + LEASE
        return self._lease_until

    def _due_at(self, entry: Entry) -> int:
        if not isinstance(entry, (Fresh, Stale)):
            return NEVER
        return min(_refresh_at(entry), entry.kept_until) if self._keeps_warm else entry.kept_until


def _refresh_at(entry: Entry) -> int:
    """From when on the entry's value may be refreshed though nobody asks; `NEVER` for one that has none."""
    match entry:
        case Fresh() if not isinstance(entry.value, Failure):
            return entry.refresh_at
        case Stale():
            return entry.retry_at
        case _:
            return NEVER
