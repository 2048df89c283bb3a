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
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, final, overload

from herdless._bulk import check_bulk
from herdless._decorator import P, R, SyncCached, decorate_sync, decorate_sync_shared, require_parentheses
from herdless._lazily import give_lazily
from herdless._lookup import Lookup
from herdless._threads_bulk import ThreadsBatches, get_many
from herdless._threads_loads import ThreadsLoad
from herdless._threads_waits import ThreadsWaits, nanoseconds_of
from herdless._workers import Executor
from herdless.adapter import LOOK_AGAIN, CacheOptions, K, V, value_of_reload
from herdless_core import (
    NEVER,
    NOT_MODIFIED,
    Fresh,
    Loaded,
    Policy,
    Previous,
    Stats,
    after,
)

if TYPE_CHECKING:
    from herdless._shared.on_threads import SharedCache, SharedOptions, Store

__all__ = ["NOT_MODIFIED", "Cache", "Loaded", "Lookup", "Policy", "Previous", "SharedCache", "Stats", "cached"]

_shared_cache: Final = give_lazily(__name__, "SharedCache", "herdless._shared.on_threads")


@final
class Cache(ThreadsWaits[K, V]):
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
        ThreadsWaits.__init__(self, load, executor, around_load, **options)  # super(): mypyc 2.4 is wrong

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

    def settled(self, timeout: float | None = None) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one. TimeoutError after so many seconds.
        """
        timeout_ns = nanoseconds_of(timeout)
        expires_at = NEVER if timeout is None else after(self._clock(), timeout_ns)
        for flight, wait in self._look(self._parked):
            self._wait(flight, wait, expires_at)

    def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), wait for the loads that have waiters; `cancel`: these get LoadCancelled."""
        self._refuse_more(cancel=cancel)
        if not self._is_inside():  # foreign code inside the lock cannot wait
            self.settled()

    def __enter__(self) -> Self:
        self._keyspace.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close(cancel=kind is not None)


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
