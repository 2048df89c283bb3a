"""The cache for trio: one task in the cache's nursery for each flight, one event that wakes its waiters.

Loads belong to the cache, not to the caller who happened to be first, so they run in a nursery that `async with
Cache(...)` opens. A load that fails never takes it down: the error goes to the waiters. Waking is atomic with respect
to cancellation: a caller either was woken by its flight or left it.

A hit need not be a checkpoint. `checkpoint="fair"` makes one when the cache's last was more than a millisecond ago,
which keeps the run loop fair at a twentieth of the price; `"always"` at every lookup, as trio's own functions do;
`"never"` none.

Lookups are for the trio run that opened the cache. `put`, `invalidate`, `expire`, `refresh` and `clear` may be called
in any thread.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Literal, Self, Unpack, final

import trio

from herdless._cache import (
    LOADING,
    LOGGER,
    Answered,
    BaseCache,
    CacheOptions,
    K,
    V,
    awaitable,
    value_of,
    value_of_reply,
)
from herdless._decorator import AsyncCached, P, R, decorate_async, require_parentheses
from herdless._lookup import Lookup
from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    CacheClosed,
    Fresh,
    LoadCancelled,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    RunningLoad,
    Stats,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]

FAIR_NANOSECONDS: Final = 1_000_000
"""With `checkpoint="fair"`: so long after the cache's last checkpoint a lookup makes another."""

_FIRST_CHECKPOINT_AT: Final = {"fair": LONG_AGO, "always": LONG_AGO, "never": NEVER}


@final
class _Wait:
    """Where the waiters of a flight are parked, and what they are woken with."""

    __slots__ = ("done", "outcome")

    def __init__(self) -> None:
        self.done: Final = trio.Event()
        self.outcome: Outcome  # set before `done` is


@final
class TrioLoad(RunningLoad):
    """A load and what trio needs for it: its task and scope, and the event for its waiters."""

    task: trio.lowlevel.Task | None = None
    """The load, while it runs."""
    timer: trio.CancelScope | None = None

    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.wait: _Wait | None = _Wait()
        """Not longer than until it is settled: what a load starts keeps its context, and so this flight."""
        self.scope: Final = trio.CancelScope()

    def holds_up(self) -> bool:
        """Whether this load cannot end before the current task does: it is of a nursery inside the load."""
        if self.task is None or not trio.lowlevel.in_trio_task():
            return True  # a thread's own code, which tells nothing
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        while task is not None and task is not self.task:
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return task is not None


