"""Event loops that end with loads in them: what was in flight there is over, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any, Final

import pytest

from herdless.asyncio import Cache

PATIENCE: Final = 30


def test_turn_of_a_load_that_died_with_its_loop_is_free_again() -> None:
    """Nobody else will give it back."""
    waiting: list[object] = []

    async def load(key: str) -> str:
        if key == "dies":
            await asyncio.get_running_loop().create_future()
        return key

    cache = Cache(load, max_loads=1)
    loop = asyncio.new_event_loop()
    waiting.append(loop.create_task(cache.get("dies")))
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert asyncio.run(cache.get("k")) == "k"
    waiting.clear()
    gc.collect()


class Local:
    """What a load has in a local variable."""


@pytest.mark.parametrize("when", ["before it is given up", "after that"])
def test_load_that_died_with_its_loop_is_not_kept(when: str) -> None:
    """Its task never ends; a program that makes a loop for each request would keep one for each of them."""
    seen: list[weakref.ref[Local]] = []

    async def load(key: str) -> str:
        local = Local()
        if key == "dies":
            seen.append(weakref.ref(local))
            await asyncio.get_running_loop().create_future()
        return key

    cache = Cache(load)
    loop = asyncio.new_event_loop()
    waiting = [loop.create_task(cache.get("dies"))]
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    if when == "before it is given up":
        loop.close()
    else:
        asyncio.run(cache.settled())
        loop.close()
    assert asyncio.run(cache.get("k")) == "k"
    waiting.clear()
    gc.collect()
    assert seen[0]() is None


def test_waiter_elsewhere_is_not_told_how_a_dead_loop_ended_the_load() -> None:
    """The load is no failure: its coroutine was collected with its loop, and who waits in another one loads again."""
    waiting: list[object] = []

    async def load(key: str) -> str:
        if waiting:
            return key
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never ends

    async def main() -> None:
        waiter = asyncio.create_task(cache.get("k"))
        await asyncio.sleep(0)
        assert cache.stats().joins == 1
        waiting.append("from now on loads end")
        first.clear()
        loop.stop()
        for flight in list(cache._flights.values()):
            assert flight.task is not None
            coroutine: Any = flight.task.get_coro()
            coroutine.close()  # as the collector would
        assert await waiter == "k"
        assert cache.stats().load_failures == 0

    cache = Cache(load)
    loop = asyncio.new_event_loop()
    first = [loop.create_task(cache.get("k"))]
    running = threading.Thread(target=loop.run_forever)
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    running.start()
    asyncio.run(main())
    loop.call_soon_threadsafe(loop.stop)
    running.join(PATIENCE)
    loop.close()
    gc.collect()


def test_settled_does_not_wait_for_a_loop_that_stops_meanwhile() -> None:
    """It tells nobody that its loads will not end."""
    has_begun, leave = threading.Event(), threading.Event()

    async def load(_key: str) -> None:
        has_begun.set()
        await asyncio.get_running_loop().create_future()

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        waiting.append(loop.create_task(cache.get("k")))
        loop.run_until_complete(asyncio.to_thread(leave.wait, PATIENCE))
        stopped.append(loop)

    async def main() -> None:
        assert await asyncio.to_thread(has_begun.wait, PATIENCE)
        settled = asyncio.create_task(cache.settled())
        await asyncio.sleep(0)
        leave.set()
        await asyncio.wait_for(settled, PATIENCE)

    waiting: list[object] = []
    stopped: list[asyncio.AbstractEventLoop] = []
    cache = Cache(load)
    other = threading.Thread(target=elsewhere)
    other.start()
    asyncio.run(main())
    other.join(PATIENCE)
    stopped[0].close()
    asyncio.run(cache.settled())
    waiting.clear()
    gc.collect()
