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

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from threading import TIMEOUT_MAX, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, final, overload

from herdless._bulk import check_bulk
from herdless._decorator import P, R, SyncCached, decorate_sync, decorate_sync_shared, require_parentheses
from herdless._lazily import give_lazily
from herdless._lookup import Lookup
from herdless._room import FRAMES, require_room
from herdless._threads_bulk import ThreadsBatches, get_many, run_together
from herdless._threads_loads import HERE, NO_WAIT, ThreadsLoad, ThreadsLoads, Wait, runs_here
from herdless._workers import Executor
from herdless.adapter import (
    LOADING,
    LOOK_AGAIN,
    Answered,
    CacheOptions,
    K,
    Loader,
    V,
    value_of,
    value_of_reload,
    value_of_reply,
)
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    NOT_MODIFIED,
    Answer,
    Fresh,
    Loaded,
    Outcome,
    Policy,
    PolicyError,
    Previous,
    ReentrantLoad,
    Refuse,
    Stats,
    after,
)

if TYPE_CHECKING:
    from herdless._shared.on_threads import SharedCache, SharedOptions, Store

__all__ = ["NOT_MODIFIED", "Cache", "Loaded", "Lookup", "Policy", "Previous", "SharedCache", "Stats", "cached"]

_shared_cache: Final = give_lazily(__name__, "SharedCache", "herdless._shared.on_threads")


TWICE_THE_FRAMES: Final = 2 * FRAMES
"""The end of a load is a change, which asks for its room again."""


