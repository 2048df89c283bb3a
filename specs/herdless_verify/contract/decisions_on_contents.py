"""The decisions on what is held as a whole: keys, many keys at once, the rest of a life, another process."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from herdless_core import CacheClosed, Loaded, PolicyError
from herdless_verify.contract.world import World, outcome_of

# Keys


async def test_keys_are_those_that_are_in_the_cache(w: World) -> None:
    """Whoever goes over a cache finds a value at each key, whatever else is known of others."""
    cache = await w.open(ttl=10, stale_while_revalidate=5, stale_if_error=20, negative_ttl=100)
    cache.put("dead", Loaded(1, ttl=1, stale_while_revalidate=0, stale_if_error=0))
    cache.put("kept for errors", Loaded(1, ttl=1, stale_while_revalidate=0))
    cache.put("stale", Loaded(1, ttl=1))
    cache.put("fresh", 1)
    failing = w.get("remembered error")
    await w.settle()
    w.load.fail(LookupError("no such row"))
    await w.settle()
    assert isinstance(failing.error, LookupError)
    w.get("loading")
    await w.advance(2)
    assert sorted(cache.keys()) == ["fresh", "stale"]
    assert sorted(cache) == sorted(cache.keys())
    known = ["dead", "kept for errors", "stale", "fresh", "remembered error", "loading"]
    assert sorted(key for key in known if key in cache) == sorted(cache)
    assert len(cache) >= 2


async def test_cache_may_be_changed_while_one_goes_over_it(w: World) -> None:
    """The keys are those of one moment; a dict would refuse to go on."""
    cache = await w.open()
    for key in range(5):
        cache.put(key, key)
    for key in cache:
        cache.invalidate(key)
        cache.put(key + 10, key)
    assert sorted(cache) == [10, 11, 12, 13, 14]


# Many keys


async def test_invalidate_where_leaves_nothing_that_was_read_before(w: World) -> None:
    """For each key that is meant it is an `invalidate`: what is held goes, what is being loaded is not stored."""
    cache = await w.open()
    cache.put(("user", 1), "old")
    cache.put(("team", 1), "old")
    before = w.get(("user", 2))
    await w.settle()
    assert cache.invalidate_where(lambda key: key[0] == "user") == 2
    after = w.get(("user", 2))
    await w.settle()
    assert len(w.loads) == 2
    w.loads[0].succeed("old")
    await w.settle()
    assert before.value == "old"
    assert not after.is_done
    assert list(cache) == [("team", 1)]
    w.loads[1].succeed("new")
    await w.settle()
    assert after.value == cache.peek(("user", 2)) == "new"


async def test_what_is_loaded_after_invalidate_where_began_is_not_meant(w: World) -> None:
    """The predicate takes its time, outside of the lock: what comes in meanwhile is new, and it may use the cache."""
    cache = await w.open()
    cache.put("a", "old")
    seen = []

    def is_meant(key: str) -> bool:
        seen.append((key, cache.peek(key)))
        cache.put("b", "new")
        assert cache.peek("b") == "new"
        return True

    assert cache.invalidate_where(is_meant) == 1
    assert seen == [("a", "old")]
    assert cache.keys() == ["b"]


async def test_predicate_that_raises_invalidates_nothing(w: World) -> None:
    """A half of the keys would be neither what was asked for nor what was there."""
    cache = await w.open()
    for key in (1, "text", 2):
        cache.put(key, key)
    with pytest.raises(TypeError):
        cache.invalidate_where(lambda key: key > 0)
    assert len(cache.keys()) == 3
    with pytest.raises(PolicyError, match="predicate='user' is not accepted"):
        cache.invalidate_where("user")


async def test_expire_all_keeps_serving_as_stale(w: World) -> None:
    """Each key is loaded again at its next lookup, and served meanwhile: no herd at all keys at once."""
    cache = await w.open(ttl=100, stale_while_revalidate=10)
    for key in ("a", "b"):
        await w.fill(key, "old")
    cache.expire_all()
    assert len(w.loads) == 2
    assert [await outcome_of(w, key) for key in ("a", "b")] == ["stale", "stale"]
    assert len(w.loads) == 4
    for load in w.loads[2:]:
        load.succeed("new")
    await w.settle()
    assert [await outcome_of(w, key) for key in ("a", "b")] == ["hit", "hit"]


# The rest of a life


async def test_ttl_of_is_what_is_left(w: World) -> None:
    """It looks, and neither loads nor counts; what is held is told from what is not."""
    cache = await w.open(ttl=10, stale_while_revalidate=5, negative_ttl=100)
    cache.put("a", 1)
    cache.put("for ever", Loaded(1, ttl=math.inf))
    w.get("loading")
    await w.advance(4)
    assert (cache.ttl_of("a"), cache.ttl_of("for ever")) == (6.0, math.inf)
    assert (cache.ttl_of("loading"), cache.ttl_of("unknown")) == (None, None)
    await w.advance(8)
    assert cache.ttl_of("a") == 0.0
    await w.advance(3)
    assert cache.ttl_of("a") is None
    w.load.fail(LookupError("no such row"))
    await w.settle()
    assert cache.ttl_of("loading") is None
    assert len(w.loads) == 1
    assert cache.stats().hits == cache.stats().stale_hits == 0


async def test_lookup_says_what_is_left_of_the_ttl(w: World) -> None:
    """A server sends it on as `max-age`. Age and rest are one life, which began with the load."""
    cache = await w.open(ttl=10, stale_while_revalidate=5)
    loaded = w.lookup("k")
    await w.advance(2)
    w.load.succeed(1)
    await w.settle()
    await w.advance(1)
    hit = w.lookup("k")
    await w.settle()
    assert [(each.value.age, each.value.ttl) for each in (loaded, hit)] == [(2.0, 8.0), (3.0, 7.0)]
    await w.advance(8)
    stale = w.lookup("k")
    await w.settle()
    assert (stale.value.how, stale.value.ttl) == ("stale", 0.0)
    cache.invalidate("k")


async def test_answer_that_is_not_held_has_nothing_left(w: World) -> None:
    """Nobody may keep on his side what the cache itself did not store."""
    cache = await w.open(ttl=10)
    callers = [w.lookup(key) for key in ("not kept", "invalidated")]
    await w.settle()
    cache.invalidate("invalidated")
    for load in w.loads:
        load.succeed(Loaded(1, keep=load.key != "not kept"))
    await w.settle()
    assert [(caller.value.value, caller.value.ttl) for caller in callers] == [(1, 0.0), (1, 0.0)]


# Touch


async def test_touch_begins_a_new_life(w: World) -> None:
    """Who knows that a value still holds, says so, and need not have it."""
    cache = await w.open(ttl=10, stale_while_revalidate=5)
    await w.fill("k", 1)
    await w.advance(9)
    assert cache.touch("k")
    await w.advance(9)
    caller = w.lookup("k")
    await w.settle()
    assert (caller.value.how, caller.value.age, caller.value.ttl) == ("hit", 9.0, 1.0)
    await w.advance(2)
    for ttl in (60.0, math.inf):
        assert cache.touch("k", ttl)
        caller = w.lookup("k")
        await w.settle()
        assert caller.value.ttl == ttl
    assert len(w.loads) == 1


async def test_touch_is_for_values_that_are_held(w: World) -> None:
    """It makes nothing out of nothing, and no error a value."""
    cache = await w.open(ttl=10, negative_ttl=100)
    assert not cache.touch("unknown")
    cache.put("dead", 1)
    w.get("k")
    await w.advance(10)
    assert not cache.touch("dead")
    assert not cache.touch("k")
    w.load.fail(LookupError("no such row"))
    await w.advance(99)
    assert not cache.touch("k")
    await w.advance(1)
    assert await outcome_of(w, "k") == "waits"
    cache.put("k", 1)
    with pytest.raises(PolicyError, match="ttl=-1 is not accepted"):
        cache.touch("k", -1)


async def test_touch_answers_those_who_wait_for_a_load(w: World) -> None:
    """As by `put`: the value is as good as new, so the load behind it has nothing to say any more."""
    cache = await w.open(ttl=10, stale_if_error=60)
    await w.fill("k", "old")
    await w.advance(11)
    caller = w.get("k")
    await w.settle()
    assert cache.touch("k")
    await w.settle()
    if w.first_caller_loads:  # it comes back when the load ends
        w.load.succeed("late")
        await w.settle()
    assert caller.value == cache.peek("k") == "old"


# Another process


async def test_what_was_dumped_is_restored_with_its_age(w: World) -> None:
    """A warm start serves nothing for longer than the cache that loaded it would have."""
    cache = await w.open(ttl=10)
    await w.fill("a", "A")
    cache.put("own ttl", Loaded("B", ttl=60))
    cache.put("old", Loaded("C", ttl=2, stale_while_revalidate=5))
    await w.advance(4)
    records = json.loads(json.dumps(cache.dump()))
    other = await w.open(ttl=10)
    assert other.restore(records, older_by=1) == 3
    assert {key: other.ttl_of(key) for key in ("a", "own ttl", "old")} == {"a": 5.0, "own ttl": 55.0, "old": 0.0}
    assert other.peek("old") == "C"
    await w.advance(2)
    assert sorted(other) == ["a", "own ttl"]
    await w.advance(3)
    assert list(other) == ["own ttl"]
    another = await w.open(ttl=10)
    assert another.restore(records, older_by=11) == 1


async def test_only_values_are_dumped(w: World) -> None:
    """A load is its process's own, and an error that was remembered there is none here."""
    cache = await w.open(ttl=10, negative_ttl=100)
    failing = w.get("error")
    await w.settle()
    w.load.fail(LookupError("no such row"))
    await w.settle()
    assert isinstance(failing.error, LookupError)
    cache.put("dead", Loaded(1, ttl=1))
    cache.put("refreshed", 1)
    cache.refresh("refreshed")
    w.get("loading")
    await w.advance(1)
    (record,) = cache.dump()
    assert (record["key"], record["value"], record["age"], record["state"]) == ("refreshed", 1, 1, "fresh")


