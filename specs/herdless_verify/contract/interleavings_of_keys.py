"""Interleavings in which other caches broke, each with its source: what else is done to the key of a load.

Those that only one runtime can show (a fork during a load) are in tests/runtimes/.
"""

from __future__ import annotations

import pytest

from herdless_core import ReentrantLoad
from herdless_verify.contract.world import World


async def test_14_value_removed_during_its_load_is_not_stored(w: World) -> None:
    """From FusionCache #625: load; remove; the old result is cached."""
    cache = await w.open()
    caller = w.get("k")
    await w.settle()
    cache.invalidate("k")
    w.load.succeed("old")
    await w.settle()
    assert caller.value == "old"
    assert "k" not in cache


async def test_15_validity_starts_with_the_load(w: World) -> None:
    """From FusionCache #628: an eager refresh; a removal; the entry, stamped after the load, passes the check."""
    cache = await w.open(ttl=10, early_refresh=0.5)
    await w.fill("k", 1)
    await w.advance(5)
    w.get("k")
    await w.settle()
    refresh = w.load
    cache.clear()
    refresh.succeed("old")  # where it was not cancelled
    await w.settle()
    assert "k" not in cache
    slow = w.lookup("k")
    await w.settle()
    await w.advance(4)
    w.load.succeed(2)
    await w.settle()
    assert slow.value.age == 4


async def test_16_clear_hits_a_pending_entry(w: World) -> None:
    """From guava #3189: the first load is pending; clear sees a count of 0 and skips it; its result is cached."""
    cache = await w.open()
    w.get("k")
    await w.settle()
    assert len(cache) == 0
    cache.clear()
    w.load.succeed("old")
    await w.settle()
    assert "k" not in cache


async def test_17_waiters_of_an_invalidated_load_get_one_outcome(w: World) -> None:
    """From otter #137: an invalidation gives one waiter nothing and another the value."""
    cache = await w.open()
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    cache.invalidate("k")
    w.load.succeed("old")
    await w.settle()
    assert [waiter.value for waiter in waiters] == ["old"] * 3


async def test_18_put_during_a_load_answers_its_waiters(w: World) -> None:
    """quick_cache #40: put replaces the placeholder while the guard publishes; a woken waiter panics."""
    cache = await w.open()
    w.ignores_cancellation = True
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    w.load.succeed("loaded")
    cache.put("k", "put")
    await w.settle()
    values = {waiter.value for waiter in waiters}
    assert len(values) == 1
    assert values <= {"loaded", "put"}
    assert cache.peek("k") == "put"


@pytest.mark.parametrize("change", ["put", "invalidate"])
async def test_19_flight_is_claimed_before_the_loader_runs(w: World, change: str) -> None:
    """From mochi #348: a flight is claimed only after an awaited read; a set or delete in the gap is lost."""
    cache = await w.open()
    w.ignores_cancellation = True
    w.at_load = lambda key: cache.put(key, "put") if change == "put" else cache.invalidate(key)
    caller = w.get("k")
    await w.settle()
    w.load.succeed("loaded")
    await w.settle()
    assert caller.value == ("put" if change == "put" else "loaded")
    assert cache.peek("k") == ("put" if change == "put" else None)


async def test_20_pending_entry_is_not_evicted(w: World) -> None:
    """From lru-cache #274: max is reached; the pending entry is evicted; its waiter gets undefined."""
    cache = await w.open(maxsize=2)
    pending = [w.get(key) for key in ("a", "b", "c")]
    await w.settle()
    for number in range(5):
        cache.put(number, number)
    for load in w.loads:
        load.succeed(load.key)
    await w.settle()
    assert [caller.value for caller in pending] == ["a", "b", "c"]
    assert len(cache) == 2


async def test_21_cancelled_refresh_is_no_orphan(w: World) -> None:
    """From FusionCache #218: an eager refresh is cancelled; its lock is never released."""
    cache = await w.open(ttl=10, early_refresh=0.5)
    await w.fill("k", 1)
    for number in range(2, 5):
        await w.advance(5)
        w.get("k")
        await w.settle()
        assert len(w.loads) == number
        cache.put("k", number)  # cancels the refresh
        await w.settle()
    assert cache.stats().in_flight == 0


