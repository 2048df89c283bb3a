"""Weights: never more than maxweight, a total that does not drift, and nothing that is unused costs anything."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    Evict,
    Fresh,
    Join,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    Settle,
    Step,
    Value,
    reply_of,
)
from tests.core._holdings import check_holdings

SECOND: Final = NANOSECONDS_PER_SECOND


def of(weight: int, value: object = "value") -> Loaded[Any]:
    """A value of this weight."""
    return Loaded(value, weight=weight)


def load(cache: Keyspace[Any], key: Any, loaded: object, now: int = 0) -> Any:
    """Look the key up, and load it at once at a miss: what its waiters are answered with."""
    reply = reply_of(cache.get(key, now))
    if isinstance(reply, Answer):
        return reply.outcome
    assert isinstance(reply, Join)
    effects = cache.load_succeeded(reply.generation, loaded, now)
    return next(effect.outcome for effect in effects if isinstance(effect, Settle))


# The bound


@pytest.mark.parametrize("maxsize", [None, 5, 30])
@pytest.mark.parametrize("maxweight", [1, 7, 100, 1_000])
def test_the_values_never_weigh_more_than_maxweight(maxweight: int, maxsize: int | None) -> None:
    """At every moment, with loads, puts over old values and removals; and the room there is gets used."""
    chance = random.Random(maxweight)
    cache = Keyspace[int](Policy(), maxweight=maxweight, maxsize=maxsize)
    heaviest = most = 0
    for _ in range(3_000):
        key, weight = chance.randrange(200), chance.choice([1, 1, 2, 3, 10, 60, 120])
        match chance.randrange(10):
            case 0:
                cache.put(key, of(weight), 0)
            case 1:
                cache.invalidate(key, 0)
            case _:
                load(cache, key, of(weight))
        stats = cache.stats()
        assert stats.weight <= maxweight
        assert maxsize is None or stats.size <= maxsize
        heaviest, most = max(heaviest, stats.weight), max(most, stats.size)
        check_holdings(cache)
    assert heaviest >= maxweight * 3 // 4 or most == maxsize


def test_maxweight_alone_holds_any_number_of_light_values() -> None:
    """Who counts bytes does not count keys."""
    cache = Keyspace[int](Policy(), maxweight=1_000)
    for key in range(2_000):
        cache.put(key, of(1), 0)
    assert (cache.stats().size, cache.stats().weight, cache.stats().maxweight) == (1_000, 1_000, 1_000)
    assert cache.stats().maxsize is None


def test_a_bare_value_weighs_one() -> None:
    """Of which nobody has said anything; so does an error that is remembered, or their number had no bound."""
    cache = Keyspace[int](Policy(negative_ttl=60), maxweight=3)
    cache.put(1, "bare", 0)
    for key in range(2, 9):
        cache.get(key, 0)
        cache.load_failed(key - 1, OSError(), 0)
        assert cache.stats().weight == cache.stats().size <= 3
    check_holdings(cache)


def test_without_maxweight_there_is_no_note_of_a_value() -> None:
    """What is unused costs nothing, and weights that are said all the same are not read."""
    cache = Keyspace[int](Policy(), maxsize=2)
    cache.put(1, of(1_000), 0)
    assert cache._store.holdings is None
    assert (cache.stats().weight, cache.stats().maxweight) == (0, None)


# What is too heavy


@pytest.mark.parametrize("before", [None, "another", "the same"])
@pytest.mark.parametrize("way", ["put", "load"])
def test_a_value_heavier_than_all_is_not_held(way: str, before: str | None) -> None:
    """Who waits gets it. Nothing else goes for it; what was held of its key does, for it was replaced."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxweight=10)
    cache.put("other", of(5), 0)
    value = object()
    if before is not None:
        cache.put("key", of(2, value if before == "the same" else "old"), 0)
    if way == "put":
        cache.put("key", of(11, value), 0)
    else:
        outcome = load(cache, "key", of(11, value), 20 * SECOND)
        assert isinstance(outcome, Value)
        assert outcome.value is value
    assert set(cache) == {"other"}
    assert cache.stats().weight == 5
    assert cache.stats().evictions == 1
    check_holdings(cache)


def test_an_observer_is_told_that_it_was_too_heavy() -> None:
    """As of any other victim, so that a trace is one of the same machine."""
    seen: list[Step] = []
    cache = Keyspace[str](Policy(), maxweight=10, observe=lambda _, step: seen.append(step))
    cache.put("key", of(11), 0)
    assert [type(step.event).__name__ for step in seen] == ["Put", "Evict"]
    assert isinstance(seen[0].after, Fresh)
    assert seen[1].before == seen[0].after
    assert isinstance(seen[1].event, Evict)


