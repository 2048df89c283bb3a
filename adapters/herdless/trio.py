"""The cache for trio: one task in the cache's nursery for each flight, one event that wakes its waiters.

Loads belong to the cache, not to the caller who happened to be first, so they run in a nursery that `async with
Cache(...)` opens. A load that fails never takes it down: the error goes to the waiters. Waking is atomic with respect
to cancellation: a caller either was woken by its flight or left it.

A hit need not be a checkpoint. `checkpoint="fair"` makes one when the cache's last was more than a millisecond ago,
which keeps the run loop fair at a twentieth of the price; `"always"` at every lookup, as trio's own functions do;
`"never"` none.

Lookups are for the trio run that opened the cache. `put`, `invalidate`, `invalidate_tag`, `expire`, `refresh` and
`clear` may be called in any thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack, final, overload

import trio

from herdless._bulk import check_bulk
from herdless._decorator import (
    AsyncCached,
    AsyncShared,
    P,
    R,
    decorate_async,
    decorate_async_shared,
    require_parentheses,
)
from herdless._lazily import give_lazily
from herdless._lookup import Lookup
from herdless._trio_bulk import TrioBatches, get_many
from herdless._trio_loads import TrioLoad, TrioLoads
from herdless.adapter import (
    LOADING,
    LOOK_AGAIN,
    Answered,
    CacheOptions,
    K,
    V,
    value_of,
    value_of_reload,
    value_of_reply,
)
from herdless_core import (
    LONG_AGO,
    NEVER,
    NOT_MODIFIED,
    CacheClosed,
    Fresh,
    Loaded,
    Policy,
    PolicyError,
    Previous,
    Stats,
)

if TYPE_CHECKING:
    from herdless._shared.on_trio import SharedCache, SharedOptions, Store

__all__ = ["NOT_MODIFIED", "Cache", "Loaded", "Lookup", "Policy", "Previous", "SharedCache", "Stats", "cached"]

_shared_cache: Final = give_lazily(__name__, "SharedCache", "herdless._shared.on_trio")

FAIR_NANOSECONDS: Final = 1_000_000
"""With `checkpoint="fair"`: so long after the cache's last checkpoint a lookup makes another."""

_FIRST_CHECKPOINT_AT: Final = {"fair": LONG_AGO, "always": LONG_AGO, "never": NEVER}


