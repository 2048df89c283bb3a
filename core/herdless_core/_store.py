"""Where the entries of a keyspace are kept, which of them go to make room, and what is let go of.

Two tables. In a bounded store `hot` holds the entries that were looked up since the eviction hand last passed, so that
membership IS the visited bit of S3-FIFO and a hit neither writes nor allocates; the others are in the cold table until
their next lookup. In an unbounded one `hot` holds all.

A reader without the lock may look at `hot`: a key is written to its new table BEFORE it leaves the old one, so at worst
it is not found, and asked for again under the lock.

MENTIONS. Besides the tables, keys stand in lines: those of S3-FIFO in a bounded store, and in an unbounded one a line
of the values that have an end. Each is mentioned once while its key has an entry. With every newcomer that has an end a
hand goes on to the next mention that is alive, and what has expired on its way is removed: memory follows what is
alive, without a timer. A removed key's mention is void, and cannot be found by its key; so void mentions are counted,
and all are dropped at once when there are more than one for each SLACK_SHARE that are not. For a key that is removed
this costs a constant on average, and a mention costs eight bytes, where a line in which it could be found would cost
about fifty. Up to STRICT mentions, none that is void is kept.

KEYS THAT CHANGE. A key whose hash or equality changes, or raises, while it is in a table cannot be found there any
more: a flaw of its class, which costs its users their entries, but must not cost the cache its room. It is noticed
where an entry should be found and is not: mentions are missing, a removal removes nothing, a flight's entry is not at
the flight's key. Then the tables are put together again without what cannot be found, and `inconsistent` says what
type the key was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar, final

from herdless_core._durations import NEVER
from herdless_core._eviction import Line, S3Fifo, Standing, Victim
from herdless_core._holdings import Holdings, RemovalCause, value_of
from herdless_core._machine import age
from herdless_core._shown import Shown, shown
from herdless_core._states import ABSENT, Entry, Fresh, Pending, Stale
from herdless_core._tags import Tags

K = TypeVar("K")

SWEPT_AT_ONCE: Final = 8
"""At most so many expired entries are removed for one that comes in."""

STRICT: Final = 128
"""Up to so many mentions, one that is void is dropped at once."""

SLACK_SHARE: Final = 16
"""Above, one mention may be void for each so many that are not; and so many entries be unreachable."""


@final
class Store(Generic[K]):
    """The entries by key. `size` counts those that hold a value, expired or not.

    What leaves is added to `leaving`: values, and keys that are mentioned no more. The adapter empties it, and lets go
    of what was in it AFTER its lock is released, so that no finalizer runs inside. With `holdings` there are some of
    these among them: who listens to removals is to be told of each, once.
    """

    __slots__ = (
        "_hand",
        "_lines",
        "_order",
        "_reloading",
        "_shown",
        "_spared",
        "_strays",
        "_voids",
        "cold",
        "holdings",
        "hot",
        "inconsistent",
        "leaving",
        "maxsize",
        "newcomers",
        "size",
        "tags",
    )

    def __init__(
        self, maxsize: int | None, shown: Shown = shown, *, maxweight: int | None = None, tells_removals: bool = False
    ) -> None:
        """maxsize: how many values there is room for, None: any number; shown: what stands for a key in messages;
        maxweight: how much they may weigh together, None: anything; tells_removals: whether what leaves is told.
        """
        is_bounded = maxsize is not None or maxweight is not None
        self.maxsize: Final = maxsize
        self._shown: Final = shown
        self.hot: Final[dict[K, Entry]] = {}
        self.cold: Final[dict[K, Entry]] = {}
        self.newcomers: Final = self.cold if is_bounded else self.hot
        """The table in which keys begin."""
        self.leaving: Final[list[object]] = []
        self.inconsistent: type | None = None
        """The type of the first key that changed while it was in a table."""
        self.holdings: Final = (
            None
            if maxweight is None and not tells_removals
            else Holdings[K](maxweight, tells=tells_removals, leaving=self.leaving)
        )
        self._spared: Entry | None = None
        """The entry in whose place there is to be room, so that it is no victim itself."""
        standing = self._standing if self.holdings is None else self._standing_unless_spared
        self._order: Final = (
            S3Fifo[K](1 if maxsize is None else maxsize, standing, self._unvisit, self._let_go) if is_bounded else None
        )
        self._lines: Final[tuple[Line[K], ...]] = (
            (Line[K](),) if self._order is None else (self._order.main, self._order.small)
        )
        self._hand = 0
        """The line whose hand goes on."""
        self._voids = 0
        """How many mentions there are beside one for each entry that is to be mentioned; less than none are missing."""
        self._reloading: Final[set[int]] = set()
        """The flights, by generation, of keys that are mentioned since they had a value before."""
        self._strays: Final[dict[int, tuple[K, Entry]]] = {}
        """By generation, what was taken out of a table since its key changed, with a flight that still runs."""
        self.size = 0
        self.tags: Tags[K] | None = None
        """The keys by the tags of their values, since the first tag."""

    def entry(self, key: K) -> Entry:
        """The key's entry, not aged; Absent when there is none. Raises TypeError for an unhashable key."""
        try:
            return self.hot.get(key) or self.cold.get(key) or ABSENT
        except TypeError as error:
            raise TypeError(f"the key {self._shown(key)} cannot be looked up: {error}") from error

    def entry_of(self, key: K, generation: int) -> Entry | None:
        """The entry of the key that this flight is loading; None where the key does not lead to it any more."""
        entry = self.find(key)
        flight = entry.flight
        return None if flight is None or flight.generation != generation else entry

    def stray(self, generation: int) -> Entry:
        """The entry of this flight, where the key does not lead to it: it is taken out of its table."""
        if generation not in self._strays:
            self._heal(None)
        return self._strays[generation][1] if generation in self._strays else ABSENT

    def is_stray(self, generation: int) -> bool:
        """Whether the entry of this flight was taken out of its table, since its key did not lead to it."""
        return generation in self._strays

    def forget_stray(self, generation: int) -> None:
        """The entry of this flight is not the store's business any more."""
        self._strays.pop(generation, None)

    def take_all(self, now: int, cause: RemovalCause) -> Sequence[tuple[K, Entry]]:
        """Every entry with its key; the store is empty, and mentions none. now, cause: for who is told of removals."""
        if self.holdings is not None:
            self.holdings.condemn_all(now, cause, self.find)
        taken = [*self.hot.items(), *self.cold.items(), *self._strays.values()]
        self.leaving.append(taken)
        self.hot.clear()
        self.cold.clear()
        self._strays.clear()
        self._reloading.clear()
        self.size = self._voids = 0
        if self.tags is not None:
            self.tags.clear()
        for line in self._lines:
            self.leaving.extend(line.passed)
            self.leaving.extend(line.ahead)
            line.clear()
        if self.holdings is not None:
            self.holdings.part_from_all()
        return taken

    def __iter__(self) -> Iterator[K]:
        """The keys that have an entry."""
        yield from self.hot
        yield from self.cold

    def visit(self, key: K) -> None:
        """The key was looked up, and answered."""
        entry = self.cold.get(key)
        if entry is not None:
            self.hot[key] = entry
            del self.cold[key]

    # Placing

    def place(self, key: K, before: Entry, after: Entry, now: int) -> Sequence[K]:
        """`after` takes the place of `before`. Returns the keys of what has expired: they are to be evicted."""
        if after.is_reachable:
            table = self.hot if key in self.hot else self.newcomers
            table[key] = after
        elif before.is_reachable and not self._remove(key) and self._heal(before):
            return ()
        return self.note(key, before, after, now)

    def note(self, key: K, before: Entry, after: Entry, now: int) -> Sequence[K]:
        """Take note of what was placed, AFTER it was. Returns the keys of what has expired: they are to be evicted."""
        was_due = self._leave(key, before, after)
        if after.holds_value:
            if not was_due:
                return self._admit(key, after, now)
            self.size += 1
            if self._order is not None or _has_end(after):
                self._voids -= 1
                return ()
        elif was_due and isinstance(after, Pending):
            self._voids -= 1
            self._reloading.add(after.flight.generation)
            return ()
        if was_due and self._voids > 0:
            self._drop_voids(key)
        return ()

    def admit(self, key: K, before: Entry, newcomer: Fresh, now: int) -> Sequence[K]:
        """`note` of what a first load gave, which a busy cache does most."""
        if before.holds_value or self._reloading:
            if self.tags is not None:
                self.tags.drop(key)
            return self.note(key, before, newcomer, now)
        if self._order is None and newcomer.lifetime.ttl >= NEVER:
            self.size += 1
            return ()
        return self._admit(key, newcomer, now)

    def _admit(self, key: K, newcomer: Entry, now: int) -> Sequence[K]:
        """A value whose key is not mentioned yet."""
        self.size += 1
        has_end = _has_end(newcomer)
        expired = self._expired(key, now) if has_end else ()
        if self._order is not None:
            self._order.add(key)
        elif has_end:
            self._lines[0].ahead.append(key)
        return expired

    def _leave(self, key: K, before: Entry, after: Entry) -> bool:
        """`before` is counted off; whether it was mentioned."""
        if before.holds_value:
            self.size -= 1
            if self.tags is not None and not after.holds_value:
                self.tags.drop(key)
            if not after.holds_value or value_of(before) is not value_of(after):
                self.leaving.append(before)
            if self._order is None and not _has_end(before):
                return False
        elif self._reloading and isinstance(before, Pending) and before.flight.generation in self._reloading:
            self._reloading.discard(before.flight.generation)
        else:
            return False
        self._voids += 1
        return True

    def _remove(self, key: K) -> bool:
        """Whether the key was there, and could be removed."""
        try:
            return self.hot.pop(key, None) is not None or self.cold.pop(key, None) is not None
        except Exception:  # noqa: BLE001  # what the key's hash or comparison raises, of any kind
            return False

    def rebuild(self) -> None:
        """A step was broken off: a key has one entry again, every value one mention, and `size` is their number."""
        self._heal(None)
        for key in list(self.hot):
            self.cold.pop(key, None)
        entries = {**self.hot, **self.cold}
        loading = {entry.flight.generation for entry in entries.values() if isinstance(entry, Pending)}
        self._reloading.intersection_update(loading)
        missing = dict.fromkeys(key for key, entry in entries.items() if self._is_due(entry))
        for line in self._lines:
            kept: list[K] = []
            for key in (*line.passed, *line.ahead):
                if self.find(key) is not ABSENT and key in missing:
                    del missing[key]
                    kept.append(key)
                else:
                    self.leaving.append(key)
            line.replace(kept)
        self._lines[-1].ahead.extend(missing)
        self.size = sum(entry.holds_value for entry in entries.values())
        self._voids = 0
        if self._order is not None:
            self._order.mend()
        if self.tags is not None:
            self.tags.keep(self.holds)
        self.reconcile()

    def reconcile(self) -> None:
        """One holding for each value again, where there are holdings: a step was broken off, or a key changed."""
        if self.holdings is not None:
            self.holdings.reconcile([*self.hot.items(), *self.cold.items()], self.find)

    # Room

    def is_full(self) -> bool:
        """Whether one has to go before one more value can come."""
        return self.maxsize is not None and self.size >= self.maxsize

    def spare(self, before: Entry) -> None:
        """Room is about to be made in the place of `before`, until nothing (Absent) is spared."""
        self._spared = before if before.holds_value else None
        if self._order is not None and self.holdings is not None and self.holdings.maxweight is not None:
            self._order.fit(self.size)

    def victim(self, now: int) -> Victim[K] | None:
        """The key to evict next; None when callers wait for every one, or when there is room now."""
        if self._order is None:
            return None
        victim = self._order.victim(now)
        if self._voids < 0:
            self._miss(() if victim is None else (victim.key,), is_stuck=victim is None)
        return victim

    def _standing(self, key: K, now: int) -> Standing:
        entry = self.find(key)
        if isinstance(entry, Pending):
            return Standing.HELD if entry.flight.generation in self._reloading else Standing.GONE
        if not entry.holds_value:
            return Standing.GONE
        flight = entry.flight
        if not age(entry, now).holds_value:
            return Standing.EXPIRED if flight is None else Standing.RELOADED
        if flight is not None and flight.waiters > 0:
            return Standing.HELD
        return Standing.VISITED if _leads_to(self.hot, key, entry) else Standing.IDLE

    def _standing_unless_spared(self, key: K, now: int) -> Standing:
        spared = self._spared
        return Standing.HELD if spared is not None and self.find(key) is spared else self._standing(key, now)

    def _unvisit(self, key: K) -> None:
        try:
            self.cold[key] = self.hot[key]
            del self.hot[key]
        except Exception:  # noqa: BLE001  # the key's own, of any kind: whoever needs the room is not to be told
            self.rebuild()

    def _expired(self, newcomer: K, now: int) -> Sequence[K]:
        """Let the hand go on, over what has expired, up to the next mention that is alive. The newcomer is not
        mentioned yet.

        So each newcomer costs one look while all are alive; where half of them are not, as many go as come. In a line
        whose order is kept it is the second that is alive: newcomers are ahead of the hand, and it must overtake them.
        """
        expired: list[K] = []
        keeps_order = self._order is not None
        looks = 2 if keeps_order else 1
        while looks and len(expired) < SWEPT_AT_ONCE:
            line = self._lines[self._hand]
            if not line.ahead:
                line.rewind()
                self._hand = (self._hand + 1) % len(self._lines)
                line = self._lines[self._hand]
                if not line.ahead:
                    break
            key = line.ahead.popleft()
            entry = self.find(key)
            is_alive = now < entry.hit_until or age(entry, now).holds_value
            if is_alive or entry.flight is not None:  # of an expired one with a flight the value goes, the key stays
                (line.passed if keeps_order else line.ahead).append(key)
                looks -= 1
            else:
                self._let_go(key)
            if entry.holds_value and not is_alive:
                expired.append(key)
        if self._voids < 0:
            self._miss(expired, (newcomer,))
        return expired

    # Mentions

    def _mentions(self) -> int:
        return sum(len(line) for line in self._lines)

    def _let_go(self, key: K) -> None:
        """A mention was taken off its line."""
        self._voids -= 1
        self.leaving.append(key)

    def _drop_voids(self, removed: K) -> None:
        """Drop the mention of the key that was removed, where the lines are short; all that are void, where these are
        too many.
        """
        due = self._mentions() - self._voids
        if due <= STRICT:
            self._take_off(removed)
        if self._voids > _slack(due):
            self._drop_all_voids()

    def _take_off(self, key: K) -> None:
        try:
            for line in self._lines:
                for found in line.take_off(key):
                    self._let_go(found)
                    return
        except Exception:  # noqa: BLE001  # what the key's comparison raises, of any kind: the mention may be gone, or not
            self._voids = self._mentions() - sum(map(self._is_due, (*self.hot.values(), *self.cold.values())))

    def _drop_all_voids(self) -> None:
        """And the second mentions of a key."""
        seen: set[K] = set()
        for line in self._lines:
            for part in (line.passed, line.ahead):
                kept: list[K] = []
                for key in part:
                    if self._is_due(self.find(key)) and key not in seen:
                        seen.add(key)
                        kept.append(key)
                    else:
                        self._let_go(key)
                if len(kept) < len(part):
                    part.clear()
                    part.extend(kept)

    def _is_due(self, entry: Entry) -> bool:
        """Whether the entry is to be mentioned."""
        if entry.holds_value:
            return self._order is not None or _has_end(entry)
        return isinstance(entry, Pending) and entry.flight.generation in self._reloading

    # Keys that change

    def find(self, key: K) -> Entry:
        """The entry of a key that was found once; Absent also where its hash or comparison raises by now."""
        try:
            return self.hot.get(key) or self.cold.get(key) or ABSENT
        except Exception:  # noqa: BLE001  # the key's own, of any kind
            return ABSENT

    def holds(self, key: K) -> bool:
        """Whether a value is found by the key."""
        return self.find(key).holds_value

    def _miss(self, taken_off: Sequence[K], newcomers: Sequence[K] = (), *, is_stuck: bool = False) -> None:
        """Look whether mentions are missing, beside those just taken off and those that are to come: their entries
        cannot be found.
        """
        missing = -self._voids - len(taken_off)
        if missing > 0 and (is_stuck or missing > _slack(self._mentions())):
            self._heal(None)
            if -self._voids > len(taken_off):
                self._mention_again((*taken_off, *newcomers))

    def _mention_again(self, others: Sequence[K]) -> None:
        """Mention what is found by the key in its table, and was not by an equal one in a line: these are equal no
        more. The others need no mention.
        """
        mentioned: set[K] = set(others)
        for line in self._lines:
            for part in (line.passed, line.ahead):
                mentioned.update(key for key in part if self.find(key) is not ABSENT)
        for key in list(self):
            if key not in mentioned and self._is_due(self.find(key)):
                self._lines[-1].ahead.append(key)
                self._voids += 1
                self.inconsistent = self.inconsistent or type(key)

    def _heal(self, gone: Entry | None) -> bool:
        """Take out of the tables `gone`, and every entry that is not found by its key; whether `gone` was there: an
        interrupt may have come between its removal and the word that it was removed.
        """
        was_there = has_lost = False
        for table in (self.hot, self.cold):
            kept: list[tuple[K, Entry]] = []
            lost: list[tuple[K, Entry]] = []
            for key, entry in list(table.items()):
                (kept if entry is not gone and _leads_to(table, key, entry) else lost).append((key, entry))
            if lost:
                table.clear()
                table.update(kept)
            for key, entry in lost:
                has_lost = True
                was_there = was_there or entry is gone
                self._lose(key, entry, is_stray=entry is not gone)
            if lost and self.tags is not None:
                self.tags.keep(self.holds)
        if has_lost:
            self.reconcile()
        return was_there

    def _lose(self, key: K, entry: Entry, *, is_stray: bool) -> None:
        self._leave(key, entry, ABSENT)
        self.leaving.append(key)
        self.inconsistent = self.inconsistent or type(key)
        if is_stray and entry.flight is not None:
            self._strays[entry.flight.generation] = (key, entry)


def _leads_to(table: dict[K, Entry], key: K, entry: Entry) -> bool:
    try:
        return table.get(key) is entry
    except Exception:  # noqa: BLE001  # the key's own, of any kind
        return False


def _slack(count: int) -> int:
    """How many may be void beside so many that are not."""
    return 0 if count <= STRICT else count // SLACK_SHARE


def _has_end(entry: Entry) -> bool:
    """Whether the entry's value goes by time alone; of a Fresh one that its ttl ends is enough."""
    if isinstance(entry, Fresh):
        return entry.lifetime.ttl < NEVER
    return isinstance(entry, Stale) and entry.kept_until < NEVER
