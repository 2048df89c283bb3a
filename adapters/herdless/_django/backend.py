"""The cache backend. Django makes one for each thread; all of one LOCATION have one cache of the process.

Every caller gets a copy of his own, as in Django's local-memory backend: whoever changes what he got changes nobody
else's. What reads and then writes (`add`, `incr`, `touch`) is one step of the cache.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from herdless._django.async_loads import AsyncLoads
from herdless._django.fleet import FleetPlace
from herdless._django.places import Change, Kept, LocalPlace, Place
from herdless_core import NANOSECONDS_PER_SECOND, Loaded, PolicyError
from herdless_core._loaded import bare_of, is_kept
from herdless_core._previous import is_not_modified, nothing_before

T = TypeVar("T")

Default: TypeAlias = Any
"""A value, or a function without arguments that makes it, which may be async for `aget_or_set`."""


class _Shared(NamedTuple):
    """What all backends of one LOCATION share."""

    place: Place
    async_loads: AsyncLoads
    options: Mapping[str, Any]


_known: Final[dict[str, list[_Shared]]] = {}
"""By LOCATION; two that differ in their options are two caches."""
_lock: Final = threading.Lock()


def _shared(location: str, maxsize: int | None, options: Mapping[str, Any]) -> _Shared:
    wanted = {"maxsize": maxsize, **options}
    with _lock:
        present = _known.setdefault(location, [])
        known = next((shared for shared in present if shared.options == wanted), None)
        if known is not None:
            return known
        try:
            is_fleet = wanted.get("store") is not None
            place: Place = FleetPlace(location, wanted) if is_fleet else LocalPlace(location or None, wanted)
        except (PolicyError, TypeError) as error:
            raise ImproperlyConfigured(f"CACHES, LOCATION {location!r}: {error}") from error
        present.append(_Shared(place, AsyncLoads(place), wanted))
        return present[-1]


class HerdlessCache(BaseCache):  # type: ignore[misc]  # Django has no types
    """A cache backend whose `get_or_set` loads a key once, however many ask for it.

    LOCATION: backends with one LOCATION share one cache of the process; it is the cache's name in logs and metrics.
    TIMEOUT, KEY_PREFIX, VERSION, KEY_FUNCTION: as ever. OPTIONS: MAX_ENTRIES (300 unless given, None: any number), and
    by the names of herdless `load_timeout`, `soft_timeout`, `stale_while_revalidate`, `stale_if_error`,
    `refresh_backoff`, `early_refresh`, `jitter`, `negative_ttl`, `answers`, `max_waiters`, `max_loads`, `observe`,
    `show_key`, `name`.
    Stale windows and early refreshes are for what `get_or_set` has loaded, and not for what was set.

    OPTIONS with `store`, the address of a Redis or Valkey or a `herdless.stores.Store`: then one LOCATION is one cache
    of all processes, with the options of a `SharedCache`, in place of `max_loads`, `observe` and `name`.

    Raises ImproperlyConfigured for an option that is not accepted.
    """

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
        shared = _shared(location, None if bound is None else self._max_entries, options)
        self._place: Final = shared.place
        self._async_loads: Final = shared.async_loads

    # Reading

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """The value, or the default; waits for no load."""
        encoded = self._place.held(self.make_and_validate_key(key, version=version))
        return default if encoded is None else self._place.decode(encoded)

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Whether `get` would find it."""
        return self._place.has(self.make_and_validate_key(key, version=version))

    # Writing

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store the value. Who waits for a load of the key gets it too."""
        made = self.make_and_validate_key(key, version=version)
        self._place.store(made, Kept(self._place.encode(value), self._ttl(timeout)))

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store the value unless there is one; whether it was stored."""
        made = self.make_and_validate_key(key, version=version)
        kept = Kept(self._place.encode(value), self._ttl(timeout))
        return self._place.replace(made, lambda present: kept if present is None else None)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Keep the value for so long from now on; whether there is one."""
        made = self.make_and_validate_key(key, version=version)
        ttl = self._ttl(timeout)
        return self._place.replace(made, lambda present: None if present is None else Kept(present.encoded, ttl))

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove the value, and what is being loaded; whether there was one."""
        return self._place.remove(self.make_and_validate_key(key, version=version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """Add to the value, which keeps its time; ValueError where there is none."""
        made = self.make_and_validate_key(key, version=version)
        while True:
            encoded = self._place.held(made)
            if encoded is None:
                raise ValueError(f"Key '{key}' not found")
            value = self._place.decode(encoded) + delta
            if self._place.replace(made, _if_it_is(encoded, self._place.encode(value))):
                return value

    def clear(self) -> None:
        """Remove all values of this LOCATION."""
        self._place.clear()

    def get_or_set(self, key: str, default: Default, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """The value; where there is none, `default` is stored, or what it returns if it can be called. That may be a
        `Loaded(value, ttl=...)`, whose time counts and not `timeout`.

        It is called once, whoever else asks for the key meanwhile waits and gets his own copy of what it returned, or
        its exception.
        """
        made = self.make_and_validate_key(key, version=version)
        encoded = self._place.load(made, lambda _: self._loaded(_called(default), timeout))
        return self._place.decode(encoded)

    # Async: where nothing waits but for loads, no thread is needed

    async def _do(self, method: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(method, *args) if self._place.waits else method(*args)

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """See `get`."""
        return await self._do(self.get, key, default, version)

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        """See `has_key`."""
        return await self._do(self.has_key, key, version)

    async def aset(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """See `set`."""
        await self._do(self.set, key, value, timeout, version)

    async def aadd(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See `add`."""
        return await self._do(self.add, key, value, timeout, version)

    async def atouch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See `touch`."""
        return await self._do(self.touch, key, timeout, version)

    async def adelete(self, key: str, version: int | None = None) -> bool:
        """See `delete`."""
        return await self._do(self.delete, key, version)

    async def aincr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """See `incr`."""
        return await self._do(self.incr, key, delta, version)

    async def aclear(self) -> None:
        """See `clear`."""
        await self._do(self.clear)

    async def aget_or_set(
        self, key: str, default: Default, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """See `get_or_set`, with whose callers it shares loads. An async function is called in the event loop of the
        caller whose load it is; any other on a thread of its own.
        """
        made = self.make_and_validate_key(key, version=version)
        encoded = self._place.near(made)
        if encoded is None:
            encoded = await self._async_loads.get(made, default, lambda value: self._loaded(value, timeout))
        return self._place.decode(encoded)

    def _loaded(self, value: Any, timeout: Any) -> Loaded[bytes]:
        """As it is stored: for `timeout`, unless the value says itself for how long."""
        if is_not_modified(value):
            raise nothing_before()
        if isinstance(value, Loaded) and value.ttl is not None:
            return value.with_value(self._place.encode(value.value))
        encoded = self._place.encode(bare_of(value))
        ttl = self._ttl(timeout)
        age = value.age / NANOSECONDS_PER_SECOND if isinstance(value, Loaded) else 0
        return Loaded(encoded, ttl=ttl, age=age) if ttl > 0 and is_kept(value) else Loaded(encoded, keep=False)

    def _ttl(self, timeout: Any) -> float:
        """In seconds, as Django's documentation of `timeout` says."""
        given = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return math.inf if given is None else max(0, given)


def _if_it_is(encoded: bytes, new: bytes) -> Change:
    """The new value, with the time that the old one has left, unless somebody has stored another meanwhile."""
    return lambda present: Kept(new, present.ttl) if present is not None and present.encoded == encoded else None


def _called(default: Default) -> Any:
    value = default() if callable(default) else default
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"get_or_set was given {default!r}, which is async: await aget_or_set")
    return value
