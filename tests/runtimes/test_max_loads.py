"""`max_loads`: an origin that hangs is asked by so many loads at most, and who finds no turn is told so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless._threads_loads import MAX_LOADS
from herdless.testing import VirtualClock, run_asyncio, run_trio
from herdless_core import NANOSECONDS_PER_SECOND, LoadTimeout, PolicyError, TooManyLoads
from tests.runtimes.origin import Origin

PATIENCE: Final = 30


def test_asyncio_loads_wait_for_their_turn() -> None:
    """Ten misses at once, two loads at a time; all are answered, in their order."""
    origin, order = Origin(), []

    async def load(key: int) -> int:
        with origin:
            order.append(key)
            await asyncio.sleep(1)
            return key

    async def main() -> None:
        async with herdless.asyncio.Cache(load, max_loads=2, clock=clock) as cache:
            assert await asyncio.gather(*map(cache.get, range(10))) == list(range(10))
            assert cache.stats().in_flight == 0

    clock = VirtualClock()
    run_asyncio(main, clock=clock)
    assert origin.most == 2
    assert order == list(range(10))


def test_trio_loads_wait_for_their_turn() -> None:
    """The same in a nursery."""
    origin = Origin()

    async def load(key: int) -> int:
        with origin:
            await trio.sleep(1)
            return key

    async def main() -> None:
        answers = []

        async def ask(key: int) -> None:
            answers.append(await cache.get(key))

        async with herdless.trio.Cache(load, max_loads=2, clock=clock) as cache:
            async with trio.open_nursery() as nursery:
                for key in range(10):
                    nursery.start_soon(ask, key)
            assert sorted(answers) == list(range(10))

    clock = VirtualClock()
    run_trio(main, clock=clock)
    assert origin.most == 2


def test_threads_loads_wait_for_their_turn() -> None:
    """The caller who has no turn yet waits, and its load is run when another ends."""
    origin = Origin()
    both_run = threading.Barrier(2)

    def load(key: int) -> int:
        with origin:
            both_run.wait(PATIENCE)
            return key

    cache = herdless.threads.Cache(load, max_loads=2)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda key=key: answers.append(cache.get(key)), daemon=True) for key in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(answers) == list(range(10))
    assert origin.most == 2


def test_asyncio_caller_without_a_turn_is_told_at_its_deadline() -> None:
    """Not that the load was too slow: it was never begun."""

    async def load(key: str) -> str:
        if key == "ignores its cancellation":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)
        return key

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, max_loads=1, load_timeout=5, clock=clock)
        hanging = asyncio.create_task(cache.get("ignores its cancellation"))
        await asyncio.sleep(1)
        with pytest.raises(TooManyLoads, match="max_loads=1 loads ran all the while"):
            await cache.get("k")
        assert isinstance(await asyncio.gather(hanging, return_exceptions=True), list)
        assert cache.stats().in_flight == 0
        await cache.settled()
        assert await cache.get("k") == "k", "what was given up and hung is over"

    clock = VirtualClock()
    run_asyncio(main, clock=clock)


def test_threads_that_hang_are_bounded() -> None:
    """An origin that hangs for ever is asked by so many threads, not by one for each caller and time-out."""
    clock, release, origin = VirtualClock(), threading.Event(), Origin()

    def load(_key: int) -> None:
        with origin:
            release.wait(PATIENCE)

    cache = herdless.threads.Cache(load, max_loads=3, load_timeout=5, clock=clock)
    for key in range(20):
        clock_moves = threading.Thread(target=_move, args=(clock, cache, origin, min(key + 1, 3)))
        clock_moves.start()
        with pytest.raises((LoadTimeout, TooManyLoads)):
            cache.get(key)
        clock_moves.join(PATIENCE)
    assert origin.most == 3  # a thread more may be idle
    release.set()


def _move(clock: VirtualClock, cache: herdless.threads.Cache[int, None], origin: Origin, asked: int) -> None:
    """Let the deadline pass as soon as the caller waits and so many ask the origin, and have it looked at."""
    while not cache.stats().in_flight or origin.running < asked:
        time.sleep(0)  # a load that has not begun at its deadline is never begun
    clock.advance(6)
    for flight in list(cache._flights.values()):
        cache._deadline_passed(flight)


def test_refresh_without_a_turn_keeps_the_value_served() -> None:
    """A refresh waits for its turn behind what callers wait for, and the old value is answered meanwhile."""
    order: list[str] = []

    async def load(key: str) -> str:
        order.append(key)
        await asyncio.sleep(1)
        return f"{key}{len(order)}"

    async def main() -> None:
        policy = {"ttl": 10, "stale_while_revalidate": 1000, "clock": clock}
        async with herdless.asyncio.Cache(load, max_loads=1, **policy) as cache:  # type: ignore[arg-type]
            await cache.get("old")
            await asyncio.sleep(20)
            first = asyncio.create_task(cache.get("a"))
            await asyncio.sleep(0)
            assert (await cache.lookup("old")).how == "stale"
            second = asyncio.create_task(cache.get("b"))
            await asyncio.gather(first, second)
            await cache.settled()
            assert order == ["old", "a", "b", "old"]
            assert cache.peek("old") == "old4"

    clock = VirtualClock()
    run_asyncio(main, clock=clock)


@pytest.mark.parametrize("maker", [herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache])
def test_bad_max_loads_is_refused(maker: Callable[..., Any]) -> None:
    """It names the argument and what is accepted."""
    with pytest.raises(PolicyError, match="max_loads=0 is not accepted: give an integer >= 1, or None"):
        maker(str.upper, max_loads=0)


def test_load_inside_a_load_takes_no_turn() -> None:
    """It would wait for the turn of the load that waits for it."""

    def load(key: int) -> int:
        return 0 if key == 0 else cache.get(key - 1) + 1

    cache = herdless.threads.Cache(load, max_loads=1)
    assert cache.get(10) == 10


def test_threads_are_bounded_unless_asked_otherwise() -> None:
    """A number that no ordinary service reaches."""
    turns = herdless.threads.Cache(len)._keyspace._turns
    assert turns is not None
    assert turns.max_loads == MAX_LOADS
    assert herdless.asyncio.Cache(len)._keyspace._turns is None  # type: ignore[arg-type]  # it is never called


@pytest.mark.parametrize("ends", ["put", "invalidate", "clear", "close"])
def test_load_that_waits_for_its_turn_can_be_superseded(ends: str) -> None:
    """Its callers get what any flight's callers get, and its turn goes to another."""
    began: list[str] = []

    async def load(key: str) -> str:
        began.append(key)
        await asyncio.sleep(1)
        return key

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, max_loads=1, clock=clock)
        first = asyncio.create_task(cache.get("first"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(cache.get("waiting"))
        await asyncio.sleep(0)
        match ends:
            case "put":
                cache.put("waiting", "put")
            case "invalidate":
                cache.invalidate("waiting")
            case "clear":
                cache.clear()
            case _:
                await cache.close()
        assert await waiting == ("put" if ends == "put" else "waiting")
        assert await first == "first"
        await cache.settled()
        assert began == (["first"] if ends == "put" else ["first", "waiting"])
        assert cache.stats().in_flight == 0

    clock = VirtualClock()
    run_asyncio(main, clock=clock)


def test_refresh_that_waits_for_its_turn_outlives_a_lookup_that_is_refused() -> None:
    """Somebody's key that cannot be hashed is nobody else's business."""
    release = threading.Event()

    def load(key: str) -> str:
        assert release.wait(PATIENCE)
        return key

    cache = herdless.threads.Cache(load, max_loads=1)
    cache.refresh("first")
    cache.refresh("second")
    with pytest.raises(TypeError, match="unhashable"):
        cache.get([])  # type: ignore[arg-type]  # that is what is refused
    assert cache.stats().load_cancellations == 0
    release.set()
    cache.settled(PATIENCE)
    assert cache.peek("second") == "second"


def test_asyncio_refresh_that_a_caller_joins_waits_for_its_turn_all_the_same() -> None:
    """One load more than may run would be one connection more than the origin gives."""
    origin = Origin()

    async def load(key: str) -> str:
        with origin:
            await asyncio.sleep(1)
            return key

    async def main() -> None:
        async with herdless.asyncio.Cache(load, max_loads=1, load_timeout=2.5, clock=clock) as cache:
            first = asyncio.create_task(cache.get("first"))
            await asyncio.sleep(0)
            cache.refresh("second")
            assert (await cache.lookup("second")).how == "joined"
            assert await first == "first"

    clock = VirtualClock()
    run_asyncio(main, clock=clock)
    assert origin.most == 1


def test_asyncio_caller_who_joins_a_refresh_that_gets_no_turn_is_told_at_its_deadline() -> None:
    """Nobody waited for it when it was ordered, so no timer was set."""

    async def load(key: str) -> str:
        await asyncio.sleep(3600)
        return key

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, max_loads=1, clock=clock)
        limited = herdless.asyncio.Cache(cache.get, max_loads=1, load_timeout=5, clock=clock)
        hangs = asyncio.create_task(limited.get("hangs"))
        await asyncio.sleep(1)
        limited.refresh("k")
        before = clock.now
        with pytest.raises((TooManyLoads, LoadTimeout)):
            await limited.get("k")
        assert clock.now - before <= 5 * NANOSECONDS_PER_SECOND
        await asyncio.gather(hangs, return_exceptions=True)
        await limited.close(cancel=True)
        await cache.close(cancel=True)

    clock = VirtualClock()
    run_asyncio(main, clock=clock)


def test_trio_refresh_that_a_caller_joins_waits_for_its_turn_all_the_same() -> None:
    """The same on trio."""
    origin = Origin()

    async def load(key: str) -> str:
        with origin:
            await trio.sleep(1)
            return key

    async def main() -> None:
        async with herdless.trio.Cache(load, max_loads=1, clock=clock) as cache, trio.open_nursery() as nursery:
            nursery.start_soon(cache.get, "first")
            await trio.testing.wait_all_tasks_blocked()
            cache.refresh("second")
            assert await cache.get("second") == "second"

    clock = VirtualClock()
    run_trio(main, clock=clock)
    assert origin.most == 1


def test_asyncio_load_that_another_load_joins_does_not_wait_for_that_ones_turn() -> None:
    """The outer load has the only turn, and would wait for the inner one for ever."""

    async def load(key: str) -> str:
        await asyncio.sleep(1)
        return key if key == "inner" else await cache.get("inner")

    async def main() -> None:
        outer = asyncio.create_task(cache.get("outer"))
        await asyncio.sleep(0)
        assert await cache.get("inner") == "inner"
        assert await outer == "inner"

    clock = VirtualClock()
    cache = herdless.asyncio.Cache(load, max_loads=1, clock=clock)
    run_asyncio(main, clock=clock)


def test_asyncio_load_that_waits_by_a_task_of_its_own_does_not_wait_for_its_own_turn() -> None:
    """It is found out when the load waits for the task, which then has waited for some time."""

    async def load(key: str) -> str:
        if key == "inner":
            return key
        task = asyncio.create_task(cache.get("inner"))
        await asyncio.sleep(1)
        return await task

    async def main() -> None:
        assert await cache.get("outer") == "inner"

    clock = VirtualClock()
    cache = herdless.asyncio.Cache(load, max_loads=1, clock=clock)
    run_asyncio(main, clock=clock)


def test_trio_load_that_another_load_joins_does_not_wait_for_that_ones_turn() -> None:
    """The same on trio."""

    async def main() -> None:
        async def load(key: str) -> str:
            await trio.sleep(1)
            return key if key == "inner" else await cache.get("inner")

        async with herdless.trio.Cache(load, max_loads=1, clock=clock) as cache, trio.open_nursery() as nursery:
            nursery.start_soon(cache.get, "outer")
            await trio.testing.wait_all_tasks_blocked()
            assert await cache.get("inner") == "inner"

    clock = VirtualClock()
    run_trio(main, clock=clock)


def test_threads_load_that_another_load_joins_does_not_wait_for_that_ones_turn() -> None:
    """The outer one runs the inner one itself, and the caller who was first gets what it gives."""
    asked = threading.Event()

    def load(key: str) -> str:
        if key == "inner":
            return key
        assert asked.wait(PATIENCE)
        return cache.get("inner")

    cache = herdless.threads.Cache(load, max_loads=1)
    answers: list[str] = []
    outer = threading.Thread(target=lambda: answers.append(cache.get("outer")), daemon=True)
    outer.start()
    while not cache.stats().in_flight:
        pass
    inner = threading.Thread(target=lambda: answers.append(cache.get("inner")), daemon=True)
    inner.start()
    while cache.stats().misses < 2:
        pass
    asked.set()
    for thread in (outer, inner):
        thread.join(PATIENCE)
    assert answers == ["inner", "inner"]
