"""The decisions that are not promises by name, on values: requests, lifetimes, what is told of them, arguments."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from herdless_core import Loaded, Policy, PolicyError, Stats
from herdless_verify.contract.world import World, outcome_of

# Requests


async def test_expire_keeps_serving_as_stale(w: World) -> None:
    """`expire` asks for a new value soon; until it is there the old one is served, for the whole stale window."""
    cache = await w.open(ttl=100, stale_while_revalidate=10)
    await w.fill("k", 1)
    cache.expire("k")
    await w.advance(10 - 1e-9)
    assert await outcome_of(w, "k") == "stale"
    w.load.succeed(2)
    await w.settle()
    assert await outcome_of(w, "k") == "hit"


async def test_expire_without_a_stale_window_removes(w: World) -> None:
    """Nothing stale is served until asked for: `expire` then makes the next caller wait."""
    cache = await w.open(ttl=100)
    await w.fill("k", 1)
    cache.expire("k")
    assert await outcome_of(w, "k") == "waits"


async def test_expire_lets_a_load_go_on(w: World) -> None:
    """What is being loaded is newer than what was expired."""
    cache = await w.open(ttl=math.inf, stale_while_revalidate=10)
    await w.fill("k", 1)
    cache.refresh("k")
    await w.settle()
    cache.expire("k")
    w.load.succeed(2)
    await w.settle()
    assert await outcome_of(w, "k") == "hit"
    assert len(w.loads) == 2


async def test_put_cancels_the_load_and_answers_its_waiters(w: World) -> None:
    """Who waits for a load of the key gets the value that was put, at once; the load would run for nothing."""
    cache = await w.open()
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    cache.put("k", "put")
    await w.settle()
    assert w.load.was_cancelled or w.first_caller_loads
    if w.first_caller_loads:  # it comes back when the load ends
        w.load.succeed("late")
        await w.settle()
    assert [waiter.value for waiter in waiters] == ["put"] * 3


async def test_put_replaces(w: World) -> None:
    """`put` gives a new value with a new age."""
    cache = await w.open(ttl=10)
    cache.put("k", 1)
    await w.advance(9)
    cache.put("k", 2)
    await w.advance(9)
    caller = w.lookup("k")
    await w.settle()
    assert (caller.value.value, caller.value.how, caller.value.age) == (2, "hit", 9)


async def test_put_takes_a_lifetime(w: World) -> None:
    """`put` accepts `Loaded`, as the loader's result does."""
    cache = await w.open(ttl=100)
    cache.put("k", Loaded(1, ttl=5))
    assert cache.peek("k") == 1
    await w.advance(5)
    assert cache.peek("k") is None


async def test_invalidate_cancels_an_unawaited_refresh(w: World) -> None:
    """A refresh whose value may not be stored, and that nobody waits for, is work for nothing."""
    cache = await w.open()
    await w.fill("k", 1)
    cache.refresh("k")
    await w.settle()
    cache.invalidate("k")
    await w.settle()
    assert w.load.was_cancelled
    assert cache.stats().in_flight == 0