@final
class Cache(ThreadsLoads[K, V]):
    """A cache whose misses never start two loads of one key.

    load: a function from key to value, or to `Loaded(value, ttl=...)`. Without one, each lookup brings its own.
        One of two arguments is given the key's `Previous` as well, or None, and may return `NOT_MODIFIED`: see
        `CacheOptions.previous`.
    load_many: instead of it, a function from a list of keys to a mapping: what a `get_many` has to load is one call.
        What the mapping leaves out raises KeyError, for that key alone.
    batch_size: so many keys at most in one call of `load_many`; 100 unless given.
    executor: where loads run that no caller runs itself, anything with `submit(job)`; None: daemon threads of the
        cache's own. A bounded one can be filled up by loads that wait for each other.
    around_load: called without arguments for a context manager, inside which every load runs that no caller runs
        itself: what a framework does around a request has to be done there too.
    options: those of `Policy` (ttl, stale_while_revalidate ...), or `policy`, and maxsize, maxweight, weigh, on_remove,
        max_loads, clock, observe, finish_unwatched, show_key, name: see `CacheOptions`. `max_loads` is 128 unless
        given; None: no limit.

    Look up by `get`, `lookup`, `peek` and `reload`; change by `put`, `touch`, `invalidate`, `invalidate_tag`, `expire`,
    `refresh` and `clear`; go over what is held by `keys`, `ttl_of`, `invalidate_where`, `expire_all`, `dump` and
    `restore`; end by `close` or `with`. After `os.fork()` the child has the values, and no flights. Raises
    PolicyError for an argument out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], V | Loaded[V]] | Callable[[K, Previous[V] | None], V | Loaded[V]] | None = None,
        *,
        load_many: Callable[[list[K]], Mapping[K, V | Loaded[V]]] | None = None,
        batch_size: int | None = None,
        executor: Executor | None = None,
        around_load: Callable[[], AbstractContextManager[object]] | None = None,
        **options: Unpack[CacheOptions],
    ) -> None:
        size = check_bulk(load, load_many, batch_size)
        self._batches: Final = None if load_many is None else ThreadsBatches(load_many, size)
        if self._batches is not None:
            load = self._batches.load
        ThreadsLoads.__init__(self, load, executor, around_load, **options)  # super(): mypyc 2.4 is wrong

    def get(self, key: K, timeout: float | None = None, load: Callable[[K], V | Loaded[V]] | None = None) -> V:
        """The key's value, loaded if need be.

        key: what is looked up; timeout: seconds, by the cache's clock, after which this caller alone gets TimeoutError,
        and the load goes on; load: a function that loads it, in the place of the cache's own, where this call starts
        the load. It is not called where a load is in flight, and not kept.

        Raises what the loader raised, TimeoutError, LoadTimeout, LoadCancelled, TooManyWaiters, ReentrantLoad,
        NoLoader, CacheClosed, and TypeError for an unhashable key.
        """
        try:
            entry = self._hot[key]
            # Comparisons that mypyc compiles to comparisons of C integers: docs/performance.md.
            if type(entry) is Fresh and (entry.hit_until == NEVER or self._clock() < entry.hit_until):
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except (KeyError, TypeError):
            pass
        return self._answer(key, timeout, load)[0].value  # type: ignore[no-any-return]  # as above

    def lookup(
        self, key: K, timeout: float | None = None, load: Callable[[K], V | Loaded[V]] | None = None
    ) -> Lookup[V]:
        """Like `get`, and says how the value was got, its age, and for how long it is fresh."""
        return self._lookup(key, self._answer(key, timeout, load))

    def get_many(
        self, keys: Iterable[K], timeout: float | None = None, *, return_exceptions: bool = False
    ) -> dict[K, V]:
        """The values of the keys, in their order, each once. Each key is looked up as by `get`, and has a load of its
        own, which others may join. Without `load_many`, they are loaded one after the other.

        keys: any number of keys; timeout: seconds for all of them, as in `get`; return_exceptions: False: when all are
        answered, the error of the first key that has one is raised; True: errors stand in the places of values.

        Raises what `get` raises, and PolicyError where `keys` is a text or no collection.
        """
        return get_many(self, keys, self._expires_at(timeout), return_exceptions=return_exceptions)

    def reload(self, key: K, timeout: float | None = None, load: Callable[[K], V | Loaded[V]] | None = None) -> V:
        """The value of a load that begins after this call: no older one is joined. Where one is in flight, that one is
        waited for first, so that no two run at once; all who reload meanwhile share the next, which runs as a refresh
        does, on no caller's thread. A value that is kept goes on being served to others.

        key: what is loaded; timeout, load: as for `get`. Raises as `get`, and what the load raised also where the value
        that is kept covers that for `get`.
        """
        expires_at = self._expires_at(timeout)
        self._require_outside()
        since = self._keyspace.generation
        while True:
            asked, wait = self._reload_from(key, None, load)
            if not isinstance(asked, ThreadsLoad):
                raise asked.error(self._shown(key))
            outcome = self._finish(asked, wait, expires_at)
            if outcome is not LOOK_AGAIN and asked.generation > since:
                return value_of_reload(asked, outcome).value  # type: ignore[no-any-return]  # as above

    def _expires_at(self, timeout: float | None) -> int:
        timeout_ns = _nanoseconds(timeout)
        return NEVER if timeout_ns == NEVER else after(self._clock(), timeout_ns)

    def _answer(self, key: K, timeout: float | None, load: Loader | None) -> Answered:
        return self._answer_by(key, self._expires_at(timeout), load)

    def _answer_by(self, key: K, expires_at: int, load: Loader | None) -> Answered:
        since = self._keyspace.generation
        self._require_outside()  # out here: what follows would mend, and give back the lock of whoever is inside
        is_mended = False
        try:
            try:
                asked, boarded, wait, flight = self._begin(key, HERE if expires_at == NEVER else None, load)
                if flight is not None:
                    self._run(flight)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        return self._answered(key, asked, boarded, wait, expires_at, load)

    def _begin(
        self, key: K, place: object = HERE, load: Loader | None = None
    ) -> tuple[ThreadsLoad | Answer | Refuse, ThreadsLoad | None, Wait, ThreadsLoad | None]:
        """Look the key up: as `_enter`, and the flight whose load this caller has to run, if any.

        key: what is looked up; place: `HERE` where the caller may run the load, `TOGETHER` where it runs several, else
        None; load: the caller's own loader, if any.
        """
        require_room(TWICE_THE_FRAMES)
        asked, boarded, parked = self._enter_from(key, place, load)
        if self._overtaking:
            self._overtaking.discard(get_ident())
        is_own = boarded is not None and asked is boarded and runs_here(boarded, place)
        return asked, boarded, parked or NO_WAIT, boarded if is_own else None

    def _run_elsewhere(self, flights: list[ThreadsLoad]) -> None:
        """Load the keys of these flights by one call of the bulk loader on another thread."""

        def run(_: ThreadsLoad) -> None:
            try:
                with nullcontext() if self._around_load is None else self._around_load():
                    run_together(self, flights)
            except BaseException as error:  # noqa: BLE001  # an interrupt has no business on a worker's thread
                self._broken_off_aside(flights, error)

        def over(_: object) -> None:
            for flight in flights:
                self._ensure_reported(flight)

        try:
            self._submit(flights[0], run, over)
        except Exception as error:  # noqa: BLE001  # no thread can be had, or the executor was shut down
            for flight in flights:
                self._failed(flight, error)
        for flight in flights:
            flight.is_launched = True

    def _answered(
        self,
        key: K,
        asked: ThreadsLoad | Answer | Refuse,
        boarded: ThreadsLoad | None,
        wait: Wait,
        expires_at: int = NEVER,
        load: Loader | None = None,
    ) -> Answered:
        """What a lookup gives that was begun, and whose load was run where it is run by the caller.

        key, load: as of the lookup; asked, boarded, wait: what `_begin` returned; expires_at: the end of its timeout.
        """
        if not isinstance(asked, ThreadsLoad):
            return value_of_reply(key, asked, self._shown), "hit"
        outcome = self._finish(asked, wait, expires_at, self._soft_at() if asked.is_covered else NEVER)
        if outcome is LOOK_AGAIN:
            return self._answer_by(key, expires_at, load)
        return value_of(outcome), "loaded" if asked is boarded else "joined"

    def _require_outside(self) -> None:
        """Refuse a lookup by foreign code that came in while this thread has the lock, just after it was taken and
        before it is given back too: a caller who is parked, or runs a load, must not have it.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as in `_is_inside`
            self._refuse_inside()

    def _finish(self, flight: ThreadsLoad, wait: Wait, expires_at: int, soft_at: int = NEVER) -> Outcome:
        """What the flight's waiters are answered with, or this one alone.

        flight: what it waits for; wait: where; expires_at: the end of its timeout; soft_at: from when on a value that
        is kept is the answer; both in nanoseconds.
        """
        if wait is NO_WAIT:
            raise ReentrantLoad("a signal handler or a finalizer asks for the key that its own thread is about to load")
        try:
            return self._wait(flight, wait, expires_at, soft_at)
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
        self._refuse_more(cancel=cancel)
        if not self._is_inside():  # foreign code inside the lock cannot wait
            self.settled()

    def _parked(self) -> list[tuple[ThreadsLoad, Wait]]:
        own, parked = LOADING.get(), []
        for flight in self._flights.values():
            if flight is not own and own not in flight.waits_for and flight.wait is not None:
                flight.wait.park()
                parked.append((flight, flight.wait))
        return parked

    def __enter__(self) -> Self:
        self._keyspace.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close(cancel=kind is not None)

    # Waiting

    def _wait(self, flight: ThreadsLoad, wait: Wait, expires_at: int, soft_at: int = NEVER) -> Outcome:
        while wait.outcome is None:
            if wait.done is None or wait.done.wait(self._pause(min(flight.due_at, expires_at, soft_at))):
                continue
            if self._clock() >= soft_at:
                kept = self._soft_timeout_passed(flight)
                if kept is not None:
                    return kept
                soft_at = NEVER
            self._look_at_clock(flight, expires_at)
        return wait.outcome

    def _look_at_clock(self, flight: ThreadsLoad, expires_at: int) -> None:
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


