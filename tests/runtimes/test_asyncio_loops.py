"""The event loops of an asyncio cache: of any kind, closed, or several alive in threads of their own."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any, TypeAlias
from unittest.mock import patch

import pytest

from herdless.asyncio import Cache
from tests.runtimes.on_asyncio import Gate, echo, run, ticks

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]


def uvloop_loop() -> asyncio.AbstractEventLoop:
    """A new loop of uvloop."""
    import uvloop

    return uvloop.new_event_loop()


LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop_loop, id="uvloop", marks=pytest.mark.needs("uvloop")),
]


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
    cache = Cache(echo)
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
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

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
        assert first.result(60) == second.result(10) == "K"
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
        assert joined.result(60) == "k"


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
            assert future.result(60) == "put"
            other.call(ticks())
            assert gate.cancelled == ["k"]
        else:
            other.loop.call_soon_threadsafe(gate.open.set)
            assert future.result(60) == "K"
        other.call(ticks())
        assert cache.peek("k") == {"put": "put", "expire": "K"}.get(request_)
