"""One driver for each runtime: the world's orders in its own terms. `World` says what each method is for."""

# ruff: noqa: D102  # the methods are documented where they are declared

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final

import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless_core import NANOSECONDS_PER_SECOND
from herdless_verify.contract import AsyncioWorld, AsyncWorld, BlockingWorld, Caller, Load, Main, Spot, World
from tests.contract.traffic import Traffic
from tests.durable_objects.world import WorkerdWorld

_NO_CANCELLATION = "a thread cannot be cancelled: a load that nobody waits for goes on, is joined and is stored"
_OWN_LOADS = "a thread runs the load that it asks for at once: what `get_many` asks for is one call"
_ENDS_THE_RUN = "an exception that is no Exception ends the cache's nursery too: tests/runtimes/test_trio.py has it"


class OurAsyncioWorld(AsyncioWorld):
    """herdless.asyncio needs nothing of its own."""

    cache_class = herdless.asyncio.Cache


class TrioWorld(AsyncWorld):
    """trio under its own test tools: MockClock and wait_all_tasks_blocked."""

    cache_class = herdless.trio.Cache
    cancellation = trio.Cancelled
    exempt: ClassVar[Mapping[str, str]] = {
        **AsyncioWorld.exempt,
        "test_09_abnormal_end_settles_the_waiters": _ENDS_THE_RUN,
        "test_10_abnormal_end_leaves_no_orphan": _ENDS_THE_RUN,
    }

    def run(self, main: Main) -> None:
        self._clock = trio.testing.MockClock()
        trio.run(self._main, main, clock=self._clock)

    async def _main(self, main: Main) -> None:
        async with trio.open_nursery() as self._nursery:
            async with AsyncExitStack() as self._caches:
                await main()
            self._nursery.cancel_scope.cancel()

    async def make_cache(self, **options: Any) -> Any:
        return await self._caches.enter_async_context(await super().make_cache(**options))

    def make_spot(self) -> Spot:
        return trio.Event()

    async def park(self, load: Load) -> None:
        with trio.CancelScope(shield=self.ignores_cancellation):  # once cancelled, every wait is
            await super().park(load)

    def spawn(self, body: Callable[[], Any]) -> Any:
        async def scoped() -> None:
            with scope:
                await body()

        scope = trio.CancelScope()
        self._nursery.start_soon(scoped)
        return scope

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def move_clock(self, nanoseconds: int) -> None:
        super().move_clock(nanoseconds)
        self._clock.jump(nanoseconds / NANOSECONDS_PER_SECOND)


class ThreadsWorld(BlockingWorld):
    """Real threads, of which it is known at every moment whether they move or wait."""

    cache_class = herdless.threads.Cache
    cancellation = TimeoutError
    first_caller_loads = True
    exempt: ClassVar[Mapping[str, str]] = {
        "test_misses_that_arrive_together_are_one_call": _OWN_LOADS,
        "test_no_doomed_join_after_the_last_waiter": _NO_CANCELLATION,
        "test_04_cancelled_load_that_unwinds_is_not_joined": _NO_CANCELLATION,
        "test_load_that_nobody_waits_for_is_cancelled": _NO_CANCELLATION,
        "test_invalidate_cancels_an_unawaited_refresh": _NO_CANCELLATION,
        "test_load_timeout_cancels_the_load": _NO_CANCELLATION,
    }

    def run(self, main: Main) -> None:
        self._traffic = Traffic(self.clock)
        with self._traffic.watching_events("herdless."):
            super().run(main)

    async def make_cache(self, **options: Any) -> Any:
        return await super().make_cache(executor=self, **options)

    def submit(self, job: Callable[[], object]) -> None:
        """Be the executor of the caches: refreshes and loads that can be left behind are threads that are watched."""
        self._traffic.start(job)

    def make_spot(self) -> Spot:
        return self._traffic.make_event()

    def spawn(self, body: Callable[[], Any]) -> Any:
        self._traffic.start(body)

    async def settle(self) -> None:
        self._traffic.settle()

    def call_with_timeout(self, method: Callable[..., Any], key: object, timeout_ns: int) -> Any:
        return method(key, timeout_ns / NANOSECONDS_PER_SECOND)

    def cancel(self, caller: Caller) -> None:
        assert caller.timeout_ns is not None
        self.move_clock(max(0, caller.started_at + caller.timeout_ns - self.clock.now))

    def move_clock(self, nanoseconds: int) -> None:
        super().move_clock(nanoseconds)
        self._traffic.look_at_clock()


WORLDS: Final[dict[str, type[World]]] = {
    "asyncio": OurAsyncioWorld,
    "trio": TrioWorld,
    "threads": ThreadsWorld,
    "Durable Objects": WorkerdWorld,
}
