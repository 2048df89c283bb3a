"""Interleavings in which other caches broke, each with its source: who waits, who leaves, and how a load ends.

g1, g2 are generations, in the order of their start. Those that only one runtime can show (a fork during a load) are in
tests/runtimes/.
"""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from typing import Any

import pytest

from herdless_core import LoadCancelled, LoadTimeout
from herdless_verify.contract.world import World


class Stop(BaseException):
    """An exception that is no `Exception`, and that no runtime knows."""


ABNORMAL_ENDS = [Stop(), CancelledError(), GeneratorExit()]


async def start_two_generations(w: World, *, leaves: int | None = None) -> tuple[Any, Any]:
    """A caller who waits for g1, which was invalidated, and one who waits for g2."""
    old = w.get("k", leaves=leaves)
    await w.settle()
    w.cache.invalidate("k")
    new = w.get("k")
    await w.settle()
    assert len(w.loads) == 2
    return old, new


async def test_01_end_of_a_superseded_load_frees_no_flight(w: World) -> None:
    """From golang/go #31420: g1 runs; it is forgotten; g2 starts; g1 ends and deletes by key; a g3 starts."""
    await w.open()
    await start_two_generations(w)
    w.loads[0].succeed("old")
    await w.settle()
    third = w.get("k")
    await w.settle()
    assert len(w.loads) == 2
    w.loads[1].succeed("new")
    await w.settle()
    assert third.value == "new"


@pytest.mark.parametrize("end", ["fails", "is late", "is left"])
async def test_02_superseded_load_leaves_the_next_one_alone(w: World, end: str) -> None:
    """From async-lru 2.4: invalidated g1's failure, timer or last waiter's leaving removes pending g2."""
    cache = await w.open(load_timeout=5)
    old = w.get("k", leaves=1)
    await w.settle()
    cache.invalidate("k")
    await w.advance(0 if end == "is left" else 3)
    new = w.get("k")
    await w.settle()
    match end:
        case "fails":
            w.loads[0].fail(OSError("old"))
            await w.settle()
        case "is late":
            await w.advance(2)
        case _:
            await w.leave(old)
    joiner = w.get("k")
    await w.settle()
    w.loads[1].succeed("new")
    await w.settle()
    assert (new.value, joiner.value) == ("new", "new")
    assert len(w.loads) == 2
    assert cache.peek("k") == "new"


async def test_03_leaving_is_not_settling(w: World) -> None:
    """From janos/singleflight #4: two waiters; one cancels; the key is removed; a third call duplicates the load."""
    await w.open()
    leaver, other = w.get("k", leaves=1), w.get("k")
    await w.settle()
    await w.leave(leaver)
    third = w.get("k")
    await w.settle()
    assert len(w.loads) == 1
    w.load.succeed(1)
    await w.settle()
    assert (other.value, third.value) == (1, 1)


async def test_04_cancelled_load_that_unwinds_is_not_joined(w: World) -> None:
    """From tailscale #18919: the sole waiter cancels; the load unwinds; a new caller joins it, is cancelled."""
    await w.open()
    w.ignores_cancellation = True
    sole = w.get("k", leaves=1)
    await w.settle()
    await w.leave(sole)
    newcomer = w.get("k")
    await w.settle()
    w.loads[0].fail(OSError("unwound"))
    await w.settle()
    assert not newcomer.is_done
    w.loads[1].succeed("new")
    await w.settle()
    assert newcomer.value == "new"


