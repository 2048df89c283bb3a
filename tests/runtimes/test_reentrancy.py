"""Who is refused by ReentrantLoad: those whose wait keeps the load from ending, and nobody else.

A task that a load starts inherits the load's context (ogx-ai/ogx#5168), whether the load waits for it or not. Only
where it does, the task's lookup of the load's own key could never be answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

import pytest
import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import _asyncio_waits
from herdless.testing import VirtualClock, run_asyncio, run_trio
from herdless_core import ReentrantLoad

PATIENCE: Final = 30

Ask: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


async def bare(ask: Ask) -> None:
    """The load asks itself."""
    await ask()


async def task(ask: Ask) -> None:
    """It awaits a task that asks."""
    await asyncio.create_task(ask())


async def task_of_a_task(ask: Ask) -> None:
    """It awaits a task that awaits another one."""
    await asyncio.create_task(task(ask))


async def gathered(ask: Ask) -> None:
    """It gathers several."""
    await asyncio.gather(ask(), asyncio.sleep(0))


async def grouped(ask: Ask) -> None:
    """It has a group of tasks."""
    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        group.create_task(asyncio.sleep(0))


async def waited(ask: Ask) -> None:
    """It waits for a set of tasks."""
    done, _ = await asyncio.wait([asyncio.create_task(ask())])
    done.pop().result()


async def limited(ask: Ask) -> None:
    """It waits for so long."""
    await asyncio.wait_for(ask(), PATIENCE)


async def shielded(ask: Ask) -> None:
    """It shields what it awaits."""
    await asyncio.shield(asyncio.create_task(ask()))


async def later(ask: Ask) -> None:
    """It begins to wait when the task has been asking for long."""
    asking = asyncio.create_task(ask())
    await asyncio.sleep(2 * _asyncio_waits.LOOK_EVERY)
    await asking


WAYS: Final = (bare, task, task_of_a_task, gathered, grouped, waited, limited, shielded, later)

every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Within a limit: who would wait for itself would do so for ever."""

    async def limited_main() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(limited_main())


@every_way
def test_load_that_waits_for_itself_is_refused(way: Callable[[Ask], Awaitable[None]]) -> None:
    """However the loader puts it: nobody hangs, and the error says why."""

    async def main() -> None:
        async def load(key: str) -> str:
            with pytest.raises((ReentrantLoad, ExceptionGroup)) as refused:
                await way(lambda: cache.get(key))
            assert isinstance(refused.value, ReentrantLoad) or refused.group_contains(ReentrantLoad)
            return "value"

        async with herdless.asyncio.Cache(load) as cache:
            assert await cache.get("k") == "value"

    run(main)


@every_way
def test_loads_that_wait_for_each_other_are_refused(way: Callable[[Ask], Awaitable[None]]) -> None:
    """A circle over two keys, closed by a task that one of them waits for."""
    refusals: list[object] = []

    async def main() -> None:
        async def load(key: str) -> str:
            other = "b" if key == "a" else "a"

            async def ask() -> None:
                try:
                    await cache.get(other)
                except ReentrantLoad as error:
                    refusals.append(error)

            await way(ask)
            return key

        async with herdless.asyncio.Cache(load) as cache:
            assert {*await asyncio.gather(cache.get("a"), cache.get("b"))} == {"a", "b"}

    run(main)
    assert refusals