def _nanoseconds(timeout: object) -> int:
    if timeout is None:
        return NEVER
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise PolicyError(f"timeout={timeout!r} is not accepted: give None or a number of seconds >= 0")
    return round(timeout * NANOSECONDS_PER_SECOND) if timeout < NEVER // NANOSECONDS_PER_SECOND else NEVER


@overload
def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    executor: Executor | None = None,
    around_load: Callable[[], AbstractContextManager[object]] | None = None,
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, R | Loaded[R]]], SyncCached[P, R]]: ...


@overload
def cached(
    function: None = None,
    /,
    *,
    store: Store,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    **options: Unpack[SharedOptions],
) -> Callable[[Callable[P, R | Loaded[R]]], SyncCached[P, R]]: ...


def cached(
    function: None = None,
    /,
    *,
    store: Store | None = None,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    executor: Executor | None = None,
    around_load: Callable[[], AbstractContextManager[object]] | None = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """Cache a function or method by its arguments, as they are bound to its signature.

    key: a function of the same arguments that returns what to cache by. per_instance: whether each instance has a cache
    of its own, which ends with it; without it a method's `self` is one of the arguments, and is kept alive by the cache
    as `functools.lru_cache` does. All else as for `Cache`.

    With `store`, all processes share the results: options are then those of `SharedCache`, and arguments have to be
    str, int, float, bool, None, bytes or tuples of these, unless `key` or `store_key` makes such a value of them. See
    docs/fleet.md.

    Raises TypeError for a function that cannot be cached so, PolicyError for an argument out of its range.
    """
    require_parentheses(function, options)
    if store is not None:
        refused = {"executor": executor, "around_load": around_load}
        options |= {name: value for name, value in refused.items() if value is not None}
        shared = _shared_cache()
        return lambda function: decorate_sync_shared(
            function, key, lambda called, load: shared.behind(called, load, store, options), per_instance=per_instance
        )
    return lambda function: decorate_sync(
        function,
        key,
        lambda load: Cache(load, executor=executor, around_load=around_load, **options),
        per_instance=per_instance,
    )
