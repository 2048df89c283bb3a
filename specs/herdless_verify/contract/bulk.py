"""Many keys at once: `get_many`, `put_many`, `invalidate_many`, and loaders of many keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from herdless_core import CacheClosed, PolicyError, ReentrantLoad
from herdless_verify.contract.parts import Caller
from herdless_verify.contract.world import FIRST_LEAVE_NS, World


async def open_bulk(w: World, **options: Any) -> Any:
    """A cache that loads many keys by one call, which parks as the world's own loader does, for the tuple of them."""
    return await w.open(load=None, load_many=lambda keys: w.loader(tuple(keys)), **options)


def get_many(w: World, *keys: str, leaves: int | None = None, **options: Any) -> Caller:
    """Start a caller of `get_many`. leaves: its rank among those that are to leave."""
    if leaves is None:
        return w.begin(lambda: w.cache.get_many(keys, **options))
    timeout_ns = leaves * FIRST_LEAVE_NS
    return w.begin(lambda: w.call_with_timeout(w.cache.get_many, keys, timeout_ns), timeout_ns)


def asked_for(w: World) -> list[Any]:
    """What each call of the loader was given."""
    return [load.key for load in w.loads]


async def end_loads(w: World, value: Callable[[Any], object]) -> None:
    """Let every load give this of its key, as long as any is begun."""
    await w.settle()
    while parked := [load for load in w.loads if load.action is None]:
        for load in parked:
            load.succeed(value(load.key))
        await w.settle()


async def test_values_come_in_the_order_of_the_keys(w: World) -> None:
    """And each once, from a load of its own: `get_many` needs no loader of many keys."""
    cache = await w.open()
    cache.put("c", "put")
    caller = get_many(w, "b", "c", "a", "b")
    await end_loads(w, str.upper)
    assert list(caller.value.items()) == [("b", "B"), ("c", "put"), ("a", "A")]
    assert sorted(asked_for(w)) == ["a", "b"]
    assert (cache.stats().hits, cache.stats().misses) == (1, 2)


async def test_many_keys_are_loaded_by_one_call(w: World) -> None:
    """One round trip for a page of rows; what is held is not asked for."""
    cache = await open_bulk(w)
    cache.put("b", 2)
    caller = get_many(w, "a", "b", "c")
    await w.settle()
    assert list(map(sorted, asked_for(w))) == [["a", "c"]]
    w.load.succeed({"c": 3, "a": 1, "unasked": 4})
    await w.settle()
    assert list(caller.value.items()) == [("a", 1), ("b", 2), ("c", 3)]
    assert (cache.peek("a"), cache.peek("c"), cache.peek("unasked")) == (1, 3, None)


async def test_herd_of_overlapping_pages_loads_each_key_once(w: World) -> None:
    """A key that is in the air in one call is joined by the next, which loads the rest."""
    await open_bulk(w)
    first = get_many(w, "a", "b")
    await w.settle()
    second, single = get_many(w, "b", "c"), w.get("a")
    await end_loads(w, lambda keys: {key: key.upper() for key in keys})
    assert sorted(key for keys in asked_for(w) for key in keys) == ["a", "b", "c"]
    assert (first.value, second.value, single.value) == ({"a": "A", "b": "B"}, {"b": "B", "c": "C"}, "A")


async def test_misses_that_arrive_together_are_one_call(w: World) -> None:
    """Callers who know nothing of each other, as the resolvers of a query do, share a round trip."""
    await open_bulk(w)
    callers = [w.get(key) for key in "abc"]
    await end_loads(w, lambda keys: {key: key.upper() for key in keys})
    assert list(map(sorted, asked_for(w))) == [["a", "b", "c"]]
    assert [caller.value for caller in callers] == ["A", "B", "C"]


async def test_one_call_has_no_more_keys_than_batch_size(w: World) -> None:
    """A database takes so many parameters and no more."""
    await open_bulk(w, batch_size=2)
    caller = get_many(w, *"abcde")
    await end_loads(w, lambda keys: {key: key.upper() for key in keys})
    assert sorted(map(len, asked_for(w))) == [1, 2, 2]
    assert caller.value == dict(zip("abcde", "ABCDE", strict=True))


async def test_key_that_the_loader_leaves_out_is_a_miss_of_its_own(w: World) -> None:
    """No such row is a KeyError for that key alone, and the others are stored."""
    cache = await open_bulk(w)
    caller = get_many(w, "a", "b", return_exceptions=True)
    await end_loads(w, lambda _: {"a": 1})
    assert caller.value["a"] == 1
    assert isinstance(caller.value["b"], KeyError)
    assert (cache.peek("a"), "b" in cache) == (1, False)
    strict = get_many(w, "a", "b")
    await end_loads(w, lambda _: {})
    assert isinstance(strict.error, KeyError)
    assert strict.error.args == ("b",)


async def test_failing_call_fails_its_own_keys_only(w: World) -> None:
    """What is held is answered, and each key is loaded again by the next who asks for it."""
    cache = await open_bulk(w)
    cache.put("a", 1)
    caller = get_many(w, "a", "b", "c", return_exceptions=True)
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert caller.value["a"] == 1
    assert [type(caller.value[key]) for key in "bc"] == [OSError, OSError]
    assert caller.value["b"] is not caller.value["c"]
    again = get_many(w, "b")
    await end_loads(w, lambda _: {"b": 2})
    assert again.value == {"b": 2}