@final
class Cache(BaseCache[K, V, TrioLoad]):
    """A cache whose misses never start two loads of one key. Use it inside `async with`.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    checkpoint: when a hit is a trio checkpoint: "fair", "always" or "never".
    options: those of `Policy` (ttl, stale_while_revalidate ...), or `policy`, and maxsize, max_loads, clock, observe,
        show_key: see `CacheOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire`, `refresh` and `clear`; end by
    `close` or by leaving the `async with`. Raises PolicyError for an argument out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | Loaded[V]]],
        *,
        checkpoint: Literal["fair", "always", "never"] = "fair",
        **options: Unpack[CacheOptions],
    ) -> None:
        BaseCache.__init__(self, load, TrioLoad, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        if checkpoint not in _FIRST_CHECKPOINT_AT:
            raise PolicyError(f'checkpoint={checkpoint!r} is not accepted: give "fair", "always" or "never"')
        self._is_fair: Final = checkpoint == "fair"
        self._checkpoint_at = _FIRST_CHECKPOINT_AT[checkpoint]
        self._nursery: trio.Nursery | None = None
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery, bool | None]
        self._token: trio.lowlevel.TrioToken | None = None
        """The run that opened the cache."""
        self._loads: Final[set[TrioLoad]] = set()
        """Every load that still runs."""
        self._quiet: Final[list[trio.Event]] = []
        """Who wants to know that a load is over."""

    async def get(self, key: K) -> V:
        """The key's value, loaded if need be.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, TooManyLoads, ReentrantLoad,
        CacheClosed, and TypeError for an unhashable key. Cancelling this call cancels no load that anybody else waits
        for.
        """
        now = self._clock()
        if now >= self._checkpoint_at:
            now = await self._checkpoint(now)
        try:
            entry = self._hot.get(key)  # a KeyError would be felt in each miss
            if type(entry) is Fresh and now < entry.hit_until:
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except TypeError:
            pass
        return (await self._answer(key))[0].value  # type: ignore[no-any-return]  # as above

    async def lookup(self, key: K) -> Lookup[V]:
        """Like `get`, and says how the value was got, and its age."""
        now = self._clock()
        if now >= self._checkpoint_at:
            await self._checkpoint(now)
        return self._lookup(await self._answer(key))

    async def _answer(self, key: K) -> Answered:
        if self._token is not trio.lowlevel.current_trio_token():
            self._open_nursery()
            raise CacheClosed("the cache was opened in another trio run: only that one can wait for its loads")
        asked, boarded, wait = self._enter(key)
        if isinstance(asked, TrioLoad):
            try:
                await wait.done.wait()
            except BaseException:
                self._left(asked, can_cancel=True)
                raise
            return value_of(wait.outcome), "loaded" if asked is boarded else "joined"
        return value_of_reply(key, asked, self._shown), "hit"

    async def settled(self) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one.
        """
        own = LOADING.get()
        while any(load is not own for load in (*self._loads, *self._flights.values())):
            quiet = trio.Event()
            self._quiet.append(quiet)
            await quiet.wait()

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        self._change(self._keyspace.close)
        if cancel:
            self._abort()
            for load in self._loads:
                self._in_run(load.scope.cancel)
        try:
            await self.settled()
        except BaseException:
            self._abort()
            raise

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise CacheClosed("the cache is open already: one `async with` at a time, in one trio run")
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        self._token = trio.lowlevel.current_trio_token()
        self._keyspace.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await self.close(cancel=kind is not None)
        finally:
            # Not told of the body's exception, which would come out of it wrapped in a group: no load is left to
            # cancel.
            try:
                await self._nursery_manager.__aexit__(None, None, None)
            finally:
                self._nursery = self._token = None
                # None runs any more, also where its task was interrupted before its first step.
                self._loads.clear()
                self._look(self._keyspace.nothing_runs)

    # What the runtime adds: running loads, parking callers

    def _park(self, flight: TrioLoad) -> _Wait | None:
        return flight.wait

    def _launch(self, flight: TrioLoad) -> None:
        self._in_run(contextvars.copy_context().run, self._start, flight)
        flight.is_launched = True

    def _start(self, flight: TrioLoad) -> None:
        if flight.has_ended or self._nursery is None:  # superseded before it was launched
            self._dropped(flight)
            return
        try:
            self._loads.add(flight)
            self._nursery.start_soon(self._run, flight, name="herdless load")
        except RuntimeError:  # the nursery is closed to new arrivals
            self._loads.discard(flight)
            self._dropped(flight)
        except BaseException:  # an interrupt: whoever launches it looks after its waiters
            self._loads.discard(flight)
            raise

    async def _run(self, flight: TrioLoad) -> None:
        try:
            with flight.scope:
                await self._load_in_scope(flight)
        except Exception as error:  # noqa: BLE001  # what a cancelled group leaves is reported already
            LOGGER.debug("what a cancelled load left behind", exc_info=error)
        finally:
            self._over(flight)

    def _over(self, flight: TrioLoad) -> None:
        """The load's task ends, in whatever way."""
        try:
            self._clean_up(flight)
        except BaseException:
            self._clean_up(flight)  # it was broken off, and nothing of it may not be done twice
            raise

    def _clean_up(self, flight: TrioLoad) -> None:
        flight.task = None
        self._loads.discard(flight)
        if not flight.has_ended or self._has_turns:
            self._dropped(flight)
        while self._quiet:
            self._quiet[-1].set()
            self._quiet.pop()

    async def _load_in_scope(self, flight: TrioLoad) -> None:
        try:
            if flight.has_ended:
                raise LoadCancelled("the load was superseded before it began")
            LOADING.set(flight)
            flight.task = trio.lowlevel.current_task()
            value = await awaitable(self._load, self._load(flight.key))
        except trio.Cancelled:
            self._dropped(flight)  # where the cache has not ordered it, the nursery ends
            raise
        except BaseException as error:
            self._failed(flight, error)
            if not isinstance(error, Exception):
                raise  # to the scope that cancelled it, or, an interrupt, to the nursery
        else:
            self._succeeded(flight, value)

    async def _watch(self, flight: TrioLoad) -> None:
        with trio.CancelScope() as flight.timer:
            while not flight.has_ended:
                await trio.sleep(max(0.0, (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND))
                self._deadline_passed(flight)

    def _settle(self, flight: TrioLoad, outcome: Outcome) -> None:
        wait = flight.wait
        if wait is not None:
            if not wait.done.is_set():  # it is told again where it was broken off
                wait.outcome = outcome
                self._in_run(wait.done.set)
            flight.wait = None
        if flight.timer is not None:
            self._in_run(flight.timer.cancel)

    def _cancel(self, flight: TrioLoad) -> None:
        if flight in self._loads:
            self._in_run(flight.scope.cancel)

    def _arm(self, flight: TrioLoad) -> None:
        if flight.timer is None:  # `_watch` sleeps again by itself
            self._in_run(self._start_watch, flight)

    def _start_watch(self, flight: TrioLoad) -> None:
        if self._nursery is not None and not flight.has_ended:
            self._nursery.start_soon(self._watch, flight, name="herdless load_timeout")

    def _in_run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function, which must not block, in the run that opened the cache: now, or from elsewhere soon."""
        if self._token is None:
            return
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            function(*arguments)
            return
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *arguments)

    def _abandon(self) -> None:
        self._loads.clear()
        self._quiet.clear()

    def _require_runtime(self) -> None:
        self._open_nursery()

    def _open_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise CacheClosed("a trio cache loads inside its own nursery: open it by `async with cache:`")
        return self._nursery

    async def _checkpoint(self, now: int) -> int:
        if self._is_fair:
            self._checkpoint_at = now + FAIR_NANOSECONDS
        await trio.lowlevel.checkpoint()
        return self._clock()


def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    checkpoint: Literal["fair", "always", "never"] = "fair",
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, Awaitable[R | Loaded[R]]]], AsyncCached[P, R]]:
    """Cache an async function or method by its arguments, as they are bound to its signature.

    Open its cache, `async with function.cache:`, around the calls. key: a function of the same arguments that returns
    what to cache by. All else as for `Cache`. A method's `self` is one of the arguments, and is kept alive by the cache
    as `functools.lru_cache` does.
    """
    require_parentheses(function)
    return lambda function: decorate_async(
        function,
        key,
        lambda load: Cache(load, checkpoint=checkpoint, **options),
        checkpoints=True,
    )
