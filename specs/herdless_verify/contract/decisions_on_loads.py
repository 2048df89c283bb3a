"""The decisions that are not promises by name, on loads: who leaves or closes, errors, deadlines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from herdless_core import CacheClosed, LoadCancelled, LoadTimeout, ReentrantLoad
from herdless_verify.contract.world import World, outcome_of

# Leaving


async def test_load_that_nobody_waits_for_is_cancelled(w: World) -> None:
    """When the last waiter leaves and no value is being served, the load would run for nobody."""
    cache = await w.open()
    a, b = w.get("k", leaves=1), w.get("k", leaves=2)
    await w.settle()
    await w.leave(a)
    assert not w.load.was_cancelled
    await w.leave(b)
    assert w.load.was_cancelled
    assert cache.stats().in_flight == 0


async def test_load_that_nobody_waits_for_is_stored(w: World) -> None:
    """A thread cannot be cancelled, so what it has worked for is of use to the next caller."""
    cache = await w.open()
    sole = w.get("k", leaves=1)
    await w.settle()
    await w.leave(sole)
    w.load.succeed(1)
    await w.settle()
    assert cache.peek("k") == 1


async def test_load_that_nobody_waits_for_is_finished_where_asked(w: World) -> None:
    """With `finish_unwatched`: a client who hangs up has the key loaded for the next one, whatever the runtime."""
    cache = await w.open(finish_unwatched=True)
    sole = w.get("k", leaves=1)
    await w.settle()
    await w.leave(sole)
    assert not w.load.was_cancelled
    joiner = w.get("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert (joiner.value, cache.peek("k"), len(w.loads)) == (1, 1, 1)


async def test_refresh_goes_on_when_its_last_waiter_leaves(w: World) -> None:
    """A value that is kept for stale_if_error is still the key's: its load is worth finishing."""
    cache = await w.open(ttl=10, stale_if_error=100)
    await w.fill("k", 1)
    await w.advance(10)
    waiter = w.get("k", leaves=1)
    await w.settle()
    await w.leave(waiter)
    assert not w.load.was_cancelled
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2


async def test_all_waiters_leave_an_invalidated_load(w: World) -> None:
    """A removed entry whose last waiter leaves lets go of its load, and its key is not touched by it."""
    cache = await w.open()
    sole = w.get("k", leaves=1)
    await w.settle()
    cache.invalidate("k")
    await w.leave(sole)
    assert cache.stats().in_flight == 0
    w.load.succeed("old")  # where it was not cancelled
    await w.settle()
    assert "k" not in cache


# Errors


async def test_error_is_shared_and_forgotten(w: World) -> None:
    """N waiters of a failing loader see one error of one load, not N in series; the next caller tries again."""
    cache = await w.open()
    waiters = [w.get("k") for _ in range(5)]
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert not [waiter for waiter in waiters if not isinstance(waiter.error, OSError)]
    assert len(w.loads) == 1
    assert cache.stats().load_failures == 1
    await w.fill("k", 1)


async def test_negative_ttl_remembers_an_error(w: World) -> None:
    """With negative_ttl a failing key is not a stampede in slow motion: callers get the error without a load."""
    await w.open(negative_ttl=10)
    first = w.get("k")
    await w.settle()
    w.load.fail(KeyError("unknown"))
    await w.advance(10 - 1e-9)
    second = w.get("k")
    await w.settle()
    assert repr(second.error) == repr(first.error)
    await w.advance(1e-9)
    await w.fill("k", 1)


