"""An event loop whose order is a schedule and whose time is virtual."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, TypeVarTuple, cast, final

from herdless._testing._clock import VirtualClock
from herdless._testing._schedule import TIME, Schedule
from herdless_core import NANOSECONDS_PER_SECOND

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(AssertionError):
    """Somebody waits, and nothing can ever wake them. The message says who, and for what."""


def run_asyncio(
    main: Callable[[], Coroutine[Any, Any, T]], schedule: Schedule | None = None, *, clock: VirtualClock | None = None
) -> T:
    """Run `main()` as `asyncio.run` does, but the schedule says which ready callback is next.

    Time is virtual: it passes when nothing is ready, or where the schedule lets it. Give the same clock to the cache.
    Tasks that `main` leaves behind are cancelled and awaited. Raises Deadlock when nothing could ever wake `main`.
    """
    loop = SeededEventLoop(schedule, clock)
    task = loop.create_task(main(), name="main")
    try:
        return cast(T, loop.run_until_complete(task))
    finally:
        loop.end()


@final
class SeededEventLoop(asyncio.BaseEventLoop):
    """What tasks, futures and timers need of an event loop, and no I/O. One callback at a time: see `step`."""

    def __init__(self, schedule: Schedule | None = None, clock: VirtualClock | None = None) -> None:
        super().__init__()
        self._schedule: Final = schedule or Schedule()
        self._clock: Final = clock or VirtualClock()
        self._handles: Final[list[asyncio.Handle]] = []
        self._later: Final[list[tuple[int, int, asyncio.TimerHandle]]] = []
        self._count: Final = itertools.count(1)
        self.tasks: Final[list[asyncio.Task[Any]]] = []
        """All that were ever made, in their order."""
        self.complaints: Final[list[dict[str, Any]]] = []
        """What asyncio told the exception handler."""

    # Running

    def is_idle(self) -> bool:
        """Whether nothing can be done before time passes."""
        self._move_due_timers()
        return not self._handles

    def step(self) -> None:
        """Call one of the ready callbacks, or let time pass to the next timer. Raises Deadlock if there is neither."""
        self._move_due_timers()
        options = [_name(handle) for handle in self._handles]
        if self._later:
            options.append(TIME)
        if not options:
            raise Deadlock(f"nothing is ready and no timer is set, but these tasks wait: {self._waiting()}")
        picked = self._schedule.pick(options)
        self._schedule.note(options[picked])
        if picked == len(self._handles):
            self._clock.advance_to(self._later[0][0])
        else:
            self.call(self._handles.pop(picked)._run)

    def call(self, function: Callable[..., T], *args: object) -> T:
        """Call a function as if a callback of this loop did."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            return function(*args)
        finally:
            asyncio._set_running_loop(outer)

    def run_until_complete(self, future: Any) -> Any:
        """Step until the future is done; returns its result. Raises Deadlock if it never would be."""
        future = self.call(asyncio.ensure_future, future)
        while not future.done():
            self.step()
        return future.result()

    def run_until_idle(self) -> None:
        """Step until nothing is ready and no timer is set."""
        while not self.is_idle() or self._later:
            self.step()

    def end(self) -> None:
        """Cancel the tasks that are left, let them end, and close. One that swallows its cancellation is left."""
        for task in self.tasks:
            if not task.done():
                self.call(task.cancel)
        while not self.is_idle():
            self.step()
        self.close()

    def _move_due_timers(self) -> None:
        while self._later and (self._later[0][2].cancelled() or self._later[0][0] <= self._clock.now):
            self._handles.append(heapq.heappop(self._later)[2])
        self._handles[:] = [handle for handle in self._handles if not handle.cancelled()]

    def _waiting(self) -> str:
        return ", ".join(task.get_name() for task in self.tasks if not task.done())

    # What asyncio asks of a loop

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._clock.now / NANOSECONDS_PER_SECOND

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Make the callback ready."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._handles.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Make the callback ready, as another thread would: there is none, so nothing need be woken."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Make the callback ready in so many seconds."""
        return self._call_at(self._clock.now + round(delay * NANOSECONDS_PER_SECOND), callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Make the callback ready at an instant of `time()`."""
        return self._call_at(round(when * NANOSECONDS_PER_SECOND), callback, args, context)

    def _call_at(
        self,
        instant: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(instant / NANOSECONDS_PER_SECOND, callback, args, self, context)
        heapq.heappush(self._later, (instant, next(self._count), handle))
        return handle

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> asyncio.Task[Any]:
        """A task of this loop, numbered from 1."""
        label = f"{getattr(coro, '__name__', 'task')} {len(self.tasks) + 1}" if name is None else str(name)
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=label, context=context)
        self.tasks.append(task)
        return task

    def is_running(self) -> bool:
        """Whether a callback of this loop runs."""
        return asyncio._get_running_loop() is self

    def close(self) -> None:
        """Take no more callbacks."""
        super().close()
        self._handles.clear()
        self._later.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the complaint; `complaints` is for the test to look at."""
        self.complaints.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: cancelled timers are passed over."""


def _name(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]  # there is no public way to say what is called
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    return getattr(callback, "__qualname__", type(callback).__name__)
