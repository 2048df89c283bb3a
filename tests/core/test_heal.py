"""What a step leaves behind that was broken off between any two of its changes: `heal` makes the tables agree."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from herdless_core import Absent, Fresh, Keyspace, Pending, Policy


def with_everything(maxsize: int | None) -> Keyspace[str]:
    """Two values, one of them being refreshed, a first load, and a load whose entry was invalidated under a waiter."""
    keyspace = Keyspace[str](Policy(ttl=60), maxsize=maxsize)
    for key in ("value", "refreshed"):
        keyspace.put(key, key, 0)
    keyspace.get("value", 0)
    keyspace.refresh("refreshed", 0)
    keyspace.get("loading", 0)
    keyspace.get("invalidated", 0)
    keyspace.invalidate("invalidated", 0)
    keyspace.ended.clear()
    return keyspace


def generation_of(keyspace: Keyspace[str], key: str) -> int:
    """Of the key's flight."""
    flight = keyspace.entry(key).flight
    assert flight is not None
    return flight.generation


def flight_is_not_listed(keyspace: Any) -> None:
    """The entry was written before the table of flights."""
    del keyspace.flights[generation_of(keyspace, "loading")]


def refresh_is_not_listed(keyspace: Any) -> None:
    """The same of a value's own."""
    del keyspace.flights[generation_of(keyspace, "refreshed")]


def entry_is_not_there(keyspace: Any) -> None:
    """The flight was listed before its entry was written."""
    for table in (keyspace._store.hot, keyspace._store.cold):
        table.pop("loading", None)


def entry_is_twice_there(keyspace: Any) -> None:
    """It was written to its new table, and not yet removed from the old one."""
    entry = keyspace.entry("value")
    keyspace._store.hot["value"] = keyspace._store.cold["value"] = entry


def flight_has_ended_and_is_listed(keyspace: Any) -> None:
    """It was marked, and not yet removed."""
    keyspace.flights[generation_of(keyspace, "loading")].has_ended = True


def counts_are_behind(keyspace: Any) -> None:
    """A value was written, and not yet counted or mentioned."""
    keyspace._store.size = 0
    for line in keyspace._store._lines:
        line.clear()


def mention_is_void(keyspace: Any) -> None:
    """The entry was removed, and its mention not yet."""
    keyspace._store._lines[-1].ahead.append("gone")


def ghost_is_not_in_order(keyspace: Any) -> None:
    """It was remembered, and not yet when it is to be forgotten: that would be never."""
    if keyspace._store._order is not None:
        keyspace._store._order._ghosts.add(1)


def nothing_is_wrong(keyspace: Any) -> None:
    """It was broken off at its very beginning, or end."""


BROKEN: dict[str, Callable[[Any], None]] = {
    each.__name__: each
    for each in (
        flight_is_not_listed,
        refresh_is_not_listed,
        entry_is_not_there,
        entry_is_twice_there,
        flight_has_ended_and_is_listed,
        counts_are_behind,
        mention_is_void,
        ghost_is_not_in_order,
        nothing_is_wrong,
    )
}


@pytest.mark.parametrize("maxsize", [None, 10])
@pytest.mark.parametrize("break_off", BROKEN.values(), ids=BROKEN)
def test_tables_agree_again(break_off: Callable[[Any], None], maxsize: int | None) -> None:
    """Every flight has its entry and every entry its flight, values are counted, and all can go on."""
    keyspace = with_everything(maxsize)
    break_off(keyspace)
    keyspace._is_torn = True
    keyspace.heal()
    store = keyspace._store
    assert not store.hot.keys() & store.cold.keys()
    attached = {entry.flight.generation for key in keyspace if (entry := keyspace.entry(key)).flight is not None}
    evicted = {generation for generation, flight in keyspace.flights.items() if flight.evicted is not None}
    assert attached | evicted == set(keyspace.flights)
    assert not any(flight.has_ended for flight in keyspace.flights.values())
    assert keyspace.stats().size == sum(keyspace.entry(key).holds_value for key in keyspace) == 2
    assert isinstance(keyspace.entry("value"), Fresh)
    assert store._order is None or store._order._ghosts <= set(store._order._ghost_order)
    for key in ("value", "refreshed", "loading", "invalidated"):
        keyspace.get(key, 0)
        keyspace.put(key, "new", 0)
    assert keyspace.stats().size == 4


