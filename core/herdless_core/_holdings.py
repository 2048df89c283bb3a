"""What is noted of the values that are held, beside their entries: how much each weighs, and how it left.

Entries know all that a lookup needs. Where a cache has `maxweight`, or a listener who is told of removals, there is one
`Holding` for each value beside them; where it has neither, there is none, and nothing here is ever called.

The notes follow the tables within the same step: first a value's place in the table changes, then its holding. A step
that is broken off between the two, and a key that changed, leave them apart; then `reconcile` goes through both, so
that the total cannot drift, and no value leaves unseen. It may find what the step had found already: a holding may be
handed over twice, and `is_told` is there for whoever tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, final

from herdless_core._events import Event, LoadSucceeded, Put
from herdless_core._loaded import Loaded, bare_of
from herdless_core._machine import age
from herdless_core._states import Cause, Entry, Evicted, Failure, Fresh, Stale

K = TypeVar("K")

RemovalCause: TypeAlias = Literal["replaced", "expired", "evicted", "invalidated", "closed", "superseded"]
"""Why a value left: another one, or an answer, took its place; its time was over; there was no room for it; somebody
invalidated it; the cache was closed; or its load was superseded, so that it was never held.
"""

LEAST: Final = 1
"""What a value weighs about which nothing is said, and an error that is remembered."""


@final
class Holding:
    """A value that is held, or has left: then it has its cause.

    key: what it is held by; value: it; weight: how much it weighs, at least 1, or 0 where it was never held.
    """

    __slots__ = ("cause", "is_told", "key", "value", "weight")

    def __init__(self, key: Any, value: object, weight: int) -> None:
        """key: of the value; value: what is held; weight: how much it weighs, at least 1."""
        self.key: Final = key
        self.value: Final = value
        self.weight: Final = weight
        self.cause: RemovalCause | None = None
        self.is_told = False
        """Whether the listener was called."""


@final
class Holdings(Generic[K]):
    """The holdings of one store, and their total.

    maxweight: how much all values may weigh together, or None; tells: whether what leaves is handed over; leaving: the
    store's own list, to which it is added then.
    """

    __slots__ = ("_incoming", "_leaving", "_tells", "held", "maxweight", "reconciled", "weight")

    def __init__(self, maxweight: int | None, *, tells: bool, leaving: list[object]) -> None:
        self.maxweight: Final = maxweight
        self._tells: Final = tells
        self._leaving: Final = leaving
        self.held: dict[K, Holding] = {}
        self.weight = 0
        self.reconciled = 0
        """How often that was needed."""
        self._incoming: Holding | None = None
        """The value of the step that is taken, with its weight; its key is not read."""

    def total(self) -> int:
        """What all weigh together; 0 where they are not weighed."""
        return 0 if self.maxweight is None else self.weight

    def weight_of(self, key: K) -> int | None:
        """That of the key's value; None where it is not known."""
        holding = self._of(key)
        return None if holding is None else holding.weight

    # What comes

    def expect(self, value: object) -> None:
        """The next step may store this: a value, or `Loaded(value, ...)`."""
        weight = value.weight if isinstance(value, Loaded) else None
        self._incoming = Holding(None, bare_of(value), LEAST if weight is None else weight)

    def newcomer(self, key: K, before: Entry, event: Event, after: Entry) -> Holding | None:
        """The value that the step brings, if it brings one: a given one, or an error that is to be remembered."""
        if not after.holds_value:
            return None
        value, incoming = value_of(after), self._incoming
        is_given = isinstance(event, Put) or (isinstance(event, LoadSucceeded) and event.lifetime is not None)
        if is_given and incoming is not None and incoming.value is value:
            return Holding(key, value, incoming.weight)
        return None if _holds(before, value) else Holding(key, value, LEAST)

    def fits(self, newcomer: Holding) -> bool:
        """Whether there is weight left for it, in the place of what is held of its key."""
        if self.maxweight is None:
            return True
        before = self.held.get(newcomer.key)
        return self.weight - (0 if before is None else before.weight) + newcomer.weight <= self.maxweight

    def is_hopeless(self, newcomer: Holding) -> bool:
        """Whether it would not fit even if nothing else were held."""
        return self.maxweight is not None and newcomer.weight > self.maxweight

    # What goes

    def departing(self, key: K, before: Entry, after: Entry, now: int) -> Holding | None:
        """What is about to leave by a step that is not taken yet, its cause said; None where the value stays."""
        if not before.holds_value or (after.holds_value and _holds(before, value_of(after))):
            return None
        holding = self._of(key)
        if holding is not None:
            holding.cause = removal_cause(before, after, now)
        return holding

    def part(self, holding: Holding, cause: RemovalCause) -> None:
        """It leaves, or never came in, where it is of no holding in the table."""
        if holding.cause is None:
            holding.cause = cause
        if self._tells and not isinstance(holding.value, Failure):
            self._leaving.append(holding)

    def turn_away(self, newcomer: Holding, departing: Holding | None) -> None:
        """There is no room for it. `departing`: what is held of its key, and goes too; where that is the same value,
        one word of it is enough.
        """
        if departing is None or departing.value is not newcomer.value:
            self.part(newcomer, "evicted")
        else:
            departing.cause = "evicted"

    def note(self, key: K, before: Entry, after: Entry, newcomer: Holding | None, departing: Holding | None) -> bool:
        """The step was taken. False where the key leads to no holding, as it should: then `reconcile`."""
        leaves = before.holds_value and not (after.holds_value and _holds(before, value_of(after)))
        if newcomer is None and not leaves:
            return True
        try:
            if leaves and departing is None:
                departing = self.held.get(key)  # its hash failed just before
            if departing is not None:
                self.part(departing, "invalidated")
            old = self.held.pop(key, None)
            if old is not None:
                self.weight -= old.weight
            if newcomer is not None:
                self.held[key] = newcomer
                self.weight += newcomer.weight
        except Exception:  # noqa: BLE001  # what the key's hash or comparison raises, of any kind
            return False
        return old is not None or not before.holds_value

    def condemn_all(self, now: int, cause: RemovalCause, find: Callable[[K], Entry]) -> None:
        """Everything is about to leave for this cause, but for what has expired. `find`: the entry of a key."""
        for key, holding in self.held.items():
            entry = find(key)
            has_expired = entry.holds_value and not age(entry, now).holds_value
            holding.cause = "expired" if has_expired else cause

    def part_from_all(self) -> None:
        """Everything has left."""
        for holding in self.held.values():
            self.part(holding, "invalidated")
        self.held = {}
        self.weight = 0

    def reconcile(self, entries: Iterable[tuple[K, Entry]], find: Callable[[K], Entry]) -> None:
        """A step was broken off, or a key changed: one holding for each value in the tables again.

        entries: all of them; find: the entry to which a key leads, and raises nothing.
        """
        self.reconciled += 1
        kept: dict[K, Holding] = {}
        for key, holding in self.held.items():
            if _holds(find(key), holding.value):
                kept[key] = holding
            else:
                self.part(holding, "invalidated")
        for key, entry in entries:
            if entry.holds_value and not _holds_same(kept.get(key), entry):
                incoming, value = self._incoming, value_of(entry)
                is_incoming = incoming is not None and incoming.value is value
                kept[key] = Holding(key, value, incoming.weight if incoming is not None and is_incoming else LEAST)
        self.held = kept
        self.weight = sum(holding.weight for holding in kept.values())

    def _of(self, key: K) -> Holding | None:
        try:
            return self.held.get(key)
        except Exception:  # noqa: BLE001  # the key's own, of any kind
            return None


def value_of(entry: Entry) -> object:
    return entry.value if isinstance(entry, (Fresh, Stale)) else None


def _holds(entry: Entry, value: object) -> bool:
    return isinstance(entry, (Fresh, Stale)) and entry.value is value


def _holds_same(holding: Holding | None, entry: Entry) -> bool:
    return holding is not None and _holds(entry, holding.value)


def removal_cause(before: Entry, after: Entry, now: int) -> RemovalCause:
    """Why the value left that `before` holds, and `after`, the entry of the next instant `now`, does not."""
    if not age(before, now).holds_value:
        return "expired"
    if isinstance(after, Evicted):
        return "evicted" if after.cause is Cause.EVICTED else "invalidated"
    return "replaced"
