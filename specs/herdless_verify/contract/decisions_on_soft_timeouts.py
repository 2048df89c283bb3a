"""Decisions on `soft_timeout`: who waits for a load while a value is kept, and for how long.

They concern values past the window in which they are answered at once, and kept for `stale_if_error`.
"""

# a scenario asserts, and its one-line docstring says why

from __future__ import annotations

from typing import Any

from herdless_verify.contract.world import World

KEPT: dict[str, Any] = {"ttl": 10, "stale_if_error": 100, "soft_timeout": 2}


async def test_soft_answer(w: World) -> None:
    """SoftAnswer: a slow origin costs a caller soft_timeout at most, while a value is kept; its load is stored."""
    cache = await w.open(**KEPT)
    await w.fill("k", 1)
    await w.advance(20)
    caller = w.lookup("k")
    await w.settle()
    assert not caller.is_done
    await w.advance(1)
    assert not caller.is_done
    await w.advance(1)
    assert (caller.value.value, caller.value.how, caller.value.age) == (1, "stale", 22)
    assert len(w.loads) == 2
    assert not w.load.was_cancelled
    w.load.succeed(2)
    await w.settle()
    assert cache.peek("k") == 2
    assert cache.stats().loads == 2


async def test_load_that_is_quick_enough_answers(w: World) -> None:
    """soft_timeout is a limit, and not a delay."""
    cache = await w.open(**KEPT)
    await w.fill("k", 1)
    await w.advance(20)
    caller = w.lookup("k")
    await w.advance(1)
    w.load.succeed(2)
    await w.settle()
    assert (caller.value.value, caller.value.how) == (2, "loaded")
    await w.advance(5)
    assert cache.stats().soft_answers == 0


async def test_each_caller_waits_for_a_soft_timeout_of_its_own(w: World) -> None:
    """Who joins later is answered later, or by the load."""
    cache = await w.open(**KEPT)
    await w.fill("k", 1)
    await w.advance(20)
    first = w.get("k")
    await w.advance(1)
    second = w.get("k")
    await w.advance(1)
    assert first.value == 1
    assert not second.is_done
    w.load.succeed(2)
    await w.settle()
    assert second.value == 2
    assert cache.stats().soft_answers == 1
    assert len(w.loads) == 2


async def test_soft_timeout_of_a_key_without_a_value_changes_nothing(w: World) -> None:
    """There is nothing to be answered with: the caller waits for the load."""
    await w.open(**KEPT)
    caller = w.get("k")
    await w.advance(50)
    assert not caller.is_done
    w.load.succeed(1)
    await w.settle()
    assert caller.value == 1


async def test_value_that_was_invalidated_is_no_soft_answer(w: World) -> None:
    """Nobody is answered with what is known to be wrong."""
    cache = await w.open(**KEPT)
    await w.fill("k", 1)
    await w.advance(20)
    caller = w.get("k")
    await w.settle()
    cache.invalidate("k")
    await w.advance(3)
    assert not caller.is_done
    w.load.succeed(2)
    await w.settle()
    assert caller.value == 2


async def test_reload_is_not_answered_softly(w: World) -> None:
    """Who reloads asks for what is true now, however long it takes; others are answered meanwhile."""
    await w.open(**KEPT)
    await w.fill("k", 1)
    await w.advance(20)
    lookup = w.get("k")
    await w.settle()
    reloader = w.reload("k")
    await w.advance(3)
    assert lookup.value == 1
    assert not reloader.is_done
    w.load.succeed(2)
    await w.settle()
    if not reloader.is_done:  # its call was later than the start of the lookup's load
        w.load.succeed(2)
        await w.settle()
    assert reloader.value == 2


async def test_failure_after_a_soft_answer_leaves_the_value(w: World) -> None:
    """Nobody waits any more: it is a refresh that failed, and backs off."""
    cache = await w.open(**KEPT, refresh_backoff=5)
    await w.fill("k", 1)
    await w.advance(20)
    caller = w.get("k")
    await w.advance(2)
    assert caller.value == 1
    w.load.fail(OSError("down"))
    await w.settle()
    assert cache.peek("k") == 1
    assert cache.stats().load_failures == 1


async def test_value_that_expires_meanwhile_is_no_soft_answer(w: World) -> None:
    """Its windows are over: it is too old for anybody."""
    await w.open(ttl=10, stale_if_error=100, soft_timeout=5)
    await w.fill("k", 1)
    await w.advance(108)
    caller = w.get("k")
    await w.advance(5)
    assert not caller.is_done
    w.load.succeed(2)
    await w.settle()
    assert caller.value == 2