def test_task_that_a_load_does_not_wait_for_is_answered() -> None:
    """Fire and forget: an audit record, a warm-up of other keys, a metric."""

    async def main() -> None:
        async def load(key: str) -> str:
            asking.append(asyncio.create_task(cache.get(key)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "value"

        asking: list[asyncio.Task[str]] = []
        async with herdless.asyncio.Cache(load) as cache:
            assert await cache.get("k") == "value"
            assert await asking[0] == "value"
            assert cache.stats().loads == 1

    run(main)


def test_task_that_outlives_its_load_is_answered() -> None:
    """It still has the context of a load that has ended, and is inside of none."""

    async def main() -> None:
        ended = asyncio.Event()

        async def ask(key: str) -> str:
            await ended.wait()
            cache.invalidate(key)
            return await cache.get(key)

        async def load(key: str) -> str:
            if not asking:
                asking.append(asyncio.create_task(ask(key)))
            return "value"

        asking: list[asyncio.Task[str]] = []
        async with herdless.asyncio.Cache(load) as cache:
            assert await cache.get("k") == "value"
            ended.set()
            assert await asking[0] == "value"

    run(main)


def test_task_that_left_is_no_part_of_a_circle() -> None:
    """A wait that is over, inside a load, does not make a later lookup one that would wait for itself."""

    async def main() -> None:
        gate = asyncio.Event()

        async def load(key: str) -> str:
            if key == "a":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(cache.get("b"), timeout=0.001)
                gate.set()
            else:
                await gate.wait()
                assert await cache.get("a") == "a"
            return key

        async with herdless.asyncio.Cache(load) as cache:
            assert {*await asyncio.gather(cache.get("a"), cache.get("b"))} == {"a", "b"}

    run(main)


def test_trio_task_in_the_loads_own_nursery_is_refused() -> None:
    """The load cannot end before its nursery does."""

    async def main() -> None:
        async def load(key: str) -> str:
            async def ask() -> None:
                with pytest.raises(ReentrantLoad):
                    await cache.get(key)

            async with trio.open_nursery() as outer:
                async with trio.open_nursery() as inner:
                    inner.start_soon(ask)
                outer.start_soon(ask)
            return "value"

        async with herdless.trio.Cache(load) as cache:
            assert await cache.get("k") == "value"

    trio.run(main)


def test_trio_task_in_another_nursery_is_answered() -> None:
    """It inherits the load's context, and the load does not wait for it."""

    async def main() -> None:
        answers: list[str] = []

        async def ask(key: str) -> None:
            answers.append(await cache.get(key))

        async def load(key: str) -> str:
            background.start_soon(ask, key)
            await trio.testing.wait_all_tasks_blocked()
            return "value"

        async with herdless.trio.Cache(load) as cache:
            async with trio.open_nursery() as background:
                assert await cache.get("k") == "value"
            assert answers == ["value"]

    trio.run(main)


def test_who_gave_up_waiting_inside_an_asyncio_load_is_waited_for_again() -> None:
    """The load goes on without that value; the load it asked for may now ask for its key."""

    async def load(key: str) -> str:
        if key == "patient":
            await asyncio.sleep(2)
            return await cache.get("hasty")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await cache.get("patient")
        await asyncio.sleep(5)
        return key

    async def main() -> None:
        hasty = asyncio.create_task(cache.get("hasty"))
        assert await cache.get("patient") == "hasty"
        assert await hasty == "hasty"

    clock = VirtualClock()
    cache = herdless.asyncio.Cache(load, clock=clock)
    run_asyncio(main, clock=clock)


def test_who_gave_up_waiting_inside_a_trio_load_is_waited_for_again() -> None:
    """The same on trio."""

    async def main() -> None:
        async def load(key: str) -> str:
            if key == "patient":
                await trio.sleep(2)
                return await cache.get("hasty")
            with trio.move_on_after(1):
                await cache.get("patient")
            await trio.sleep(5)
            return key

        async with herdless.trio.Cache(load, clock=clock) as cache, trio.open_nursery() as nursery:
            nursery.start_soon(cache.get, "hasty")
            nursery.start_soon(cache.get, "patient")
        assert cache.stats().load_failures == 0

    clock = VirtualClock()
    run_trio(main, clock=clock)


def test_who_gave_up_waiting_inside_a_threads_load_is_waited_for_again() -> None:
    """The same in threads, where it gives up by a timeout of its own."""
    has_begun, has_given_up = threading.Event(), threading.Event()

    def load(key: str) -> str:
        if key == "patient":
            has_begun.set()
            assert has_given_up.wait(PATIENCE)
            return cache.get("hasty", timeout=PATIENCE)
        assert has_begun.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            cache.get("patient", timeout=0)
        has_given_up.set()
        while cache.stats().joins < 2 and not cache.stats().load_failures:
            pass
        return key

    cache = herdless.threads.Cache(load)
    cache.refresh("hasty")
    assert cache.get("patient", timeout=PATIENCE) == "hasty"
