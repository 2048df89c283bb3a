"""One asyncio cache and many short event loops: a framework that runs one for each request, notebooks, task queues."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

import pytest

from herdless import _asyncio_loads
from herdless._loop_thread import LoopThread
from herdless.asyncio import Cache
from herdless.testing import VirtualClock
from herdless_core import LoadCancelled, PolicyError

CALLERS: Final = 8
PATIENCE: Final = 30

in_each = pytest.mark.parametrize("loads_in", ["loop", "thread"])


async def load(key: str) -> str:
    """Suspend, so that callers of other loops can join."""
    await asyncio.sleep(0)
    return key.upper()


def in_threads(function: Callable[[], object]) -> list[BaseException]:
    """Run the function in several threads at once; what they raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # told to the test
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a caller hangs"
    return errors


@in_each
def test_every_caller_with_a_loop_of_its_own_is_answered(loads_in: Any) -> None:
    """Django's async views under WSGI: nobody is told that the loop is the wrong one, and nobody hangs."""
    cache = Cache(load, ttl=60, loads_in=loads_in)

    def calls() -> None:
        for number in range(20):
            assert asyncio.run(cache.get("k")) == "K"
            assert asyncio.run(cache.get(f"k{number}")) == f"K{number}"
            cache.invalidate("k")

    assert not in_threads(calls)
    assert cache.stats().in_flight == 0


@in_each
def test_callers_of_several_loops_share_one_load(loads_in: Any) -> None:
    """A herd of requests, each in a loop of its own, is one query."""
    loads: list[str] = []
    everybody = threading.Barrier(CALLERS)

    async def counted(key: str) -> str:
        loads.append(key)
        while cache.stats().joins < CALLERS - 1:  # noqa: ASYNC110  # nothing announces a join
            await asyncio.sleep(0)
        return key.upper()

    cache = Cache(counted, loads_in=loads_in)

    def call() -> None:
        everybody.wait(PATIENCE)
        assert asyncio.run(cache.get("k")) == "K"

    assert not in_threads(call)
    assert loads == ["k"]


