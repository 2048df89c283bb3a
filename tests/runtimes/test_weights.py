"""`maxweight` and `weigh`: the same words in every runtime, and a function of the user's own that may do anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless_core import Loaded, PolicyError
from tests.runtimes.scenes import RUNTIMES, Get, cache_of, play


def length(_key: object, value: Any) -> int:
    """What a value weighs."""
    return len(value)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_values_are_weighed_and_bounded(runtime: str) -> None:
    """Loaded and put ones alike; one that is heavier than all is given to who asks, and not held."""

    async def body(cache: Any, get: Get) -> None:
        assert await get("aaaa") == "AAAA"
        cache.put("b", "bbbb")
        assert (cache.stats().weight, cache.stats().maxweight) == (8, 10)
        assert await get("c" * 11) == "C" * 11
        assert "c" * 11 not in cache
        assert len(cache) == 2
        assert await get("ddd") == "DDD"
        assert len(cache) == 2
        assert cache.stats().weight == 7
        cache.clear()
        assert cache.stats().weight == 0

    play(runtime, body, str.upper, maxweight=10, weigh=length)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_put_that_is_too_heavy_leaves_no_old_value(runtime: str) -> None:
    """It was replaced, and must not be read any more."""
    cache = cache_of(runtime, str.upper, maxweight=10, weigh=length)
    cache.put("key", "old")
    cache.put("key", "n" * 11)
    assert cache.peek("key") is None
    assert cache.stats().weight == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_loader_says_of_the_weight_goes_first(runtime: str) -> None:
    """It may know a length that is not the value's own; the function is not asked then."""

    def refuse(_key: object, value: object) -> int:
        raise AssertionError(value)

    async def body(cache: Any, get: Get) -> None:
        assert await get("a") == "a"
        cache.put("b", Loaded("b", weight=2))
        assert cache.stats().weight == 9
        assert await get("not kept") == "not kept"
        assert cache.stats().weight == 9

    def load(key: str) -> Loaded[str]:
        return Loaded(key, keep=False) if key == "not kept" else Loaded(key, weight=7)

    play(runtime, body, load, maxweight=10, weigh=refuse)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("weight", [0, -1, True, 1.5, None, "heavy"])
def test_a_bad_weight_is_told_and_nothing_is_lost(runtime: str, weight: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Who waits gets the value, which is not held; the log says why. Who puts it is told, and nothing is changed."""
    cache_options: dict[str, Any] = {"maxweight": 10, "weigh": lambda _key, value: weight if value == "BAD" else 1}

    async def body(cache: Any, get: Get) -> None:
        assert await get("bad") == "BAD"
        assert "bad" not in cache
        assert cache.stats().in_flight == 0
        cache.put("key", "good")
        with pytest.raises(PolicyError, match=r"weigh=.* is not accepted, it returned .* for 'key': give a function"):
            cache.put("key", "BAD")
        assert cache.peek("key") == "good"

    play(runtime, body, str.upper, **cache_options)
    assert "a loaded value is not held, for it could not be weighed: 'bad'" in caplog.text
    assert f"it returned {weight!r}" in caplog.text


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weigh_may_raise_and_call_the_cache(runtime: str, caplog: pytest.LogCaptureFixture) -> None:
    """It runs outside of the lock, and before the step."""

    def weigh(key: str, value: str) -> int:
        (cache,) = caches
        assert not cache._is_entered
        if key == "raises":
            raise OSError("no weight")
        if key == "puts":
            cache.put("another", value)
        return len(cache) + 1

    async def body(cache: Any, get: Get) -> None:
        caches.append(cache)
        assert await get("raises") == "RAISES"
        assert await get("puts") == "PUTS"
        assert "another" in cache
        with pytest.raises(OSError, match="no weight"):
            cache.put("raises", "value")

    caches: list[Any] = []
    play(runtime, body, str.upper, maxweight=10, weigh=weigh)
    assert "no weight" in caplog.text


async def weigh_later(_key: object, _value: object) -> int:
    """Would have to be awaited."""
    return 1


@pytest.mark.parametrize("kind", [herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"maxweight": 10}, "maxweight=10 is not accepted without weigh"),
        ({"weigh": length}, "weigh=.* is not accepted without maxweight"),
        ({"weigh": 1, "maxweight": 1}, "weigh=1 is not accepted: give a function"),
        ({"weigh": weigh_later, "maxweight": 1}, "weigh=.* is not accepted: give a function .* not async"),
        ({"weigh": length, "maxweight": 0}, "maxweight=0 is not accepted: give an integer >= 1"),
        ({"weigh": length, "maxweight": True}, "maxweight=True is not accepted"),
        ({"weigh": length, "maxweight": 1.5}, "maxweight=1.5 is not accepted"),
    ],
)
def test_what_cannot_be_a_bound_is_refused_by_name(kind: Any, options: dict[str, Any], named: str) -> None:
    """At once, and not at the first value."""
    with pytest.raises(PolicyError, match=named):
        kind(str.upper, **options)


def test_decorated_functions_have_the_same_words() -> None:
    """In threads the decorator calls the function itself."""

    @herdless.threads.cached(maxweight=5, weigh=lambda _key, value: value)
    def number(value: int) -> int:
        return value

    @herdless.asyncio.cached(maxweight=5, weigh=lambda _key, value: value)
    async def number_async(value: int) -> int:
        return value

    async def ask() -> None:
        assert [await number_async(value) for value in (2, 6, 3)] == [2, 6, 3]

    assert [number(value) for value in (2, 6, 3)] == [2, 6, 3]
    asyncio.run(ask())
    for function in (number, number_async):
        assert function.cache.stats().weight == 5
        assert function.cache_info().currsize == 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_restored_values_are_weighed_and_told_of(runtime: str) -> None:
    """A warm start fills no more than the room, and what it brought is closed like all else."""
    told: list[object] = []
    options: dict[str, Any] = {"ttl": 60, "maxweight": 10, "weigh": length}
    before = cache_of(runtime, str.upper, **options)
    for key in ("aaaa", "bbbb"):
        before.put(key, key)
    options["maxweight"] = 7
    after = cache_of(runtime, str.upper, on_remove=lambda key, *_: told.append(key), **options)
    assert after.restore(before.dump()) == 1
    assert after.stats().weight == 4
    after.clear()
    assert after.stats().weight == 0
    assert len(told) == 1
