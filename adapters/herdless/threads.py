"""The cache for threads: the caller that starts a flight runs the load itself, the others wait for it.

A hit takes no lock: it reads one table and one immutable entry. (With `maxsize`, the first hit of a key since the
eviction hand passed it marks the key, inside the lock.) All else is one short critical section, in which no loader runs
and nobody waits. What cannot be done with threads is to cancel a load: one that nobody waits for any more
is left to finish, and its value is stored.

A load runs on the caller's own thread, unless it must be possible to leave it behind: with `timeout=` in the call, with
`load_timeout` in the policy, and in refreshes it runs on a daemon thread, or on `executor=`. A refresh that has not
begun when a caller joins it is run for that caller at once. `max_loads` bounds how many loads run, those included that
were given up and hang.

Without the GIL: an entry never changes, tables are only changed inside the lock, and a hit needs one atomic `dict`
lookup. Only the counter of hits relies on the GIL for exactness; without it, `stats().hits` may miss some.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from threading import TIMEOUT_MAX, get_ident
from types import TracebackType
from typing import Final, Self, Unpack, final

from herdless import _primitives
from herdless._cache import (
    LOADING,
    LOGGER,
    WAITS_FOR_TURN,
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
from herdless._decorator import P, R, SyncCached, decorate_sync, require_parentheses
from herdless._lookup import Lookup
from herdless._room import FRAMES, require_room
from herdless._workers import Executor, Job, Workers
from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Failure,
    Fresh,
    LoadCancelled,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    ReentrantLoad,
    Refuse,
    Stats,
    Value,
    after,
)

__all__ = ["Cache", "Loaded", "Lookup", "Policy", "Stats", "cached"]


TWICE_THE_FRAMES: Final = 2 * FRAMES
"""The end of a load is a change, which asks for its room again."""

MAX_LOADS: Final = 128
"""How many loads of a cache run at once, unless `max_loads` says something else."""


@final
class _Wait:
    """Where the waiters of a flight are parked, and what they are woken with."""

    __slots__ = ("done", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None  # not the class's: mypyc 2.4 drops a None that is one of three
        self.done: _primitives.Event | None = None
        """Made for the first who parks: the caller who runs the load itself needs none."""

    def park(self) -> _primitives.Event:
        """Where to wait for the outcome. Inside the lock, or the wake-up could come before."""
        if self.done is None:
            self.done = _primitives.Event()
        return self.done


_NO_WAIT: Final = _Wait()
"""Of callers who do not wait."""


@final
class _Flight(Flight):
    is_begun: bool = False
    """Whether a thread has taken the load up."""
    is_urgent: bool = False
    """Whether a caller has asked for it: then it does not queue behind refreshes."""

    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.wait: _Wait | None = _Wait()
        """Not longer than until it is settled: what a load starts may keep its context, and so this flight."""

    def waits_for_this_thread(self) -> bool:
        """Whether this very thread has begun a lookup that is to launch it: who asks has come in between."""
        return not self.is_launched and self.boarder == get_ident()


@final
class Cache(BaseCache[K, V, _Flight]):
    """A cache whose misses never start two loads of one key.

    load: a function from key to value, or to `Loaded(value, ttl=...)`.
    executor: where loads run that no caller runs itself, anything with `submit(job)`; None: daemon threads of the
        cache's own. A bounded one can be filled up by loads that wait for each other.
    around_load: called without arguments for a context manager, inside which every load runs that no caller runs
        itself: what a framework does around a request has to be done there too.
    options: those of `Policy` (ttl, stale_while_revalidate, stale_if_error, negative_ttl, remember_timeouts,
        early_refresh, jitter, load_timeout, refresh_backoff, max_waiters) or `policy`, and maxsize, max_loads, clock,
        observe, show_key: see `CacheOptions`. `max_loads` is 128 unless given; None: no limit.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire`, `refresh` and `clear`; end by
    `close` or `with`. After `os.fork()` the child has the values, and no flights. Raises PolicyError for an argument
    out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], V | Loaded[V]],
        *,
        executor: Executor | None = None,
        around_load: Callable[[], AbstractContextManager[object]] | None = None,
        **options: Unpack[CacheOptions],
    ) -> None:
        options.setdefault("max_loads", MAX_LOADS)
        BaseCache.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        if around_load is not None and not callable(around_load):
            raise PolicyError(
                f"around_load={around_load!r} is not accepted: give a function that returns a context manager"
            )
        self._executor: Final = executor
        self._around_load: Final = around_load
        self._workers = Workers[_Flight]()

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
        since = self._keyspace.generation
        self._require_outside()  # out here: what follows would mend, and give back the lock of whoever is inside
        is_mended = False
        try:
            try:
                asked, boarded, wait, expires_at, runs_here = self._begin(key, timeout_ns)
                if runs_here and isinstance(asked, _Flight):
                    self._run(asked)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        return self._answered(key, asked, boarded, wait, expires_at)

    def _answered(
        self, key: K, asked: _Flight | Answer | Refuse, boarded: _Flight | None, wait: _Wait, expires_at: int
    ) -> Answered:
        """What a lookup gives that was begun, and whose load was run where it is run by the caller."""
        if not isinstance(asked, _Flight):
            return value_of_reply(key, asked, self._shown), "hit"
        return self._finish(asked, wait, expires_at), "loaded" if asked is boarded else "joined"

    def _require_outside(self) -> None:
        """Refuse a lookup by foreign code that came in while this thread has the lock, just after it was taken and
        before it is given back too: a caller who is parked, or runs a load, must not have it.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as in `_is_inside`
            self._refuse_inside()

    def _begin(
        self, key: K, timeout_ns: int = NEVER
    ) -> tuple[_Flight | Answer | Refuse, _Flight | None, _Wait, int, bool]:
        """Look the key up: the reply, or the flight to `_finish`; the flight that was started for it, if any; where to
        wait; until which instant; whether to `_run` it first.
        """
        require_room(TWICE_THE_FRAMES)
        loading = LOADING.get()
        wait = _NO_WAIT
        runs_here = False
        since = self._keyspace.generation
        following: _Flight | None = None
        is_mended = False
        try:
            try:
                self._lock.acquire()
                self._is_entered = True
                expires_at = NEVER if timeout_ns == NEVER else after(self._clock(), timeout_ns)
                asked, boarded = self._ask(key, loading)
                if isinstance(asked, _Flight) and asked is not boarded and self._is_queued(asked):
                    since = 0
                    self._carry_out(self._keyspace.supersede(asked))
                    asked, boarded = self._ask(key, loading)
                if isinstance(asked, _Flight) and asked is not boarded and self._keyspace.waits_for_turn(asked):
                    since = 0
                    following = self._take_turn()
                    if following is asked:
                        boarded, following = asked, None
                if isinstance(asked, _Flight) and asked is not boarded and asked.waits_for_this_thread():
                    self._carry_out(self._keyspace.waiter_left(asked.generation, LONG_AGO, can_cancel=False))
                elif isinstance(asked, _Flight):
                    wait = asked.wait or wait
                    runs_here = asked is boarded and timeout_ns == NEVER and asked.due_at == NEVER
                    asked.is_begun = asked.is_begun or runs_here
                    asked.is_urgent = True
                    if not runs_here:
                        wait.park()
                gone = self._leave()
                if following is not None:
                    self._launch(following)
                if boarded is not None and not runs_here:
                    self._launch(boarded)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        del gone
        return asked, boarded, wait, expires_at, runs_here

    def _is_queued(self, flight: _Flight) -> bool:
        """Whether it is a refresh that waits for a thread, and nobody waits for it yet. Inside the lock."""
        return not (flight.is_begun or flight.is_urgent or flight.boarder == WAITS_FOR_TURN)

    def _take_turn(self) -> _Flight | None:
        """A caller waits for a load that has no turn: that of a refresh which has not begun, if there is one, goes to
        what callers wait for. The flight that is to start by it. Inside the lock.
        """
        for load in self._keyspace.turns():
            if isinstance(load, _Flight) and not load.has_ended and self._is_queued(load):
                load.boarder = WAITS_FOR_TURN
                return self._carry_out(self._keyspace.yield_turn(load))
        return None

    def _finish(self, flight: _Flight, wait: _Wait, expires_at: int) -> Value:
        """What the flight's waiters are answered with."""
        if wait is _NO_WAIT:
            raise ReentrantLoad("a signal handler or a finalizer asks for the key that its own thread is about to load")
        try:
            return value_of(self._wait(flight, wait, expires_at))
        except BaseException:
            if not flight.has_ended:
                self._left(flight, can_cancel=False)
            raise

    def settled(self, timeout: float | None = None) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one. TimeoutError after so many seconds.
        """
        timeout_ns = _nanoseconds(timeout)
        expires_at = NEVER if timeout is None else after(self._clock(), timeout_ns)
        for flight, wait in self._look(self._parked):
            self._wait(flight, wait, expires_at)

    def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), wait for the loads that have waiters; `cancel`: these get LoadCancelled."""
        self._change(self._keyspace.close)
        if cancel:
            self._abort()
        if not self._is_inside():  # foreign code inside the lock cannot wait
            self.settled()

    def _parked(self) -> list[tuple[_Flight, _Wait]]:
        own, parked = LOADING.get(), []
        for flight in self._flights.values():
            if flight is not own and flight.wait is not None:
                flight.wait.park()
                parked.append((flight, flight.wait))
        return parked

    def __enter__(self) -> Self:
        self._keyspace.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close(cancel=kind is not None)

    # What the runtime adds: running loads, parking callers

    def _board(self, key: K, generation: int, due_at: int) -> _Flight:
        return _Flight(key, generation, due_at)

    def _launch(self, flight: _Flight) -> None:
        if not flight.is_urgent:
            self._give_up_overdue(self._clock())
        job = self._job(flight)
        try:
            if self._executor is None:
                self._workers.submit(job, flight)
            else:
                submitted = self._executor.submit(job)
                if isinstance(submitted, Future):
                    submitted.add_done_callback(functools.partial(self._job_over, flight))
        except Exception as error:  # noqa: BLE001  # no thread can be had, or the executor was shut down
            self._failed(flight, error)
        flight.is_launched = True

    def _job(self, flight: _Flight) -> Job:
        return functools.partial(contextvars.copy_context().run, self._run_aside, flight)

    def _job_over(self, flight: _Flight, job: Future[object]) -> None:
        if job.cancelled() and not flight.is_begun:
            self._dropped(flight)  # the executor was shut down

    def _give_up_overdue(self, now: int) -> None:
        """A refresh whose time is over may hang for ever: it does not keep others from being run."""
        for flight in self._workers.running():
            if now >= flight.due_at and not flight.has_ended:
                self._deadline_passed(flight)

    def _run(self, flight: _Flight) -> None:
        """Call the loader on this thread, and report how it ended. Raises what is no `Exception`."""
        outside, handled = LOADING.get(), sys.exception()
        try:
            try:
                # In here: an interrupt between the two `try` would not be seen by the outer one. And until the load is
                # reported: whoever asks for its key on this thread, a signal handler too, is inside of it.
                LOADING.set(flight)
                flight.is_launched = True
                value = not_awaitable(self._load, self._load(flight.key))
            except Exception as error:  # noqa: BLE001  # it is told to the waiters, this caller among them
                self._failed(flight, error, handled)
            else:
                self._succeeded(flight, value)
            LOADING.set(outside)
        except BaseException as error:
            LOADING.set(outside)
            self._broken_off(flight, error, handled)
            raise

    def _run_aside(self, flight: _Flight) -> None:
        try:
            if self._look(lambda: self._begins(flight)):
                with contextlib.nullcontext() if self._around_load is None else self._around_load():
                    self._run(flight)
            elif flight.has_ended:
                self._dropped(flight)  # superseded while it was queued: a closed cache must not go on loading
        except BaseException as error:  # noqa: BLE001  # an interrupt has no business on a worker's thread
            if not flight.has_ended:
                self._failed(flight, error)
            elif isinstance(error, Exception):
                with contextlib.suppress(Exception):  # a handler of the user's own
                    LOGGER.warning("around_load failed after a load", exc_info=error)

    def _begins(self, flight: _Flight) -> bool:
        """Whether this thread is the one to run the load. Inside the lock."""
        begins = not flight.is_begun and not flight.has_ended and not self._keyspace.waits_for_turn(flight)
        flight.is_begun = flight.is_begun or begins
        flight.is_launched = flight.is_launched or begins  # also where it is not said yet by whoever launches it
        return begins

    def _wait(self, flight: _Flight, wait: _Wait, expires_at: int) -> Outcome:
        while wait.outcome is None:
            if wait.done is not None and not wait.done.wait(self._pause(min(flight.due_at, expires_at))):
                self._look_at_clock(flight, expires_at)
        return wait.outcome

    def _look_at_clock(self, flight: _Flight, expires_at: int) -> None:
        now = self._clock()
        if now >= flight.due_at:
            self._deadline_passed(flight)
        elif now >= expires_at:
            raise TimeoutError("the caller's timeout passed before the load ended; the load goes on")

    def _pause(self, instant: int) -> float | None:
        """Seconds until the waiter has to look at the clock; None: no need to."""
        if instant >= NEVER:
            return None
        return min(max(0.0, (instant - self._clock()) / NANOSECONDS_PER_SECOND), TIMEOUT_MAX)

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        wait = flight.wait
        if wait is not None:
            if wait.outcome is None:  # it is told again where it was broken off
                wait.outcome = outcome
            if wait.done is not None:
                wait.done.set()
            flight.wait = None

    def _cancel(self, flight: _Flight) -> None:
        """Threads cannot cancel."""

    def _arm(self, flight: _Flight) -> None:
        """Waiters look at the time themselves; a flight without any is looked at by the next lookup."""

    def _abandon(self) -> None:
        """The events are left alone: the parent's threads may have held their locks."""
        for flight in self._ended.values():
            if flight.wait is not None:
                flight.wait.outcome = Failure(LoadCancelled("the process was forked during the load"), None)
        self._workers = Workers[_Flight]()


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
    around_load: Callable[[], AbstractContextManager[object]] | None = None,
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, R | Loaded[R]]], SyncCached[P, R]]:
    """Cache a function or method by its arguments, as they are bound to its signature.

    key: a function of the same arguments that returns what to cache by. All else as for `Cache`. A method's `self` is
    one of the arguments, and is kept alive by the cache as `functools.lru_cache` does.
    """
    require_parentheses(function)
    return lambda function: decorate_sync(
        function,
        key,
        lambda load: Cache(load, executor=executor, around_load=around_load, **options),
    )