def test_the_old_value_is_no_victim_of_the_new_one_of_its_key() -> None:
    """Others go where the new one is heavier, and it takes its place."""
    cache = Keyspace[str](Policy(), maxweight=10)
    for key in ("a", "b", "c", "d"):
        cache.put(key, of(2), 0)
    cache.put("a", of(8), 0)
    assert "a" in list(cache)
    assert cache.stats().weight == 10
    assert cache.stats().evictions == 2
    check_holdings(cache)


def test_a_lighter_value_takes_no_room() -> None:
    """It gives some back."""
    cache = Keyspace[str](Policy(), maxweight=10)
    cache.put("a", of(6), 0)
    cache.put("b", of(4), 0)
    cache.put("a", of(1), 0)
    assert (set(cache), cache.stats().weight) == ({"a", "b"}, 5)


def test_the_same_object_may_have_grown() -> None:
    """It is weighed whenever it is put."""
    cache = Keyspace[str](Policy(), maxweight=10)
    value: list[int] = []
    cache.put("a", of(1, value), 0)
    cache.put("b", of(5), 0)
    cache.put("a", of(9, value), 0)
    assert (set(cache), cache.stats().weight) == ({"a"}, 9)
    check_holdings(cache)


# Waiters


def test_a_value_with_waiters_is_no_victim_of_a_weight() -> None:
    """PendingIsNoVictim. What finds no room because of them is not stored, old or new."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxweight=10)
    cache.put("waited for", of(6), 0)
    assert isinstance(reply_of(cache.get("waited for", 20 * SECOND)), Join)
    cache.put("light", of(2), 20 * SECOND)
    cache.put("heavy", of(5), 20 * SECOND)
    assert set(cache) == {"waited for"}
    cache.put("light", of(4), 20 * SECOND)
    assert set(cache) == {"waited for", "light"}
    cache.put("light", of(5), 20 * SECOND)  # there is room for the old one alone, which it has replaced
    assert set(cache) == {"waited for"}
    check_holdings(cache)


def test_a_refresh_that_grew_is_stored_while_there_is_room() -> None:
    """Those who wait for it do not keep its own old value in its way."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxweight=10)
    cache.put("waited for", of(6), 0)
    cache.put("other", of(4), 15 * SECOND)
    reply = reply_of(cache.get("waited for", 20 * SECOND))
    assert isinstance(reply, Join)
    cache.load_succeeded(reply.generation, of(10, "new"), 20 * SECOND)
    assert set(cache) == {"waited for"}
    assert cache.stats().weight == 10
    check_holdings(cache)


# Eviction stays S3-FIFO


def test_what_is_looked_up_stays_when_weights_make_room() -> None:
    """A scan of keys that nobody asks for again does not push out what is asked for."""
    cache = Keyspace[int](Policy(), maxweight=1_000)
    for round_ in range(20):
        for key in range(50):
            load(cache, key, of(10))
        for key in range(1_000 + 100 * round_, 1_050 + 100 * round_):
            load(cache, key, of(10))
    assert sum(isinstance(reply_of(cache.get(key, 0)), Answer) for key in range(50)) >= 45


def test_ghosts_are_no_more_than_keys() -> None:
    """Where no number of keys is given, as many are remembered as are held."""
    cache = Keyspace[int](Policy(), maxweight=100)
    order = cache._store._order
    assert order is not None
    for key in range(5_000):
        load(cache, key, of(1))
    assert 50 < len(order._ghost_order) <= 100
    for key in range(5_000, 10_000):
        load(cache, key, of(50))
    assert len(order._ghosts) <= len(order._ghost_order) <= 3


# Bad weights


@pytest.mark.parametrize("weight", [0, -1, True, 1.5, "1"])
def test_what_is_no_weight_is_refused_by_name(weight: Any) -> None:
    """It would make the total wrong for ever."""
    with pytest.raises(PolicyError, match=r"weight=.* is not accepted: give an integer >= 1"):
        Loaded("value", weight=weight)


@pytest.mark.parametrize("maxweight", [0, -1, True, 1.5, "1"])
def test_what_is_no_maxweight_is_refused_by_name(maxweight: Any) -> None:
    """As maxsize is; nothing weighs less than 1, so with 0 nothing could ever be held."""
    with pytest.raises(PolicyError, match=r"maxweight=.* is not accepted: give an integer >= 1, or None"):
        Keyspace[str](Policy(), maxweight=maxweight)


def test_a_weight_costs_no_lifetime() -> None:
    """All values that say nothing of how long they live share the policy's."""
    cache = Keyspace[str](Policy(ttl=10), maxweight=10)
    cache.put("a", of(1), 0)
    entry = cache.entry("a")
    assert isinstance(entry, Fresh)
    assert entry.lifetime is cache.policy.lifetime