async def test_22_stale_readers_never_wait(w: World) -> None:
    """From bentocache #103: a stale value, its refresh running; the second reader blocks."""
    await w.open(ttl=10, stale_while_revalidate=10)
    await w.fill("k", 1)
    await w.advance(10)
    for _ in range(3):
        reader = w.lookup("k")
        await w.settle()
        assert (reader.value.value, reader.value.how) == (1, "stale")


async def test_23_refresh_that_readers_raced_for_is_stored(w: World) -> None:
    """From caffeine #1970: two readers race a refresh; the good result is discarded."""
    cache = await w.open(ttl=10, stale_while_revalidate=10)
    await w.fill("k", 1)
    await w.advance(10)
    w.get("k")
    w.get("k")
    await w.settle()
    assert len(w.loads) == 2
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_24_grace_does_not_set_the_next_ttl(w: World) -> None:
    """From rails #54229: a short grace ttl leaks into the new value."""
    await w.open(ttl=100, stale_while_revalidate=10, stale_if_error=50, refresh_backoff=1)
    await w.fill("k", 1)
    await w.advance(100)
    w.get("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.advance(1)
    w.get("k")
    await w.settle()
    w.load.succeed(2)
    await w.settle()
    await w.advance(99.5)
    reader = w.lookup("k")
    await w.settle()
    assert (reader.value.value, reader.value.how) == (2, "hit")


async def test_25_loader_that_asks_for_its_own_key_is_told(w: World) -> None:
    """From cachebox #54: same-key re-entry deadlocks."""
    cache = await w.open()
    caller = w.get("k")
    await w.settle()
    w.load.release(lambda: cache.get("k"))
    await w.settle()
    assert isinstance(caller.error, ReentrantLoad)
    await w.fill("k", 1)


async def test_25_cycle_of_keys_is_told(w: World) -> None:
    """From cachebox #54, the long way round: a's loader asks for b, and b's for a."""
    cache = await w.open()
    caller = w.get("a")
    await w.settle()
    w.load.release(lambda: cache.get("b"))
    await w.settle()
    w.load.release(lambda: cache.get("a"))
    await w.settle()
    assert isinstance(caller.error, ReentrantLoad)
    assert len(w.loads) == 2


async def test_25_cycle_closed_from_both_sides_is_told(w: World) -> None:
    """From cachebox #54, by two callers: each loads what the other's loader asks for. One of them is told."""
    cache = await w.open()
    a, b = w.get("a"), w.get("b")
    await w.settle()
    loads = {load.key: load for load in w.loads}
    loads["a"].release(lambda: cache.get("b"))
    await w.settle()
    loads["b"].release(lambda: cache.get("a"))
    await w.settle()
    assert isinstance(b.error, ReentrantLoad)
    assert repr(a.error) == repr(b.error)


async def test_25_cycle_across_caches_is_told(w: World) -> None:
    """From cachebox #54, through two caches, whose keys may be equal without being the same."""
    first, second = await w.open(), await w.open()
    caller = w.get("k", cache=first)
    await w.settle()
    w.load.release(lambda: second.get("k"))
    await w.settle()
    w.load.release(lambda: first.get("k"))
    await w.settle()
    assert isinstance(caller.error, ReentrantLoad)
    assert len(w.loads) == 2


async def test_25_loader_may_ask_for_other_keys(w: World) -> None:
    """Re-entry is told by what waits for what, not by depth: a chain, and a key already loaded, are no cycle."""
    cache = await w.open()
    await w.fill("known", 1)
    caller = w.get("a")
    await w.settle()
    w.load.release(lambda: cache.get("b"))
    await w.settle()
    w.load.release(lambda: cache.get("known"))
    await w.settle()
    assert caller.value == 1
