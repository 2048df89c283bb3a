"""What a cache keeps of its keys: nothing of one that was removed, and its room in spite of one that changes."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    CancelLoad,
    Failure,
    Join,
    Keyspace,
    Loaded,
    Policy,
    Settle,
    Step,
    Value,
    reply_of,
)
from herdless_core._store import SLACK_SHARE, STRICT, Store

SECOND: Final = NANOSECONDS_PER_SECOND
ROOMS: Final = (None, 1, 10, 100)


FAR: Final = 1_000_003
"""From a hash to one that is looked for elsewhere, in tables of some eight, sixteen or thirty-two places: a dict finds
a key by its identity first, so one whose hash leads to the same place is found in spite of all."""


class Key:
    """One that can be seen to be alive."""


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


def _load(cache: Keyspace[Any], key: Any, now: int = 0) -> object:
    """Look the key up and, at a miss, load it at once, as an adapter does."""
    flight = cache.enter(key, now)
    if flight is None:
        reply = reply_of(cache.get(key, now))
        if not isinstance(reply, Join):
            return reply
        flight = cache.running_load(reply.generation)
    if cache.fill(flight, "value", now) is None:
        cache.load_succeeded(flight.generation, "value", now)
    return flight


def _alive(cache: Keyspace[Any], keys: list[weakref.ref[Key]]) -> int:
    """How many keys are alive once the adapter has let go of what left."""
    cache.ended.clear()
    cache.leaving.clear()
    return sum(key() is not None for key in keys)


def _check(store: Store[Any], inconsistent: type | None = None) -> None:
    """The store counts what it holds, and mentions each of its keys that can go once."""
    entries = {**store.hot, **store.cold}
    assert store.size == sum(entry.holds_value for entry in entries.values())
    due = [key for key, entry in entries.items() if store._is_due(entry)]
    mentions = [key for line in store._lines for part in (line.passed, line.ahead) for key in part]
    assert set(due) <= set(mentions)
    assert store._voids == len(mentions) - len(due)
    assert store._voids <= (0 if len(due) <= STRICT else len(due) // SLACK_SHARE)
    assert store.inconsistent in {None, inconsistent}


# Nothing is kept of a key that was removed


@pytest.mark.parametrize("ttl", [None, 60])
@pytest.mark.parametrize("maxsize", ROOMS)
@pytest.mark.parametrize("end", ["invalidate", "clear", "close"])
def test_no_key_outlives_its_removal(maxsize: int | None, ttl: int | None, end: str) -> None:
    """A key may be a request, or hold a session: it goes when its entry goes, however the cache is bounded."""
    cache = Keyspace[Key](Policy(ttl=ttl), maxsize=maxsize)
    keys: list[weakref.ref[Key]] = []
    for _ in range(100):
        key = Key()
        keys.append(weakref.ref(key))
        _load(cache, key)
        if end == "invalidate":
            cache.invalidate(key, 0)
            del key
            assert _alive(cache, keys) == 0
        else:
            del key
    if end == "clear":
        cache.clear(0)
    elif end == "close":
        cache.close(0)
    assert _alive(cache, keys) == 0


@pytest.mark.parametrize("maxsize", [1, 10, 100])
def test_no_key_outlives_its_eviction(maxsize: int) -> None:
    """What was evicted is remembered by its hash, and not by itself."""
    cache = Keyspace[Key](Policy(), maxsize=maxsize)
    keys: list[weakref.ref[Key]] = []
    for _ in range(300):
        key = Key()
        keys.append(weakref.ref(key))
        _load(cache, key)
        del key
        assert _alive(cache, keys) <= maxsize


@pytest.mark.parametrize("maxsize", [None, 100])
def test_no_key_outlives_its_expiry(maxsize: int | None) -> None:
    """What was swept is gone with its key."""
    cache = Keyspace[Key](Policy(ttl=1), maxsize=maxsize)
    keys: list[weakref.ref[Key]] = []
    for number in range(200):
        key = Key()
        keys.append(weakref.ref(key))
        _load(cache, key, number * SECOND // 10)
        del key
        assert _alive(cache, keys) <= 2 * 10 + 2


@pytest.mark.parametrize("ttl", [None, 60])
def test_of_many_keys_few_outlive_their_removal(ttl: int | None) -> None:
    """Where many are held, the removed ones that are still mentioned are a sixteenth of these at most, and none when
    all are removed.
    """
    count = 20 * STRICT
    cache = Keyspace[Key](Policy(ttl=ttl), maxsize=count)
    held = [Key() for _ in range(count)]
    for key in held:
        _load(cache, key)
    del key
    keys = [weakref.ref(key) for key in held]
    random.Random(5).shuffle(held)
    most = 0
    while held:
        cache.invalidate(held.pop(), 0)
        void = _alive(cache, keys) - len(held)
        assert void <= (0 if len(held) <= STRICT else len(held) // SLACK_SHARE)
        most = max(most, void)
    assert most > 0, "the bound was never tried"
    assert _alive(cache, keys) == 0


def test_none_is_a_key_that_can_be_removed() -> None:
    """None is a key like any other."""
    cache = Keyspace[str | None](Policy(), maxsize=10)
    for key in ("a", None, "b"):
        _load(cache, key)
    cache.invalidate(None, 0)
    assert cache._store._mentions() == 2
    _check(cache._store)


@pytest.mark.parametrize("maxsize", [None, 1, 5, 300])
def test_what_is_held_is_counted_and_mentioned_once(maxsize: int | None) -> None:  # noqa: PLR0912  # one per request
    """A key without a mention could never be evicted; a count that drifts would fill the cache, or empty it."""
    rng = random.Random(maxsize or 7)
    policy = Policy(ttl=5, stale_if_error=5, stale_while_revalidate=2, early_refresh=0.5)
    cache = Keyspace[int](policy, maxsize=maxsize)
    now = 0
    flights: list[int] = []
    for _ in range(4_000):
        now += rng.choice((0, SECOND // 100, SECOND // 10))
        key = rng.randrange(400)
        match rng.randrange(8):
            case 0:
                value = Loaded("value", ttl=rng.choice((1, 100, float("inf"))))
                cache.put(key, value, now)
            case 1:
                cache.invalidate(key, now)
            case 2:
                cache.expire(key, now)
            case 3:
                cache.refresh(key, now)
            case 4 if flights:
                generation = flights.pop(rng.randrange(len(flights)))
                if rng.random() < 0.3:
                    cache.load_failed(generation, ValueError(), now)
                elif cache.fill(cache.flights[generation], "value", now) is None:
                    cache.load_succeeded(generation, "value", now)
            case 5 if flights:
                cache.waiter_left(rng.choice(flights), now, can_cancel=True)
            case _:
                if cache.enter(key, now) is None:
                    cache.get(key, now)
        flights = list(cache.flights)
        _check(cache._store)
        assert maxsize is None or cache.stats().size <= maxsize
    for generation in list(cache.flights):
        cache.load_failed(generation, ValueError(), now)
    for key in range(400):
        cache.invalidate(key, now)
    assert cache._store._mentions() == 0


# What leaves is handed over


def _let_go(cache: Keyspace[Any]) -> list[object]:
    """The values of what left, and the keys."""
    left = [getattr(item, "value", item) for item in cache.leaving]
    cache.leaving.clear()
    return left


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda cache: cache.put("key", "new", 0), ["old"]),
        (lambda cache: cache.invalidate("key", 0), ["old", "key"]),
        (lambda cache: cache.put("other", "value", 0), ["key", "old"]),
        (lambda cache: cache.get("key", 20 * SECOND), ["old"]),
        (lambda cache: cache.put("other", "value", 20 * SECOND), ["key", "old"]),
    ],
    ids=["replaced", "invalidated", "evicted", "expired and asked for", "expired and in the way"],
)
def test_what_leaves_is_handed_over(change: Callable[[Keyspace[str]], object], left: list[object]) -> None:
    """A finalizer may use the cache: it must run when the adapter's lock is free, and so not inside the step."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=1)
    cache.put("key", "old", 0)
    assert _let_go(cache) == []
    change(cache)
    assert _let_go(cache) == left