async def test_refresh_does_not_wait(w: World) -> None:
    """`refresh` loads in the background: the old value is served meanwhile, the new one afterwards."""
    cache = await w.open()
    await w.fill("k", 1)
    cache.refresh("k")
    cache.refresh("k")
    await w.settle()
    assert await outcome_of(w, "k") == "hit"
    assert len(w.loads) == 2
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_refresh_of_an_absent_key_can_be_joined(w: World) -> None:
    """Warming up a cache and being asked meanwhile is one load."""
    cache = await w.open()
    cache.refresh("k")
    await w.settle()
    caller = w.lookup("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert (caller.value.value, caller.value.how) == (1, "joined")
    assert len(w.loads) == 1


async def test_peek_never_loads(w: World) -> None:
    """`peek`, `in` and `len` look, and neither load, wait nor count."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    assert (cache.peek("k"), cache.peek("k", "default"), "k" in cache, len(cache)) == (None, "default", False, 0)
    w.get("k")
    await w.settle()
    assert (cache.peek("k"), "k" in cache, len(cache)) == (None, False, 0)
    w.load.succeed(1)
    await w.advance(15)
    assert (cache.peek("k"), "k" in cache, len(cache)) == (1, True, 1)
    await w.advance(5)
    assert (cache.peek("k"), "k" in cache) == (None, False)
    await w.settle()
    assert len(w.loads) == 1
    assert cache.stats().hits == cache.stats().stale_hits == 0


async def test_none_is_a_value(w: World) -> None:
    """`None` is cached like any other value."""
    cache = await w.open()
    await w.fill("k", None)
    assert await outcome_of(w, "k") == "hit"
    assert "k" in cache
    assert cache.peek("k", "default") is None


async def test_false_and_empty_are_values(w: World) -> None:
    """Nothing is decided by the truth of a value."""
    cache = await w.open(ttl=math.inf, stale_while_revalidate=10)
    values: tuple[object, ...] = (0, "", False, [])
    for value in values:
        cache.put("k", value)
        assert await outcome_of(w, "k") == "hit"
    assert not w.loads


async def test_unhashable_key_is_refused(w: World) -> None:
    """The error names the key, and nothing is left behind."""
    cache = await w.open()
    caller = w.get(["k"])
    await w.settle()
    assert isinstance(caller.error, TypeError)
    assert "['k']" in str(caller.error)
    for request in (cache.peek, cache.invalidate, cache.expire, cache.refresh, lambda key: cache.put(key, 1)):
        with pytest.raises(TypeError, match="cannot be looked up"):
            request(["k"])
    assert cache.stats().in_flight == 0


# Lifetimes


async def test_stale_windows_default_to_none(w: World) -> None:
    """Nothing stale is served until it is asked for, neither after the ttl nor for an error."""
    await w.open(ttl=10)
    await w.fill("k", 1)
    await w.advance(10)
    caller = w.get("k")
    await w.settle()
    assert not caller.is_done
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(caller.error, OSError)


@pytest.mark.parametrize("ttl", [10, 10.0, timedelta(seconds=10)], ids=repr)
async def test_durations_are_seconds_or_timedelta(w: World, ttl: object) -> None:
    """All three mean the same to the nanosecond."""
    await w.open(ttl=ttl)
    await w.fill("k", 1)
    await w.advance(10 - 1e-9)
    assert await outcome_of(w, "k") == "hit"
    await w.advance(1e-9)
    assert await outcome_of(w, "k") == "waits"


async def test_value_without_ttl_stays(w: World) -> None:
    """The default ttl is none: a value is a hit until it is removed."""
    await w.open()
    await w.fill("k", 1)
    await w.advance(10**9)
    assert await outcome_of(w, "k") == "hit"


async def test_loader_gives_a_lifetime(w: World) -> None:
    """`Loaded(value, ttl=...)` overrides the cache's for this value alone."""
    await w.open(ttl=100)
    caller = w.get("k")
    await w.settle()
    w.load.succeed(Loaded(1, ttl=5, stale_while_revalidate=5))
    await w.settle()
    assert caller.value == 1
    await w.advance(5)
    assert await outcome_of(w, "k") == "stale"
    await w.advance(5)
    assert await outcome_of(w, "k") == "waits"


async def test_early_refresh_makes_nobody_wait(w: World) -> None:
    """A hit past the early point starts one refresh and is still a hit."""
    await w.open(ttl=10, early_refresh=0.8)
    await w.fill("k", 1)
    await w.advance(8 - 1e-9)
    assert await outcome_of(w, "k") == "hit"
    assert len(w.loads) == 1
    await w.advance(1e-9)
    assert [await outcome_of(w, "k") for _ in range(3)] == ["hit"] * 3
    assert len(w.loads) == 2


async def test_jitter_only_shortens(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys loaded together do not expire together, and none of them later than ttl."""
    luck = iter([0.0, 0.5])
    monkeypatch.setattr("random.random", lambda: next(luck))
    cache = await w.open(ttl=10, jitter=0.4)
    await w.fill("a", 1)
    await w.fill("b", 2)
    await w.advance(8)
    assert (cache.peek("a"), cache.peek("b")) == (1, None)
    await w.advance(2)
    assert cache.peek("a") is None


# Looking


async def test_lookup_says_how(w: World) -> None:
    """The four outcomes of a lookup are disjoint, and `stats` counts each."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    leader = w.lookup("k")
    await w.settle()
    joiner = w.lookup("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    hit = w.lookup("k")
    await w.advance(10)
    stale = w.lookup("k")
    await w.settle()
    assert [caller.value.how for caller in (leader, joiner, hit, stale)] == ["loaded", "joined", "hit", "stale"]
    stats = cache.stats()
    assert isinstance(stats, Stats)
    assert (stats.misses, stats.joins, stats.hits, stats.stale_hits) == (1, 1, 1, 1)
    assert (stats.loads, stats.in_flight, stats.size) == (2, 1, 1)


async def test_hits_by_get_are_counted(w: World) -> None:
    """The short way of `get` counts its hits too."""
    cache = await w.open(maxsize=10)
    await w.fill("k", 1)
    for _ in range(3):
        w.get("k")
        await w.settle()
    assert cache.stats().hits == 3


async def test_evictions_are_counted(w: World) -> None:
    """Who chose maxsize too small can see it."""
    cache = await w.open(maxsize=2)
    for key in range(5):
        cache.put(key, key)
    stats = cache.stats()
    assert (stats.evictions, stats.size, stats.maxsize) == (3, 2, 2)


async def test_observer_that_fails_is_logged(w: World, caplog: pytest.LogCaptureFixture) -> None:
    """An observer cannot break the cache it watches."""

    def observe(*_seen: object) -> None:
        raise OSError("the observer is broken")

    await w.open(observe=observe)
    await w.fill("k", 1)
    assert "the observer" in caplog.text


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": -1}, "ttl=-1 is not accepted"),
        ({"ttl": "60"}, "ttl='60' is not accepted"),
        ({"stale_if_error": None}, "stale_if_error=None is not accepted"),
        ({"answers": "KeyError"}, "answers='KeyError' is not accepted"),
        ({"early_refresh": 1.0}, "early_refresh=1.0 is not accepted"),
        ({"jitter": 1}, "jitter=1 is not accepted"),
        ({"max_waiters": 0}, "max_waiters=0 is not accepted"),
        ({"maxsize": -1}, "maxsize=-1 is not accepted"),
        ({"policy": Policy(), "ttl": 1}, "beside ttl"),
    ],
    ids=lambda part: part if isinstance(part, str) else " and ".join(part),
)
async def test_bad_option_is_named(w: World, options: dict[str, Any], message: str) -> None:
    """The error names the argument, its value and what is accepted."""
    with pytest.raises(PolicyError, match=message):
        await w.open(**options)


async def test_policy_is_an_option(w: World) -> None:
    """A policy can be made once and given to many caches."""
    await w.open(policy=Policy(ttl=10))
    await w.fill("k", 1)
    await w.advance(10)
    assert await outcome_of(w, "k") == "waits"


async def test_clock_must_be_integer_nanoseconds(w: World) -> None:
    """A clock of float seconds would be wrong by nine orders of magnitude, and not at once."""
    for clock in (lambda: 1.0, lambda: True):
        with pytest.raises(PolicyError, match="clock="):
            w.cache_class(w.loader, clock=clock)


async def test_loader_must_be_callable(w: World) -> None:
    """The most likely slip is told at once, not at the first miss."""
    with pytest.raises(PolicyError, match="load='k' is not accepted"):
        w.cache_class("k")


# Values that were old already


async def test_hit_age_of_a_value_that_was_old_already(w: World) -> None:
    """HitAge: how old a loader says its value is counts: the ttl and the windows are the value's own."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    caller = w.lookup("k")
    await w.settle()
    await w.advance(1)
    w.load.succeed(Loaded("from another cache", age=6))
    await w.settle()
    assert (caller.value.value, caller.value.how, caller.value.age) == ("from another cache", "loaded", 7)
    assert await outcome_of(w, "k") == "hit"
    await w.advance(3)
    assert await outcome_of(w, "k") == "stale"
    w.load.succeed(Loaded("older than all windows", age=20))
    await w.settle()
    assert cache.peek("k") is None


async def test_hit_age_of_an_old_value_that_is_put(w: World) -> None:
    """HitAge: a value that a caller has from elsewhere is as old here as it is there."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    cache.put("k", Loaded("from another cache", age=9))
    await w.settle()
    caller = w.lookup("k")
    await w.settle()
    assert (caller.value.how, caller.value.age) == ("hit", 9)
    await w.advance(1)
    assert await outcome_of(w, "k") == "stale"