def test_what_was_not_broken_off_is_left_alone() -> None:
    """To look at every entry takes time in a large cache."""
    keyspace = with_everything(None)
    flight_is_not_listed(keyspace)
    keyspace.heal()
    assert isinstance(keyspace.entry("loading"), Pending)


def test_lookup_of_an_entry_whose_flight_nobody_knows_heals() -> None:
    """Nobody would ever wake the caller who joined it."""
    keyspace = with_everything(None)
    flight_is_not_listed(keyspace)
    assert keyspace.enter("loading", 0) is None
    assert isinstance(keyspace.entry("loading"), Absent)


class Failing:
    """A key whose hash fails once, at the call that is chosen, or from then on."""

    def __init__(self) -> None:
        self.fails_in = -1
        self.goes_on = False

    def __hash__(self) -> int:
        self.fails_in -= 1
        if self.fails_in == 0 or (self.goes_on and self.fails_in < 0 and self.is_armed):
            raise ArithmeticError("no hash just now")
        return 7

    is_armed = False

    def arm(self, calls: int, goes_on: bool) -> None:
        """Fail at the call after so many."""
        self.fails_in, self.goes_on, self.is_armed = calls, goes_on, True

    def disarm(self) -> None:
        """Be a key like any other."""
        self.fails_in, self.goes_on, self.is_armed = -1, False, False


STEPS: dict[str, Callable[[Any, Any], object]] = {
    "get": lambda keyspace, key: keyspace.get(key, 0),
    "put": lambda keyspace, key: keyspace.put(key, "new", 0),
    "invalidate": lambda keyspace, key: keyspace.invalidate(key, 0),
    "clear": lambda keyspace, _key: keyspace.clear(0),
    "succeeded": lambda keyspace, _key: keyspace.load_succeeded(1, "value", 0),
    "failed": lambda keyspace, _key: keyspace.load_failed(1, ValueError(), 0),
    "left": lambda keyspace, _key: keyspace.waiter_left(1, 0, can_cancel=True),
    "others": lambda keyspace, _key: [keyspace.put(other, other, 0) for other in "abcd"],
}


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("maxsize", [None, 2])
@pytest.mark.parametrize("state", ["value", "loading", "refreshed"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_key_that_fails_leaves_a_keyspace_that_goes_on(
    step: Callable[[Any, Any], object], state: str, maxsize: int | None, goes_on: bool
) -> None:
    """Whenever its hash fails: afterwards it can be put, found and removed, and other keys have their room."""
    for calls in range(1, 12):
        keyspace, key = Keyspace[Any](Policy(), maxsize=maxsize), Failing()
        if state != "loading":
            keyspace.put(key, "old", 0)
        if state != "value":
            keyspace.refresh(key, 0)
        key.arm(calls, goes_on)
        with contextlib.suppress(ArithmeticError):
            step(keyspace, key)
        key.disarm()
        keyspace.heal()
        keyspace.put(key, "put", 0)
        assert keyspace.peek(key, 0) is not None
        keyspace.clear(0)
        assert (keyspace.stats().size, list(keyspace)) == (0, [])
        for other in "abcd":
            keyspace.put(other, other, 0)
        assert keyspace.stats().size == (4 if maxsize is None else maxsize)


def test_unbounded_keyspace_has_no_victim() -> None:
    """It has no order in which keys would go."""
    assert Keyspace[str](Policy())._store.victim(0) is None


def test_report_of_a_flight_whose_entry_is_gone_ends_it() -> None:
    """Its key has changed, or failed, and leads to it no more."""
    keyspace = with_everything(None)
    generation = generation_of(keyspace, "loading")
    entry_is_not_there(keyspace)
    keyspace.load_failed(generation, ValueError(), 0)
    assert not keyspace.is_in_flight(generation)


class Incomparable:
    """A key that can be found by identity, and fails when it is compared with another one."""

    fails = False

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        if Incomparable.fails:
            raise ArithmeticError("not to be compared")
        return self is other


def test_keys_that_cannot_be_compared_leave_the_count_of_mentions_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mention that could not be looked for is found later, when all are."""
    keyspace = Keyspace[Any](Policy(), maxsize=4)
    keys = [Incomparable() for _ in range(3)]
    for key in keys:
        keyspace.put(key, "value", 0)
    monkeypatch.setattr(Incomparable, "fails", True)
    keyspace._store._take_off(Incomparable())
    monkeypatch.setattr(Incomparable, "fails", False)
    assert keyspace._store._voids == 0
    keyspace.clear(0)
    assert keyspace.stats().size == 0
