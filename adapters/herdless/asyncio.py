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
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack, final, overload

from herdless._asyncio_bulk import AsyncioBatches, get_many
from herdless._asyncio_loads import AsyncioLoad
from herdless._asyncio_waits import LOOK_EVERY, AsyncioWaits
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
from herdless.adapter import LOADING, CacheOptions, K, V, value_of, value_of_reload, value_of_reply
from herdless_core import NEVER, NOT_MODIFIED, Fresh, Loaded, Policy, PolicyError, Previous, Stats

if TYPE_CHECKING:
    from herdless._shared.on_asyncio import SharedCache, SharedOptions, Store

__all__ = ["NOT_MODIFIED", "Cache", "Loaded", "Lookup", "Policy", "Previous", "SharedCache", "Stats", "cached"]

_shared_cache: Final = give_lazily(__name__, "SharedCache", "herdless._shared.on_asyncio")

# What every miss and join calls, found once: mypyc would look the names up at each call.
_running_loop: Final = asyncio.get_running_loop
_loading: Final = LOADING.get


@final
class Cache(AsyncioWaits[K, V]):
    """A cache whose misses never start two loads of one key.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`. Without one, each lookup brings its own.
        One of two arguments is given the key's `Previous` as well, or None, and may return `NOT_MODIFIED`: see
        `CacheOptions.previous`.
    load_many: instead of it, an async function from a list of keys to a mapping: misses that arrive in one turn of the
        loop are one call. What the mapping leaves out raises KeyError, for that key alone.
    batch_size: so many keys at most in one call of `load_many`; 100 unless given.
    loads_in: "loop": a load runs in the event loop of the caller who started it, and ends with it. "thread": all loads
        run in one loop of the cache's own, on a daemon thread; refreshes then end although callers' loops are short,
        and what the loader keeps (a pool of connections) belongs to that loop.
    options: those of `Policy` (ttl, stale_while_revalidate ...), or `policy`, and maxsize, maxweight, weigh, on_remove,
        max_loads, clock, observe, finish_unwatched, show_key, name: see `CacheOptions`.

    Look up by `get`, `lookup`, `peek` and `reload`; change by `put`, `touch`, `invalidate`, `invalidate_tag`, `expire`,
    `refresh` and `clear`; go over what is held by `keys`, `ttl_of`, `invalidate_where`, `expire_all`, `dump` and
    `restore`; wait for loads by `settled`; end by `close` or `async with`, which opens it again. Raises PolicyError
    for an argument out of its range.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | Loaded[V]]]
        | Callable[[K, Previous[V] | None], Awaitable[V | Loaded[V]]]
        | None = None,
        *,
        load_many: Callable[[list[K]], Awaitable[Mapping[K, V | Loaded[V]]]] | None = None,
        batch_size: int | None = None,
        loads_in: Literal["loop", "thread"] = "loop",
        **options: Unpack[CacheOptions],
    ) -> None:
        size = check_bulk(load, load_many, batch_size)
        if load_many is not None:
            load = AsyncioBatches(load_many, size).load
        if loads_in not in {"loop", "thread"}:
            raise PolicyError(f'loads_in={loads_in!r} is not accepted: give "loop" or "thread"')
        AsyncioWaits.__init__(self, load, is_apart=loads_in == "thread", **options)  # not super(): see there

    async def get(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> V:
        """The key's value, loaded if need be.

        key: what is looked up; load: an async function that loads it, in the place of the cache's own, where this call
        starts the load. It is not called where a load is in flight, and not kept.

        Raises what the loader raised, LoadTimeout, LoadCancelled, TooManyWaiters, TooManyLoads, ReentrantLoad,
        NoLoader, CacheClosed, and TypeError for an unhashable key. Cancelling this call cancels no load that anybody
        else waits for.
        """
        try:
            entry = self._hot.get(key)  # a KeyError would be felt in each miss
            # Comparisons that mypyc compiles to comparisons of C integers: docs/performance.md.
            if type(entry) is Fresh and (entry.hit_until == NEVER or self._clock() < entry.hit_until):
                self._hits += 1
                return entry.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except TypeError:
            pass
        while True:
            asked, _, waiting = self._enter_from(key, _running_loop(), load)
            if not isinstance(asked, AsyncioLoad):
                return value_of_reply(key, asked, self._shown).value  # type: ignore[no-any-return]  # as above
            try:  # here and in `lookup`: a coroutine between would be a fifth of what joining costs
                outcome = await waiting
            except BaseException:
                self._leave_flight(asked, waiting)
                raise
            if outcome is not None:
                return value_of(outcome).value  # type: ignore[no-any-return]  # as above

    async def lookup(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> Lookup[V]:
        """Like `get`, and says how the value was got, its age, and for how long it is fresh."""
        while True:
            asked, boarded, waiting = self._enter_from(key, _running_loop(), load)
            if not isinstance(asked, AsyncioLoad):
                return self._lookup(key, (value_of_reply(key, asked, self._shown), "hit"))
            try:
                outcome = await waiting
            except BaseException:
                self._leave_flight(asked, waiting)
                raise
            if outcome is not None:
                return self._lookup(key, (value_of(outcome), "loaded" if asked is boarded else "joined"))

    async def get_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> dict[K, V]:
        """The values of the keys, in their order, each once. Each key is looked up as by `get`, and has a load of its
        own, which others may join.

        keys: any number of keys; return_exceptions: False: when all are answered, the error of the first key that has
        one is raised; True: errors stand in the places of values.

        Raises what `get` raises, and PolicyError where `keys` is a text or no collection.
        """
        return await get_many(self, keys, self._leave_flight, return_exceptions=return_exceptions)

    async def reload(self, key: K, load: Callable[[K], Awaitable[V | Loaded[V]]] | None = None) -> V:
        """The value of a load that begins after this call: no older one is joined. Where one is in flight, that one is
        waited for first, so that no two run at once; all who reload meanwhile share the next. A value that is kept goes
        on being served to others.

        key: what is loaded; load: as for `get`. Raises as `get`, and what the load raised also where the value that is
        kept covers that for `get`. Cancelling this call cancels no load that anybody else waits for.
        """
        since = self._keyspace.generation
        while True:
            asked, waiting = self._reload_from(key, _running_loop(), load)
            if not isinstance(asked, AsyncioLoad):
                raise asked.error(self._shown(key))
            try:
                outcome = await waiting
            except BaseException:
                self._leave_flight(asked, waiting)
                raise
            if outcome is not None and asked.generation > since:
                return value_of_reload(asked, outcome).value  # type: ignore[no-any-return]  # as above

    async def settled(self) -> None:
        """Return when no load is in the air: neither one that callers wait for, nor a refresh. Inside a load: no other
        one.
        """
        loop, own = _running_loop(), _loading()
        while self._look(lambda: self._is_in_the_air(loop, own)):
            quiet: Future[None] = loop.create_future()
            self._quiet.append(quiet)
            if self._look(lambda: self._is_in_the_air(loop, own)):  # still: nobody has missed to tell
                await asyncio.wait((quiet,), timeout=None if self._home is loop else LOOK_EVERY)

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters, cancel the others; `cancel`: cancel
        all.
        """
        self._refuse_more(cancel=cancel)
        try:
            await self.settled()
        except BaseException:
            self._abort()
            raise
        self._look(self._forget_home)

    async def __aenter__(self) -> Self:
        self._keyspace.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close(cancel=kind is not None)


@overload
def cached(
    function: None = None,
    /,
    *,
    key: Callable[..., object] | None = None,
    per_instance: bool = False,
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
    **options: Any,
) -> Callable[[Any], Any]:
    """Cache an async function or method by its arguments, as they are bound to its signature.

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
        shared = _shared_cache()
        return lambda function: decorate_async_shared(
            function, key, lambda called, load: shared.behind(called, load, store, options), per_instance=per_instance
        )
    return lambda function: decorate_async(
        function, key, lambda load: Cache(load, **options), per_instance=per_instance
    )
