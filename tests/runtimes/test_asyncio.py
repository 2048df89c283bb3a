"""What only asyncio can do: several loops, tasks that may be lost, eager tasks, cancellation at any step."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from unittest.mock import patch

import pytest

from herdless.asyncio import Cache, cached
from herdless_core import LoadCancelled, Loaded

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]


def uvloop_loop() -> asyncio.AbstractEventLoop:
    """A new loop of uvloop."""
    import uvloop

    return uvloop.new_event_loop()


LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop_loop, id="uvloop", marks=pytest.mark.needs("uvloop")),
]


async def ticks(count: int = 10) -> None:
    """Let the loop run for so many iterations: more than any chain of wake-ups in the cache is long."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gate:
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.keys: list[str] = []
        self.cancelled: list[str] = []

    async def load(self, key: str) -> str:
        """Wait for the gate."""
        self.keys.append(key)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        return key.upper()


def run(
    main: Callable[[], Awaitable[None]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run the test's main function in a loop of its own."""

    async def wrapped() -> None:
        await main()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(wrapped())


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
        cache: Cache[str, str] = Cache(lambda key: key)  # type: ignore[arg-type, return-value]  # the mistake
        with pytest.raises(TypeError, match=r"load=.* is not accepted: .*async function"):
            await cache.get("k")

    run(main)


def test_refresh_outside_of_a_loop_is_told() -> None:
    """Without a running loop there is nothing a load could run in; nothing is left pending."""
    cache = Cache(_echo)
    with pytest.raises(RuntimeError, match="no running event loop"):
        cache.refresh("k")
    assert cache.stats().in_flight == 0


async def _echo(key: str) -> str:
    return key


# Eager tasks

if sys.version_info >= (3, 12):  # older ones have none
    # Not a skip: there is nothing to test.

    def test_eager_load_that_never_suspends() -> None:
        """An eager task may have run to its end before `create_task` returns."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            cache = Cache(_echo)
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


# Loops


class HangsOnce:
    """A loader whose first load never ends."""

    def __init__(self) -> None:
        self.hangs = True

    async def load(self, key: str) -> str:
        """Hang, or return the key."""
        if self.hangs:
            self.hangs = False
            await asyncio.get_running_loop().create_future()
        return key


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_whole_life_in_every_loop(loop_factory: LoopFactory) -> None:
    """The cache asks of a loop only what all of them offer."""

    async def main() -> None:
        gate = Gate()
        async with Cache(gate.load, ttl=60, load_timeout=60) as cache:
            waiters = [asyncio.create_task(cache.get("k")) for _ in range(100)]
            await ticks()
            waiters.pop().cancel()
            await ticks()
            gate.open.set()
            assert await asyncio.gather(*waiters) == ["K"] * 99
            assert (await cache.lookup("k")).how == "hit"
        assert gate.keys == ["k"]

    run(main, loop_factory)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_load_timeout_in_every_loop(loop_factory: LoopFactory) -> None:
    """The deadline is a timer of the real loop: the one thing that the virtual clock stands in for elsewhere."""

    async def main() -> None:
        cache = Cache(Gate().load, load_timeout=0.01)
        with pytest.raises(TimeoutError, match=r"load_timeout=0\.01"):
            await cache.get("k")

    run(main, loop_factory)


def test_values_are_served_in_another_loop() -> None:
    """A cache at module level meets a new loop with every `asyncio.run`, and in tests with every test."""
    cache = Cache(_echo)
    for _ in range(2):
        assert asyncio.run(cache.get("k")) == "k"
    assert cache.stats().loads == 1


def leave_a_load_behind(cache: Cache[str, str], *, request: str = "get") -> list[object]:
    """Close a loop that has a load and its waiter in flight; returns the task that waits."""
    loop = asyncio.new_event_loop()

    async def main() -> list[object]:
        waiting: list[object] = []
        if request == "get":
            waiting.append(asyncio.create_task(cache.get("k")))
        else:
            cache.refresh("k")
        await ticks()
        return waiting

    waiting = loop.run_until_complete(main())
    loop.close()
    return waiting


@pytest.mark.parametrize("request_", ["get", "refresh"])
def test_load_of_a_closed_loop_is_a_restart(request_: str) -> None:
    """Nobody can end a load whose loop is closed: in the next loop it is loaded again, and waited for by nobody."""
    cache = Cache(HangsOnce().load)
    waiting = leave_a_load_behind(cache, request=request_)
    assert cache.stats().in_flight == 1
    assert asyncio.run(cache.get("k")) == "k"
    assert cache.stats().in_flight == 0
    del waiting
    gc.collect()


def test_loads_of_a_closed_loop_are_over_whatever_is_asked_for_next() -> None:
    """Their keys may never be asked for again: what they hold, and their turns, would be held for ever."""
    cache = Cache(HangsOnce().load)
    waiting = leave_a_load_behind(cache)
    assert asyncio.run(cache.get("another")) == "another"
    assert cache.stats().in_flight == 0
    del waiting, cache
    gc.collect()


def test_refresh_after_a_closed_loop() -> None:
    """`refresh` in a new loop is not held up by a flight that died with the old one."""
    cache = Cache(HangsOnce().load)
    waiting = leave_a_load_behind(cache)

    async def main() -> None:
        cache.refresh("k")
        await ticks()
        assert cache.peek("k") == "k"

    run(main)
    del waiting
    gc.collect()


def test_coroutines_of_a_closed_loop_wait_for_no_lock() -> None:
    """The collector ends them wherever it strikes, inside the lock as well, where waiting for it is for ever."""

    async def load(_key: str) -> str:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it never ends")

    is_collecting, collected = False, 0

    def clock() -> int:  # is read inside the lock
        nonlocal collected
        if is_collecting:
            collected += gc.collect()
        return 0

    cache = Cache(load, clock=clock)
    waiting = leave_a_load_behind(cache)
    is_collecting = True
    del waiting

    async def main() -> None:
        caller = asyncio.create_task(cache.get("k"))
        await ticks()
        caller.cancel()

    run(main)
    assert collected > 0
    assert cache.stats().in_flight == 0


def test_put_ends_the_load_of_a_closed_loop() -> None:
    """There is no one to wake and nothing to cancel: the value is simply there."""
    cache = Cache(HangsOnce().load)
    waiting = leave_a_load_behind(cache)
    cache.put("k", "put")
    assert asyncio.run(cache.get("k")) == "put"
    assert cache.stats().in_flight == 0
    del waiting
    gc.collect()


@pytest.mark.pure("replaces a method of the adapter")
def test_load_superseded_before_it_was_launched() -> None:
    """Another thread may put the value between a caller's step and the start of its load: the load is not begun."""

    async def main() -> None:
        gate = Gate()
        cache = Cache(gate.load)
        launch = cache._launch

        def launch_after_put(flight: Any) -> None:
            putting = threading.Thread(target=cache.put, args=(flight.key, "put"))
            putting.start()
            putting.join()
            launch(flight)

        with patch.object(cache, "_launch", launch_after_put):
            assert await cache.get("k") == "put"
        await ticks()
        assert not gate.keys

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork has none to survive")
def test_fork_inside_a_loop() -> None:
    """A child forked while its parent's loop loads has the values, no flights, and may run a loop of its own."""
    script = """
import asyncio, os
from herdless.asyncio import Cache

parent = os.getpid()

async def load(key):
    if os.getpid() == parent:
        await release.wait()
    return key.upper()

async def main():
    global release
    release = asyncio.Event()
    cache.put("known", "KNOWN")
    waiter = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        assert cache.peek("known") == "KNOWN"
        assert cache.stats().in_flight == 0
        assert asyncio.run(cache.get("k")) == "K"
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    release.set()
    print(await waiter)

cache = Cache(load)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "K\n"), done.stderr


class LoopThread:
    """A second event loop, alive in a thread of its own."""

    def __enter__(self) -> LoopThread:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, coroutine: Any) -> Any:
        """Run the coroutine there and wait for it here."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def start(self, coroutine: Any) -> Any:
        """Run the coroutine there; returns when the loop has begun it and nothing was left to do at once."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self.call(ticks())
        return future


def test_waiters_in_another_loop_are_woken_there() -> None:
    """One load serves the callers of all loops: a framework that runs a loop for each request starts no herd."""
    gate = Gate()
    cache = Cache(gate.load)
    with LoopThread() as leader, LoopThread() as joiner:
        first, second = leader.start(cache.get("k")), joiner.start(cache.get("k"))
        assert cache.stats().joins == 1
        leader.loop.call_soon_threadsafe(gate.open.set)
        assert first.result(10) == second.result(10) == "K"
    assert gate.keys == ["k"]


def test_load_whose_loop_stops_is_loaded_again_elsewhere() -> None:
    """A loop that does not run any more brings no value: who waits elsewhere loads, and does not wait for ever."""
    loads = HangsOnce()
    cache = Cache(loads.load)
    leading = asyncio.new_event_loop()
    hanging = leading.create_task(cache.get("k"))
    leading.run_until_complete(ticks())

    async def join_before_the_loop_is_seen_to_stand() -> str:
        with patch.object(leading, "is_running", return_value=True):
            joined = asyncio.create_task(cache.get("k"))
            await ticks()
        return await joined

    assert asyncio.run(join_before_the_loop_is_seen_to_stand()) == "k"
    assert asyncio.run(cache.get("k")) == "k"
    assert leading.run_until_complete(hanging) == "k"  # its own caller looks up again, and finds the value
    leading.run_until_complete(ticks())
    leading.close()
    assert cache.stats().in_flight == 0


def test_load_that_ends_with_its_loop_is_loaded_again_elsewhere() -> None:
    """`asyncio.run` cancels what is left when it ends: no waiter of another loop is told of that."""
    loads = HangsOnce()
    cache = Cache(loads.load)
    with LoopThread() as joiner:

        async def leave_a_load_behind() -> Any:
            leading = asyncio.create_task(cache.get("k"))
            await ticks()
            joined = joiner.start(cache.get("k"))
            assert not leading.done()
            return joined

        joined = asyncio.run(leave_a_load_behind())
        assert joined.result(10) == "k"


def test_last_waiter_of_several_loops_takes_the_load_along() -> None:
    """Waiters are counted over all loops: the load goes on for the one who stays, and is cancelled with the last."""
    gate = Gate()
    cache = Cache(gate.load)
    with LoopThread() as leader, LoopThread() as joiner:
        first, second = leader.start(cache.get("k")), joiner.start(cache.get("k"))
        first.cancel()
        leader.call(ticks())
        assert not gate.cancelled
        second.cancel()
        joiner.call(ticks())
        leader.call(ticks())
        assert gate.cancelled == ["k"]
        assert cache.stats().in_flight == 0


@pytest.mark.parametrize("request_", ["put", "invalidate", "expire", "clear"])
def test_request_from_a_thread_without_a_loop(request_: str) -> None:
    """A webhook's or a consumer's thread may change the cache while a loop loads; waiters are woken in their loop."""
    gate = Gate()
    cache = Cache(gate.load)
    with LoopThread() as other:
        future = other.start(cache.get("k"))
        match request_:
            case "put":
                cache.put("k", "put")
            case "clear":
                cache.clear()
            case _:
                getattr(cache, request_)("k")
        if request_ == "put":
            assert future.result(10) == "put"
            other.call(ticks())
            assert gate.cancelled == ["k"]
        else:
            other.loop.call_soon_threadsafe(gate.open.set)
            assert future.result(10) == "K"
        other.call(ticks())
        assert cache.peek("k") == {"put": "put", "expire": "K"}.get(request_)


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
        cache = Cache(_echo, load_timeout=3600)
        assert await cache.get("k") == "k"
        scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # private
        assert all(timer.cancelled() for timer in scheduled)

    run(main)
