"""How asyncio runs loads and wakes those who wait: one task for each flight, one future for each waiter.

A load runs in a task of its own, with a copy of the first caller's context variables, and under nobody's cancellation.
However the task ends, its flight is settled: by the load's own report, or else by the task's end. Where several event
loops use one cache, a load runs in that of the caller who started it, and those who wait in others are woken there.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import Future
from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Final, Generic, TypeAlias, Unpack, final

from herdless._awaiting import waits_for
from herdless._loop_thread import LoopThread
from herdless._room import give_room_back
from herdless.adapter import LOADING, NOTHING, BaseCache, CacheOptions, K, V, awaitable
from herdless_core import NANOSECONDS_PER_SECOND, Effects, Failure, LoadCancelled, Outcome, RunningLoad

Woken: TypeAlias = Outcome | None
"""What a waiter is woken with; None: look up again."""

# What every miss and join calls, found once: mypyc would look the names and methods up at each call.
_running_loop: Final = asyncio.get_running_loop
_any_running_loop: Final = asyncio._get_running_loop
_is_done: Final = Future.done
_set_result: Final = Future.set_result
_set_loading: Final = LOADING.set


@final
class AsyncioLoad(RunningLoad):
    """A load and what asyncio needs for it: its loop, its task, and a future for each of its waiters."""

    task: asyncio.Task[None] | None = None
    """The load, held here since the event loop itself holds tasks only weakly. Not longer than it runs: its context
    holds this flight."""
    timer: asyncio.TimerHandle | None = None
    is_shared: bool = False
    """Whether callers of several loops wait."""
    was_cancelled: bool = False
    """By somebody else than the cache: its loop ends, or a tool cancels all tasks."""

    left: int = 0
    """How many of the waiters left."""

    cache: AsyncioLoads[Any, Any]
    loop: asyncio.AbstractEventLoop
    """In which the load runs."""

    def __init__(self, key: object, generation: int, due_at: int) -> None:
        self.key = key
        self.generation = generation
        self.due_at = due_at
        # Read in each miss, which finds a class's default slowly.
        self.has_ended = False
        self.boarder = 0
        self.is_shared = False
        self.own_load = None
        self.timer = None
        self.waiters: list[Future[Woken]] = []
        """Those who left included, until they are the greater part."""

    def over(self, task: Future[None]) -> None:
        """The task has ended before its first step."""
        self.cache._ended_unbegun(self, task)

    def is_current(self) -> bool:
        """Whether it is the load's own task that runs here."""
        return asyncio._get_running_loop() is self.loop and self.task in {None, asyncio.current_task()}

    def holds_up(self) -> bool:
        """Whether this load cannot end before the current task goes on: a task that it started inherits its context."""
        if self.task is None or asyncio._get_running_loop() is not self.loop:
            return True  # it runs its first step; or who asks is a thread's own code, which tells nothing
        current = asyncio.current_task()
        return current is None or current is self.task or waits_for(self.task, current)