async def test_04_left_load_that_goes_on_is_joined(w: World) -> None:
    """From tailscale #18919, where nothing can be cancelled: the load that goes on is not doomed."""
    await w.open()
    sole = w.get("k", leaves=1)
    await w.settle()
    await w.leave(sole)
    newcomer = w.get("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert newcomer.value == 1
    assert len(w.loads) == 1


async def test_05_leader_that_leaves_takes_nobody_along(w: World) -> None:
    """From spicedb #925: the leader's context is cancelled; the other waiters fail."""
    await w.open()
    leader = w.get("k", leaves=1)
    await w.settle()
    others = [w.get("k") for _ in range(3)]
    await w.settle()
    await w.leave(leader)
    assert not w.load.was_cancelled
    w.load.succeed(1)
    await w.settle()
    assert [other.value for other in others] == [1] * 3


async def test_06_joined_waiter_that_leaves_takes_nobody_along(w: World) -> None:
    """From vllm-omni #7070: a waiter awaits the raw shared task; its cancellation kills the load of all."""
    await w.open()
    leader = w.get("k")
    await w.settle()
    joiner = w.get("k", leaves=1)
    await w.settle()
    await w.leave(joiner)
    assert not w.load.was_cancelled
    w.load.succeed(1)
    await w.settle()
    assert leader.value == 1


async def test_07_key_of_a_leader_that_left_can_be_loaded(w: World) -> None:
    """From moka #59: the leader is dropped; a later caller panics after 200 retries."""
    await w.open()
    for rank in range(1, 4):
        leader = w.get("k", leaves=rank)
        await w.settle()
        await w.leave(leader)
    later = w.get("k")
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert later.value == 1


async def test_08_key_cleared_during_its_refresh_loads_again(w: World) -> None:
    """From guava #2971: a refresh runs; invalidateAll; the key never loads again."""
    cache = await w.open()
    await w.fill("k", 1)
    cache.refresh("k")
    await w.settle()
    cache.clear()
    await w.settle()
    await w.fill("k", 2)
    assert cache.peek("k") == 2


@pytest.mark.parametrize("error", ABNORMAL_ENDS, ids=lambda error: type(error).__name__)
async def test_09_abnormal_end_settles_the_waiters(w: World, error: BaseException) -> None:
    """From golang/go #67087: the loader exits abnormally; its waiters hang."""
    await w.open()
    w.get("k")
    await w.settle()
    joiners = [w.get("k") for _ in range(3)]
    await w.settle()
    w.load.fail(error)
    await w.settle()
    for joiner in joiners:
        assert isinstance(joiner.error, LoadCancelled)
        assert repr(joiner.error.__cause__) == repr(error)


@pytest.mark.parametrize("error", ABNORMAL_ENDS, ids=lambda error: type(error).__name__)
async def test_10_abnormal_end_leaves_no_orphan(w: World, error: BaseException) -> None:
    """From openaivec #184: the owner is cancelled; its key stays in flight for ever."""
    cache = await w.open(negative_ttl=100)
    w.get("k")
    await w.settle()
    w.load.fail(error)
    await w.settle()
    assert cache.stats().in_flight == 0
    await w.fill("k", 1)


async def test_11_retry_at_once_starts_a_new_load(w: World) -> None:
    """From caffeine #372: a waiter is woken before the failed entry is removed; its retry gets the old error."""

    async def retry(get: Any) -> Any:
        try:
            return await get("k")
        except OSError:
            return await get("k")

    await w.open()
    callers = [w.tell(retry) for _ in range(3)]
    await w.settle()
    w.load.fail(OSError("first"))
    await w.settle()
    assert len(w.loads) == 2
    w.load.succeed("second")
    await w.settle()
    assert [caller.value for caller in callers] == ["second"] * 3


async def test_12_woken_waiter_that_asks_again_hits(w: World) -> None:
    """From otter #152: the flight's slot is freed before the value is published; a reader in between loads again."""

    async def twice(get: Any) -> Any:
        return await get("k"), await get("k")

    await w.open()
    callers = [w.tell(twice) for _ in range(3)]
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert [caller.value for caller in callers] == [(1, 1)] * 3
    assert len(w.loads) == 1


async def test_13_caller_that_comes_as_the_load_ends_starts_no_other(w: World) -> None:
    """From gocache #251: a miss is seen; the other load completes; a second one follows it."""
    await w.open()
    first = w.get("k")
    await w.settle()
    before = w.get("k")
    w.load.succeed(1)
    after = w.get("k")
    await w.settle()
    assert [caller.value for caller in (first, before, after)] == [1] * 3
    assert len(w.loads) == 1


async def test_ttl_0_satisfies_those_who_joined(w: World) -> None:
    """From caffeine #625: with a ttl of 0 the result is too old at once; who joined gets it anyway."""
    await w.open(ttl=0)
    waiters = [w.get("k") for _ in range(3)]
    await w.settle()
    w.load.succeed(1)
    await w.settle()
    assert [waiter.value for waiter in waiters] == [1] * 3
    w.get("k")
    await w.settle()
    assert len(w.loads) == 2


async def test_hung_load_gives_its_key_back(w: World) -> None:
    """From cachier #82: the mark of a dead holder stays for ever. Here it has a deadline, with and without waiters."""
    cache = await w.open(load_timeout=5)
    w.ignores_cancellation = True
    cache.refresh("unawaited")
    waiter = w.get("awaited")
    await w.settle()
    await w.advance(5)
    assert isinstance(waiter.error, LoadTimeout)
    await w.fill("awaited", 1)
    await w.fill("unawaited", 2)


async def test_traceback_of_a_shared_error_does_not_grow(w: World) -> None:
    """From gevent #2210: one exception object, raised in many waiters, gets longer with each of them. Nor has it what
    another caller was handling, or added.
    """
    await w.open(negative_ttl=100)
    error = OSError("down")
    errors: list[OSError] = []
    lengths: list[int] = []

    async def note(get: Any) -> None:
        try:
            try:
                raise LookupError("of this caller")
            except LookupError:
                await get("k")
        except OSError as raised:
            raised.add_note("of this caller")
            errors.append(raised)
            lengths.append(len(traceback.extract_tb(raised.__traceback__)))

    for _ in range(3):
        w.tell(note)
    await w.settle()
    w.load.fail(error)
    await w.settle()
    for _ in range(3):
        w.tell(note)
        await w.settle()
    assert [repr(raised) for raised in errors] == [repr(error)] * 6
    assert [raised.__notes__ for raised in errors] == [["of this caller"]] * 6
    contexts = [raised.__context__ for raised in errors]
    assert [context and context.__context__ for context in contexts] == [None] * 6
    assert len({id(context) for context in contexts}) == 6
    assert max(lengths[1:]) - min(lengths[1:]) <= 1  # a remembered error passes by one call less
    for raised in errors:
        assert "action" in [frame.name for frame in traceback.extract_tb(raised.__traceback__)]
