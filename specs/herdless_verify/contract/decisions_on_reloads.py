"""The decisions on `reload`, which waits for a load that began after it was called, and on what `refresh` says."""

from __future__ import annotations

from typing import Any

from herdless_core import Loaded, LoadSucceeded, TooManyWaiters
from herdless_verify.contract.world import World, outcome_of


async def test_reload_of_an_unknown_key_is_its_load(w: World) -> None:
    """And a lookup joins it."""
    await w.open()
    reloader = w.reload("k")
    await w.settle()
    assert await outcome_of(w, "k") == "waits"
    w.load.succeed(1)
    await w.settle()
    assert reloader.value == 1
    assert len(w.loads) == 1


async def test_reload_joins_no_older_flight(w: World) -> None:
    """What that has read may be older than the change of which the caller knows. It is waited for, and then comes the
    caller's own: there are never two at once.
    """
    cache = await w.open(ttl=10)
    early = w.get("k")
    await w.settle()
    reloader = w.reload("k")
    await w.settle()
    assert len(w.loads) == 1
    w.loads[0].succeed("read before")
    await w.settle()
    assert early.value == "read before"
    assert not reloader.is_done
    assert len(w.loads) == 2
    assert await outcome_of(w, "k") == "hit"
    w.load.succeed("read after")
    await w.settle()
    assert reloader.value == "read after"
    assert cache.peek("k") == "read after"


async def test_all_who_reload_meanwhile_share_the_next_load(w: World) -> None:
    """A herd of them is two loads: the one in flight, and the next."""
    cache = await w.open(ttl=10)
    w.get("k")
    await w.settle()
    reloaders = [w.reload("k") for _ in range(5)]
    await w.settle()
    w.loads[0].succeed(1)
    await w.settle()
    assert len(w.loads) == 2
    w.load.succeed(2)
    await w.settle()
    assert [reloader.value for reloader in reloaders] == [2] * 5
    assert cache.stats().loads == 2


async def test_reload_that_comes_later_waits_for_a_later_load(w: World) -> None:
    """The load of an earlier reload has begun before the call, as any other."""
    await w.open(ttl=10)
    await w.fill("k", 1)
    first = w.reload("k")
    await w.settle()
    second = w.reload("k")
    await w.settle()
    assert len(w.loads) == 2
    w.load.succeed(2)
    await w.settle()
    assert first.value == 2
    assert not second.is_done
    w.load.succeed(3)
    await w.settle()
    assert second.value == 3


async def test_reload_is_told_of_a_failure_that_a_value_covers(w: World) -> None:
    """Who reloads wants to know; who looks the key up gets the value that is kept."""
    cache = await w.open(ttl=10, stale_if_error=100, refresh_backoff=5)
    await w.fill("k", 1)
    await w.advance(20)
    reloader = w.reload("k")
    await w.settle()
    lookup = w.lookup("k")
    await w.settle()
    assert len(w.loads) == 2
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(reloader.error, OSError)
    assert (lookup.value.value, lookup.value.how) == (1, "stale")
    assert cache.peek("k") == 1


async def test_reload_does_not_mind_the_failure_of_an_older_load(w: World) -> None:
    """Nor the back-off after it: it is a load that the caller asks for."""
    await w.open(ttl=10, stale_while_revalidate=100, refresh_backoff=50)
    await w.fill("k", 1)
    await w.advance(20)
    assert await outcome_of(w, "k") == "stale"
    reloader = w.reload("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert not reloader.is_done
    w.load.succeed(2)
    await w.settle()
    assert reloader.value == 2


async def test_reload_is_told_of_its_deadline(w: World) -> None:
    """A load past load_timeout failed, whatever is kept."""
    await w.open(ttl=10, stale_if_error=100, load_timeout=5)
    await w.fill("k", 1)
    reloader = w.reload("k")
    await w.advance(5)
    assert type(reloader.error).__name__ == "LoadTimeout"
    assert await outcome_of(w, "k") == "hit"


async def test_reload_that_leaves_takes_only_itself_away(w: World) -> None:
    """The load goes on for the other, and is stored."""
    cache = await w.open(ttl=10)
    await w.fill("k", 1)
    leaver, stayer = w.reload("k", leaves=1), w.reload("k")
    await w.settle()
    await w.leave(leaver)
    assert not w.load.was_cancelled
    w.load.succeed(2)
    await w.settle()
    if not stayer.is_done:  # its call was later than the start of the other's load
        w.load.succeed(2)
        await w.settle()
    assert stayer.value == 2
    assert cache.peek("k") == 2


async def test_reload_that_leaves_while_an_older_load_runs_orders_none(w: World) -> None:
    """Nobody is left who wants the next one."""
    await w.open(ttl=10)
    first = w.get("k")
    await w.settle()
    leaver = w.reload("k", leaves=1)
    await w.settle()
    await w.leave(leaver)
    w.load.succeed(1)
    await w.settle()
    assert first.value == 1
    assert len(w.loads) == 1


async def test_reload_after_an_invalidation_is_answered_by_what_was_read_after(w: World) -> None:
    """The load that was invalidated is for those who joined it before."""
    cache = await w.open(ttl=10)
    before = w.get("k")
    await w.settle()
    cache.invalidate("k")
    reloader = w.reload("k")
    await w.settle()
    earlier, later = w.loads
    later.succeed("new")
    earlier.succeed("old")
    await w.settle()
    assert (before.value, reloader.value) == ("old", "new")
    assert cache.peek("k") == "new"


async def test_reload_is_refused_where_enough_wait(w: World) -> None:
    """max_waiters bounds them as all who wait."""
    await w.open(ttl=10, max_waiters=1)
    first = w.get("k")
    await w.settle()
    second = w.reload("k")
    await w.settle()
    assert isinstance(second.error, TooManyWaiters)
    w.load.succeed(1)
    await w.settle()
    assert first.value == 1


async def test_reload_of_a_value_that_is_not_kept_is_answered_with_it(w: World) -> None:
    """It is the value of the load, and what was held stays for the others."""
    cache = await w.open(ttl=10)
    await w.fill("k", 1)
    reloader = w.reload("k")
    await w.settle()
    w.load.succeed(Loaded("once", keep=False))
    await w.settle()
    assert reloader.value == "once"
    assert cache.peek("k") == 1


async def test_refresh_says_whether_it_started_a_load(w: World) -> None:
    """Whoever counts what was asked of an origin has to know."""
    cache = await w.open(ttl=10)
    assert cache.refresh("k") is True
    await w.settle()
    assert cache.refresh("k") is False
    w.load.succeed(1)
    await w.settle()
    assert cache.refresh("k") is True
    await w.settle()
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_reload_is_not_given_what_a_tag_has_made_outdated(w: World) -> None:
    """A load that began after the call, but before a tag was invalidated: who joins it after that, a reload too, is not
    told a value that has the tag. It waits for the next load.
    """

    def meanwhile(_key: object, step: Any) -> None:
        if isinstance(step.event, LoadSucceeded) and step.event.generation == 1:  # before the reload goes on
            cache.refresh("k")
            cache.invalidate_tag("t")

    cache = await w.open(ttl=10, observe=meanwhile)
    w.get("k")
    await w.settle()
    reloader = w.reload("k")
    await w.settle()
    w.load.succeed("read before")
    await w.settle()
    assert len(w.loads) == 2
    w.load.succeed(Loaded("outdated", tags=["t"]))
    await w.settle()
    assert not reloader.is_done
    assert len(w.loads) == 3
    w.load.succeed(Loaded("new", tags=["t"]))
    await w.settle()
    assert reloader.value == "new"
    assert cache.peek("k") == "new"
