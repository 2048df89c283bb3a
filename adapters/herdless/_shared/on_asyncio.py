"""The shared cache for asyncio: one task that listens, one for each load, and futures for those who wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final, Generic, Self, Unpack, cast, final

from herdless._bulk import distinct
from herdless._lookup import Lookup
from herdless._shared.asyncio_links import LEAVES
from herdless._shared.asyncio_sessions import AsyncioSessions
from herdless._shared.base import (
    Held,
)
from herdless._shared.options import SharedOptions
from herdless.adapter import K, V
from herdless.asyncio import Cache
from herdless.stores import Store
from herdless_core import (
    Fresh,
    Loaded,
)
from herdless_core._fleet import session as sessions
from herdless_core._fleet.session import Session

CANCELS_AGAIN: Final = 0.1
"""Seconds after which `close` cancels once more: a client of somebody's may lose a cancellation."""


@final
class SharedCache(AsyncioSessions[K, V], Generic[K, V]):
    """A cache of which all processes that share a store are one: a key is loaded at most once in all of them.

    load: an async function from key to value, or to `Loaded(value, ttl=...)`.
    store: where the records are, the same for all: `herdless.stores.RedisStore(url, name=...)`.
    options: those of `Policy`, which hold for all processes together, or `policy`; and lease, staleness, store_down,
        encode, decode, store_key, maxsize, show_key: see `SharedOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire` and `refresh`, which have to be
    awaited, since the store may not be there; end by `close` or `async with`. It belongs to the event loop in which
    it is first used. After `os.fork()` the child has connections of its own. Raises PolicyError for an argument out
    of its range.
    """

    def __init__(
        self, load: Callable[[K], Awaitable[V | Loaded[V]]], *, store: Store, **options: Unpack[SharedOptions]
    ) -> None:
        super().__init__(load, Cache, store, options)
        self._cache: Final = cast("Cache[K, Held]", self._near)

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
        return (await self.lookup(key)).value

    async def lookup(self, key: K) -> Lookup[V]:
        """Like `get`, and says how the value was got, and its age."""
        if self._link is None or self._link.loop is not asyncio.get_running_loop() or not self._link.begun.done():
            await self._open()  # first: what is asked for before it listens is not kept
        self._before_lookup(key)
        return self._lookup_of(await self._cache.lookup(key))

    async def get_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> dict[K, V]:
        """The values of the keys, in their order, each once; see `Cache.get_many`. Each has a record of its own.

        keys: any number of keys; return_exceptions: False: when all are answered, the error of the first key that has
        one is raised; True: errors stand in the places of values.
        """
        wanted = distinct(keys)
        await self._open()
        for key in wanted:
            self._before_lookup(key)
        return self._values_of(await self._cache.get_many(wanted, return_exceptions=return_exceptions))

    # Changes, which are done when they return

    async def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value for all processes; what is loaded meanwhile is not kept. Raises StoreDown."""
        if isinstance(value, Loaded):
            value.require_kept()
        encoded, luck = self._encoded(value), random.random()
        await self._change(key, lambda: sessions.put(self._terms, encoded, luck))

    async def expire(self, key: K) -> None:
        """Make a fresh value stale, for all processes. Raises StoreDown."""
        await self._change(key, lambda: sessions.expire(self._terms))

    async def refresh(self, key: K) -> None:
        """Start loading the key without waiting for it, unless some process loads it already. Raises StoreDown."""
        await self._change(key, lambda: sessions.refresh(self._terms))

    async def invalidate(self, key: K) -> None:
        """From now on nobody in this process is served what was known of the key, nor what a load in flight will say of
        it; and nobody in any other process when `staleness` has passed, mostly at once. Raises StoreDown: then it may
        or may not be done.
        """
        text = self._text(key)
        link = await self._open()
        try:
            await link.connection.forget(text)
        finally:
            self._drop(key)
            link.wake(text)

    async def _change(self, key: K, begin: Callable[[], Session]) -> None:
        text = self._text(key)
        link = await self._open()
        if not self._store_clock.is_known:
            await self._ask_time(link)
        try:
            got = await self._drive(link, key, text, begin())
        finally:
            self._drop(key)  # and not put there: another process may have changed it meanwhile
        if got.leads is not None:
            self._spawn(link, self._lead(link, key, text, got.record, got.leads, drops=True))

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
