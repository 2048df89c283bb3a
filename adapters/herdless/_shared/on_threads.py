"""The shared cache for threads: the caller that starts a load runs it itself, and one thread listens."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Generic, Self, Unpack, cast, final

from herdless._bulk import distinct
from herdless._lookup import Lookup
from herdless._shared.base import Held
from herdless._shared.options import SharedOptions
from herdless._shared.threads_links import ENDS_IN
from herdless._shared.threads_sessions import ThreadsSessions
from herdless.adapter import K, V
from herdless.stores import Store
from herdless.threads import Cache
from herdless_core import Fresh, Loaded
from herdless_core._fleet import session as sessions
from herdless_core._fleet.session import Session


@final
class SharedCache(ThreadsSessions[K, V], Generic[K, V]):
    """A cache of which all processes that share a store are one: a key is loaded at most once in all of them.

    load: a function from key to value, or to `Loaded(value, ttl=...)`.
    store: where the records are, the same for all: `herdless.stores.RedisStore(url, name=...)`.
    options: those of `Policy`, which hold for all processes together, or `policy`; and lease, staleness, store_down,
        encode, decode, store_key, maxsize, show_key: see `SharedOptions`.

    Look up by `get`, `lookup` and `peek`; change by `put`, `invalidate`, `expire` and `refresh`, which may raise
    StoreDown; end by `close` or `with`. After `os.fork()` the child has connections and threads of its own. Raises
    PolicyError for an argument out of its range.
    """

    def __init__(self, load: Callable[[K], V | Loaded[V]], *, store: Store, **options: Unpack[SharedOptions]) -> None:
        super().__init__(load, _near_cache, store, options)
        self._cache: Final = cast("Cache[K, Held]", self._near)

    def get(self, key: K, timeout: float | None = None) -> V:
        """The key's value, from this process's memory or from the store, loaded if need be.

        timeout: seconds after which this caller alone gets TimeoutError. Raises what the loader raised, or
        RemoteLoadError where it was raised in another process; StoreDown where `store_down` says so; and all that
        `Cache.get` raises.
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
        return self.lookup(key, timeout).value

    def lookup(self, key: K, timeout: float | None = None) -> Lookup[V]:
        """Like `get`, and says how the value was got, and its age."""
        if self._link is None or not self._link.begun.is_set():
            self._open()  # first: what is asked for before it listens is not kept
        self._before_lookup(key)
        return self._lookup_of(self._cache.lookup(key, timeout))

    def get_many(
        self, keys: Iterable[K], timeout: float | None = None, *, return_exceptions: bool = False
    ) -> dict[K, V]:
        """The values of the keys, in their order, each once; see `Cache.get_many`. Each has a record of its own, and
        those that have to be loaded are loaded one after the other.

        keys: any number of keys; timeout: seconds for all of them; return_exceptions: False: when all are answered, the
        error of the first key that has one is raised; True: errors stand in the places of values.
        """
        wanted = distinct(keys)
        self._open()
        for key in wanted:
            self._before_lookup(key)
        return self._values_of(self._cache.get_many(wanted, timeout, return_exceptions=return_exceptions))

    # Changes, which are done when they return

    def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value for all processes; what is loaded meanwhile is not kept. Raises StoreDown."""
        if isinstance(value, Loaded):
            value.require_kept()
        encoded, luck = self._encoded(value), random.random()
        self._change(key, lambda: sessions.put(self._terms, encoded, luck))

    def expire(self, key: K) -> None:
        """Make a fresh value stale, for all processes. Raises StoreDown."""
        self._change(key, lambda: sessions.expire(self._terms))

    def refresh(self, key: K) -> None:
        """Start loading the key without waiting for it, unless some process loads it already. Raises StoreDown."""
        self._change(key, lambda: sessions.refresh(self._terms))

    def invalidate(self, key: K) -> None:
        """From now on nobody in this process is served what was known of the key, nor what a load in flight will say of
        it; and nobody in any other process when `staleness` has passed, mostly at once. Raises StoreDown: then it may
        or may not be done.
        """
        text = self._text(key)
        link = self._open()
        try:
            link.connection.forget(text)
        finally:
            self._drop(key)
            link.wake(text)

    def _change(self, key: K, begin: Callable[[], Session]) -> None:
        text = self._text(key)
        link = self._open()
        if not self._store_clock.is_known:
            self._ask_time(link)
        try:
            got = self._drive(link, key, text, begin())
        finally:
            self._drop(key)  # and not put there: another process may have changed it meanwhile
        if got.leads is not None:
            self._spawn(link, functools.partial(self._lead, link, key, text, got.record, got.leads, drops=True))

    # Beginning and end

    def close(self, *, cancel: bool = False) -> None:
        """Refuse new lookups (CacheClosed), wait for the loads that have waiters in this process; `cancel`: these get
        LoadCancelled. The store keeps what it has.
        """
        self._is_closed = True
        self._cache.close(cancel=cancel)
        link, self._link = self._link, None
        self._trust.lost()
        if link is None:
            return
        link.is_closed = True
        link.wake_all()
        for ended in link.ended:
            ended.wait(ENDS_IN)
        link.connection.close()

    def __enter__(self) -> Self:
        self._is_closed = False
        self._cache.__enter__()
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close(cancel=kind is not None)


def _near_cache(load: Callable[[Any], Loaded[Held]], **options: Any) -> Cache[Any, Held]:
    """Any number of callers may wait for loads of other processes at once: those are no loads of this one."""
    return Cache(load, max_loads=None, **options)
