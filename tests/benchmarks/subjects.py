"""The caches that are compared: herdless, its peers, and the floor that no cache can be below.

A maker takes the loader and the room that is needed, and gives the function that looks a key up. Peers are set up as
their documentation says, with protection against stampedes where they offer it. They come with the extra `bench`; one
that is not installed is left out, and the report says so.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from importlib import import_module, util
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeAlias

import herdless.asyncio
import herdless.threads

AsyncLoad: TypeAlias = Callable[[int], Coroutine[Any, Any, int]]
AsyncGet: TypeAlias = Callable[[int], Coroutine[Any, Any, int]]
AsyncMaker: TypeAlias = Callable[[AsyncLoad, int], AsyncGet]

Load: TypeAlias = Callable[[int], int]
Get: TypeAlias = Callable[[int], int]
Maker: TypeAlias = Callable[[Load, int], Get]

TTL_SECONDS: Final = 3600

PEERS: Final = {
    "aiocache": "aiocache",
    "aiodataloader": "aiodataloader",
    "anyio": "anyio",
    "async-lru": "async_lru",
    "cachebox": "cachebox",
    "cachetools": "cachetools",
    "cashews": "cashews",
    "dogpile.cache": "dogpile",
    "moka-py": "moka_py",
    "onecache": "onecache",
    "theine": "theine",
}
"""Distributions and the modules they install."""


def module(name: str) -> Any:
    """A peer; without its types, since it need not be installed where the types are checked."""
    return import_module(name)


def peer_versions() -> dict[str, str | None]:
    """The version of every peer; None where it is not installed."""
    found: dict[str, str | None] = {}
    for distribution in PEERS:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            found[distribution] = None
    return found


def is_installed(subject: str) -> bool:
    """Whether the subject of this name can be made; its first word is its distribution."""
    imported = PEERS.get(re.split("[, ]", subject, maxsplit=1)[0])
    return imported is None or util.find_spec(imported) is not None


# asyncio


def _herdless(load: AsyncLoad, room: int) -> AsyncGet:
    return herdless.asyncio.Cache(load).get


def _herdless_ttl(load: AsyncLoad, room: int) -> AsyncGet:
    return herdless.asyncio.Cache(load, ttl=TTL_SECONDS).get


def _herdless_bounded(load: AsyncLoad, room: int) -> AsyncGet:
    return herdless.asyncio.Cache(load, ttl=TTL_SECONDS, maxsize=room).get


def _async_lru(load: AsyncLoad, room: int) -> Any:
    return module("async_lru").alru_cache(maxsize=room)(load)


def _async_lru_ttl(load: AsyncLoad, room: int) -> Any:
    return module("async_lru").alru_cache(maxsize=room, ttl=TTL_SECONDS)(load)


def _aiocache(load: AsyncLoad, room: int) -> Any:
    return module("aiocache").cached(ttl=TTL_SECONDS)(load)


def _aiocache_stampede(load: AsyncLoad, room: int) -> Any:
    return module("aiocache").cached_stampede(lease=60, ttl=TTL_SECONDS)(load)


def _cashews(load: AsyncLoad, room: int, *, lock: bool = False) -> Any:
    cache = module("cashews").Cache()
    cache.setup("mem://", size=room, check_interval=0)
    return cache(ttl=TTL_SECONDS, key="{key}", lock=lock)(load)


def _cachebox(load: AsyncLoad, room: int) -> Any:
    cachebox = module("cachebox")
    return cachebox.cached(cachebox.TTLCache(room, TTL_SECONDS))(load)


def _moka(load: AsyncLoad, room: int, *, wait_concurrent: bool = False) -> Any:
    return module("moka_py").cached(maxsize=room, ttl=TTL_SECONDS, wait_concurrent=wait_concurrent)(load)


def _theine(load: AsyncLoad, room: int) -> AsyncGet:
    memoized = module("theine").Memoize(room, timedelta(seconds=TTL_SECONDS))(load)

    async def get(key: int) -> int:  # of its own it returns an awaitable that is no coroutine
        return int(await memoized(key))

    return get


def _onecache(load: AsyncLoad, room: int) -> Any:
    return module("onecache").AsyncCacheDecorator(maxsize=room, ttl=TTL_SECONDS * 1000)(load)


def _anyio(load: AsyncLoad, room: int) -> Any:
    return module("anyio.functools").lru_cache(maxsize=room, ttl=TTL_SECONDS)(load)


ASYNC: Final[dict[str, AsyncMaker]] = {
    "herdless": _herdless,
    "herdless, ttl": _herdless_ttl,
    "herdless, ttl and maxsize": _herdless_bounded,
    "async-lru": _async_lru,
    "async-lru, ttl": _async_lru_ttl,
    "aiocache": _aiocache,
    "aiocache, stampede": _aiocache_stampede,
    "anyio": _anyio,
    "cachebox": _cachebox,
    "cashews": _cashews,
    "cashews, lock": functools.partial(_cashews, lock=True),
    "moka-py": _moka,
    "moka-py, wait": functools.partial(_moka, wait_concurrent=True),
    "onecache": _onecache,
    "theine": _theine,
}

# Threads


def _threads(load: Load, room: int) -> Get:
    return herdless.threads.Cache(load).get


def _threads_ttl(load: Load, room: int) -> Get:
    return herdless.threads.Cache(load, ttl=TTL_SECONDS).get


def _threads_bounded(load: Load, room: int) -> Get:
    return herdless.threads.Cache(load, ttl=TTL_SECONDS, maxsize=room).get


def _lru_cache(load: Load, room: int) -> Any:
    return functools.lru_cache(maxsize=room)(load)


def _cachetools(load: Load, room: int, **protection: Callable[[], object]) -> Any:
    cachetools = module("cachetools")
    made = {name: make() for name, make in protection.items()}
    return cachetools.cached(cachetools.TTLCache(room, TTL_SECONDS), **made)(load)


def _dogpile(load: Load, room: int) -> Any:
    region = module("dogpile.cache").make_region(function_key_generator=_dogpile_keys)
    region.configure("dogpile.cache.memory", expiration_time=TTL_SECONDS)
    return region.cache_on_arguments()(load)


def _dogpile_keys(namespace: object, function: object) -> Callable[[int], int]:
    return lambda key: key


def _sync_cachebox(load: Load, room: int) -> Any:
    cachebox = module("cachebox")
    return cachebox.cached(cachebox.TTLCache(room, TTL_SECONDS))(load)


def _sync_moka(load: Load, room: int) -> Any:
    return module("moka_py").cached(maxsize=room, ttl=TTL_SECONDS, wait_concurrent=True)(load)


def _sync_theine(load: Load, room: int) -> Any:
    return module("theine").Memoize(room, timedelta(seconds=TTL_SECONDS))(load)


def _sync_onecache(load: Load, room: int) -> Any:
    return module("onecache").CacheDecorator(maxsize=room, ttl=TTL_SECONDS * 1000, thread_safe=True)(load)


SYNC: Final[dict[str, Maker]] = {
    "herdless": _threads,
    "herdless, ttl": _threads_ttl,
    "herdless, ttl and maxsize": _threads_bounded,
    "functools.lru_cache": _lru_cache,
    "cachebox": _sync_cachebox,
    "cachetools": _cachetools,
    "cachetools, lock": functools.partial(_cachetools, lock=threading.Lock),
    "cachetools, condition": functools.partial(_cachetools, condition=threading.Condition),
    "dogpile.cache": _dogpile,
    "moka-py, wait": _sync_moka,
    "onecache": _sync_onecache,
    "theine": _sync_theine,
}
