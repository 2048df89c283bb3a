"""Keys that change while they are in the cache, or fail: callers are answered, and the cache keeps its room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from herdless_core import CancelLoad, Failure, Keyspace, Policy, Settle, Step, Value
from herdless_core._store import SLACK_SHARE, STRICT
from tests.core._keys import SECOND, check_store, load_at_once

FAR: Final = 1_000_003
"""From a hash to one that is looked for elsewhere, in tables of some eight, sixteen or thirty-two places: a dict finds
a key by its identity first, so one whose hash leads to the same place is found in spite of all."""


class Row:
    """One whose hash and equality follow its number, as those of a row do that gets its number when it is stored."""

    def __init__(self, number: object) -> None:
        self.number = number

    def __hash__(self) -> int:
        if isinstance(self.number, Exception):
            raise self.number
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        if isinstance(self.number, Exception):
            raise self.number
        return isinstance(other, Row) and self.number == other.number


class Label:
    """One whose equality alone follows its number."""

    def __init__(self, number: object) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Label) and self.number == other.number


class Moody:
    """One of which one use fails: left: so many are left, of which the last one does; 0: none does."""

    def __init__(self) -> None:
        self.left = 0

    def __hash__(self) -> int:
        self._use()
        return 987_654_321  # no other key's: a dict compares what has the same hash, and there its error is everybody's

    def __eq__(self, other: object) -> bool:
        self._use()
        return self is other

    def _use(self) -> None:
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("the session is closed")


def _changes() -> Iterator[Any]:
    yield pytest.param(Row, lambda key: setattr(key, "number", key.number + FAR), id="hash and equality")
    yield pytest.param(Row, lambda key: setattr(key, "number", LookupError("detached")), id="both raise")
    yield pytest.param(Row, lambda key: setattr(key, "number", TypeError("unhashable")), id="TypeError")
    yield pytest.param(Row, lambda key: setattr(key, "number", ["unhashable"]), id="unhashable")


CHANGES: Final = pytest.mark.parametrize(("kind", "change"), list(_changes()))


@CHANGES
@pytest.mark.parametrize("maxsize", [None, 10])
@pytest.mark.parametrize("end", ["fill", "load_succeeded", "load_failed", "deadline_passed"])
def test_who_waits_for_a_key_that_changes_is_answered(
    kind: Callable[[object], Any], change: Callable[[Any], None], maxsize: int | None, end: str
) -> None:
    """An insert that gives the row its number is a load that changes its key: it ends like any other."""
    cache = Keyspace[Any](Policy(load_timeout=10), maxsize=maxsize)
    key = kind(0)
    assert cache.enter(key, 0) is not None
    assert cache.enter(key, 0) is not None  # two wait
    change(key)
    assert cache.waiters(1) == 2
    error = ValueError()
    match end:
        case "fill":
            assert cache.fill(cache.flights[1], "value", 0) is None
            effects = cache.load_succeeded(1, "value", 0)
        case "load_succeeded":
            effects = cache.load_succeeded(1, "value", 0)
        case "load_failed":
            effects = cache.load_failed(1, error, 0)
        case _:
            effects = cache.deadline_passed(1, 10 * SECOND)
            assert CancelLoad(1) in effects
    (settled,) = (effect for effect in effects if isinstance(effect, Settle))
    if end in ("fill", "load_succeeded"):
        assert settled == Settle(1, Value("value", 0, is_stale=False))
    else:
        assert isinstance(settled.outcome, Failure)
    assert cache.stats().in_flight == 0
    assert cache.stats().size == 0
    assert list(cache) == []  # nothing is stored under a key by which nobody finds it
    assert cache.inconsistent is type(key)


@CHANGES
def test_the_last_who_leaves_a_key_that_changed_takes_its_load_along(
    kind: Callable[[object], Any], change: Callable[[Any], None]
) -> None:
    """The waiters are counted on, so that a load nobody waits for is cancelled."""
    cache = Keyspace[Any](Policy())
    key = kind(0)
    cache.enter(key, 0)
    cache.enter(key, 0)
    change(key)
    assert CancelLoad(1) not in cache.waiter_left(1, 0, can_cancel=True)
    assert CancelLoad(1) in cache.waiter_left(1, 0, can_cancel=True)
    assert cache.stats().in_flight == 0


@CHANGES
def test_a_refresh_of_a_key_that_changed_ends(kind: Callable[[object], Any], change: Callable[[Any], None]) -> None:
    """Nobody waits for it, and its entry cannot be found: it must not be counted as in flight for ever."""
    cache = Keyspace[Any](Policy(ttl=10), maxsize=10)
    key = kind(0)
    cache.put(key, "old", 0)
    cache.refresh(key, 0)
    change(key)
    cache.load_succeeded(1, "new", 0)
    assert (cache.stats().in_flight, cache.stats().size) == (0, 0)


@CHANGES
@pytest.mark.parametrize("ttl", [None, 60])
def test_keys_that_changed_do_not_fill_the_cache(
    kind: Callable[[object], Any], change: Callable[[Any], None], ttl: int | None
) -> None:
    """A bug in one corner of a program must not turn the cache off for the others."""
    cache = Keyspace[Any](Policy(ttl=ttl), maxsize=10)
    for number in range(10):
        key = kind(number)
        load_at_once(cache, key)
        change(key)
    for _ in range(5):
        for name in "abcde":
            load_at_once(cache, name)
    stats = cache.stats()
    assert (stats.hits, stats.loads) == (20, 10 + 5)
    assert stats.size <= 10
    assert cache.inconsistent is type(key)
    for name in "abcdefghijklmnopqrstuvwxyz":
        load_at_once(cache, name)
    assert cache.stats().size == 10


@CHANGES
def test_where_few_keys_of_many_changed_their_room_is_bounded(
    kind: Callable[[object], Any], change: Callable[[Any], None]
) -> None:
    """The tables are not looked through for each of them; what they may take is a sixteenth of the room."""
    room = 10 * STRICT
    cache = Keyspace[Any](Policy(), maxsize=room)
    for number in range(room // 2):
        if number % 100 == 0:
            key = kind(number)
            load_at_once(cache, key)
            change(key)
        else:
            load_at_once(cache, number)
    for number in range(room, 4 * room):
        load_at_once(cache, number)
    reachable = sum(isinstance(key, int) for key in cache)
    assert reachable >= room - room // SLACK_SHARE - 1
    assert cache.stats().size <= room


@CHANGES
@pytest.mark.parametrize("maxsize", [None, 10])
def test_a_clear_removes_keys_that_changed(
    kind: Callable[[object], Any], change: Callable[[Any], None], maxsize: int | None
) -> None:
    """Nothing is left that nobody can find, and whoever waits is answered by the load that is under way."""
    cache = Keyspace[Any](Policy(ttl=60), maxsize=maxsize)
    held, loading = kind(1), kind(2)
    load_at_once(cache, held)
    cache.enter(loading, 0)
    change(held)
    change(loading)
    cache.clear(0)
    assert (list(cache), cache.stats().size, cache._store._mentions()) == ([], 0, 0)
    assert cache.load_succeeded(2, "value", 0) == (Settle(2, Value("value", 0, is_stale=False)),)
    assert cache.stats().in_flight == 0
    load_at_once(cache, "good")
    load_at_once(cache, "good")
    assert cache.stats().hits == 1


@CHANGES
def test_expired_keys_that_changed_are_swept(kind: Callable[[object], Any], change: Callable[[Any], None]) -> None:
    """An unbounded cache has no room to lose, but memory."""
    cache = Keyspace[Any](Policy(ttl=1))
    for number in range(20):
        key = kind(number)
        load_at_once(cache, key)
        change(key)
    for number in range(100):
        load_at_once(cache, number, 2 * SECOND)
    assert all(isinstance(key, int) for key in cache)
    assert cache.stats().size == 100


def test_keys_whose_equality_changed_leave_room_too() -> None:
    """Looked up by one object and by an equal one, each stands somewhere; then they are equal no more."""
    cache = Keyspace[Any](Policy(), maxsize=10)
    for number in range(10):
        first, second = Label(number), Label(number)
        load_at_once(cache, first)
        load_at_once(cache, second)
        second.number = ("changed", number)
    for _ in range(10):
        for name in "abcde":
            load_at_once(cache, name)
    loads = cache.stats().loads
    for name in "abcde" * 5:
        load_at_once(cache, name)
    assert cache.stats().loads == loads, "the room is theirs"
    assert cache.stats().size <= 10
    assert cache.inconsistent is Label


def test_the_hot_table_is_mended_in_place() -> None:
    """Readers without the lock hold on to it."""
    cache = Keyspace[Any](Policy(), maxsize=2)
    hot = cache.hot
    key = Row(1)
    load_at_once(cache, key)
    load_at_once(cache, key)
    assert key in hot
    key.number = 2
    for name in "abc":
        load_at_once(cache, name)
    assert cache.hot is hot
    assert not any(isinstance(key, Row) for key in cache)


def test_an_observer_sees_a_changed_key_invalidated() -> None:
    """To the observer it is a step of the machine like any other: what the invariants judge holds for it too."""
    steps: list[Step] = []
    cache = Keyspace[Any](Policy(), observe=lambda _key, step: steps.append(step))
    key = Row(None)
    cache.enter(key, 0)
    key.number = 7
    cache.load_succeeded(1, "value", 0)
    assert [type(step.event).__name__ for step in steps] == ["Get", "Invalidate", "LoadSucceeded"]


def test_keys_that_are_as_they_should_be_are_not_complained_of() -> None:
    """The name of a type is only told where one of its keys was lost."""
    cache = Keyspace[Any](Policy(ttl=1), maxsize=3)
    for number in range(1_000):
        load_at_once(cache, number % 7, number * SECOND // 5)
        if number % 3 == 0:
            cache.invalidate(number % 5, number * SECOND // 5)
    assert cache.inconsistent is None


# Keys that fail once


@pytest.mark.parametrize("is_visited", [False, True], ids=["once looked up", "looked up again"])
@pytest.mark.parametrize("seconds", [0, 20], ids=["fresh", "expired"])
@pytest.mark.parametrize("maxsize", [None, 1, 4, 20])
def test_nobody_is_told_that_another_key_fails(maxsize: int | None, seconds: int, is_visited: bool) -> None:
    """Neither who needs the room of a key, nor who sweeps out what has expired, asked for it: it may be a row of a
    database that is down. Nor does the cache lose its room.
    """
    assert sum(_fails_beside(left, maxsize, seconds, is_visited=is_visited) for left in range(1, 60))


def _fails_beside(left: int, maxsize: int | None, seconds: int, *, is_visited: bool) -> bool:
    """Use a cache with other keys, while the so manieth use of the one that it holds fails; whether it did."""
    cache = Keyspace[object](Policy(ttl=10), maxsize=maxsize)
    key, now = Moody(), seconds * SECOND
    for _ in range(1 + is_visited):
        load_at_once(cache, key)
    key.left = left
    for number in range(6):
        load_at_once(cache, f"stranger {number}", now)
    cache.invalidate("stranger 2", now)
    has_failed = key.left == 0
    key.left = 0
    cache.invalidate(key, now)
    assert cache.peek(key, now) is None, "it was in two tables, and has left one"
    for number in range(40):
        load_at_once(cache, number, now)
    load_at_once(cache, key, now)
    check_store(cache._store, Moody)
    assert maxsize is None or cache.stats().size <= maxsize
    return has_failed