def test_refresh_that_its_loop_takes_along_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` cancels what is left: the origin is well, so nothing is logged, counted or backed off."""
    clock, calls = VirtualClock(), []

    async def slow(key: str) -> str:
        calls.append(key)
        await asyncio.sleep(0 if len(calls) == 1 else 3600)
        return key.upper()

    cache = Cache(slow, ttl=10, stale_while_revalidate=1000, refresh_backoff=500, clock=clock)
    asyncio.run(cache.get("k"))
    clock.advance(20)
    for _ in range(3):
        assert asyncio.run(cache.get("k")) == "K"
        clock.advance(1)
    assert len(calls) == 4, "each call starts the refresh anew"
    stats = cache.stats()
    assert (stats.load_failures, stats.in_flight) == (0, 0)
    assert not caplog.records


def test_refreshes_end_in_a_thread_of_the_caches_own() -> None:
    """With `loads_in="thread"` values move on although every caller's loop is short."""
    clock, loops = VirtualClock(), []

    async def numbered(_key: str) -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return len(loops)

    cache = Cache(numbered, ttl=10, stale_while_revalidate=1000, clock=clock, loads_in="thread")

    async def call() -> int:
        value = await cache.get("k")
        await cache.settled()
        return value

    seen = []
    for _ in range(3):
        seen.append(asyncio.run(call()))
        clock.advance(20)
    assert seen == [1, 1, 2]
    assert len(set(loops)) == 1, "what the loader keeps belongs to one loop"
    asyncio.run(cache.close())


def test_settled_returns_when_no_load_is_in_the_air() -> None:
    """A handler that is frozen after its answer lets its refreshes end before."""
    clock = VirtualClock()

    async def main() -> None:
        cache = Cache(load, ttl=10, stale_while_revalidate=1000, clock=clock)
        await cache.settled()
        await cache.get("k")
        clock.advance(20)
        assert (await cache.lookup("k")).how == "stale"
        assert cache.stats().in_flight == 1
        await cache.settled()
        assert cache.stats().in_flight == 0
        assert (await cache.lookup("k")).how == "hit"

    asyncio.run(main())


def test_settled_waits_for_loads_of_other_loops_and_not_for_dead_ones() -> None:
    """A loop that stopped with a load in it would be waited for for ever."""
    cache = Cache(_never)
    stopped = asyncio.new_event_loop()
    hanging = stopped.create_task(cache.get("k"))
    stopped.run_until_complete(asyncio.sleep(0))
    asyncio.run(asyncio.wait_for(cache.settled(), PATIENCE))
    assert cache.stats().in_flight == 0
    hanging.cancel()
    stopped.run_until_complete(asyncio.wait([hanging]))
    stopped.close()


async def _never(_key: str) -> None:
    await asyncio.get_running_loop().create_future()


def test_load_that_closes_its_own_cache_does_not_wait_for_itself() -> None:
    """Nor one that asks whether all is settled: inside a load, only the other ones count."""

    async def main() -> None:
        async def closing(key: str) -> str:
            await cache.settled()
            await cache.close()
            return key

        cache = Cache(closing)
        assert await asyncio.wait_for(cache.get("k"), PATIENCE) == "k"

    asyncio.run(main())


def test_cache_is_opened_again() -> None:
    """A cache of a module serves a second test with a loop of its own."""
    cache = Cache(load)

    async def main() -> None:
        async with cache:
            assert await cache.get("k") == "K"

    for _ in range(2):
        asyncio.run(main())
    assert cache.stats().loads == 2


@pytest.mark.parametrize(
    "end",
    [
        "close",
        pytest.param("drop", marks=pytest.mark.pure("a compiled coroutine is not told that it is dropped")),
    ],
)
def test_waiting_coroutine_that_ends_without_its_loop_is_counted_off(end: str) -> None:
    """python/cpython#91048 kind: a coroutine that is closed or dropped, not cancelled, while its loop lives."""

    async def main() -> None:
        cache = Cache(_never, max_waiters=3)
        for _ in range(5):
            waiting: Any = cache.get("k")
            waiting.send(None)
            if end == "close":
                waiting.close()
            del waiting
            gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert cache.stats().in_flight == 0

    asyncio.run(main())


def test_idle_thread_of_loads_ends_with_its_cache() -> None:
    """A cache for each tenant leaves no thread behind."""
    cache = Cache(load, loads_in="thread")
    asyncio.run(cache.get("k"))
    (thread,) = [each for each in threading.enumerate() if each.name == "herdless loads"]
    asyncio.run(cache.close())
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_unknown_place_for_loads_is_refused() -> None:
    """It names what is accepted."""
    with pytest.raises(PolicyError, match='loads_in=\'process\' is not accepted: give "loop" or "thread"'):
        Cache(load, loads_in="process")  # type: ignore[arg-type]  # that is what is refused


def test_context_of_the_caller_reaches_a_load_in_the_thread() -> None:
    """A tracer's span, a request id: the loader sees those of the caller that started the load."""
    from contextvars import ContextVar

    request: ContextVar[str] = ContextVar("request")

    async def contextual(_key: str) -> str:
        return request.get()

    async def main() -> None:
        request.set("request 7")
        async with Cache(contextual, loads_in="thread") as cache:
            assert await cache.get("k") == "request 7"

    asyncio.run(main())


def test_load_whose_loop_is_closed_when_its_turn_comes_lets_the_next_one_begin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It cannot be begun there, and its turn must not be lost by that."""
    is_running, is_closed = threading.Event(), threading.Event()

    async def load(key: str) -> str:
        is_running.set()
        if key == "first":
            assert await asyncio.to_thread(is_closed.wait, PATIENCE)
        return key

    def leave_behind() -> None:
        assert is_running.wait(PATIENCE)
        loop = asyncio.new_event_loop()
        waiting.append(loop.create_task(cache.get("left behind")))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        is_closed.set()

    async def main() -> None:
        leaving = threading.Thread(target=leave_behind)
        leaving.start()
        assert await cache.get("first") == "first"
        assert await cache.get("next") == "next"
        leaving.join(PATIENCE)

    waiting: list[object] = []
    cache = Cache(load, max_loads=1)
    asyncio.run(main())
    gc.collect()
    assert not caplog.records, "whoever ended before it has nothing to do with that"
    assert cache.stats().in_flight == 0
    waiting.clear()
    gc.collect()


def test_load_that_answers_when_its_loop_is_closed_harms_nobody() -> None:
    """Its coroutine is ended by the collector, and what it says then is told to nobody."""
    waiting: list[object] = []

    async def load(key: str) -> str:
        if not waiting:
            return key
        try:
            await asyncio.get_running_loop().create_future()
        except GeneratorExit:
            return "too late"
        raise AssertionError("it never ends")

    cache = Cache(load)
    loop = asyncio.new_event_loop()
    waiting.append(None)
    waiting.append(loop.create_task(cache.get("k")))
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    for flight in list(cache._flights.values()):
        assert flight.task is not None
        coroutine: Any = flight.task.get_coro()
        coroutine.close()
    assert cache.stats().in_flight == 0
    waiting.clear()
    assert asyncio.run(cache.get("another")) == "another"
    gc.collect()


def test_wake_up_from_a_foreign_thread_is_not_hidden() -> None:
    """Nothing is said of a loop that was closed; all else is a fault of the cache, and a caller who hangs."""
    errors: list[BaseException] = []

    def wake(waiter: asyncio.Future[None]) -> None:
        try:
            _asyncio_loads._wake([waiter], None)
        except RuntimeError as error:
            errors.append(error)

    async def main() -> asyncio.Future[None]:
        waiters = [asyncio.get_running_loop().create_future() for _ in range(2)]
        for waiter in waiters:
            waiter.add_done_callback(print)
        await asyncio.to_thread(wake, waiters[0])
        assert ["Non-thread-safe operation" in str(error) for error in errors] == [True]
        return waiters[1]

    waiter = asyncio.run(main(), debug=True)
    wake(waiter)
    assert len(errors) == 1


def test_only_loop_that_is_left_is_as_fast_as_the_first() -> None:
    """One that was closed is not looked for at every miss, also where somebody keeps it."""
    loops: list[object] = []

    async def main() -> None:
        await cache.get(f"{len(loops)}")
        loops.append(asyncio.get_running_loop())
        assert cache._home is loops[-1]

    cache = Cache(load)
    for _ in range(3):
        asyncio.run(main())


def test_callers_who_have_left_are_not_kept() -> None:
    """A load that hangs is given up by very many of them."""

    async def load(_key: str) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        stays = asyncio.create_task(cache.get("k"))
        await asyncio.sleep(0)
        for _ in range(100):
            leaves = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
        (flight,) = cache._flights.values()
        assert len(flight.waiters) <= 4
        stays.cancel()

    cache = Cache(load)
    asyncio.run(main())


@pytest.mark.parametrize("how", ["sys.exit", "loop.stop"])
def test_loader_that_ends_the_loop_of_the_loads_ends_its_own_load_alone(how: str) -> None:
    """A command line's parser or a client's clean-up calls them; the loads of all others run in that loop too."""

    async def load(key: str) -> str:
        if key == "ends":
            if how == "sys.exit":
                sys.exit(3)
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0)
        return key

    async def main() -> None:
        async with Cache(load, loads_in="thread") as cache:
            if how == "sys.exit":
                with pytest.raises(LoadCancelled, match="ended by SystemExit"):
                    await asyncio.wait_for(cache.get("ends"), PATIENCE)
            else:
                assert await asyncio.wait_for(cache.get("ends"), PATIENCE) == "ends"
            assert await asyncio.wait_for(cache.get("k"), PATIENCE) == "k"

    asyncio.run(main())
    gc.collect()


def test_loop_of_the_loads_that_somebody_closes_is_not_run_again() -> None:
    """Whoever does that has no more loads there; no thread after the other is started for it."""
    threads: list[threading.Thread] = []

    class Noted(threading.Thread):
        def start(self) -> None:
            threads.append(self)
            super().start()

    class ClosedAtOnce(asyncio.SelectorEventLoop):
        def run_forever(self) -> None:
            self.close()

    with patch("asyncio.new_event_loop", ClosedAtOnce), patch("herdless._daemons.Thread", Noted):
        home = LoopThread()
        threads[0].join(PATIENCE)
    assert len(threads) == 1
    assert home.loop.is_closed()
