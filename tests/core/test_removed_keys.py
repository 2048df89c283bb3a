"""What a cache keeps of its keys: nothing of one that was removed; what leaves it is handed over."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from typing import Any, Final

import pytest

from herdless_core import Keyspace, Loaded, Policy
from herdless_core._store import SLACK_SHARE, STRICT
from tests.core._keys import SECOND, check_store, load_at_once

ROOMS: Final = (None, 1, 10, 100)


class Key:
    """One that can be seen to be alive."""


def _alive(cache: Keyspace[Any], keys: list[weakref.ref[Key]]) -> int:
    """How many keys are alive once the adapter has let go of what left."""
    cache.ended.clear()
    cache.leaving.clear()
    return sum(key() is not None for key in keys)


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
        load_at_once(cache, key)
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
        load_at_once(cache, key)
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
        load_at_once(cache, key, number * SECOND // 10)
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
        load_at_once(cache, key)
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
        load_at_once(cache, key)
    cache.invalidate(None, 0)
    assert cache._store._mentions() == 2
    check_store(cache._store)


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
        check_store(cache._store)
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
        load_at_once(cache, key)
    alive = [weakref.ref(key) for key in keys]
    del keys, key
    cache.clear(0)
    assert sum(key() is not None for key in alive) == 10
    assert _alive(cache, alive) == 0


def test_a_plain_miss_hands_nothing_over() -> None:
    """What is not held cannot leave; the adapter has nothing to do for it."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=10)
    for key in "abcdefg":
        load_at_once(cache, key)
    assert cache.leaving == []