class AsyncioLoads(BaseCache[K, V, AsyncioLoad], Generic[K, V]):
    """The part of the cache that runs loads. `is_apart`: in one loop of the cache's own, on a daemon thread."""

    def __init__(self, load: Callable[..., object] | None, *, is_apart: bool, **options: Unpack[CacheOptions]) -> None:
        BaseCache.__init__(self, load, AsyncioLoad, **options)  # not super(): mypyc 2.4 passes ** wrongly
        self._is_apart: Final = is_apart
        self._homes: Final[dict[None, LoopThread]] = {}
        """The loop of all loads where that is apart, since the first of them."""
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        """The loads that may still run although their flight has ended."""
        self._quiet: Final[list[Future[None]]] = []
        """Who wants to know that a load is over."""

    def _require_runtime(self) -> None:
        """Outside of the lock: a thread that is just beginning may run a finalizer, which uses the cache."""
        if not self._is_apart:
            _running_loop()
        elif not self._homes:
            self._homes.setdefault(None, LoopThread())

    def _forget_home(self) -> None:
        """No load runs any more: the loop of their own may end."""
        self._home = None  # first: without a loop for the loads every lookup has to ask for one
        self._homes.clear()

    def _give_room_back(self, place: object) -> None:
        """When the loop goes on: the coroutine at whose end this is called is too deep in the stack for it."""
        if isinstance(place, asyncio.AbstractEventLoop):
            place.call_soon(give_room_back)

    def _equip(self, flight: AsyncioLoad) -> None:
        flight.cache = self
        flight.loop = self._homes[None].loop if self._is_apart else _running_loop()

    def _launch(self, flight: AsyncioLoad) -> None:
        if flight.loop is not _any_running_loop():
            self._launch_there(flight)
            return
        if flight.has_ended:  # superseded before it was launched: a closed cache must not go on loading
            self._dropped(flight)
            return
        run = self._run(flight)
        try:
            task = flight.loop.create_task(run)
        except Exception:  # a task factory is foreign code; who starts the load is told, and the others that it is over
            run.close()
            raise
        if not task.done():  # an eager task may have run to its end
            flight.task = task
            task.add_done_callback(flight.over)  # a task can be cancelled before its first step, which takes this back
            if flight.has_ended:
                self._tasks.add(task)
                task.cancel()  # it could not be before it was known
        flight.is_launched = True

    def _launch_there(self, flight: AsyncioLoad) -> None:
        try:
            flight.loop.call_soon_threadsafe(self._launch, flight, context=contextvars.copy_context())
        except RuntimeError:
            if not flight.loop.is_closed():
                raise
            self._dropped(flight)
        flight.is_launched = True

    async def _run(self, flight: AsyncioLoad) -> None:
        handled: BaseException | None = None
        try:
            try:
                if flight.task is not None:
                    flight.task.remove_done_callback(flight.over)
                else:
                    handled = sys.exception()  # of the caller, on whose stack an eager task begins
                if flight.has_ended:
                    raise LoadCancelled("the load was superseded before it began")
                _set_loading(flight)
                load = self._load if flight.own_load is None else flight.take_load()
                loading = load(flight.key)
                # The first of the questions of `awaitable`, without a call: every miss comes here.
                value = await (loading if type(loading) is CoroutineType else awaitable(load, loading))
            except Exception as error:  # noqa: BLE001  # it is told to the waiters
                self._failed(flight, error, handled)
            except BaseException as error:
                self._stopped(flight, error, handled)
                raise
            else:
                self._succeeded(flight, value)
        except BaseException as error:  # an interrupt, in the lines above too
            self._broken_off(flight, error)
            raise
        finally:
            if self._tasks or self._quiet or flight.timer is not None:
                self._tidy(flight)
            flight.task = None

    def _stopped(self, flight: AsyncioLoad, error: BaseException, handled: BaseException | None) -> None:
        """The load's coroutine was made to end, or the loader raised such a thing itself."""
        task = flight.task
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0:
            flight.was_cancelled = True
            self._dropped(flight)
        elif isinstance(error, GeneratorExit) and not flight.is_current():
            self._dropped(flight)  # its loop is gone, and with it the coroutine
        else:
            self._failed(flight, error, handled)

    def _ended_unbegun(self, flight: AsyncioLoad, task: Future[None]) -> None:
        """The load's task has ended before its first step."""
        try:
            flight.was_cancelled = task.cancelled()
            self._dropped(flight)
            self._tidy(flight)
            flight.task = None
        except BaseException as error:
            self._broken_off(flight, error)
            raise

    def _tidy(self, flight: AsyncioLoad) -> None:
        """The load is over: nothing of it is left behind, and who waits for that is told."""
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if flight.task is not None:
            self._tasks.discard(flight.task)
        while self._quiet:
            quiet = self._quiet.pop()
            call_in(quiet.get_loop(), _wake, (quiet,), None)

    def _tell_apart(self, flight: AsyncioLoad, number: int, now: int) -> Effects:
        flight.is_shared = True  # so that its end is told by `_settle`
        if flight.is_joined:
            flight.places = (*flight.places, (number, flight.waiters))
            flight.waiters = []
            flight.left = 0
        return NOTHING

    def _settle(self, flight: AsyncioLoad, outcome: Woken) -> None:
        if flight.task is not None:
            self._forget_ended()
            if not flight.loop.is_closed():
                self._tasks.add(flight.task)
        if not flight.is_shared:
            call_in(flight.loop, _wake, flight.waiters.copy(), outcome)
        else:
            for number, waiters in flight.places:
                _wake_each(waiters, None if flight.is_too_old_for(number) else outcome)
            _wake_each(flight.waiters, None if flight.outdated_by else outcome)
        flight.places = ()
        flight.waiters.clear()  # last: where this is broken off, those who are left are woken again

    def _forget_ended(self) -> None:
        """Tasks that ended without a word, and those of closed loops, which never end."""
        for task in list(self._tasks):
            if task.done() or task.get_loop().is_closed():
                self._tasks.discard(task)

    def _settle_here(self, flight: AsyncioLoad, outcome: Outcome) -> None:
        if flight.is_shared:
            self._settle(flight, outcome)
        else:
            _wake(flight.waiters, outcome)  # the load's own task is of the flight's loop
            flight.waiters.clear()

    def _settle_dropped(self, flight: AsyncioLoad) -> None:
        """Nobody is told of the end of a loop: who waits looks up again, but for those who are cancelled with it."""
        for _, waiters in flight.places:
            flight.waiters.extend(waiters)
        if flight.was_cancelled:
            cancelled = Failure(LoadCancelled("the load was cancelled"), None)
            for waiter in flight.waiters:
                if waiter.get_loop() is flight.loop:
                    call_in(flight.loop, _wake, (waiter,), cancelled)
        flight.is_shared = True
        self._settle(flight, None)

    def _cancel(self, flight: AsyncioLoad) -> None:
        if flight.task is not None:
            call_in(flight.loop, flight.task.cancel)

    def _abandon(self) -> None:
        self._tasks.clear()
        self._quiet.clear()
        self._forget_home()

    def _arm(self, flight: AsyncioLoad) -> None:
        call_in(flight.loop, self._set_timer, flight)

    def _set_soft_timer(self, flight: AsyncioLoad, waiter: Future[Woken], at: int) -> None:
        """In the waiter's own loop: at that instant the waiter is answered with what is kept."""
        seconds = (at - self._clock()) / NANOSECONDS_PER_SECOND
        timer = waiter.get_loop().call_later(seconds, self._look_at_soft_timeout, flight, waiter, at)
        waiter.add_done_callback(lambda _: timer.cancel())

    def _look_at_soft_timeout(self, flight: AsyncioLoad, waiter: Future[Woken], at: int) -> None:
        if waiter.done():
            return
        if self._clock() < at:
            self._set_soft_timer(flight, waiter, at)  # the cache's clock is another than the loop's
            return
        outcome = self._soft_timeout_passed(flight)
        if outcome is not None:
            flight.left += 1
            _wake((waiter,), outcome)

    def _set_timer(self, flight: AsyncioLoad) -> None:
        seconds = (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND
        flight.timer = flight.loop.call_later(seconds, self._deadline_passed, flight)


def _wake(waiters: Iterable[Future[Any]], outcome: object) -> None:
    for waiter in waiters:
        if not _is_done(waiter):
            try:
                _set_result(waiter, outcome)
            except RuntimeError:  # in the debug mode also where another thread does this
                if not waiter.get_loop().is_closed():
                    raise


def _wake_each(waiters: Iterable[Future[Any]], outcome: object) -> None:
    """Each in its own loop."""
    for waiter in waiters:
        call_in(waiter.get_loop(), _wake, (waiter,), outcome)


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call the function now if this is its loop's own thread, soon otherwise; not at all where the loop is closed."""
    if loop is asyncio._get_running_loop():
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