async def test_key_that_is_invalidated_during_its_call_is_not_stored(w: World) -> None:
    """Every promise is of one key: its waiters get the result, newcomers load, the others of the call are stored."""
    cache = await open_bulk(w)
    before = get_many(w, "a", "b")
    await w.settle()
    first = w.load
    cache.invalidate_many(["a"])
    after = w.get("a")
    await w.settle()
    first.succeed({"a": "old", "b": 2})
    await end_loads(w, lambda _: {"a": "new"})
    assert (before.value, after.value) == ({"a": "old", "b": 2}, "new")
    assert (cache.peek("a"), cache.peek("b")) == ("new", 2)


async def test_loader_of_many_that_returns_no_mapping_is_named(w: World) -> None:
    """A list of rows is what such a function is most often written to return."""
    await open_bulk(w)
    caller = get_many(w, "a")
    await end_loads(w, list)
    assert isinstance(caller.error, TypeError)
    assert "load_many=" in str(caller.error)
    assert "mapping" in str(caller.error)


async def test_loader_of_many_that_asks_for_its_own_keys_is_told(w: World) -> None:
    """Any key of the call would wait for the call itself."""
    cache = await open_bulk(w)
    caller = get_many(w, "a", "b")
    await w.settle()
    w.load.release(lambda: cache.get("b"))
    await w.settle()
    assert isinstance(caller.error, ReentrantLoad)
    assert cache.stats().in_flight == 0


async def test_caller_of_many_who_leaves_takes_only_itself_away(w: World) -> None:
    """Who waits for one of the keys is answered as if nobody had left."""
    cache = await open_bulk(w)
    leaver = get_many(w, "a", "b", leaves=1)
    await w.settle()
    joiner = w.get("b")
    await w.settle()
    await w.leave(leaver)
    await end_loads(w, lambda keys: {key: key.upper() for key in keys})
    assert joiner.value == "B"
    assert cache.stats().in_flight == 0


async def test_many_are_put_and_invalidated(w: World) -> None:
    """As one after the other."""
    cache = await w.open()
    cache.put_many({"a": 1, "b": 2, "c": 3})
    cache.invalidate_many(["a", "b"])
    assert [cache.peek(key) for key in "abc"] == [None, None, 3]


async def test_bad_keys_of_many_are_refused(w: World) -> None:
    """The characters of a text are hardly the keys that were meant."""
    cache = await w.open()
    callers = [w.begin(lambda: cache.get_many("abc")), w.begin(lambda: cache.get_many(5))]
    await w.settle()
    assert [type(caller.error) for caller in callers] == [PolicyError, PolicyError]
    with pytest.raises(PolicyError, match="keys='abc' is not accepted"):
        cache.invalidate_many("abc")
    with pytest.raises(PolicyError, match="values=5 is not accepted"):
        cache.put_many(5)
    unhashable = w.begin(lambda: cache.get_many([[]]))
    await w.settle()
    assert isinstance(unhashable.error, TypeError)
    for options in ({"batch_size": 0}, {"load_many": 5}):
        with pytest.raises(PolicyError, match=f"{next(iter(options))}="):
            await w.open(**{"load": None, "load_many": dict, **options})
    with pytest.raises(PolicyError, match="beside load="):
        await w.open(load_many=dict)


async def test_stale_key_among_many_is_answered_at_once(w: World) -> None:
    """Each key is looked up as by `get`: what may be served stale is, and is loaded behind it."""
    await open_bulk(w, ttl=10, stale_while_revalidate=100)
    first = get_many(w, "a")
    await end_loads(w, lambda _: {"a": 1})
    await w.advance(10)
    again = get_many(w, "a")
    await w.settle()
    assert (first.value, again.value) == ({"a": 1}, {"a": 1})
    await end_loads(w, lambda _: {"a": 2})
    assert w.cache.peek("a") == 2


async def test_many_keys_of_a_closed_cache_are_refused(w: World) -> None:
    """By each way to load them."""
    bulk, single = await open_bulk(w), await w.open()
    closing = [w.close(), w.begin(single.close)]
    await w.settle()
    refused = [get_many(w, "a"), w.begin(lambda: single.get_many(["a"]))]
    await w.settle()
    assert [caller.error for caller in closing] == [None, None]
    assert [type(caller.error) for caller in refused] == [CacheClosed, CacheClosed]
    assert bulk.stats().in_flight == single.stats().in_flight == 0


async def test_get_many_waits_for_one_soft_timeout(w: World) -> None:
    """And not for one for each of its keys."""
    await open_bulk(w, ttl=10, stale_if_error=100, soft_timeout=2)
    for key in ("a", "b"):
        w.cache.put(key, key)
    await w.advance(20)
    caller = get_many(w, "a", "b")
    await w.advance(2)
    assert caller.value == {"a": "a", "b": "b"}
    assert w.cache.stats().soft_answers == 2
