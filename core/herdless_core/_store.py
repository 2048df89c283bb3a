"""Where the entries of a keyspace are kept, and which of them go to make room.

Two tables. In a bounded store `hot` holds the entries that were looked up since the eviction hand last passed, so that
membership IS the visited bit of S3-FIFO and a hit neither writes nor allocates; the others are in the cold table until
their next lookup. In an unbounded one `hot` holds all, and what has expired is swept out little by little, when
something new comes in: memory follows what is alive, without a timer.

A reader without the lock may look at `hot`: a key is written to its new table BEFORE it leaves the old one, so at worst
it is not found, and asked for again under the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar, final

from herdless_core._eviction import S3Fifo, Standing, Victim
from herdless_core._machine import age
from herdless_core._policy import NEVER
from herdless_core._shown import Shown, shown
from herdless_core._states import ABSENT, Entry, Fresh, Stale

K = TypeVar("K")

SWEPT_AT_ONCE: Final = 8
"""At most so many expired entries are removed for one that comes in."""

SWEEP_SLACK: Final = 64
"""How many void mentions the sweep's queue may hold beside two for each entry, before they are dropped."""


@final
class Store(Generic[K]):
    """The entries by key. `size` counts those that hold a value, expired or not."""

    __slots__ = ("_order", "_shown", "_sweep", "cold", "hot", "leaving", "maxsize", "newcomers", "size")

    def __init__(self, maxsize: int | None, shown: Shown = shown) -> None:
        self.maxsize: Final = maxsize
        self._shown: Final = shown
        self.hot: Final[dict[K, Entry]] = {}
        self.cold: Final[dict[K, Entry]] = {}
        self.newcomers: Final = self.hot if maxsize is None else self.cold
        """The table in which keys begin."""
        self._order: Final = None if maxsize is None else S3Fifo[K](maxsize, self._standing, self._unvisit)
        self._sweep: deque[K] = deque()
        self.leaving: Final[list[object]] = []
        """What was removed, until whoever drives the keyspace lets it go."""
        self.size = 0

    def entry(self, key: K) -> Entry:
        """The key's entry, not aged; Absent when there is none. Raises TypeError for an unhashable key."""
        try:
            return self.hot.get(key) or self.cold.get(key) or ABSENT
        except TypeError as error:
            raise TypeError(f"the key {self._shown(key)} cannot be looked up: {error}") from error

    def __iter__(self) -> Iterator[K]:
        """The keys that have an entry."""
        yield from self.hot
        yield from self.cold

    def place(self, key: K, before: Entry, after: Entry) -> None:
        """`after` takes the place of `before`."""
        if after.holds_value is not before.holds_value:
            self.size += 1 if after.holds_value else -1
        if before.holds_value:
            self.leaving.append(before)
        if not after.is_reachable:
            self.hot.pop(key, None)
            self.cold.pop(key, None)
        elif key in self.hot:
            self.hot[key] = after
        else:
            self.newcomers[key] = after

    def visit(self, key: K) -> None:
        """The key was looked up, and answered."""
        entry = self.cold.get(key)
        if entry is not None:
            self.hot[key] = entry
            del self.cold[key]

    def clear(self) -> None:
        """Every entry has gone: forget the queues' mentions of them."""
        self._sweep.clear()
        if self._order is not None:
            self._order.clear()

    def rebuild(self) -> None:
        """A step was broken off: a key has one entry again, every value one mention, and `size` is their number."""
        for key in list(self.hot):
            self.cold.pop(key, None)
        values = [key for key in self if self.entry(key).holds_value]
        self.size = len(values)
        if self._order is not None:
            self._order.rebuild(values)
        else:
            self._sweep = deque(key for key in values if _has_end(self.entry(key)))

    # Room

    def is_full(self) -> bool:
        """Whether one has to go before one more value can come."""
        return self.maxsize is not None and self.size >= self.maxsize

    def victim(self, now: int) -> Victim[K] | None:
        """The key to evict next; None when callers wait for every one."""
        return None if self._order is None else self._order.victim(now)

    def admit(self, key: K, newcomer: Fresh, now: int) -> Sequence[K]:
        """Count a value that was placed where none was, and note it. Returns what has expired."""
        self.size += 1
        if self._order is not None:
            self._order.add(key, now)
        elif newcomer.lifetime.ttl < NEVER:
            self._sweep.append(key)
            return self._expired(now)
        return ()

    def note(self, key: K, before: Entry, after: Entry, now: int) -> Sequence[K]:
        """Take note of what was placed, AFTER it was: the queues forget keys without an entry. Returns what has
        expired.
        """
        if self._order is not None:
            if after.holds_value and not before.holds_value:
                self._order.add(key, now)
        elif _has_end(after) and not _has_end(before):
            self._sweep.append(key)
            return self._expired(now)
        return ()

    def _standing(self, key: K, now: int) -> Standing:
        entry = self.entry(key)
        if not entry.holds_value:
            return Standing.GONE
        if not age(entry, now).holds_value:
            return Standing.EXPIRED
        if entry.flight is not None and entry.flight.waiters > 0:
            return Standing.HELD
        return Standing.VISITED if key in self.hot else Standing.IDLE

    def _unvisit(self, key: K) -> None:
        self.cold[key] = self.hot[key]
        del self.hot[key]

    def _expired(self, now: int) -> Sequence[K]:
        """Look at the oldest mentions up to the first that is alive, which goes to the end.

        So each newcomer costs one look while all are alive; where half of them are not, as many go as come.
        """
        expired: list[K] = []
        sweep = self._sweep
        while len(expired) < SWEPT_AT_ONCE and sweep:
            key = sweep.popleft()
            entry = self.entry(key)
            if now < entry.hit_until or age(entry, now).holds_value:
                sweep.append(key)
                break
            if entry.holds_value:
                expired.append(key)
        if len(sweep) > 2 * self.size + SWEEP_SLACK:
            self._sweep = deque(k for k in dict.fromkeys(sweep) if self.entry(k).holds_value)
        return expired


def _has_end(entry: Entry) -> bool:
    """Whether the entry's value goes by time alone; of a Fresh one that its ttl ends is enough."""
    match entry:
        case Fresh():
            return entry.lifetime.ttl < NEVER
        case Stale():
            return entry.kept_until < NEVER
        case _:
            return False
