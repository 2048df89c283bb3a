"""The shared cache for trio: a nursery of its own in which it listens, and events for those who wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, Self, Unpack, cast, final

import trio

from herdless._shared.held import Held
from herdless._shared.options import SharedOptions
from herdless._shared.trio_links import Link, TrioLinks
from herdless.adapter import K, V
from herdless.stores import Store
from herdless.trio import Cache
from herdless_core import CacheClosed, Fresh, Loaded

__all__ = ["SharedCache", "SharedOptions", "Store"]


@final
class SharedCache(TrioLinks[K, V], Generic[K, V]):
    """A cache of which all processes that share a store are one: a key is loaded at most once in all of them. Use it
    inside `async with`.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    store: where the records are, the same for all: `herdless.stores.RedisStore(url, name=...)`.
    options: those of `Policy`, which hold for all processes together, or `policy`; and lease, staleness, store_down,
        encode, decode, store_key, maxsize, show_key: see `SharedOptions`.

    Look up by `get`, `lookup`, `get_many`, `peek` and `reload`; change by `put`, `put_many`, `invalidate`,
    `invalidate_many`, `expire` and `refresh`, which have to be awaited, since the store may not be there; end by
    `close`, or by leaving the `async with`. All of it is for the trio run that opened the cache. Raises PolicyError
    for an argument out of its range.
    """

    def __init__(
        self, load: Callable[[K], Awaitable[V | Loaded[V]]], *, store: Store, **options: Unpack[SharedOptions]
    ) -> None:
        super().__init__(load, Cache, store, options)
        self._cache: Cache[K, Held] = cast("Cache[K, Held]", self._near)
        self._opened: Link | None = None
        """What is to be given back when the `async with` is left."""
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery, bool | None]

    async def get(self, key: K) -> V:
        """The key's value, from this process's memory or from the store, loaded if need be.

        Raises what the loader raised, or RemoteLoadError where it was raised in another process; StoreDown where
        `store_down` says so; and all that `Cache.get` raises. Cancelling this call cancels no load that anybody else in
        this process waits for.
        """
        now = self._clock()
        if now >= self._cache._checkpoint_at:  # as in `Cache.get`
            now = await self._cache._checkpoint(now)
        trusted_until = self._trust.until  # before the table: see Trust
        try:
            entry = self._hot.get(key)
            if type(entry) is Fresh and now < entry.hit_until and now < trusted_until:
                self._counters.hits += 1
                return entry.value.value  # type: ignore[no-any-return]  # the keyspace holds values as Any
        except TypeError:
            pass
        return await self._get(key)

    # Beginning and end

    async def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), await the loads that have waiters in this process, cancel the others;
        `cancel`: cancel all. What was being loaded is left to other processes. The store keeps what it has.
        """
        link, self._link = self._link, None
        try:
            await self._cache.close(cancel=cancel)
        finally:
            self._trust.lost()
            if link is not None:
                link.is_closed = True
                link.background.cancel_scope.cancel()

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise CacheClosed("the cache is open already: one `async with` at a time, in one trio run")
        connection = self._fleet.store.connect_trio()
        self._nursery_manager = trio.open_nursery()
        leaving = await self._nursery_manager.__aenter__()
        await self._cache.__aenter__()
        link = self._opened = Link(connection, leaving)
        try:
            await leaving.start(link.host)
            self._link = link
            self._spawn(link, self._listen(link))
            await link.begun.wait()
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        opened = self._opened
        assert opened is not None  # noqa: S101  # it was entered
        try:
            await self.close(cancel=kind is not None)
        finally:  # in each, as in `Cache`, the body's exception is not told: it would come out wrapped in a group
            try:
                await self._cache.__aexit__(kind, error, tb)
            finally:
                try:
                    await self._nursery_manager.__aexit__(None, None, None)
                finally:
                    self._opened = None
                    await opened.connection.close()