async def test_negative_ttl_remembers_answers_alone_where_some_errors_are(w: World) -> None:
    """An outage is not remembered for as long as "not found" is."""
    await w.open(negative_ttl=10, answers=LookupError)
    outage = w.get("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(outage.error, OSError)
    first = w.get("k")
    await w.settle()
    w.load.fail(KeyError("unknown"))
    await w.settle()
    second = w.get("k")
    await w.settle()
    assert repr(second.error) == repr(first.error) == repr(KeyError("unknown"))
    assert len(w.loads) == 2


async def test_function_that_cannot_say_what_is_an_answer_harms_nobody(w: World) -> None:
    """What it raises is told as a note of the loader's own error, by which the load has failed."""

    def breaks(_error: Exception) -> bool:
        raise ZeroDivisionError

    await w.open(answers=breaks)
    caller = w.get("k")
    await w.settle()
    w.load.fail(OSError("down"))
    await w.settle()
    assert isinstance(caller.error, OSError)
    assert "ZeroDivisionError" in caller.error.__notes__[0]
    await w.fill("k", 1)


async def test_timeout_is_never_remembered(w: World) -> None:
    """negative_ttl is for what the loader says of the key; that a load was cut short says nothing of it."""
    await w.open(negative_ttl=100, load_timeout=5)
    caller = w.get("k")
    await w.settle()
    await w.advance(5)
    assert isinstance(caller.error, LoadTimeout)
    await w.fill("k", 1)


async def test_failed_refresh_backs_off(w: World) -> None:
    """A database that is down is asked again once in refresh_backoff seconds, not by every caller."""
    await w.open(ttl=10, stale_while_revalidate=100, refresh_backoff=3)
    await w.fill("k", 1)
    await w.advance(10)
    assert await outcome_of(w, "k") == "stale"
    w.load.fail(OSError("down"))
    await w.advance(3 - 1e-9)
    assert await outcome_of(w, "k") == "stale"
    assert len(w.loads) == 2
    await w.advance(1e-9)
    assert await outcome_of(w, "k") == "stale"
    assert len(w.loads) == 3


async def test_failed_refresh_is_logged(w: World, caplog: pytest.LogCaptureFixture) -> None:
    """No caller sees the error of a background refresh, so the log does; one that a caller sees is not logged."""
    cache = await w.open()
    with caplog.at_level(logging.WARNING, logger="herdless"):
        cache.refresh("k")
        await w.settle()
        w.load.fail(OSError("down"))
        await w.settle()
        w.get("k")
        await w.settle()
        w.load.fail(OSError("seen"))
        await w.settle()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["down"]
    assert cache.stats().load_failures == 2


async def test_reentrant_load_leaves_no_trace(w: World) -> None:
    """A loader may catch ReentrantLoad and do without: its load goes on as if it had not asked."""
    cache = await w.open()
    caller = w.get("k")
    await w.settle()

    async def ask(get: Callable[[Any], Any]) -> str:
        try:
            await get("k")
        except ReentrantLoad:
            return "without"
        return "with"

    w.load.release(w.act(ask))
    await w.settle()
    assert caller.value == "without"
    assert cache.stats().joins == 0


# Deadlines


async def test_load_timeout_gives_the_usable_stale_value(w: World) -> None:
    """Who waits for a load that is too late gets what is kept for stale_if_error; the late result is dropped."""
    cache = await w.open(ttl=10, stale_if_error=100, load_timeout=5)
    w.ignores_cancellation = True
    await w.fill("k", 1)
    await w.advance(10)
    caller = w.lookup("k")
    await w.settle()
    await w.advance(5)
    assert (caller.value.value, caller.value.how) == (1, "stale")
    assert cache.stats().load_timeouts == 1
    w.load.succeed("late")
    await w.settle()
    assert cache.peek("k") == 1  # backing off


async def test_load_timeout_cancels_the_load(w: World) -> None:
    """What is given up is also stopped."""
    await w.open(load_timeout=5)
    caller = w.get("k")
    await w.settle()
    await w.advance(5 - 1e-9)
    assert not caller.is_done
    await w.advance(1e-9)
    assert isinstance(caller.error, LoadTimeout)
    assert "load_timeout=5" in str(caller.error)
    assert w.load.was_cancelled


async def test_load_in_time_meets_no_deadline(w: World) -> None:
    """A load that ends in time is not haunted by its timer: the next load of the key has its own."""
    await w.open(ttl=4, load_timeout=5)
    await w.fill("k", 1)
    await w.advance(4)
    second = w.get("k")
    await w.settle()
    await w.advance(4)
    assert not second.is_done
    w.load.succeed(2)
    await w.settle()
    assert second.value == 2


# Closing


async def test_close_waits_for_awaited_loads(w: World) -> None:
    """Who waits when the cache is closed still gets the value; nothing new is started."""
    await w.open()
    waiter = w.get("k")
    await w.settle()
    closing = w.close()
    await w.settle()
    assert not closing.is_done
    late = w.get("k")
    await w.settle()
    assert isinstance(late.error, CacheClosed)
    w.load.succeed(1)
    await w.settle()
    assert waiter.value == 1
    assert closing.is_done


async def test_close_waits_for_no_refresh(w: World) -> None:
    """A refresh that nobody waits for holds up nobody either."""
    cache = await w.open()
    cache.refresh("k")
    await w.settle()
    closing = w.close()
    await w.settle()
    assert closing.is_done


async def test_close_cancel_answers_the_waiters(w: World) -> None:
    """`close(cancel=True)` leaves no caller hanging: they get LoadCancelled."""
    await w.open(negative_ttl=10)
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    closing = w.close(cancel=True)
    await w.settle()
    if w.first_caller_loads:  # it comes back when the load ends
        w.load.succeed(1)
        await w.settle()
    assert closing.is_done
    assert not [waiter for waiter in waiters if not isinstance(waiter.error, LoadCancelled)]


async def test_close_twice(w: World) -> None:
    """Closing is idempotent, as a `with` around an explicit `close` needs."""
    await w.open()
    for _ in range(2):
        closing = w.close()
        await w.settle()
        assert closing.value is None


REQUESTS: dict[str, Callable[[Any], Any]] = {
    "peek": lambda cache: cache.peek("k"),
    "put": lambda cache: cache.put("k", 1),
    "invalidate": lambda cache: cache.invalidate("k"),
    "expire": lambda cache: cache.expire("k"),
    "refresh": lambda cache: cache.refresh("k"),
    "clear": lambda cache: cache.clear(),
    "contains": lambda cache: "k" in cache,
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_closed_cache_refuses(w: World, request_: Callable[[Any], Any]) -> None:
    """Use after close is a mistake, and is told as one by every request."""
    cache = await w.open()
    w.close()
    await w.settle()
    with pytest.raises(CacheClosed):
        request_(cache)


async def test_closed_cache_has_stats(w: World) -> None:
    """What was counted can still be read when all is over."""
    cache = await w.open()
    await w.fill("k", 1)
    w.close()
    await w.settle()
    assert cache.stats().loads == 1
    assert len(cache) == 0
