"""One driver for each runtime: the world's orders in its own terms. `World` says what each method is for."""

# ruff: noqa: D102  # the methods are documented where they are declared

from __future__ import annotations

import asyncio
import inspect
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless_core import NANOSECONDS_PER_SECOND
from tests.contract.traffic import Traffic
from tests.contract.world import Caller, Load, Scenario, Story, World

T = TypeVar("T")


def _run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, as all do where waiting blocks the thread."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # typeshed: StopIteration.value is Any
    coroutine.close()
    raise AssertionError("a coroutine awaited what the world does not offer")


async def _finish(load: Load) -> Any:
    assert load.action is not None
    result = load.action()
    return await result if inspect.isawaitable(result) else result


class AsyncioWorld(World):
    """An event loop whose time is the world's."""

    name = "asyncio"
    cache_class = herdless.asyncio.Cache

    def run(self, scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=lambda: _VirtualTimeLoop(self)) as runner:
            error = runner.run(self.play(scenario))
        if error is not None:
            raise error

    async def loader(self, key: object) -> Any:
        spot = asyncio.Event()
        load = self.begin_load(key, spot)
        try:
            while not spot.is_set():
                try:
                    await spot.wait()
                except asyncio.CancelledError:
                    load.was_cancelled = True
                    if not self.ignores_cancellation:
                        raise
            return await _finish(load)
        finally:
            load.has_ended = True

    def start(self, caller: Caller, call: Callable[[], Any]) -> None:
        async def body() -> None:
            try:
                caller.answer(await call())
            except asyncio.CancelledError:
                caller.leave()
            except BaseException as error:  # noqa: BLE001  # the scenario looks at it
                caller.fail(error)

        caller.handle = asyncio.get_running_loop().create_task(body())

    async def settle(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _VirtualTimeLoop)
        await asyncio.sleep(0)
        while not loop.is_idle:  # noqa: ASYNC110  # no event announces that nothing is left to do
            await asyncio.sleep(0)

    def cancel(self, caller: Caller) -> None:
        caller.handle.cancel()

    def move_clock(self, nanoseconds: int) -> None:
        self.now += nanoseconds


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, world: World) -> None:
        self._world: Final = world
        super().__init__(selectors.SelectSelector())

    def time(self) -> float:
        return self._world.now / NANOSECONDS_PER_SECOND

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready but the task that asks; timers that are due become ready before it does."""
        return not self._ready  # type: ignore[attr-defined]  # private, and stable since Python 3.4


class TrioWorld(World):
    """trio under its own test tools: MockClock and wait_all_tasks_blocked."""

    name = "trio"
    cache_class = herdless.trio.Cache

    def run(self, scenario: Scenario) -> None:
        self._clock = trio.testing.MockClock()
        error = trio.run(self._main, scenario, clock=self._clock)
        if error is not None:
            raise error

    async def _main(self, scenario: Scenario) -> BaseException | None:
        async with trio.open_nursery() as self._nursery:
            error = await self.play(scenario)
            self._nursery.cancel_scope.cancel()
        return error

    async def enter(self, cache: Any) -> None:
        await self.stack.enter_async_context(cache)

    async def loader(self, key: object) -> Any:
        spot = trio.Event()
        load = self.begin_load(key, spot)
        try:
            with trio.CancelScope(shield=self.ignores_cancellation):
                await spot.wait()
            return await _finish(load)
        except trio.Cancelled:
            load.was_cancelled = True
            raise
        finally:
            load.has_ended = True

    def start(self, caller: Caller, call: Callable[[], Any]) -> None:
        async def body() -> None:
            with scope:
                try:
                    caller.answer(await call())
                except trio.Cancelled:
                    caller.leave()
                    raise
                except BaseException as error:  # noqa: BLE001  # the scenario looks at it
                    caller.fail(error)

        scope = caller.handle = trio.CancelScope()
        self._nursery.start_soon(body)

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def cancel(self, caller: Caller) -> None:
        caller.handle.cancel()

    def move_clock(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self._clock.jump(nanoseconds / NANOSECONDS_PER_SECOND)


class ThreadsWorld(World):
    """Real threads, of which it is known at every moment whether they move or wait."""

    name = "threads"
    cache_class = herdless.threads.Cache

    def run(self, scenario: Scenario) -> None:
        self._traffic = Traffic(lambda: self.now)
        with self._traffic.watching_events("herdless."):
            error = _run_at_once(self.play(scenario))
        if error is not None:
            raise error

    def own_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"executor": self, **options}

    def submit(self, job: Callable[[], object]) -> None:
        """Be the executor of the caches: refreshes and loads that can be left behind are threads that are watched."""
        self._traffic.start(job)

    def loader(self, key: object) -> Any:
        spot = self._traffic.make_event()
        load = self.begin_load(key, spot)
        try:
            spot.wait()
            assert load.action is not None
            return load.action()
        finally:
            load.has_ended = True

    def start(self, caller: Caller, call: Callable[[], Any]) -> None:
        def body() -> None:
            try:
                caller.answer(call())
            except TimeoutError as error:
                if caller.timeout_ns is None:
                    caller.fail(error)
                else:
                    caller.leave()
            except BaseException as error:  # noqa: BLE001  # the scenario looks at it
                caller.fail(error)

        caller.handle = self.now
        self._traffic.start(body)

    def tell(self, story: Story) -> Caller:
        async def get(key: object) -> Any:
            return self.cache.get(key)

        return self.begin(lambda: _run_at_once(story(get)))

    def call_with_timeout(self, method: Callable[..., Any], key: object, timeout_ns: int) -> Any:
        return method(key, timeout_ns / NANOSECONDS_PER_SECOND)

    async def settle(self) -> None:
        self._traffic.settle()

    def cancel(self, caller: Caller) -> None:
        assert caller.timeout_ns is not None
        self.move_clock(max(0, caller.handle + caller.timeout_ns - self.now))

    def move_clock(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self._traffic.look_at_clock()


WORLDS: Final[tuple[type[World], ...]] = (AsyncioWorld, TrioWorld, ThreadsWorld)
