"""The cache for asyncio: one task for each flight, one future for each waiter.

A load runs in a task of its own, with a copy of the first caller's context variables, and under nobody's cancellation.
A cancelled caller takes only itself away; when the last one goes, and no value is being served, the load is cancelled.

The cache may meet several event loops. Values are served in all of them; a flight whose loop was closed is dropped and
loaded again; one whose loop is alive in another thread raises WrongEventLoop in those who would have to wait for it.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Generator, Iterable
from types import TracebackType
from typing import Final, NoReturn, Self, Unpack, final

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
from herdless._decorator import AsyncCached, P, R, require_parentheses
from herdless._lookup import How, Lookup
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Fresh,
    Loaded,
    Outcome,
    Policy,
    Refuse,
    Stats,
    WrongEventLoop,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]

# What every miss and join calls, found once: mypyc would look the names and methods up at each call.
_running_loop: Final = asyncio.get_running_loop
_Waiter: Final[type[Future[Outcome]]] = Future
_is_done: Final = Future.done
_set_result: Final = Future.set_result
_set_loading: Final = LOADING.set


@final
class _Flight(Flight):
    task: asyncio.Task[None] | None = None
    """The load, held here since the event loop itself holds tasks only weakly."""
    timer: asyncio.TimerHandle | None = None
    left: int = 0
    """How many of the waiters left."""

    def __init__(self, key: object, generation: int, due_at: int, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.generation = generation
        self.due_at = due_at
        self.loop: Final = loop
        self.waiters: Final[list[Future[Outcome]]] = []
        """Those who left included, until they are the greater part."""


@final
class Cache(BaseCache[K, V, _Flight]):
    """A cache whose misses never start two loads of one key.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    options: those of `Policy` (ttl, stale_while_revalidate, stale_if_error, negative_ttl, early_refresh, jitter,
        load_timeout, refresh_backoff, max_waiters) or `policy`, and maxsize, clock, observe: see `CacheOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire`, `refresh` and `clear`; end by
    `close` or `async with`. Raises PolicyError for an argument out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | Loaded[V]]],
        **options: Unpack[CacheOptions],
    ) -> None:
        BaseCache.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop to which all flights belong; None where there may be others."""
        self._tasks: Final[dict[int, asyncio.Task[None]]] = {}
        """The loads that may still run although their flight is settled, by generation."""

    async def get(self, key: K) -> V:
        """The key's value, loaded if need be.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, ReentrantLoad, CacheClosed,
        WrongEventLoop, and TypeError for an unhashable key. Cancelling this call cancels no load that anybody else
        waits for.
        """
        try:
            entry = self._hot.get(key)  # a KeyError would be felt in each miss
            # Comparisons that mypyc makes into some of C: docs/performance.md.
            if type(entry) is Fresh and (entry.hit_until == NEVER or self._clock() < entry.hit_until):
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except TypeError:
            pass
        entered = self._enter(key)
        if not isinstance(entered, tuple):
            return value_of_reply(key, entered).value  # type: ignore[no-any-return]  # as above
        flight, waiter, _ = entered
        try:  # here and in `lookup`: a coroutine between would be a fifth of what joining costs
            outcome = await waiter
        except BaseException as error:
            self._leave(flight, error)
            raise
        return value_of(outcome).value  # type: ignore[no-any-return]  # as above

    async def lookup(self, key: K) -> Lookup[V]:
        """Like `get`, with the way in which the value was come by, and its age."""
        entered = self._enter(key)
        if not isinstance(entered, tuple):
            return self._lookup((value_of_reply(key, entered), "hit"))
        flight, waiter, how = entered
        try:
            outcome = await waiter
        except BaseException as error:
            self._leave(flight, error)
            raise
        return self._lookup((value_of(outcome), how))

    def _enter(self, key: K) -> Answer | Refuse | tuple[_Flight, Future[Outcome], How]:
        """Look the key up: the reply, or the flight to wait for and a new waiter of it."""
        loop = _running_loop()
        self._lock.acquire()  # and not `with`, which takes twice as long, since every miss and join comes here
        try:
            if loop is not self._loop:
                self._meet(loop)
            asked, boarded = self._ask(key)
            if not isinstance(asked, _Flight):
                entered: Answer | Refuse | tuple[_Flight, Future[Outcome], How] = asked
            else:
                if asked.loop is not loop:
                    self._turn_away(key, asked)
                waiter = _Waiter(loop=loop)
                asked.waiters.append(waiter)
                entered = asked, waiter, "loaded" if asked is boarded else "joined"
        finally:
            self._lock.release()
        if boarded is not None:
            self._launch(key, boarded)
        return entered

    def _leave(self, flight: _Flight, error: BaseException) -> None:
        if not isinstance(error, GeneratorExit):  # then its loop is gone, and the collector may strike inside the lock
            flight.left += 1
            if 2 * flight.left > len(flight.waiters):
                flight.waiters[:] = [waiter for waiter in flight.waiters if not waiter.done()]
                flight.left = 0
            self._left(flight, can_cancel=True)

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        with self._lock:
            self._carry_out(self._keyspace.close(self._clock()))
        if cancel:
            self._abort()
        own = asyncio.current_task()
        loop = _running_loop()
        with self._lock:  # other loops may end flights of theirs meanwhile
            running = [flight.task for flight in self._flights.values()] + list(self._tasks.values())
        tasks = [task for task in running if task is not None and task is not own and task.get_loop() is loop]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except BaseException:
            self._abort()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close(cancel=kind is not None)

    # What the runtime adds: running loads, parking callers

    def _require_runtime(self) -> None:
        loop = _running_loop()
        if loop is not self._loop:
            self._meet(loop)

    def _board(self, key: K, generation: int, due_at: int) -> _Flight:
        flight = _Flight(key, generation, due_at, self._loop or _running_loop())
        if due_at < NEVER:
            self._arm(flight)
        return flight

    def _launch(self, key: K, flight: _Flight) -> None:
        run = self._run(key, flight)
        run.send(None)  # into its `try`: a task that is cancelled before its first step would see nothing of it
        flight.task = task = flight.loop.create_task(run)
        if flight.generation not in self._flights and not task.done():  # an eager task may have run to its end
            self._tasks[flight.generation] = task
            task.cancel()  # it could not be before it was known

    async def _run(self, key: K, flight: _Flight) -> None:
        try:
            await _SUSPENDED
            _set_loading(flight)
            value = await awaitable(self._load, self._load(key))
        except BaseException as error:
            if isinstance(error, GeneratorExit) and asyncio._get_running_loop() is not flight.loop:
                raise  # not the loader's: the loop is gone, and the collector may strike inside the lock; see `_meet`
            self._failed(flight.generation, key, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._succeeded(flight.generation, value)
        finally:
            self._tasks.pop(flight.generation, None)
            if flight.timer is not None:
                flight.timer.cancel()

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        if flight.task is not None:
            self._tasks[flight.generation] = flight.task
        _call(flight.loop, _wake, flight.waiters, outcome)

    def _settle_here(self, flight: _Flight, outcome: Outcome) -> None:
        _wake(flight.waiters, outcome)  # the load's own task is of the flight's loop

    def _cancel(self, generation: int) -> None:
        task = self._tasks.get(generation)
        if task is not None:
            _call(task.get_loop(), task.cancel)

    def _abandon(self) -> None:
        self._tasks.clear()

    def _arm(self, flight: _Flight) -> None:
        seconds = (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND
        flight.timer = flight.loop.call_later(seconds, self._deadline_passed, flight.generation)

    def _meet(self, loop: asyncio.AbstractEventLoop) -> None:
        """Where other loops have flights: what was in flight in closed ones died with them. Inside the lock."""
        for flight in [flight for flight in self._flights.values() if flight.loop.is_closed()]:
            self._keyspace.restarted(flight.generation, self._clock())
            del self._flights[flight.generation]
            self._tasks.pop(flight.generation, None)
        self._loop = loop if all(flight.loop is loop for flight in self._flights.values()) else None

    def _turn_away(self, key: K, flight: _Flight) -> NoReturn:
        """A flight of another live loop cannot be awaited here: the join is taken back, the flight goes on."""
        self._keyspace.waiter_left(flight.generation, self._clock(), can_cancel=False, loading=LOADING.get())
        raise WrongEventLoop(
            f"{key!r} is being loaded by another event loop, which is alive; give each loop its own cache"
        )


@final
class _Suspended:
    """What a coroutine awaits to stop once, until whoever runs it goes on."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(_ONCE)  # type: ignore[return-value]  # any iterator does, and a generator would be slower


_ONCE: Final = (None,)
_SUSPENDED: Final = _Suspended()


def _wake(waiters: Iterable[Future[Outcome]], outcome: Outcome) -> None:
    for waiter in waiters:
        if not _is_done(waiter):
            _set_result(waiter, outcome)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call the function now if this is its loop's own thread, soon otherwise; not at all where the loop is closed."""
    if loop is asyncio._get_running_loop():
        function(*args)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)


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
    return lambda function: AsyncCached(function, key, lambda load: Cache(load, **options))