@final
class Cache(TrioLoads[K, V]):
    """A cache whose misses never start two loads of one key. Use it inside `async with`.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`. Without one, each lookup brings its own.
        One of two arguments is given the key's `Previous` as well, or None, and may return `NOT_MODIFIED`: see
        `CacheOptions.previous`.
    load_many: instead of it, an async function from a list of keys to a mapping: misses that arrive together are one
        call. What the mapping leaves out raises KeyError, for that key alone.
    batch_size: so many keys at most in one call of `load_many`; 100 unless given.
    checkpoint: when a hit is a trio checkpoint: "fair", "always" or "never".
    options: those of `Policy` (ttl, stale_while_revalidate ...), or `policy`, and maxsize, maxweight, weigh, on_remove,
        max_loads, clock, observe, finish_unwatched, show_key, name: see `CacheOptions`.

    Look up by `get`, `lookup`, `peek` and `reload`; change by `put`, `touch`, `invalidate`, `invalidate_tag`, `expire`,
    `refresh` and `clear`; go over what is held by `keys`, `ttl_of`, `invalidate_where`, `expire_all`, `dump` and
    `restore`; end by `close` or by leaving the `async with`. Raises PolicyError for an argument out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | Loaded[V]]]
        | Callable[[K, Previous[V] | None], Awaitable[V | Loaded[V]]]
        | None = None,
        *,
        load_many: Callable[[list[K]], Awaitable[Mapping[K, V | Loaded[V]]]] | None = None,
        batch_size: int | None = None,
        checkpoint: Literal["fair", "always", "never"] = "fair",
        **options: Unpack[CacheOptions],
    ) -> None:
        size = check_bulk(load, load_many, batch_size)
        if load_many is not None:
            load = TrioBatches(load_many, size).load
        TrioLoads.__init__(self, load, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        if checkpoint not in _FIRST_CHECKPOINT_AT:
            raise PolicyError(f'checkpoint={checkpoint!r} is not accepted: give "fair", "always" or "never"')
        self._is_fair: Final = checkpoint == "fair"
        self._checkpoint_at = _FIRST_CHECKPOINT_AT[checkpoint]
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery, bool | None]

    async def get(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> V:
        """The key's value, loaded if need be.

        key: what is looked up; load: an async function that loads it, in the place of the cache's own, where this call
        starts the load. It is not called where a load is in flight, and not kept.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, TooManyLoads, ReentrantLoad,
        NoLoader, CacheClosed, and TypeError for an unhashable key. Cancelling this call cancels no load that anybody
        else waits for.
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
        return (await self._answer(key, load))[0].value  # type: ignore[no-any-return]  # as above

    async def lookup(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> Lookup[V]:
        """Like `get`, and says how the value was got, its age, and for how long it is fresh."""
        now = self._clock()
        if now >= self._checkpoint_at:
            await self._checkpoint(now)
        return self._lookup(key, await self._answer(key, load))

    async def get_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> dict[K, V]:
        """The values of the keys, in their order, each once. Each key is looked up as by `get`, and has a load of its
        own, which others may join.

        keys: any number of keys; return_exceptions: False: when all are answered, the error of the first key that has
        one is raised; True: errors stand in the places of values.

        Raises what `get` raises, and PolicyError where `keys` is a text or no collection.
        """
        now = self._clock()
        if now >= self._checkpoint_at:
            await self._checkpoint(now)
        self._require_own_run()
        return await get_many(self, keys, return_exceptions=return_exceptions)

    async def reload(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> V:
        """The value of a load that begins after this call: no older one is joined. Where one is in flight, that one is
        waited for first, so that no two run at once; all who reload meanwhile share the next. A value that is kept goes
        on being served to others.

        key: what is loaded; load: as for `get`. Raises as `get`, and what the load raised also where the value that is
        kept covers that for `get`. Cancelling this call cancels no load that anybody else waits for.
        """
        self._require_own_run()
        since = self._keyspace.generation
        while True:
            asked, wait = self._reload_from(key, None, load)
            if not isinstance(asked, TrioLoad):
                raise asked.error(self._shown(key))
            try:
                await wait.done.wait()
            except BaseException:
                self._left(asked, can_cancel=True)
                raise
            if wait.outcome is not LOOK_AGAIN and asked.generation > since:
                return value_of_reload(asked, wait.outcome).value  # type: ignore[no-any-return]  # as above

    async def _answer(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None) -> Answered:
        self._require_own_run()
        while True:
            asked, boarded, wait = self._enter(key, load)
            if not isinstance(asked, TrioLoad):
                return value_of_reply(key, asked, self._shown), "hit"
            try:
                outcome = await self._wait(asked, wait)
            except BaseException:
                self._left(asked, can_cancel=True)
                raise
            if outcome is not LOOK_AGAIN:
                return value_of(outcome), "loaded" if asked is boarded else "joined"

    def _require_own_run(self) -> None:
        if self._token is not trio.lowlevel.current_trio_token():
            self._open_nursery()
            raise CacheClosed("the cache was opened in another trio run: only that one can wait for its loads")

    async def settled(self) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one.
        """
        own = LOADING.get()
        while any(load is not own and own not in load.waits_for for load in (*self._loads, *self._flights.values())):
            quiet = trio.Event()
            self._quiet.append(quiet)
            await quiet.wait()

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        self._refuse_more(cancel=cancel)
        if cancel:
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

    async def _checkpoint(self, now: int) -> int:
        if self._is_fair:
            self._checkpoint_at = now + FAIR_NANOSECONDS
        await trio.lowlevel.checkpoint()
        return self._clock()


@overload
def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    checkpoint: Literal["fair", "always", "never"] = "fair",
    **options: Unpack[CacheOptions],
) -> Callable[[Callable[P, Awaitable[R | Loaded[R]]]], AsyncCached[P, R]]: ...


@overload
def cached(
    function: None = None,
    /,
    *,
    store: Store,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    **options: Unpack[SharedOptions],
) -> Callable[[Callable[P, Awaitable[R | Loaded[R]]]], AsyncShared[P, R]]: ...


def cached(
    function: None = None,
    /,
    *,
    store: Store | None = None,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
    checkpoint: Literal["fair", "always", "never"] = "fair",
    **options: Any,
) -> Callable[[Any], Any]:
    """Cache an async function or method by its arguments, as they are bound to its signature.

    Open its cache, `async with function.cache:`, around the calls. key: a function of the same arguments that returns
    what to cache by. per_instance: whether each instance has a cache of its own, which ends with it; without it a
    method's `self` is one of the arguments, and is kept alive by the cache as `functools.lru_cache` does. All else as
    for `Cache`.

    With `store`, all processes share the results: options are then those of `SharedCache`, and arguments have to be
    str, int, float, bool, None, bytes or tuples of these, unless `key` or `store_key` makes such a value of them. See
    docs/fleet.md.

    Raises TypeError for a function that cannot be cached so, PolicyError for an argument out of its range.
    """
    require_parentheses(function, options)
    if store is not None:
        if checkpoint != "fair":
            options["checkpoint"] = checkpoint
        shared = _shared_cache()
        return lambda function: decorate_async_shared(
            function, key, lambda called, load: shared.behind(called, load, store, options), per_instance=per_instance
        )
    return lambda function: decorate_async(
        function,
        key,
        lambda load: Cache(load, checkpoint=checkpoint, **options),
        per_instance=per_instance,
        checkpoints=True,
    )
