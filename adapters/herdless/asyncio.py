"""The cache for asyncio: one task for each flight, one future for each waiter.

A load runs in a task of its own, with a copy of the first caller's context variables, and under nobody's cancellation.
A cancelled caller takes only itself away; when the last one goes, and no value is being served, the load is cancelled.
However the task ends, its flight is settled: by the load's own report, or else by the task's end.

Several event loops may use one cache. A load runs in the loop of the caller who started it, and those who wait in other
loops are woken there; where that loop ends, or does not run any more, they look up again. With `loads_in="thread"` all
loads run in one loop of the cache's own, on a daemon thread, and outlive every caller's.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, Unpack, final
from weakref import WeakSet

from herdless._awaiting import waits_for
from herdless._cache import (
    LOADING,
    BaseCache,
    CacheOptions,
    Flight,
    K,
    V,
    awaitable,
    value_of,
    value_of_reply,
)
from herdless._decorator import AsyncCached, P, R, decorate_async, require_parentheses
from herdless._lookup import How, Lookup
from herdless._loop_thread import LoopThread
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Effects,
    Failure,
    Fresh,
    LoadCancelled,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    Refuse,
    RunningLoad,
    Stats,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]

LOOK_EVERY: Final = 0.05
"""Seconds between two looks at what tells nobody: whether another loop still runs, whether a load waits for a task."""

Woken: TypeAlias = Outcome | None
"""What a waiter is woken with; None: look up again."""

# What every miss and join calls, found once: mypyc would look the names and methods up at each call.
_running_loop: Final = asyncio.get_running_loop
_Waiter: Final[type[Future[Woken]]] = Future
_is_done: Final = Future.done
_set_result: Final = Future.set_result
_set_loading: Final = LOADING.set
_loading: Final = LOADING.get


@final
class _Flight(Flight):
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

    def __init__(
        self, cache: Cache[Any, Any], key: object, generation: int, due_at: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.cache: Final = cache
        self.key = key
        self.generation = generation
        self.due_at = due_at
        self.loop: Final = loop
        # Read in each miss, which finds a class's default slowly.
        self.has_ended = False
        self.boarder = 0
        self.is_shared = False
        self.timer = None
        self.waiters: Final[list[Future[Woken]]] = []
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


@final
class Cache(BaseCache[K, V, _Flight]):
    """A cache whose misses never start two loads of one key.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    loads_in: "loop": a load runs in the event loop of the caller who started it, and ends with it. "thread": all loads
        run in one loop of the cache's own, on a daemon thread; refreshes then end although callers' loops are short,
        and what the loader keeps (a pool of connections) belongs to that loop.
    options: those of `Policy` (ttl, stale_while_revalidate, stale_if_error, negative_ttl, remember_timeouts,
        early_refresh, jitter, load_timeout, refresh_backoff, max_waiters) or `policy`, and maxsize, max_loads, clock,
        observe, show_key: see `CacheOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire`, `refresh` and `clear`; wait for
    loads by `settled`; end by `close` or `async with`, which opens it again. Raises PolicyError for an argument out of
    its range.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | Loaded[V]]],
        *,
        loads_in: Literal["loop", "thread"] = "loop",
        **options: Unpack[CacheOptions],
    ) -> None:
        BaseCache.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        if loads_in not in {"loop", "thread"}:
            raise PolicyError(f'loads_in={loads_in!r} is not accepted: give "loop" or "thread"')
        self._is_apart: Final = loads_in == "thread"
        self._homes: Final[dict[None, LoopThread]] = {}
        """The loop of all loads, with `loads_in="thread"`, since the first of them."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """The only loop that was met; None where there were others."""
        self._loops: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()
        """The loops that were met, and not seen closed."""
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        """The loads that may still run although their flight has ended."""
        self._quiet: Final[list[Future[None]]] = []
        """Who wants to know that a load is over."""

    async def get(self, key: K) -> V:
        """The key's value, loaded if need be.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, TooManyLoads, ReentrantLoad,
        CacheClosed, and TypeError for an unhashable key. Cancelling this call cancels no load that anybody else waits
        for.
        """
        try:
            entry = self._hot.get(key)  # a KeyError would be felt in each miss
            # Comparisons that mypyc makes into some of C: docs/performance.md.
            if type(entry) is Fresh and (entry.hit_until == NEVER or self._clock() < entry.hit_until):
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except TypeError:
            pass
        while True:
            joined = self._join(key)
            if not isinstance(joined, tuple):
                return value_of_reply(key, joined, self._shown).value  # type: ignore[no-any-return]  # as above
            flight, waiting, _ = joined
            try:  # here and in `lookup`: a coroutine between would be a fifth of what joining costs
                outcome = await waiting
            except BaseException:
                self._leave_flight(flight, waiting)
                raise
            if outcome is not None:
                return value_of(outcome).value  # type: ignore[no-any-return]  # as above

    async def lookup(self, key: K) -> Lookup[V]:
        """Like `get`, with the way in which the value was come by, and its age."""
        while True:
            joined = self._join(key)
            if not isinstance(joined, tuple):
                return self._lookup((value_of_reply(key, joined, self._shown), "hit"))
            flight, waiting, how = joined
            try:
                outcome = await waiting
            except BaseException:
                self._leave_flight(flight, waiting)
                raise
            if outcome is not None:
                return self._lookup((value_of(outcome), how))

    def _join(self, key: K) -> Answer | Refuse | tuple[_Flight, Awaitable[Woken], How]:
        """Look the key up: the reply, or the flight to wait for, and what to await."""
        loop = _running_loop()
        if self._is_entered and self._is_inside():
            self._refuse_inside()
        if self._is_apart and not self._homes:
            self._require_runtime()
        joined: Answer | Refuse | tuple[_Flight, Awaitable[Woken], How]
        boarded: _Flight | None = None
        gone: list[object] | None = None
        loading = _loading()
        since = self._keyspace.generation
        is_mended = False
        try:
            try:
                self._lock.acquire()  # and not `with`, which takes twice as long, since every miss and join comes here
                self._is_entered = True
                if loop is not self._loop:
                    self._look_around(key)
                asked, boarded = self._ask(key, loading)
                if not isinstance(asked, _Flight):
                    joined = asked
                else:
                    waiter = _Waiter(loop=loop)
                    asked.waiters.append(waiter)
                    waiting: Awaitable[Woken] = waiter
                    if asked.loop is not loop or loading is not None:
                        waiting = self._look_after(asked, waiter, loading)
                    joined = asked, waiting, "loaded" if asked is boarded else "joined"
                self._is_entered = False  # first: what comes in after the look at what was postponed would be lost
                if self._leaving or self._postponed:
                    gone = self._leave()
                else:
                    self._lock.release()
                if boarded is not None:
                    (self._start if boarded.loop is loop else self._launch)(boarded)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        del gone
        return joined

    def _look_after(self, flight: _Flight, waiter: Future[Woken], loading: RunningLoad | None) -> Awaitable[Woken]:
        """What a caller awaits of whom the flight's end alone may not be enough. Inside the lock."""
        flight.is_shared = flight.is_shared or flight.loop is not waiter.get_loop()
        if loading is not None and (loading.has_ended or flight in loading.waits_for):
            loading = None
        if not flight.is_shared and loading is None:
            return waiter
        return self._wait_and_look(flight, waiter, loading)

    async def _wait_and_look(self, flight: _Flight, waiter: Future[Woken], loading: RunningLoad | None) -> Woken:
        """Wait, and see now and then whether the load's loop still runs, and whether the load `loading`, in whose
        context this is, waits for it.
        """
        try:
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
        except BaseException:
            self._leave_flight(flight, waiter)
            raise

    def _leave_flight(self, flight: _Flight, waiting: object) -> None:
        if isinstance(waiting, Future):
            _call(waiting.get_loop(), waiting.cancel)  # where the caller's coroutine was closed, it is not yet
            self._left(flight, can_cancel=True)

    def _let_go_of(self, flight: _Flight, now: int, can_cancel: bool, loading: RunningLoad | None) -> Effects:
        flight.left += 1
        if 2 * flight.left > len(flight.waiters):
            flight.waiters[:] = [waiter for waiter in flight.waiters if not waiter.done()]
            flight.left = 0
        return BaseCache._let_go_of(self, flight, now, can_cancel, loading)

    async def settled(self) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one.
        """
        loop, own = _running_loop(), _loading()
        while self._look(lambda: self._is_in_the_air(loop, own)):
            quiet: Future[None] = loop.create_future()
            self._quiet.append(quiet)
            if self._look(lambda: self._is_in_the_air(loop, own)):  # still: nobody has missed to tell
                await asyncio.wait((quiet,), timeout=None if self._loop is loop else LOOK_EVERY)

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        self._change(self._keyspace.close)
        if cancel:
            self._abort()
        try:
            await self.settled()
        except BaseException:
            self._abort()
            raise
        self._homes.clear()

    async def __aenter__(self) -> Self:
        self._keyspace.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close(cancel=kind is not None)

    # What the runtime adds: running loads, parking callers

    def _require_runtime(self) -> None:
        """Outside of the lock: a thread that is just beginning may run a finalizer, which uses the cache."""
        if not self._is_apart:
            _running_loop()
        elif not self._homes:
            self._homes.setdefault(None, LoopThread())

    def _board(self, key: K, generation: int, due_at: int) -> _Flight:
        return _Flight(self, key, generation, due_at, self._loop_of_loads())

    def _loop_of_loads(self) -> asyncio.AbstractEventLoop:
        if not self._is_apart:
            return _running_loop()
        self._require_runtime()
        return self._homes[None].loop

    def _launch(self, flight: _Flight) -> None:
        if flight.loop is asyncio._get_running_loop():
            self._start(flight)
            return
        try:
            flight.loop.call_soon_threadsafe(self._start, flight, context=contextvars.copy_context())
        except RuntimeError:
            if not flight.loop.is_closed():
                raise
            self._dropped(flight)
        flight.is_launched = True

    def _start(self, flight: _Flight) -> None:
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

    async def _run(self, flight: _Flight) -> None:
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
                value = await awaitable(self._load, self._load(flight.key))
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

    def _stopped(self, flight: _Flight, error: BaseException, handled: BaseException | None) -> None:
        """The load's coroutine was made to end, or the loader raised such a thing itself."""
        task = flight.task
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0:
            flight.was_cancelled = True
            self._dropped(flight)
        elif isinstance(error, GeneratorExit) and not flight.is_current():
            self._dropped(flight)  # its loop is gone, and with it the coroutine
        else:
            self._failed(flight, error, handled)

    def _ended_unbegun(self, flight: _Flight, task: Future[None]) -> None:
        """The load's task has ended before its first step."""
        try:
            flight.was_cancelled = task.cancelled()
            self._dropped(flight)
            self._tidy(flight)
            flight.task = None
        except BaseException as error:
            self._broken_off(flight, error)
            raise

    def _tidy(self, flight: _Flight) -> None:
        """The load is over: nothing of it is left behind, and who waits for that is told."""
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if flight.task is not None:
            self._tasks.discard(flight.task)
        while self._quiet:
            quiet = self._quiet.pop()
            _call(quiet.get_loop(), _wake, (quiet,), None)

    def _settle(self, flight: _Flight, outcome: Woken) -> None:
        if flight.task is not None:
            for ended in [task for task in self._tasks if task.done()]:  # of which `_over` was not told
                self._tasks.discard(ended)
            self._tasks.add(flight.task)
        if not flight.is_shared:
            _call(flight.loop, _wake, flight.waiters.copy(), outcome)
        else:
            for waiter in flight.waiters:
                _call(waiter.get_loop(), _wake, (waiter,), outcome)
        flight.waiters.clear()  # last: where this is broken off, those who are left are woken again

    def _settle_here(self, flight: _Flight, outcome: Outcome) -> None:
        if flight.is_shared:
            self._settle(flight, outcome)
        else:
            _wake(flight.waiters, outcome)  # the load's own task is of the flight's loop
            flight.waiters.clear()
        if flight.timer is not None:
            flight.timer.cancel()

    def _settle_dropped(self, flight: _Flight) -> None:
        """Nobody is told of the end of a loop: who waits looks up again, but for those who are cancelled with it."""
        if flight.was_cancelled:
            cancelled = Failure(LoadCancelled("the load was cancelled"), None)
            for waiter in flight.waiters:
                if waiter.get_loop() is flight.loop:
                    _call(flight.loop, _wake, (waiter,), cancelled)
        flight.is_shared = True
        self._settle(flight, None)

    def _cancel(self, flight: _Flight) -> None:
        if flight.task is not None:
            _call(flight.loop, flight.task.cancel)

    def _abandon(self) -> None:
        self._tasks.clear()
        self._quiet.clear()
        self._homes.clear()

    def _arm(self, flight: _Flight) -> None:
        _call(flight.loop, self._set_timer, flight)

    def _set_timer(self, flight: _Flight) -> None:
        seconds = (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND
        flight.timer = flight.loop.call_later(seconds, self._deadline_passed, flight)

    def _look_around(self, key: K) -> None:
        """Where loops come and go: what was in flight in one that has ended died with it. Inside the lock."""
        loop = asyncio._get_running_loop()
        if loop is None or loop is self._loop:
            return
        dead = [each for each in self._flights.values() if each.loop.is_closed()] if loop not in self._loops else []
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
        self._loop = loop if len(self._loops) == 1 else None

    def _is_in_the_air(self, loop: asyncio.AbstractEventLoop, own: RunningLoad | None) -> bool:
        """Whether a load runs, but for the one inside which this is asked. Inside the lock."""
        current = asyncio.current_task()
        for flight in list(self._flights.values()):
            if flight.loop is not loop and not flight.loop.is_running():
                self._drop_here(flight)
            elif flight is not own:
                return True
        return any(
            task is not current and not task.done() and (task.get_loop() is loop or task.get_loop().is_running())
            for task in self._tasks
        )


def _wake(waiters: Iterable[Future[Any]], outcome: object) -> None:
    for waiter in waiters:
        if not _is_done(waiter):
            try:
                _set_result(waiter, outcome)
            except RuntimeError:  # in the debug mode also where another thread does this
                if not waiter.get_loop().is_closed():
                    raise


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call the function now if this is its loop's own thread, soon otherwise; not at all where the loop is closed."""
    if loop is asyncio._get_running_loop():
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, Awaitable[R | Loaded[R]]]], AsyncCached[P, R]]:
    """Cache an async function or method by its arguments, as they are bound to its signature.

    key: a function of the same arguments that returns what to cache by. All else as for `Cache`. A method's `self` is
    one of the arguments, and is kept alive by the cache as `functools.lru_cache` does.
    """
    require_parentheses(function)
    return lambda function: decorate_async(function, key, lambda load: Cache(load, **options))
