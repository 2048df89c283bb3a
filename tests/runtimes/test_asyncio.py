"""What only asyncio can do: tasks that may be lost, eager tasks, cancellation at any step."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from herdless.asyncio import Cache, cached
from herdless_core import LoadCancelled, Loaded
from tests.runtimes.on_asyncio import Gate, echo, run, ticks

# Tasks


def test_cancelled_lookup_leaves_its_load() -> None:
    """`lookup` waits as `get` does: who is cancelled takes only itself away, and the last one the load."""

    async def main() -> None:
        gate = Gate()
        async with Cache(gate.load) as cache:
            first, second = (asyncio.create_task(cache.lookup("a")) for _ in range(2))
            await ticks()
            first.cancel()
            await ticks()
            assert first.cancelled()
            assert not gate.cancelled
            second.cancel()
            await ticks()
            assert gate.cancelled == ["a"]
            assert cache.stats().in_flight == 0

    run(main)


@pytest.mark.parametrize("end", ["value", "value with a ttl of its own", "error", "superseded"])
def test_load_that_has_ended_is_forgotten(end: str) -> None:
    """However it ended: a cache that keeps the tasks of its loads grows with each of them."""

    async def main() -> None:
        loads: list[weakref.ref[asyncio.Task[Any]]] = []

        async def load(key: str) -> str | Loaded[str]:
            task = asyncio.current_task()
            assert task is not None
            loads.append(weakref.ref(task))
            if end == "superseded":
                cache.put(key, "put")
            if end == "error":
                raise OSError("down")
            return Loaded("v", ttl=1) if end == "value with a ttl of its own" else "v"

        cache = Cache(load)
        with contextlib.suppress(OSError):
            await cache.get("k")
        await ticks()
        gc.collect()
        assert [ended() for ended in loads] == [None]

    run(main)


def test_load_is_held_strongly() -> None:
    """The loop holds tasks weakly: a load that only its own cycle refers to must survive a collection."""

    async def main() -> None:
        futures: list[asyncio.Future[str]] = []

        async def load(_key: str) -> str:
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            futures.append(future)
            return await future

        cache = Cache(load)
        cache.refresh("k")
        await ticks()
        future = futures.pop()
        gc.collect()
        future.set_result("loaded")
        await ticks()
        assert cache.peek("k") == "loaded"

    run(main)


def test_load_cancelled_before_its_first_step() -> None:
    """A task that is cancelled before it ran never enters the loader; its waiters must hear of it all the same."""

    async def main() -> None:
        gate = Gate()
        cache = Cache(gate.load)
        waiter = asyncio.create_task(cache.get("k"))
        await asyncio.sleep(0)  # the waiter has run, the load has not
        (load,) = asyncio.all_tasks() - {waiter, asyncio.current_task()}
        load.cancel()
        with pytest.raises(LoadCancelled):
            await waiter
        assert not gate.keys
        assert cache.stats().in_flight == 0

    run(main)


@pytest.mark.parametrize("first", ["answer", "cancel"])
def test_caller_cancelled_in_the_tick_of_its_answer(first: str) -> None:
    """A future may be resolved and its task cancelled in one tick: the caller is cancelled, the value stored."""

    async def main() -> None:
        gate = Gate()
        cache = Cache(gate.load)
        caller, other = asyncio.create_task(cache.get("k")), asyncio.create_task(cache.get("k"))
        await ticks()
        steps: list[Callable[[], object]] = [lambda: cache.put("k", "put"), caller.cancel]
        for step in steps if first == "answer" else reversed(steps):
            step()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await other == "put"
        assert cache.peek("k") == "put"

    run(main)


def test_all_tasks_cancelled_at_shutdown() -> None:
    """`asyncio.run` ends by cancelling every task, loads and waiters alike, in any order: none may hang."""
    ended: list[str] = []

    async def main() -> None:
        cache = Cache(Gate().load)

        async def waiter(name: str) -> None:
            try:
                await cache.get("k")
            except (asyncio.CancelledError, LoadCancelled):
                ended.append(name)

        tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
        cache.refresh("unawaited")
        await ticks()
        assert not any(task.done() for task in tasks)

    run(main)
    assert sorted(ended) == ["a", "b", "c"]


def test_load_sees_the_context_of_its_first_caller() -> None:
    """A tracing id or a request's user, kept in context variables, is that of the caller who started the load."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    async def main() -> None:
        seen: list[str] = []

        async def load(_key: str) -> str:
            seen.append(user.get())
            user.set("the load")
            return seen[-1]

        cache = Cache(load)
        user.set("first")
        assert await cache.get("k") == "first"
        assert user.get() == "first"

    run(main)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupt_in_a_loader_reaches_the_loop_and_the_waiters(interrupt: type[BaseException]) -> None:
    """Asyncio lets these two through to whoever runs the loop; those who wait are answered when it runs again."""
    loop = asyncio.new_event_loop()
    cache: Cache[str, str] = Cache(lambda _key: _raise(interrupt()))
    waiters = [loop.create_task(cache.get("k")) for _ in range(3)]
    with pytest.raises(interrupt):
        loop.run_until_complete(asyncio.wait(waiters))
    results = loop.run_until_complete(asyncio.gather(*waiters, return_exceptions=True))
    assert [type(result) for result in results] == [LoadCancelled] * 3
    assert all(isinstance(result.__cause__, interrupt) for result in results if isinstance(result, BaseException))
    loop.close()


