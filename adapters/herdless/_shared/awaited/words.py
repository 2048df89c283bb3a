"""The words of a shared cache where waiting is awaited, on asyncio and trio alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic

from herdless._bulk import distinct
from herdless._call import copied
from herdless._lookup import Lookup
from herdless._shared.awaited.links import AwaitedLink
from herdless._shared.awaited.sessions import AwaitedSessions
from herdless._shared.base import batched, items_of
from herdless._shared.prefetch import Prefetched
from herdless.adapter import K, V
from herdless.stores import StoreDown
from herdless_core import Loaded
from herdless_core._fleet import session as sessions
from herdless_core._fleet.session import Got, Session


class AwaitedWords(AwaitedSessions[K, V], Generic[K, V]):
    """What callers say. `_cache` is the near cache, of the same runtime."""

    _cache: Any

    @abstractmethod
    def _is_open(self) -> bool:
        """Whether `_open` would do nothing."""

    # Lookups

    async def lookup(self, key: K) -> Lookup[V]:
        """Like `get`, and says how the value was got, and its age."""
        if not self._is_open():
            await self._open()  # first: what is asked for before it listens is not kept
        self._before_lookup(key)
        return self._lookup_of(await self._cache.lookup(key))

    async def _get(self, key: K) -> V:
        """`get`, where nothing that is held here may be answered. A `lookup` would cost a second look at the entry."""
        if not self._is_open():
            await self._open()  # as above
        self._before_lookup(key)
        return (await self._cache.get(key)).value  # type: ignore[no-any-return]  # as in `reload`

    async def get_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> dict[K, V]:
        """The values of the keys, in their order, each once; see `Cache.get_many`. Each has a record of its own; the
        store is asked for those of all keys that are not held here at once.

        keys: any number of keys; return_exceptions: False: when all are answered, the error of the first key that has
        one is raised; True: errors stand in the places of values.
        """
        wanted = distinct(keys)
        link = await self._open()
        for key in wanted:
            self._before_lookup(key)
        begun = self._begin_prefetch(wanted)
        try:
            if begun:
                await self._prefetch(link, begun)
            return self._values_of(await self._cache.get_many(wanted, return_exceptions=return_exceptions))
        finally:
            self._end_prefetch(begun)

    async def _prefetch(self, link: AwaitedLink, begun: dict[K, Prefetched]) -> None:
        try:
            if not self._store_clock.is_known:
                await self._ask_time(link)
            self._prefetched_all(begun, await link.connection.read_many([each.text for each in begun.values()]))
        except StoreDown:
            pass  # each key finds that out for itself, and is loaded or not as `store_down` says

    async def reload(self, key: K) -> V:
        """The value of a load that begins after this call, in this process or another. Where one is in flight anywhere,
        that one is waited for first. What is held goes on being served to others. Raises as `get`.
        """
        await self._open()
        self._before_lookup(key)
        held = await self._cache.reload(key, self._ask_anew)
        return held.value  # type: ignore[no-any-return]  # the near cache is any runtime's

    # Changes, which are done when they return

    async def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value for all processes; what is loaded meanwhile is not kept. Raises StoreDown."""
        await self._change(key, self._putting(value))

    async def put_many(self, values: Mapping[K, V | Loaded[V]]) -> None:
        """`put` for each; none is, where one of them cannot be. Raises StoreDown: then some may be done."""
        puts = [(key, self._text(key), self._putting(value)) for key, value in items_of(values)]
        link = await self._open()
        if not self._store_clock.is_known:
            await self._ask_time(link)
        for some in batched(puts):
            found = await link.connection.read_many([text for _, text, _ in some])
            for (key, text, begin), raw in zip(some, found, strict=True):
                await self._change(key, begin, Prefetched(text, self._seen(raw)))

    async def expire(self, key: K) -> None:
        """Make a fresh value stale, for all processes. Raises StoreDown."""
        await self._change(key, lambda: sessions.expire(self._terms))

    async def refresh(self, key: K) -> bool:
        """Start loading the key without waiting for it: whether a load was started. None is where some process loads it
        already. Raises StoreDown.
        """
        return (await self._change(key, lambda: sessions.refresh(self._terms))).leads is not None

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

    async def invalidate_many(self, keys: Iterable[K]) -> None:
        """`invalidate` for each, by as few questions to the store as it can. Raises StoreDown: then some may be
        done.
        """
        texts = {key: self._text(key) for key in distinct(keys)}
        link = await self._open()
        try:
            await link.connection.forget_many(list(texts.values()))
        finally:
            for key, text in texts.items():
                self._drop(key)
                link.wake(text)

    async def _change(self, key: K, begin: Callable[[], Session], prefetched: Prefetched | None = None) -> Got:
        text = self._text(key)
        link: AwaitedLink = await self._open()
        if not self._store_clock.is_known:
            await self._ask_time(link)
        try:
            got = await self._drive(link, key, text, begin(), prefetched=prefetched)
        finally:
            self._drop(key)  # and not put there: another process may have changed it meanwhile
        if got.leads is not None:
            own = copied(key)
            self._spawn(link, self._lead(link, own, text, got.record, got.leads, drops=True))
        return got