async def test_restore_overwrites_nothing(w: World) -> None:
    """What this process has read, or is reading, is newer than what another one had."""
    cache = await w.open()
    for key in ("held", "loading", "unknown"):
        cache.put(key, "dumped")
    records = cache.dump()
    other = await w.open()
    other.put("held", "own")
    caller = w.get("loading", cache=other)
    await w.settle()
    assert other.restore(records, older_by=0) == 1
    w.load.succeed("own")
    await w.settle()
    assert caller.value == "own"
    assert {key: other.peek(key) for key in other} == {"held": "own", "loading": "own", "unknown": "dumped"}


async def test_restore_keeps_to_maxsize(w: World) -> None:
    """A snapshot of a larger cache fills this one and evicts nothing: those looked up of late come first."""
    cache = await w.open(maxsize=10)
    for key in range(10):
        cache.put(key, key)
    for key in (7, 8):
        w.get(key)
    await w.settle()
    other = await w.open(maxsize=3)
    other.put("own", 1)
    assert other.restore(cache.dump(), older_by=0) == 2
    assert set(other) == {"own", 7, 8}
    assert other.stats().evictions == 0


async def test_a_bad_record_restores_nothing(w: World) -> None:
    """A file that somebody edited, or that a later version wrote, is told of by the number of its record."""
    cache = await w.open(ttl=10)
    cache.put("a", 1)
    cache.put("b", 2)
    first, second = cache.dump()
    bad: dict[str, Any] = {
        "version=2": {**second, "version": 2},
        "age=-1": {**second, "age": -1},
        "no 'value'": {name: part for name, part in second.items() if name != "value"},
        "cannot be hashed": {**second, "key": ["b"]},
        "type list": ["b", 2],
    }
    other = await w.open(ttl=10)
    for says, record in bad.items():
        with pytest.raises(PolicyError, match=rf"records\[1\].*{says}.*nothing was restored"):
            other.restore([first, record])
    with pytest.raises(PolicyError, match="older_by='1' is not accepted"):
        other.restore([first], older_by="1")
    assert other.keys() == []


async def test_closed_cache_has_no_contents(w: World) -> None:
    """A dump after the end would be empty, and overwrite a good one; it is refused, as every request is."""
    cache = await w.open()
    cache.put("a", 1)
    records = cache.dump()
    closing = w.close()
    await w.settle()
    assert closing.is_done
    for request in (
        cache.keys,
        cache.dump,
        cache.expire_all,
        lambda: list(cache),
        lambda: cache.ttl_of("a"),
        lambda: cache.touch("a"),
        lambda: cache.invalidate_where(bool),
        lambda: cache.restore(records),
    ):
        with pytest.raises(CacheClosed):
            request()
