"""The cache backend. Django makes one for each thread; all of one LOCATION have one cache of the process.

Values are pickled, as in Django's local-memory backend: whoever changes what he got changes nobody else's. What reads
and then writes (`add`, `incr`, `touch`, `delete`) is one step of the cache.
"""

from __future__ import annotations

import inspect
import math
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeAlias, final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections

from herdless._django.async_loads import AsyncLoads
from herdless.adapter import NOTHING
from herdless.threads import Cache
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Effects,
    Fresh,
    Loaded,
    NoLoader,
    PolicyError,
    Stale,
    Value,
)

Shared: TypeAlias = Cache[str, bytes]
Default: TypeAlias = Any
"""A value, or a function without arguments that makes it, which may be async for `aget_or_set`."""


@contextmanager
def own_connections() -> Iterator[None]:
    """Around a load that runs on no request's thread: connections to databases that are broken or too old are closed
    before and after it, as Django does around a request.
    """
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class Place(NamedTuple):
    """What all backends of one LOCATION share."""

    cache: Shared
    async_loads: AsyncLoads
    options: Mapping[str, Any]


_places: Final[dict[str, list[Place]]] = {}
"""By LOCATION; two that differ in their options are two caches."""
_lock: Final = threading.Lock()


def _place(location: str, maxsize: int | None, options: Mapping[str, Any]) -> Place:
    wanted = {"maxsize": maxsize, **options}
    with _lock:
        present = _places.setdefault(location, [])
        known = next((place for place in present if place.options == wanted), None)
        if known is not None:
            return known
        try:
            cache = Shared(None, **{"name": location or None, "around_load": own_connections, **wanted})
        except (PolicyError, TypeError) as error:
            raise ImproperlyConfigured(f"CACHES, LOCATION {location!r}: {error}") from error
        present.append(Place(cache, AsyncLoads(cache), wanted))
        return present[-1]


@final
class _Kept(NamedTuple):
    """What is stored under a key, and for how long it is fresh, in seconds."""

    pickled: bytes
    ttl: float


