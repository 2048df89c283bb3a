"""asyncio under task factories: tracers wrap every coroutine, and a load must come to its end all the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from herdless.asyncio import Cache
from herdless_core import LoadCancelled

Factory: TypeAlias = Callable[..., asyncio.Future[Any]]


async def load(key: str) -> str:
    """Suspend once, as loaders do."""
    await asyncio.sleep(0)
    return key.upper()


def plain(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """What asyncio does itself."""
    return asyncio.Task(coroutine, loop=loop, **options)


def wrapping(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """What a tracer does: getsentry/sentry-python#1671."""

    async def wrapper() -> Any:
        return await coroutine

    return asyncio.Task(wrapper(), loop=loop, **options)


def later(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """The coroutine gets its first step in another turn than its task."""

    async def wrapper() -> Any:
        await asyncio.sleep(0)
        return await coroutine

    return asyncio.Task(wrapper(), loop=loop, **options)


def twice(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """The coroutine runs in a task of its own, behind the one that is returned."""

    async def wrapper() -> Any:
        return await asyncio.wait_for(asyncio.Task(coroutine, loop=loop), timeout=60)

    return asyncio.Task(wrapper(), loop=loop, **options)


FACTORIES: dict[str, Factory] = {each.__name__: each for each in (plain, wrapping, later, twice)}
if sys.version_info >= (3, 12):
    FACTORIES["eager"] = asyncio.eager_task_factory

every_factory = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)


def under(factory: Any, main: Callable[[], Awaitable[None]]) -> None:
    """Run the main function, whose further tasks the factory makes."""

    async def wrapped() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await main()

    asyncio.run(wrapped())


@every_factory
def test_lookups_are_answered(factory: Factory) -> None:
    """A herd of callers is one load, whoever makes its task."""

    async def main() -> None:
        async with Cache(load) as cache:
            assert await asyncio.gather(*(cache.get("k") for _ in range(3))) == ["K"] * 3
            assert (cache.stats().loads, cache.stats().in_flight) == (1, 0)

    under(factory, main)


@every_factory
def test_last_caller_who_leaves_takes_the_load_along(factory: Factory) -> None:
    """Cancelling the task that the factory made reaches the load inside of it."""
    cancelled: list[str] = []

    async def hanging(key: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(key)
            raise

    async def main() -> None:
        cache = Cache(hanging)
        caller = asyncio.create_task(cache.get("k"))
        for _ in range(10):
            await asyncio.sleep(0)
        caller.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert cancelled == ["k"]
        assert cache.stats().in_flight == 0

    under(factory, main)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # what a wrapper leaves behind
@pytest.mark.parametrize("before_its_first_step", [True, False])
@every_factory
def test_load_whose_task_somebody_cancels(factory: Factory, before_its_first_step: bool) -> None:
    """A tool that cancels all tasks, at whatever moment, leaves nobody waiting for one of them."""

    async def main() -> None:
        cache = Cache(load)
        known = asyncio.all_tasks()
        caller = asyncio.Task(cache.get("k"), loop=asyncio.get_running_loop())
        while not cache.stats().in_flight:  # noqa: ASYNC110  # nothing announces that
            await asyncio.sleep(0)
        if not before_its_first_step:
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - known - {caller}:
            task.cancel()
        await asyncio.wait({caller})
        assert caller.exception() is None or isinstance(caller.exception(), LoadCancelled)
        assert cache.stats().in_flight == 0
        assert await cache.get("k") == "K"

    under(factory, main)


def test_factory_that_drops_the_coroutine() -> None:
    """A load that is never begun has ended when its task has."""

    def dropping(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> Any:
        coroutine.close()
        return asyncio.Task(asyncio.sleep(0), loop=loop)

    async def main() -> None:
        cache = Cache(load)
        loop = asyncio.get_running_loop()
        caller = asyncio.create_task(cache.get("k"))
        loop.set_task_factory(dropping)
        await asyncio.sleep(0)
        loop.set_task_factory(None)
        assert await caller == "K"
        assert (cache.stats().in_flight, cache.stats().size) == (0, 1)

    asyncio.run(main())


def test_factory_that_raises() -> None:
    """The caller who was to start the load is told; and nothing is left behind."""

    def raising(_loop: asyncio.AbstractEventLoop, _coroutine: Any, **_: Any) -> Any:
        raise OSError("no more tasks")

    async def main() -> None:
        cache = Cache(load)
        asyncio.get_running_loop().set_task_factory(raising)
        with pytest.raises(OSError, match="no more tasks"):
            await cache.get("k")
        asyncio.get_running_loop().set_task_factory(None)
        assert await cache.get("k") == "K"
        assert cache.stats().in_flight == 0

    asyncio.run(main())


@pytest.mark.needs("sentry_sdk")
def test_under_sentry() -> None:
    """The real integration, whose factory wraps each coroutine in a span of its own."""
    import sentry_sdk
    from sentry_sdk.integrations.asyncio import AsyncioIntegration

    async def main() -> None:
        sentry_sdk.init(dsn=None, integrations=[AsyncioIntegration()], default_integrations=False)
        assert asyncio.get_running_loop().get_task_factory() is not None, "it patches the loop"
        async with Cache(load, ttl=60, load_timeout=60) as cache:
            assert await asyncio.gather(*(cache.get("k") for _ in range(3))) == ["K"] * 3
            cache.refresh("other")
            await cache.settled()
            assert cache.peek("other") == "OTHER"

    asyncio.run(main())