def test_a_refresh_hands_over_what_it_replaced() -> None:
    """By the short cut too, which takes the same step."""
    cache = Keyspace[str](Policy(ttl=10))
    cache.put("key", "old", 0)
    cache.refresh("key", 0)
    assert _let_go(cache) == []  # the value is still there
    assert cache.fill(cache.flights[1], "new", 0) is not None
    assert _let_go(cache) == ["old"]


def test_a_clear_hands_over_all() -> None:
    """Thousands of finalizers inside the lock would be thousands of chances to hang."""
    cache = Keyspace[Key](Policy(ttl=60), maxsize=10)
    keys = [Key() for _ in range(10)]
    for key in keys:
        _load(cache, key)
    alive = [weakref.ref(key) for key in keys]
    del keys, key
    cache.clear(0)
    assert sum(key() is not None for key in alive) == 10
    assert _alive(cache, alive) == 0


def test_a_plain_miss_hands_nothing_over() -> None:
    """What is not held cannot leave; the adapter has nothing to do for it."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=10)
    for key in "abcdefg":
        _load(cache, key)
    assert cache.leaving == []


# Keys that change while they are in the cache


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
        _load(cache, key)
        change(key)
    for _ in range(5):
        for name in "abcde":
            _load(cache, name)
    stats = cache.stats()
    assert (stats.hits, stats.loads) == (20, 10 + 5)
    assert stats.size <= 10
    assert cache.inconsistent is type(key)
    for name in "abcdefghijklmnopqrstuvwxyz":
        _load(cache, name)
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
            _load(cache, key)
            change(key)
        else:
            _load(cache, number)
    for number in range(room, 4 * room):
        _load(cache, number)
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
    _load(cache, held)
    cache.enter(loading, 0)
    change(held)
    change(loading)
    cache.clear(0)
    assert (list(cache), cache.stats().size, cache._store._mentions()) == ([], 0, 0)
    assert cache.load_succeeded(2, "value", 0) == (Settle(2, Value("value", 0, is_stale=False)),)
    assert cache.stats().in_flight == 0
    _load(cache, "good")
    _load(cache, "good")
    assert cache.stats().hits == 1


@CHANGES
def test_expired_keys_that_changed_are_swept(kind: Callable[[object], Any], change: Callable[[Any], None]) -> None:
    """An unbounded cache has no room to lose, but memory."""
    cache = Keyspace[Any](Policy(ttl=1))
    for number in range(20):
        key = kind(number)
        _load(cache, key)
        change(key)
    for number in range(100):
        _load(cache, number, 2 * SECOND)
    assert all(isinstance(key, int) for key in cache)
    assert cache.stats().size == 100


def test_keys_whose_equality_changed_leave_room_too() -> None:
    """Looked up by one object and by an equal one, each stands somewhere; then they are equal no more."""
    cache = Keyspace[Any](Policy(), maxsize=10)
    for number in range(10):
        first, second = Label(number), Label(number)
        _load(cache, first)
        _load(cache, second)
        second.number = ("changed", number)
    for _ in range(10):
        for name in "abcde":
            _load(cache, name)
    loads = cache.stats().loads
    for name in "abcde" * 5:
        _load(cache, name)
    assert cache.stats().loads == loads, "the room is theirs"
    assert cache.stats().size <= 10
    assert cache.inconsistent is Label


def test_the_hot_table_is_mended_in_place() -> None:
    """Readers without the lock hold on to it."""
    cache = Keyspace[Any](Policy(), maxsize=2)
    hot = cache.hot
    key = Row(1)
    _load(cache, key)
    _load(cache, key)
    assert key in hot
    key.number = 2
    for name in "abc":
        _load(cache, name)
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
        _load(cache, number % 7, number * SECOND // 5)
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
        _load(cache, key)
    key.left = left
    for number in range(6):
        _load(cache, f"stranger {number}", now)
    cache.invalidate("stranger 2", now)
    has_failed = key.left == 0
    key.left = 0
    for number in range(40):
        _load(cache, number, now)
    _load(cache, key, now)
    _check(cache._store, Moody)
    assert maxsize is None or cache.stats().size <= maxsize
    return has_failed
