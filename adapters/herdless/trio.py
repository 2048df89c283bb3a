"""The cache for trio: one task in the cache's nursery for each flight, one event that wakes its waiters.

Loads belong to the cache, not to the caller who happened to be first, so they run in a nursery that `async with
Cache(...)` opens. A load that fails never takes it down: the error goes to the waiters. Waking is atomic with respect
to cancellation: a caller either was woken by its flight or left it.

A hit need not be a checkpoint. `checkpoint="fair"` makes one when the cache's last was more than a millisecond ago,
which keeps the run loop fair at a twentieth of the price; `"always"` at every lookup, as trio's own functions do;
`"never"` none.
"""

from __future__ import annotations

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
    Flight,
    K,
    V,
    awaitable,
    value_of,
    value_of_reply,
)
from herdless._decorator import AsyncCached, P, R, require_parentheses
from herdless._lookup import Lookup
from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    CacheClosed,
    Fresh,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    Stats,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]

FAIR_NANOSECONDS: Final = 1_000_000
"""With `checkpoint="fair"`: so long after the cache's last checkpoint a lookup makes another."""

_FIRST_CHECKPOINT_AT: Final = {"fair": LONG_AGO, "always": LONG_AGO, "never": NEVER}


@final
class _Flight(Flight):
    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.done: Final = trio.Event()
        self.outcome: Outcome  # set before `done` is
        self.scope: Final = trio.CancelScope()
        self.timer: Final = trio.CancelScope()


@final
class Cache(BaseCache[K, V, _Flight]):
    """A cache whose misses never start two loads of one key. Use it inside `async with`.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    checkpoint: when a hit is a trio checkpoint: "fair", "always" or "never".
    options: those of `Policy` (ttl, stale_while_revalidate, stale_if_error, negative_ttl, early_refresh, jitter,
        load_timeout, refresh_backoff, max_waiters) or `policy`, and maxsize, clock, observe: see `CacheOptions`.

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
        BaseCache.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        if checkpoint not in _FIRST_CHECKPOINT_AT:
            raise PolicyError(f'checkpoint={checkpoint!r} is not accepted: give "fair", "always" or "never"')
        self._is_fair: Final = checkpoint == "fair"
        self._checkpoint_at = _FIRST_CHECKPOINT_AT[checkpoint]
        self._nursery: trio.Nursery | None = None
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery, bool | None]
        self._loads: Final[dict[int, _Flight]] = {}
        """Every load that still runs, by generation."""

    async def get(self, key: K) -> V:
        """The key's value, loaded if need be.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, ReentrantLoad, CacheClosed, and
        TypeError for an unhashable key. Cancelling this call cancels no load that anybody else waits for.
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
        """Like `get`, with the way in which the value was come by, and its age."""
        now = self._clock()
        if now >= self._checkpoint_at:
            await self._checkpoint(now)
        return self._lookup(await self._answer(key))

    async def _answer(self, key: K) -> Answered:
        with self._lock:
            self._require_runtime()
            asked, boarded = self._ask(key)
        if boarded is not None:
            self._launch(key, boarded)
        if isinstance(asked, _Flight):
            try:
                await asked.done.wait()
            except BaseException:
                self._left(asked, can_cancel=True)
                raise
            return value_of(asked.outcome), "loaded" if asked is boarded else "joined"
        return value_of_reply(key, asked), "hit"

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        with self._lock:
            self._carry_out(self._keyspace.close(self._clock()))
        if cancel:
            self._abort()
        flights = [flight for flight in self._flights.values() if flight is not LOADING.get()]
        try:
            for flight in flights:
                await flight.done.wait()
        except BaseException:
            self._abort()
            raise

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise CacheClosed("a trio cache is opened once: make another one")
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await self.close(cancel=kind is not None)
        finally:
            # Not told of the body's exception, which would come out of it wrapped in a group: no load is left to
            # cancel.
            await self._nursery_manager.__aexit__(None, None, None)

    # What the runtime adds: running loads, parking callers

    def _board(self, key: K, generation: int, due_at: int) -> _Flight:
        return _Flight(key, generation, due_at)

    def _launch(self, key: K, flight: _Flight) -> None:
        nursery = self._open_nursery()
        self._loads[flight.generation] = flight
        nursery.start_soon(self._run, key, flight, name=f"herdless load {key!r}")
        if flight.due_at < NEVER:
            nursery.start_soon(self._watch, flight, name=f"herdless load_timeout {key!r}")

    async def _run(self, key: K, flight: _Flight) -> None:
        LOADING.set(flight)
        try:
            with flight.scope:
                try:
                    value = await awaitable(self._load, self._load(key))
                except BaseException as error:
                    self._failed(flight.generation, key, error)
                    if not isinstance(error, Exception):
                        raise  # to the scope that cancelled it, or, an interrupt, to the nursery
                else:
                    self._succeeded(flight.generation, value)
        except Exception as error:  # noqa: BLE001  # what a cancelled group leaves is reported already
            LOGGER.debug("what the cancelled load of %r left behind", key, exc_info=error)
        finally:
            flight.timer.cancel()
            del self._loads[flight.generation]

    async def _watch(self, flight: _Flight) -> None:
        with flight.timer:
            while flight.generation in self._flights:
                await trio.sleep(max(0.0, (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND))
                self._deadline_passed(flight.generation)

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        flight.outcome = outcome
        flight.done.set()

    def _cancel(self, generation: int) -> None:
        if generation in self._loads:
            self._loads[generation].scope.cancel()

    def _arm(self, flight: _Flight) -> None:
        """`_watch` sleeps again by itself."""

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
    return lambda function: AsyncCached(
        function,
        key,
        lambda load: Cache(load, checkpoint=checkpoint, **options),
    )
