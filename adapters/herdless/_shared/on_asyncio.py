"""The shared cache for asyncio: one task that listens, one for each load, and futures for those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Generic, Self, Unpack, cast, final

from herdless._shared.asyncio_links import AsyncioLinks
from herdless._shared.awaited.links import LEAVES
from herdless._shared.held import Held
from herdless._shared.options import SharedOptions
from herdless.adapter import K, V
from herdless.asyncio import Cache
from herdless.stores import Store
from herdless_core import Fresh, Loaded

__all__ = ["SharedCache", "SharedOptions", "Store"]

CANCELS_AGAIN: Final = 0.1
"""Seconds after which `close` cancels once more: a client of somebody's may lose a cancellation."""


@final
class SharedCache(AsyncioLinks[K, V], Generic[K, V]):
    """A cache of which all processes that share a store are one: a key is loaded at most once in all of them.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    store: where the records are, the same for all: `herdless.stores.RedisStore(url, name=...)`.
    options: those of `Policy`, which hold for all processes together, or `policy`; and lease, staleness, store_down,
        encode, decode, store_key, maxsize, show_key: see `SharedOptions`.

    Look up by `get`, `lookup`, `get_many`, `peek` and `reload`; change by `put`, `put_many`, `invalidate`,
    `invalidate_many`, `expire` and `refresh`, which have to be awaited, since the store may not be there; end by
    `close` or `async with`. It belongs to the event loop in which it is first used. After `os.fork()` the child has
    connections of its own. Raises PolicyError for an argument out of its range.
    """

    def __init__(
        self, load: Callable[[K], Awaitable[V | Loaded[V]]], *, store: Store, **options: Unpack[SharedOptions]
    ) -> None:
        super().__init__(load, Cache, store, options)
        self._cache: Cache[K, Held] = cast("Cache[K, Held]", self._near)

    async def get(self, key: K) -> V:
        """The key's value, from this process's memory or from the store, loaded if need be.

        Raises what the loader raised, or RemoteLoadError where it was raised in another process; StoreDown where
        `store_down` says so; and all that `Cache.get` raises. Cancelling this call cancels no load that anybody else in
        this process waits for.
        """
        trusted_until = self._trust.until  # before the table: see Trust
        try:
            entry = self._hot.get(key)
            if type(entry) is Fresh:
                now = self._clock()
                if now < entry.hit_until and now < trusted_until:
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
        link, self._link, self._is_closed = self._link, None, True
        await self._cache.close(cancel=cancel)
        self._trust.lost()
        if link is None:
            return
        link.is_closed = True
        while link.tasks:  # what is cancelled may leave a claim to others, in a task of its own
            leaving = set(link.tasks)
            for task in leaving:
                if task.get_name() != LEAVES:
                    task.cancel()
            await asyncio.wait(leaving, timeout=CANCELS_AGAIN)
        await link.connection.close()

    async def __aenter__(self) -> Self:
        self._is_closed = False
        await self._cache.__aenter__()
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close(cancel=kind is not None)