async def _raise(error: BaseException) -> str:
    raise error


def test_sync_loader_is_told() -> None:
    """The likeliest mistake of all gets an error that names the loader and what to do."""

    async def main() -> None:
        cache: Cache[str, str] = Cache(lambda key: key)  # the mistake
        with pytest.raises(TypeError, match=r"load=.* is not accepted: .*async function"):
            await cache.get("k")

    run(main)


def test_refresh_outside_of_a_loop_is_told() -> None:
    """Without a running loop there is nothing a load could run in; nothing is left pending."""
    cache = Cache(echo)
    with pytest.raises(RuntimeError, match="no running event loop"):
        cache.refresh("k")
    assert cache.stats().in_flight == 0


# Eager tasks

if sys.version_info >= (3, 12):  # older ones have none
    # Not a skip: there is nothing to test.

    def test_eager_load_that_never_suspends() -> None:
        """An eager task may have run to its end before `create_task` returns."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            cache = Cache(echo)
            assert await asyncio.gather(*[cache.get("k") for _ in range(3)]) == ["k"] * 3
            assert cache.stats().loads == 1
            assert not cache._tasks

        run(main)

    def test_eager_load_that_suspends() -> None:
        """An eager task that waits is an ordinary one from then on."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            gate = Gate()
            cache = Cache(gate.load)
            waiters = [asyncio.create_task(cache.get("k")) for _ in range(3)]
            assert gate.keys == ["k"]
            gate.open.set()
            assert await asyncio.gather(*waiters) == ["K"] * 3
            await ticks()
            assert not cache._tasks

        run(main)

    def test_eager_load_that_fails_at_once() -> None:
        """Its error reaches the caller, and the key can be loaded again."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            cache = Cache(lambda _key: _raise(OSError("down")))
            for _ in range(2):
                with pytest.raises(OSError, match="down"):
                    await cache.get("k")
            assert cache.stats().loads == 2

        run(main)

    def test_eager_load_superseded_by_itself() -> None:
        """A loader that puts its own key before it first suspends is superseded, and cancelled, like any other."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            gate = Gate()

            async def load(key: str) -> str:
                cache.put(key, "put")
                return await gate.load(key)

            cache = Cache(load)
            assert await cache.get("k") == "put"
            await ticks()
            assert gate.cancelled == ["k"]

        run(main)


# Closing


def test_leaving_the_cache_by_an_exception_cancels() -> None:
    """The body failed: what it still waited for is of no use, and nobody should wait for it."""

    async def main() -> None:
        gate = Gate()
        cache = Cache(gate.load)

        async def body() -> None:
            async with cache:
                await ticks()
                raise OSError("body")

        waiter = asyncio.create_task(cache.get("k"))
        with pytest.raises(OSError, match="body"):
            await body()
        with pytest.raises(LoadCancelled):
            await waiter
        assert gate.cancelled == ["k"]

    run(main)


def test_cancelled_close_cancels_the_loads() -> None:
    """Who is cancelled while closing does not leave loads behind."""

    async def main() -> None:
        gate = Gate()
        cache = Cache(gate.load)
        waiter = asyncio.create_task(cache.get("k"))
        await ticks()
        closing = asyncio.create_task(cache.close())
        await ticks()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(LoadCancelled):
            await waiter
        assert gate.cancelled == ["k"]

    run(main)


def test_loader_may_close_its_cache() -> None:
    """A load does not wait for its own end."""

    async def main() -> None:
        async def load(key: str) -> str:
            await cache.close()
            return key

        cache = Cache(load)
        assert await cache.get("k") == "k"

    run(main)


def test_decorated_function_is_a_coroutine_function() -> None:
    """Frameworks ask before they call: a cached handler must be taken for what it is."""

    @cached()
    async def function(key: str) -> str:
        return key

    assert asyncio.run(function("k")) == "k"
    if sys.version_info >= (3, 12):
        import inspect

        assert inspect.iscoroutinefunction(function)
    else:
        assert asyncio.iscoroutinefunction(function)


def test_load_in_time_leaves_no_timer_behind() -> None:
    """A busy cache with a long load_timeout would otherwise hold every load it ever made."""

    async def main() -> None:
        cache = Cache(echo, load_timeout=3600)
        assert await cache.get("k") == "k"
        scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # private
        assert all(timer.cancelled() for timer in scheduled)

    run(main)
