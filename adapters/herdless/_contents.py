"""What a cache holds: asked for and changed as a whole, and one value's life. Nothing here waits or loads.

Entries never change. So the lock is held only for a list of them; whatever looks at each of them, and the user's own
predicate above all, runs after it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from herdless._lookup import How, Lookup
from herdless._orders import F
from herdless._reports import Reports
from herdless._section import NOTHING, K
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Duration,
    Effects,
    Entry,
    Loaded,
    Plain,
    PolicyError,
    Value,
    age,
    entries_of,
    peek,
    record_of,
    value_in,
)
from herdless_core._holdings import value_of

V = TypeVar("V")
"""A cache's values, as `K` is its keys."""

Answered: TypeAlias = tuple[Value, How]
"""What a lookup ends with: the value with its age and whether it is stale, and how it was got."""


class Contents(Reports[K, F], Generic[K, V, F]):
    """The requests about what is held."""

    def keys(self) -> list[K]:
        """The keys that are `in` the cache now: those whose lookup would be answered at once by a value.

        Neither those of remembered errors nor of values that are kept for `stale_if_error` alone.
        """
        now, entries = self._look(self._snapshot)
        return [key for key, entry in entries if isinstance(peek(entry, now), Value)]

    def __iter__(self) -> Iterator[K]:
        """Over `keys()` as they are now: the cache may be changed meanwhile."""
        return iter(self.keys())

    def __contains__(self, key: K) -> bool:
        """Whether a lookup would be answered at once."""
        return isinstance(self._look(lambda: self._keyspace.peek(key, self._clock())), Value)

    def __len__(self) -> int:
        """How many values are held, and never less than `keys()` has: what has expired counts until it is swept, what
        is kept for `stale_if_error`, and remembered errors.
        """
        return self._look(self._keyspace.stats).size

    def __bool__(self) -> bool:
        """An empty cache is a cache: `cache or Cache(...)` must not throw it away."""
        return True

    def ttl_of(self, key: K) -> float | None:
        """For how many seconds the key's value is fresh: `math.inf` without a ttl, 0.0 where it is stale and kept, None
        where no value is held. Loads nothing and counts nothing.
        """
        left = self._look(lambda: self._keyspace.ttl_of(key, self._clock()))
        return None if left is None else _seconds(left)

    def touch(self, key: K, ttl: Duration | None = None) -> bool:
        """Let the value that is held begin a new life now, as if it were put again: whether one is held.

        ttl: in place of the policy's; seconds or timedelta. PolicyError for another one.

        A stale value is fresh again. Callers who wait for a load of the key get the value, and the load is cancelled. A
        remembered error is no value.
        """
        given = None if ttl is None else Loaded(None, ttl=ttl)
        luck = random.random()
        found: list[bool] = []

        def touch(now: int) -> Effects:
            effects = self._keyspace.touch(key, given, now, luck)
            found.append(effects is not None)
            return effects or NOTHING

        self._change(touch)
        return found[0] if found else self.ttl_of(key) is not None  # postponed: as it is now

    def expire_all(self) -> None:
        """`expire` every key: what is fresh is stale from now on."""
        self._change(self._keyspace.expire_all)

    def invalidate_where(self, predicate: Callable[[K], object]) -> int:
        """`invalidate` the keys for which the predicate is true, those being loaded included: how many were known.

        predicate: a function of one key. It is called without the lock, for each key that is known when this begins;
        what is loaded from then on is new, and not asked about. Where it raises, nothing is invalidated.
        """
        if not callable(predicate):
            raise PolicyError(f"predicate={predicate!r} is not accepted: give a function of one key")
        now, entries = self._look(self._snapshot)
        matching = [(key, entry) for key, entry in entries if predicate(key)]
        keys = [key for key, _ in matching]
        if self._is_inside():
            # Foreign code inside the lock, whose earlier changes are still to come: they are looked at then.
            self._change(partial(self._invalidate_where, predicate))
        elif keys:
            self._change(lambda now: self._keyspace.invalidate_these(keys, now))
        return sum(age(entry, now).is_reachable for _, entry in matching)

    def _invalidate_where(self, predicate: Callable[[K], object], now: int) -> Effects:
        keys = [key for key, _ in self._keyspace.snapshot() if predicate(key)]
        return self._keyspace.invalidate_these(keys, now)

    def dump(self) -> list[Plain]:
        """What is held, as one record for each value, fresh or kept: plain data but for key and value, which are the
        cache's own. Those looked up of late come first. herdless_core/_records.py says what a record is.
        """
        dumped_at = time.time()  # before the other clock: a value may seem older than it is, and never younger
        (now, entries), labels = self._look(lambda: (self._snapshot(), self._keyspace.labels()))
        held = ((key, value_in(entry, now)) for key, entry in entries)
        tags = {label.key: label.tags for label in labels.values()} if labels else {}
        return [record_of(key, entry, now, dumped_at, tags.get(key, ())) for key, entry in held if entry is not None]

    def restore(self, records: Iterable[Mapping[str, Any]], *, older_by: Duration | None = None) -> int:
        """Hold again what `dump` gave, here or in another process, each value with its age: how many came back.

        records: as `dump` returned them; older_by: how much older each value is now than its record says, seconds or
        timedelta. None: by the wall clock, since the record's `dumped_at`.

        What is known of a key here stays, loads included. Left out is what is of no use any more, and what `maxsize`
        has no room for, in the order of the records. PolicyError for a record that is none, by its number; then nothing
        is restored.
        """
        at = self._clock()
        wall = time.time()  # after the other clock, as above
        entries = entries_of(records, at, older_by, wall, self._keyspace.policy, self._shown)
        restored: list[K] = []
        weigher = self._weigher
        weights = (
            () if weigher is None else tuple([weigher.weight_of(key, value_of(entry)) for key, entry, _ in entries])
        )

        def restore(now: int) -> Effects:
            restored.extend(self._keyspace.restore_all(entries, now, weights))
            return NOTHING

        self._change(restore)
        return len(restored)

    def _snapshot(self) -> tuple[int, Sequence[tuple[K, Entry]]]:
        """The instant, and every key with its entry. Inside the lock."""
        return self._clock(), self._keyspace.snapshot()

    # For an adapter's lookups

    def _lookup(self, key: K, answered: Answered) -> Lookup[V]:
        """What `lookup` returns. key: what was looked up; answered: what it gave."""
        outcome, how = answered
        now, left = self._look(lambda: self._fresh_for(key, outcome))
        seconds = (now - outcome.loaded_at) / NANOSECONDS_PER_SECOND
        if outcome.is_stale:
            return Lookup(outcome.value, "stale", seconds, _seconds(left), _was=how)
        return Lookup(outcome.value, how, seconds, _seconds(left))

    def _fresh_for(self, key: K, outcome: Value) -> tuple[int, int]:
        now = self._clock()
        return now, self._keyspace.fresh_for(key, outcome, now)


def _seconds(nanoseconds: int) -> float:
    return math.inf if nanoseconds >= NEVER else nanoseconds / NANOSECONDS_PER_SECOND
