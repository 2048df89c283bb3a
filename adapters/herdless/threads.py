"""The cache for threads: the caller that starts a flight runs the load itself, the others wait for it.

A hit takes no lock: it reads one table and one immutable entry. (With `maxsize`, the first hit of a key since the
eviction hand passed it marks the key, inside the lock.) All else is one short critical section, in which no loader runs
and nobody waits. What cannot be done with threads is to cancel a load: one that nobody waits for any more
is left to finish, and its value is stored.

A load runs on the caller's own thread, unless it must be possible to leave it behind: with `timeout=` in the call, with
`load_timeout` in the policy, and in refreshes it runs on a daemon thread, or on `executor=`.

Without the GIL: an entry never changes, tables are only changed inside the lock, and a hit needs one atomic `dict`
lookup. Only the counter of hits relies on the GIL for exactness; without it, `stats().hits` may miss some.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable
from threading import TIMEOUT_MAX
from types import TracebackType
from typing import Final, Self, Unpack, final

from herdless import _primitives
from herdless._cache import (
    LOADING,
    Answered,
    BaseCache,
    CacheOptions,
    Flight,
    K,
    V,
    not_awaitable,
    value_of,
    value_of_reply,
)
from herdless._decorator import P, R, SyncCached, require_parentheses
from herdless._lookup import Lookup
from herdless._workers import Executor, Workers
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Failure,
    Fresh,
    LoadCancelled,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    Stats,
    after,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]


@final
class _Flight(Flight):
    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.outcome: Outcome | None = None  # not the class's: mypyc 2.4 drops a None that is one of three
        self.done: _primitives.Event | None = None
        """Where its waiters are parked. Made for the first of them: the caller who runs the load itself needs none."""

    def park(self) -> _primitives.Event:
        """Where to wait for the outcome. Inside the lock, or the wake-up could come before."""
        if self.done is None:
            self.done = _primitives.Event()
        return self.done


@final
class Cache(BaseCache[K, V, _Flight]):
    """A cache whose misses never start two loads of one key.

    load: a function from key to value, or to `Loaded(value, ttl=...)`.
    executor: where loads run that no caller runs itself, anything with `submit(job)`; None: daemon threads of the
        cache's own. A bounded one can be filled up by loads that wait for each other.
    options: those of `Policy` (ttl, stale_while_revalidate, stale_if_error, negative_ttl, early_refresh, jitter,
        load_timeout, refresh_backoff, max_waiters) or `policy`, and maxsize, clock, observe: see `CacheOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire`, `refresh` and `clear`; end by
    `close` or `with`. After `os.fork()` the child has the values, and no flights. Raises PolicyError for an argument
    out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], V | Loaded[V]],
        *,
        executor: Executor | None = None,
        **options: Unpack[CacheOptions],
    ) -> None:
        BaseCache.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        self._executor: Final = executor
        self._workers = Workers()

    def get(self, key: K, timeout: float | None = None) -> V:
        """The key's value, loaded if need be.

        timeout: seconds, by the cache's clock, after which this caller alone gets TimeoutError; the load goes on.

        Raises what the loader raised, TimeoutError, LoadTimeout, LoadCancelled, TooManyWaiters, ReentrantLoad,
        CacheClosed, and TypeError for an unhashable key.
        """
        try:
            entry = self._hot[key]
            # Comparisons that mypyc makes into some of C: docs/performance.md.
            if type(entry) is Fresh and (entry.hit_until == NEVER or self._clock() < entry.hit_until):
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except (KeyError, TypeError):
            pass
        return self._answer(key, timeout)[0].value  # type: ignore[no-any-return]  # as above

    def lookup(self, key: K, timeout: float | None = None) -> Lookup[V]:
        """Like `get`, with the way in which the value was come by, and its age."""
        return self._lookup(self._answer(key, timeout))

    def _answer(self, key: K, timeout: float | None) -> Answered:
        timeout_ns = _nanoseconds(timeout)
        with self._lock:
            expires_at = NEVER if timeout is None else after(self._clock(), timeout_ns)
            asked, boarded = self._ask(key)
            runs_here = boarded is not None and asked is boarded and timeout is None and boarded.due_at == NEVER
            done = asked.park() if isinstance(asked, _Flight) and not runs_here else None
        if boarded is not None:
            if runs_here:
                self._run(key, boarded)
            else:
                self._launch(key, boarded, urgent=asked is boarded)
        if isinstance(asked, _Flight):
            try:
                outcome = self._wait(asked, done, expires_at)
            except BaseException:
                self._left(asked, can_cancel=False)
                raise
            return value_of(outcome), "loaded" if asked is boarded else "joined"
        return value_of_reply(key, asked), "hit"

    def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), wait for the loads that have waiters; `cancel`: these get LoadCancelled."""
        with self._lock:
            self._carry_out(self._keyspace.close(self._clock()))
        if cancel:
            self._abort()
        with self._lock:
            parked = [(flight, flight.park()) for flight in self._flights.values() if flight is not LOADING.get()]
        for flight, done in parked:
            self._wait(flight, done, NEVER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close(cancel=kind is not None)

    # What the runtime adds: running loads, parking callers

    def _board(self, key: K, generation: int, due_at: int) -> _Flight:
        return _Flight(key, generation, due_at)

    def _launch(self, key: K, flight: _Flight, *, urgent: bool = False) -> None:
        job = functools.partial(contextvars.copy_context().run, self._run_aside, key, flight)
        try:
            if self._executor is not None:
                self._executor.submit(job)
            else:
                self._workers.submit(job, urgent=urgent)
        except BaseException as error:
            self._failed(flight.generation, key, error)
            if not isinstance(error, Exception):
                raise

    def _run(self, key: K, flight: _Flight) -> None:
        token = LOADING.set(flight)
        try:
            value = not_awaitable(self._load, self._load(key))
        except BaseException as error:
            self._failed(flight.generation, key, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._succeeded(flight.generation, value)
        finally:
            LOADING.reset(token)

    def _run_aside(self, key: K, flight: _Flight) -> None:
        if flight.generation not in self._flights:
            return  # superseded while it was queued: a closed cache must not go on loading
        with contextlib.suppress(BaseException):  # an interrupt is reported, and has no business on a worker's thread
            self._run(key, flight)

    def _wait(self, flight: _Flight, done: _primitives.Event | None, expires_at: int) -> Outcome:
        while flight.outcome is None:
            if done is not None and not done.wait(self._pause(min(flight.due_at, expires_at))):
                self._look_at_clock(flight, expires_at)
        return flight.outcome

    def _look_at_clock(self, flight: _Flight, expires_at: int) -> None:
        now = self._clock()
        if now >= flight.due_at:
            self._deadline_passed(flight.generation)
        elif now >= expires_at:
            raise TimeoutError("the caller's timeout passed before the load ended; the load goes on")

    def _pause(self, instant: int) -> float | None:
        """Seconds until the waiter has to look at the clock; None: no need to."""
        if instant >= NEVER:
            return None
        return min(max(0.0, (instant - self._clock()) / NANOSECONDS_PER_SECOND), TIMEOUT_MAX)

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        flight.outcome = outcome
        if flight.done is not None:
            flight.done.set()

    def _cancel(self, generation: int) -> None:
        """Threads cannot cancel."""

    def _arm(self, flight: _Flight) -> None:
        """Waiters look at the time themselves; a flight without any is looked at by the next lookup."""

    def _abandon(self) -> None:
        """The events are left alone: the parent's threads may have held their locks."""
        for flight in self._flights.values():
            flight.outcome = Failure(LoadCancelled("the process was forked during the load"), None)
        self._workers = Workers()


def _nanoseconds(timeout: object) -> int:
    if timeout is None:
        return NEVER
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise PolicyError(f"timeout={timeout!r} is not accepted: give None or a number of seconds >= 0")
    return round(timeout * NANOSECONDS_PER_SECOND) if timeout < NEVER // NANOSECONDS_PER_SECOND else NEVER


def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    executor: Executor | None = None,
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, R | Loaded[R]]], SyncCached[P, R]]:
    """Cache a function or method by its arguments, as they are bound to its signature.

    key: a function of the same arguments that returns what to cache by. All else as for `Cache`. A method's `self` is
    one of the arguments, and is kept alive by the cache as `functools.lru_cache` does.
    """
    require_parentheses(function)
    return lambda function: SyncCached(
        function,
        key,
        lambda load: Cache(load, executor=executor, **options),
    )
