"""The shared cache for threads: the caller that starts a load runs it itself, and one thread listens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Generic, Self, Unpack, cast, final

from herdless._bulk import distinct
from herdless._call import copied
from herdless._lookup import Lookup
from herdless._shared.base import batched, items_of
from herdless._shared.held import Held
from herdless._shared.options import SharedOptions
from herdless._shared.prefetch import Prefetched
from herdless._shared.threads_links import ENDS_IN, Link
from herdless._shared.threads_sessions import ThreadsSessions
from herdless.adapter import K, V
from herdless.stores import Store, StoreDown
from herdless.threads import Cache
from herdless_core import Fresh, Loaded
from herdless_core._fleet import session as sessions
from herdless_core._fleet.session import Got, Session

__all__ = ["SharedCache", "SharedOptions", "Store"]


@final
class SharedCache(ThreadsSessions[K, V], Generic[K, V]):
    """A cache of which all processes that share a store are one: a key is loaded at most once in all of them.

    load: a function from key to value, or to `Loaded(value, ttl=...)`.
    store: where the records are, the same for all: `herdless.stores.RedisStore(url, name=...)`.
    options: those of `Policy`, which hold for all processes together, or `policy`; and lease, staleness, store_down,
        encode, decode, store_key, maxsize, show_key: see `SharedOptions`.

    Look up by `get`, `lookup`, `get_many`, `peek` and `reload`; change by `put`, `put_many`, `invalidate`,
    `invalidate_many`, `expire` and `refresh`, which may raise StoreDown; end by `close` or `with`. After `os.fork()`
    the child has connections and threads of its own. Raises PolicyError for an argument out of its range.
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
        self._prepare(key)  # a `lookup` would cost a second look at the entry
        return self._cache.get(key, timeout).value  # type: ignore[no-any-return]  # as above

    def lookup(self, key: K, timeout: float | None = None) -> Lookup[V]:
        """Like `get`, and says how the value was got, and its age."""
        self._prepare(key)
        return self._lookup_of(self._cache.lookup(key, timeout))

    def _prepare(self, key: K) -> None:
        if self._link is None or not self._link.begun.is_set():
            self._open()  # first: what is asked for before it listens is not kept
        self._before_lookup(key)

    def get_many(
        self, keys: Iterable[K], timeout: float | None = None, *, return_exceptions: bool = False
    ) -> dict[K, V]:
        """The values of the keys, in their order, each once; see `Cache.get_many`. Each has a record of its own; the
        store is asked for those of all keys that are not held here at once. Those that have to be loaded are loaded one
        after the other.

        keys: any number of keys; timeout: seconds for all of them; return_exceptions: False: when all are answered, the
        error of the first key that has one is raised; True: errors stand in the places of values.
        """
        wanted = distinct(keys)
        link = self._open()
        for key in wanted:
            self._before_lookup(key)
        begun = self._begin_prefetch(wanted)
        try:
            if begun:
                self._prefetch(link, begun)
            return self._values_of(self._cache.get_many(wanted, timeout, return_exceptions=return_exceptions))
        finally:
            self._end_prefetch(begun)

    def _prefetch(self, link: Link, begun: dict[K, Prefetched]) -> None:
        try:
            if not self._store_clock.is_known:
                self._ask_time(link)
            self._prefetched_all(begun, link.connection.read_many([each.text for each in begun.values()]))
        except StoreDown:
            pass  # each key finds that out for itself, and is loaded or not as `store_down` says

    def reload(self, key: K, timeout: float | None = None) -> V:
        """The value of a load that begins after this call, in this process or another. Where one is in flight anywhere,
        that one is waited for first. What is held goes on being served to others. Raises as `get`.
        """
        self._open()
        self._before_lookup(key)
        held: Held = self._cache.reload(key, timeout, self._ask_anew)
        return held.value  # type: ignore[no-any-return]  # the keyspace holds values as Any

    # Changes, which are done when they return

    def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value for all processes; what is loaded meanwhile is not kept. Raises StoreDown."""
        self._change(key, self._putting(value))

    def put_many(self, values: Mapping[K, V | Loaded[V]]) -> None:
        """`put` for each; none is, where one of them cannot be. Raises StoreDown: then some may be done."""
        puts = [(key, self._text(key), self._putting(value)) for key, value in items_of(values)]
        link = self._open()
        if not self._store_clock.is_known:
            self._ask_time(link)
        for some in batched(puts):
            found = link.connection.read_many([text for _, text, _ in some])
            for (key, text, begin), raw in zip(some, found, strict=True):
                self._change(key, begin, Prefetched(text, self._seen(raw)))

    def expire(self, key: K) -> None:
        """Make a fresh value stale, for all processes. Raises StoreDown."""
        self._change(key, lambda: sessions.expire(self._terms))

    def refresh(self, key: K) -> bool:
        """Start loading the key without waiting for it: whether a load was started. None is where some process loads it
        already. Raises StoreDown.
        """
        return self._change(key, lambda: sessions.refresh(self._terms)).leads is not None

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

    def invalidate_many(self, keys: Iterable[K]) -> None:
        """`invalidate` for each, by as few questions to the store as it can. Raises StoreDown: then some may be
        done.
        """
        texts = {key: self._text(key) for key in distinct(keys)}
        link = self._open()
        try:
            link.connection.forget_many(list(texts.values()))
        finally:
            for key, text in texts.items():
                self._drop(key)
                link.wake(text)

    def _change(self, key: K, begin: Callable[[], Session], prefetched: Prefetched | None = None) -> Got:
        text = self._text(key)
        link = self._open()
        if not self._store_clock.is_known:
            self._ask_time(link)
        try:
            got = self._drive(link, key, text, begin(), prefetched=prefetched)
        finally:
            self._drop(key)  # and not put there: another process may have changed it meanwhile
        if got.leads is not None:
            own = copied(key)
            self._spawn(link, functools.partial(self._lead, link, own, text, got.record, got.leads, drops=True))
        return got

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