class HerdlessCache(BaseCache):  # type: ignore[misc]  # Django has no types
    """A cache backend whose `get_or_set` loads a key once, however many ask for it.

    LOCATION: backends with one LOCATION share one cache of the process; it is the cache's name in logs and metrics.
    TIMEOUT, KEY_PREFIX, VERSION, KEY_FUNCTION: as ever. OPTIONS: MAX_ENTRIES (300 unless given, None: any number), and
    by the names of herdless `load_timeout`, `stale_while_revalidate`, `stale_if_error`, `refresh_backoff`,
    `early_refresh`, `jitter`, `negative_ttl`, `answers`, `max_waiters`, `max_loads`, `observe`, `show_key`, `name`.
    Stale windows and early refreshes are for what `get_or_set` has loaded, and not for what was set.

    Raises ImproperlyConfigured for an option that is not accepted.
    """

    pickle_protocol = pickle.HIGHEST_PROTOCOL

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = dict(params.get("OPTIONS", {}))
        bound = options.pop("MAX_ENTRIES", params.get("max_entries", 300))
        options.pop("CULL_FREQUENCY", None)  # nothing is culled: the one value goes that is wanted least
        if "ttl" in options or "policy" in options:
            raise ImproperlyConfigured(
                "CACHES: OPTIONS has no ttl or policy: TIMEOUT says for how long a value is kept"
            )
        windows = {"stale_while_revalidate", "stale_if_error", "early_refresh", "jitter"}
        if windows & options.keys():
            options["ttl"] = math.inf  # they need one; each value has its own
        place = _place(location, None if bound is None else self._max_entries, options)
        self._shared: Final = place.cache
        self._async_loads: Final = place.async_loads

    # Reading

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """The value, or the default; waits for no load."""
        made = self.make_and_validate_key(key, version=version)
        pickled = self._held(made)
        return default if pickled is None else pickle.loads(pickled)  # noqa: S301  # of our own process

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Whether `get` would find it."""
        return self.make_and_validate_key(key, version=version) in self._shared

    def _held(self, made: str) -> bytes | None:
        if made not in self._shared:
            return None  # it may be on its way, for which Django does not wait
        with suppress(NoLoader):
            return self._shared.get(made)  # and so it is counted, and kept
        return None

    # Writing

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store the value. Who waits for a load of the key gets it too."""
        made = self.make_and_validate_key(key, version=version)
        kept = _Kept(pickle.dumps(value, self.pickle_protocol), self._ttl(timeout))
        self._shared._change(lambda now: self._store(made, kept, now))

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store the value unless there is one; whether it was stored."""
        made = self.make_and_validate_key(key, version=version)
        kept = _Kept(pickle.dumps(value, self.pickle_protocol), self._ttl(timeout))
        return self._replace(made, lambda present: kept if present is None else None)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Keep the value for so long from now on; whether there is one."""
        made = self.make_and_validate_key(key, version=version)
        ttl = self._ttl(timeout)
        return self._replace(made, lambda present: None if present is None else _Kept(present.pickled, ttl))

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove the value, and what is being loaded; whether there was one."""
        made = self.make_and_validate_key(key, version=version)
        found = []

        def step(now: int) -> Effects:
            found.append(self._present(made, now) is not None)
            return self._shared._keyspace.invalidate(made, now)

        self._shared._change(step)
        return found[0]

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """Add to the value, which keeps its time; ValueError where there is none."""
        made = self.make_and_validate_key(key, version=version)
        while True:
            pickled = self._held(made)
            if pickled is None:
                raise ValueError(f"Key '{key}' not found")
            value = pickle.loads(pickled) + delta  # noqa: S301  # of our own process
            new = pickle.dumps(value, self.pickle_protocol)
            if self._replace(made, _if_it_is(pickled, new)):
                return value

    def clear(self) -> None:
        """Remove all values of this LOCATION."""
        self._shared.clear()

    def get_or_set(self, key: str, default: Default, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """The value; where there is none, `default` is stored, or what it returns if it can be called.

        It is called once, whoever else asks for the key meanwhile waits and gets his own copy of what it returned, or
        its exception.
        """
        made = self.make_and_validate_key(key, version=version)
        pickled = self._shared.get(made, load=lambda _: self._loaded(_called(default), timeout))
        return pickle.loads(pickled)  # noqa: S301  # of our own process

    # Async: nothing below waits but for loads, so it needs no thread

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """See `get`."""
        return self.get(key, default, version)

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        """See `has_key`."""
        return self.has_key(key, version)

    async def aset(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """See `set`."""
        self.set(key, value, timeout, version)

    async def aadd(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See `add`."""
        return self.add(key, value, timeout, version)

    async def atouch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See `touch`."""
        return self.touch(key, timeout, version)

    async def adelete(self, key: str, version: int | None = None) -> bool:
        """See `delete`."""
        return self.delete(key, version)

    async def aincr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """See `incr`."""
        return self.incr(key, delta, version)

    async def aclear(self) -> None:
        """See `clear`."""
        self.clear()

    async def aget_or_set(
        self, key: str, default: Default, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """See `get_or_set`, with whose callers it shares loads. An async function is called in the event loop of the
        caller whose load it is; any other on a thread of its own.
        """
        made = self.make_and_validate_key(key, version=version)
        pickled = self._held(made)
        if pickled is None:
            pickled = await self._async_loads.get(made, default, lambda value: self._loaded(value, timeout))
        return pickle.loads(pickled)  # noqa: S301  # of our own process

    # Inside one step of the cache

    def _replace(self, made: str, change: Callable[[_Kept | None], _Kept | None]) -> bool:
        """Store what `change` makes of what is there; whether it made anything."""
        done = []

        def step(now: int) -> Effects:
            kept = change(self._present(made, now))
            done.append(kept is not None)
            return NOTHING if kept is None else self._store(made, kept, now)

        self._shared._change(step)
        return done[0]

    def _present(self, made: str, now: int) -> _Kept | None:
        keyspace = self._shared._keyspace
        outcome = keyspace.peek(made, now)
        if not isinstance(outcome, Value):
            return None
        entry = keyspace.entry(made)
        until = (
            entry.fresh_until if isinstance(entry, Fresh) else entry.stale_until if isinstance(entry, Stale) else now
        )
        return _Kept(outcome.value, math.inf if until >= NEVER else max(0, until - now) / NANOSECONDS_PER_SECOND)

    def _store(self, made: str, kept: _Kept, now: int) -> Effects:
        keyspace = self._shared._keyspace
        if kept.ttl <= 0:
            return keyspace.invalidate(made, now)
        loaded = Loaded(kept.pickled, ttl=kept.ttl, stale_while_revalidate=0, stale_if_error=0)
        return keyspace.put(made, loaded, now)

    def _loaded(self, value: Any, timeout: Any) -> Loaded[bytes]:
        pickled = pickle.dumps(value, self.pickle_protocol)
        ttl = self._ttl(timeout)
        return Loaded(pickled, ttl=ttl) if ttl > 0 else Loaded(pickled, keep=False)

    def _ttl(self, timeout: Any) -> float:
        """In seconds, as Django's documentation of `timeout` says."""
        given = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return math.inf if given is None else max(0, given)


def _if_it_is(pickled: bytes, new: bytes) -> Callable[[_Kept | None], _Kept | None]:
    """The new value, with the time that the old one has left, unless somebody has stored another meanwhile."""
    return lambda present: _Kept(new, present.ttl) if present is not None and present.pickled is pickled else None


def _called(default: Default) -> Any:
    value = default() if callable(default) else default
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"get_or_set was given {default!r}, which is async: await aget_or_set")
    return value
