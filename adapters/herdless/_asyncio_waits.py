"""How callers on asyncio wait: each on a future of its own, in whichever loop it is.

Where the end of the load alone may not be enough to wake a caller, since it is another loop's, or since the load inside
which the caller is may be what that load waits for, the caller looks around now and then.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Unpack
from weakref import WeakSet

from herdless._asyncio_loads import AsyncioLoad, AsyncioLoads, Woken, call_in
from herdless.adapter import NOTHING, BaseCache, CacheOptions, K, V
from herdless_core import Effects, RunningLoad

LOOK_EVERY: Final = 0.05
"""Seconds between two looks at what tells nobody: whether another loop still runs, whether a load waits for a task."""

_Waiter: Final[type[Future[Woken]]] = Future
"""Found once: mypyc would look the name up at each miss and join."""


class AsyncioWaits(AsyncioLoads[K, V], Generic[K, V]):
    """The part of the cache where callers wait. `is_apart`: as in `AsyncioLoads`."""

    def __init__(self, load: Callable[..., object] | None, *, is_apart: bool, **options: Unpack[CacheOptions]) -> None:
        AsyncioLoads.__init__(self, load, is_apart=is_apart, **options)  # not super(): see there
        # `_home` is the only loop that was met; None where there were others, or where a loop for the loads is missing.
        self._loops: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()
        """The loops that were met, and not seen closed."""

    def _park(
        self, flight: AsyncioLoad, boarded: AsyncioLoad | None, place: Any, loading: RunningLoad | None
    ) -> Awaitable[Woken]:
        """What to await; `place` is the caller's loop."""
        waiter = _Waiter(loop=place)
        flight.waiters.append(waiter)
        if flight.loop is not place or loading is not None:
            return self._look_after(flight, waiter, loading)
        return waiter

    def _await_softly(self, flight: AsyncioLoad) -> None:
        parked = len(flight.waiters)
        self._postponed.append(lambda _: self._await_softly_from(flight, parked))  # when the caller is parked

    def _await_softly_from(self, flight: AsyncioLoad, parked: int) -> Effects:
        """Set the timer of a caller who was to be parked after so many others. Inside the lock."""
        if len(flight.waiters) > parked:
            self._set_soft_timer(flight, flight.waiters[-1], self._soft_at())
        return NOTHING

    def _look_after(self, flight: AsyncioLoad, waiter: Future[Woken], loading: RunningLoad | None) -> Awaitable[Woken]:
        """What a caller awaits of whom the flight's end alone may not be enough. Inside the lock."""
        flight.is_shared = flight.is_shared or flight.loop is not waiter.get_loop()
        if loading is not None and (loading.has_ended or flight in loading.waits_for):
            loading = None
        if not flight.is_shared and loading is None:
            return waiter
        return self._wait_and_look(flight, waiter, loading)

    async def _wait_and_look(self, flight: AsyncioLoad, waiter: Future[Woken], loading: RunningLoad | None) -> Woken:
        """Wait, and see now and then whether the load's loop still runs, and whether the load `loading`, in whose
        context this is, waits for it.
        """
        try:
            return await self._look_while_waiting(flight, waiter, loading)
        except BaseException:
            self._leave_flight(flight, waiter)
            raise

    async def _look_while_waiting(
        self, flight: AsyncioLoad, waiter: Future[Woken], loading: RunningLoad | None
    ) -> Woken:
        while not waiter.done():
            await asyncio.wait((waiter,), timeout=LOOK_EVERY)
            if waiter.done():
                break
            if flight.loop is not waiter.get_loop() and not flight.loop.is_running():
                self._dropped(flight)
            if loading is not None and not loading.has_ended and loading.holds_up():
                self._begin_wait(loading, flight)
                loading = None
        return waiter.result()

    def _leave_flight(self, flight: AsyncioLoad, waiting: Any, has_begun: bool = True) -> None:
        """The caller stops waiting. waiting: what `_park` returned; has_begun: whether the caller has begun to await
        it.
        """
        if isinstance(waiting, Future):
            if waiting.done() and not waiting.cancelled():
                return  # it was answered, perhaps before the load's end, and did not leave
            call_in(waiting.get_loop(), waiting.cancel)  # where the caller's coroutine was closed, it is not yet
            self._left(flight, can_cancel=True)
        elif not has_begun:  # a coroutine, which else tells of this itself
            waiting.close()
            self._left(flight, can_cancel=True)

    def _let_go_of(self, flight: AsyncioLoad, now: int, can_cancel: bool, loading: RunningLoad | None) -> Effects:
        flight.left += 1
        if 2 * flight.left > len(flight.waiters):
            flight.waiters[:] = [waiter for waiter in flight.waiters if not waiter.done()]
            flight.left = 0
        return BaseCache._let_go_of(self, flight, now, can_cancel, loading)

    # Where loops come and go

    def _look_around(self, key: K) -> None:
        """Where loops come and go: what was in flight in one that has ended died with it. Inside the lock."""
        loop = asyncio._get_running_loop()
        if loop is None or loop is self._home:
            return
        dead = []
        if loop not in self._loops:
            dead = [each for each in self._flights.values() if each.loop.is_closed()]
            self._forget_ended()
        entered = self._keyspace.entry(key).flight
        flight = None if entered is None else self._flights.get(entered.generation)
        if flight is not None and flight.loop is not loop and not flight.loop.is_running() and flight not in dead:
            dead.append(flight)
        for each in dead:
            self._drop_here(each)
        self._loops.add(loop)
        if len(self._loops) > 1:
            for met in [met for met in self._loops if met.is_closed()]:
                self._loops.discard(met)
        self._home = loop if len(self._loops) == 1 else None

    def _is_in_the_air(self, loop: asyncio.AbstractEventLoop, own: RunningLoad | None) -> bool:
        """Whether a load runs, but for the one inside which this is asked. Inside the lock."""
        current = asyncio.current_task()
        for flight in list(self._flights.values()):
            if flight.loop is not loop and not flight.loop.is_running():
                self._drop_here(flight)
            elif flight is not own and own not in flight.waits_for:
                return True
        self._forget_ended()
        return any(
            task is not current and (task.get_loop() is loop or task.get_loop().is_running()) for task in self._tasks
        )
