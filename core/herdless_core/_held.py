"""What is held: the questions that a keyspace answers, and what is done to its keys as a whole.

An entry never changes. So `snapshot` is all that needs the critical section: who wants to know something of every key
looks at what it gave outside of it, and calls foreign code there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from herdless_core._durations import NEVER
from herdless_core._effects import CancelLoad, Effects, Value
from herdless_core._events import Event, Expire, Invalidate, Put, Restarted
from herdless_core._holdings import LEAST, Holding, value_of
from herdless_core._loaded import Loaded
from herdless_core._machine import age, transition
from herdless_core._running import RunningLoad
from herdless_core._states import ABSENT, Entry, Failure, Fresh, Stale
from herdless_core._stats import Stats
from herdless_core._steps import cancellations_in
from herdless_core._tagged import TaggedSteps
from herdless_core._tags import Label

K = TypeVar("K")


class Held(TaggedSteps[K]):
    """What is held, and whether more is accepted. What is asked for a key that may have to be loaded is `Keyspace`."""

    __slots__ = ()

    # Requests for a value that is held

    def ttl_of(self, key: K, now: int) -> int | None:
        """For how long the key's value is fresh, in nanoseconds: `NEVER` without a ttl, 0 where it is stale and kept,
        None where no value is held. Starts nothing and counts as no lookup.
        """
        self._check_open()
        held = value_in(self._store.entry(key), now)
        if held is None:
            return None
        return _fresh_for(held, now) if isinstance(held, Fresh) else 0

    def touch(self, key: K, given: Loaded[None] | None, now: int, luck: float = 0.0) -> Effects | None:
        """The value that is held begins a new life, as if it were put again; None where none is held.

        key: of any hashable type; given: says what lifetime it gets; None: the policy's; now: the instant, in
        nanoseconds; luck: the random number for the jitter, 0 <= luck < 1.
        """
        self._check_open()
        before = self._store.entry(key)
        held = value_in(before, now)
        if held is None:
            return None
        event = Put(held.value, self.policy.lifetime_for(given, luck))
        return self._put(key, event, self.tags(key), now)

    # Requests for many keys

    def invalidate_these(self, keys: Iterable[K], now: int) -> Effects:
        """Each of the keys that has an entry is invalidated, one that is being loaded included."""
        return self._step_each(keys, Invalidate(), now)

    def expire_all(self, now: int) -> Effects:
        """Every fresh value is stale from now on."""
        fresh = [key for key, entry in self.snapshot() if isinstance(entry, Fresh)]
        return self._step_each(fresh, Expire(), now)

    def restore_all(
        self, entries: Iterable[tuple[K, Entry, tuple[str, ...]]], now: int, weights: Sequence[int] = ()
    ) -> list[K]:
        """What another process held is held here, with its age: the keys that came back. What is known here of a key
        stays; what is of no use any more, and what there is no room for, is left out, in the order of `entries`.

        entries: as the clock of this keyspace has them, each with its key and its tags; now: the instant, in
        nanoseconds; weights: what each of them weighs, where values are weighed.
        """
        self._check_open()
        restored: list[K] = []
        for number, (key, entry, tags) in enumerate(entries):
            after, effects = transition(entry, Restarted(), now, self.policy)
            known = self._store.entry(key)
            if not after.holds_value or age(known, now).is_reachable:
                continue
            if known.is_reachable:  # expired, and not swept yet
                self._evict(key, now)
            holdings = self._holdings
            newcomer = (
                None if holdings is None else Holding(key, value_of(after), weights[number] if weights else LEAST)
            )
            if self._store.is_full() or (holdings is not None and newcomer is not None and not holdings.fits(newcomer)):
                continue
            self._tell(key, entry, Restarted(), now, after, effects)
            self._is_torn = True
            index = self._index_for(tags)
            if index is not None:
                index.widen(key, tags)
            for expired in self._store.place(key, ABSENT, after, now):
                self._evict(expired, now)  # orders nothing: what has expired has no load that only it would cancel
            if holdings is not None and not holdings.note(key, ABSENT, after, newcomer, None):
                self._store.reconcile()
            self._is_torn = False
            restored.append(key)
        return restored

    # Questions

    @property
    def inconsistent(self) -> type | None:
        """The type of the first key that changed its hash or equality while it was in the cache, if one did."""
        return self._store.inconsistent

    def snapshot(self) -> Sequence[tuple[K, Entry]]:
        """Every key with its entry, not aged, those being loaded included; those looked up of late come first."""
        self._check_open()
        return [*self._store.hot.items(), *self._store.cold.items()]

    def labels(self) -> Mapping[K, Label[K]]:
        """The tags of every value that has some, by key, as they are now."""
        index = self._store.tags
        return {} if index is None else index.labels()

    def fresh_for(self, key: K, answered: Value, now: int) -> int:
        """For how long this answer for the key is fresh, in nanoseconds; 0 where it is stale, or is held no more."""
        entry = self._store.find(key)
        if not isinstance(entry, Fresh) or entry.value is not answered.value or entry.loaded_at != answered.loaded_at:
            return 0
        return max(_fresh_for(entry, now), 0)

    def is_in_flight(self, generation: int) -> bool:
        """Whether the end of this flight is still awaited."""
        return generation in self.flights

    def waits_for_turn(self, load: RunningLoad) -> bool:
        """Whether this load is one too many for now, and is started when another is over."""
        return self._turns is not None and self._turns.waiting(load.generation) is not None

    def waiters(self, generation: int) -> int | None:
        """How many callers wait for this flight; None where it is not in flight."""
        running = self.flights.get(generation)
        if running is None:
            return None
        entry = running.evicted or self._store.entry_of(running.key, generation) or self._stray(generation)
        return None if entry.flight is None else entry.flight.waiters

    def entry(self, key: K) -> Entry:
        """The key's entry as it was committed, not aged; Absent when there is none. Raises TypeError for an unhashable
        key.
        """
        return self._store.entry(key)

    def __iter__(self) -> Iterator[K]:
        """The keys that have an entry."""
        return iter(self._store)

    def stats(self, *, hits: int = 0) -> Stats:
        """The counters; `hits`: those that the adapter answered from `hot` without a step."""
        return Stats(
            hits=self._counters.hits + hits,
            stale_hits=self._counters.stale_hits,
            joins=self._counters.joins,
            misses=self._counters.misses,
            loads=self.generation - self._skipped,
            load_failures=self._counters.load_failures,
            load_timeouts=self._counters.load_timeouts,
            load_cancellations=self._counters.load_cancellations,
            refusals=self._counters.refusals,
            soft_answers=self._counters.soft_answers,
            evictions=self._counters.evictions,
            size=self._store.size,
            maxsize=self._store.maxsize,
            weight=0 if self._holdings is None else self._holdings.total(),
            maxweight=None if self._holdings is None else self._holdings.maxweight,
            in_flight=len(self.flights),
        )

    def reset_counters(self) -> None:
        """Count from 0 again. Generations go on."""
        self._skipped = self.generation
        self._counters.reset()

    # Small things

    def _step_each(self, keys: Iterable[K], event: Event, now: int) -> Effects:
        """One step of each key that has an entry; of what they order the cancellations."""
        self._check_open()
        effects: list[CancelLoad] = []
        for key in keys:
            before = self._found(key)
            if before.is_reachable:
                effects += cancellations_in(self._step(key, before, event, now))
        return tuple(effects)

    def _found(self, key: K) -> Entry:
        """The entry of one key among many. Where its hash or its equality fails, that is not the business of the
        others: the tables are put together again, without it if it still cannot be found.
        """
        try:
            return self._store.entry(key)
        except Exception:  # noqa: BLE001  # the key's own, of any kind
            self._is_torn = True
            self._store.rebuild()
            self._is_torn = False
            return self._store.find(key)


def value_in(entry: Entry, now: int) -> Fresh | Stale | None:
    """The entry at `now`, where a value is held: one that is fresh, or kept for a stale window. A remembered error is
    no value.
    """
    held = age(entry, now)
    if isinstance(held, (Fresh, Stale)) and not isinstance(held.value, Failure):
        return held
    return None


def _fresh_for(entry: Fresh, now: int) -> int:
    return NEVER if entry.lifetime.ttl >= NEVER else entry.fresh_until - now
