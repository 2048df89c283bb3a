"""Loaders that callers bring: `get(key, load=...)`, and a cache that has no loader of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from herdless_core import NoLoader, PolicyError
from herdless_verify.contract.world import World


def brought_by(w: World, name: str) -> Callable[[Any], Any]:
    """A loader of the caller with this name: it parks as the world's own does, for the key "KEY by NAME"."""
    return lambda key: w.loader(f"{key} by {name}")


async def fill_by(w: World, name: str, key: str, value: object) -> None:
    """Load the value into the cache by this caller's loader."""
    caller = w.begin(lambda: w.cache.get(key, load=brought_by(w, name)))
    await w.settle()
    w.load.succeed(value)
    await w.settle()
    assert caller.value == value


async def test_loader_of_the_caller_takes_the_place_of_the_caches(w: World) -> None:
    """What a request needs for its load, a session or a user's rights, is at hand where the request is."""
    await w.open()
    await fill_by(w, "a", "k", 1)
    assert [load.key for load in w.loads] == ["k by a"]
    await w.fill("other", 2)
    assert w.load.key == "other"


async def test_loaders_of_those_who_join_are_not_called(w: World) -> None:
    """A herd that brings a loader each is still one load, and all get what the first one's gave."""
    await w.open()
    herd = [w.begin(lambda: w.cache.get("k", load=brought_by(w, "a")))]
    await w.settle()
    herd += [w.begin(lambda: w.cache.get("k", load=brought_by(w, "b"))), w.get("k")]
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert [load.key for load in w.loads] == ["k by a"]
    assert [caller.value for caller in herd] == [1, 1, 1]


async def test_lookup_takes_a_loader_too(w: World) -> None:
    """Who asks how a value was come by loads it in the same way."""
    await w.open(load=None)
    caller = w.begin(lambda: w.cache.lookup("k", load=brought_by(w, "a")))
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert (caller.value.value, caller.value.how) == (1, "loaded")


async def test_failed_load_of_a_caller_is_loaded_anew_by_the_next(w: World) -> None:
    """An error of one caller's loader is told to those who waited for it, and to nobody else."""
    await w.open(load=None)
    first = w.begin(lambda: w.cache.get("k", load=brought_by(w, "a")))
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(first.error, OSError)
    await fill_by(w, "b", "k", 2)


async def test_cache_without_a_loader_answers_what_it_has(w: World) -> None:
    """A key that was loaded or put needs no loader; one that is not known is refused, and nothing is left of it."""
    cache = await w.open(load=None)
    refused = w.get("k")
    await w.settle()
    assert isinstance(refused.error, NoLoader)
    assert "'k'" in str(refused.error)
    assert (cache.stats().in_flight, cache.stats().misses, w.loads) == (0, 0, [])
    await fill_by(w, "a", "k", 1)
    cache.put("put", 2)
    answered = [w.get("k"), w.get("put")]
    await w.settle()
    assert [caller.value for caller in answered] == [1, 2]
    assert cache.stats().hits == 2


async def test_caller_without_a_loader_joins_a_load(w: World) -> None:
    """The value is on its way: there is nothing that it would need a loader for."""
    await w.open(load=None)
    leader = w.begin(lambda: w.cache.get("k", load=brought_by(w, "a")))
    await w.settle()
    joiner = w.get("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert (leader.value, joiner.value) == (1, 1)


async def test_stale_value_is_refreshed_by_the_loader_of_who_asks(w: World) -> None:
    """A refresh runs what its own caller brought; one who brings nothing is answered, and starts none."""
    cache = await w.open(load=None, ttl=10, stale_while_revalidate=100)
    await fill_by(w, "a", "k", 1)
    await w.advance(10)
    without = w.get("k")
    await w.settle()
    assert (without.value, len(w.loads), cache.stats().stale_hits) == (1, 1, 1)
    bringing = w.begin(lambda: cache.get("k", load=brought_by(w, "b")))
    await w.settle()
    assert bringing.value == 1
    assert w.load.key == "k by b"
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_load_that_waits_for_its_turn_keeps_its_loader(w: World) -> None:
    """With `max_loads` it is begun later, by whoever ends the load before it."""
    await w.open(load=None, max_loads=1)
    first = w.begin(lambda: w.cache.get("k", load=brought_by(w, "a")))
    await w.settle()
    second = w.begin(lambda: w.cache.get("l", load=brought_by(w, "b")))
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert w.load.key == "l by b"
    w.load.succeed(2)
    await w.settle()
    assert (first.value, second.value) == (1, 2)


async def test_refresh_takes_a_loader(w: World) -> None:
    """A cache is warmed up by what the program has at hand; without any loader the call is refused at once."""
    cache = await w.open(load=None)
    with pytest.raises(NoLoader, match="'k'"):
        cache.refresh("k")
    cache.refresh("k", load=brought_by(w, "a"))
    await w.settle()
    assert w.load.key == "k by a"
    w.load.succeed(1)
    await w.settle()
    assert cache.peek("k") == 1


async def test_loader_of_a_caller_is_let_go_with_its_load(w: World) -> None:
    """It may hold a request, a session, a transaction: these live as long as the call, and not as long as the value."""
    cache = await w.open(load=None)
    alive: list[weakref.ref[Any]] = []

    def brought() -> Callable[[Any], Any]:
        load = brought_by(w, "a")
        alive.append(weakref.ref(load))
        return load

    caller = w.begin(lambda: cache.get("k", load=brought()))
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    cache.refresh("k", load=brought())
    await w.settle()
    w.load.succeed(2)
    await w.settle()
    assert (caller.value, cache.peek("k")) == (1, 2)
    assert [ref() for ref in alive] == [None, None]


async def test_what_is_no_loader_is_refused(w: World) -> None:
    """A default in the place of a loader, as `dict.get` takes one, is found at the first lookup of an unknown key."""
    cache = await w.open()
    caller = w.begin(lambda: cache.get("k", load=0))
    await w.settle()
    assert isinstance(caller.error, PolicyError)
    assert "load=0 is not accepted" in str(caller.error)
    with pytest.raises(PolicyError, match="load=0 is not accepted"):
        cache.refresh("k", load=0)
    assert (cache.stats().in_flight, w.loads) == (0, [])
