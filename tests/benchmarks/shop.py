"""The caches of the flash sale, with a ttl of one second on the virtual clock.

Peers whose clock is in C or Rust (cachebox, moka-py, onecache, theine) cannot be told the time, so they are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Final, TypeAlias

import herdless.asyncio
from tests.benchmarks.subjects import AsyncGet, AsyncLoad, is_installed, module
from tests.benchmarks.virtual import VirtualTimeLoop

TTL_SECONDS: Final = 1
STALE_SECONDS: Final = 10

ShopMaker: TypeAlias = Callable[[AsyncLoad, VirtualTimeLoop], AsyncGet]

BARE: Final = "no coalescing"
SWR: Final = "herdless, stale_while_revalidate"


def bare(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    """A dict with a ttl: look, load, store."""
    entries: dict[int, tuple[float, int]] = {}

    async def get(key: int) -> int:
        entry = entries.get(key)
        if entry is not None and loop.time() < entry[0]:
            return entry[1]
        started = loop.time()
        value = await load(key)
        entries[key] = (started + TTL_SECONDS, value)
        return value

    return get


def plain(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    """The herdless cache with a ttl and nothing else."""
    return herdless.asyncio.Cache(load, ttl=TTL_SECONDS, clock=loop.time_ns).get


def serving_stale(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    """The herdless cache, answering with values past their ttl while these are loaded again."""
    return herdless.asyncio.Cache(load, ttl=TTL_SECONDS, stale_while_revalidate=STALE_SECONDS, clock=loop.time_ns).get


def _async_lru(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    get: AsyncGet = module("async_lru").alru_cache(maxsize=None, ttl=TTL_SECONDS)(load)
    return get


def _anyio(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    get: AsyncGet = module("anyio.functools").lru_cache(maxsize=None, ttl=TTL_SECONDS)(load)
    return get


def _aiocache(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    get: AsyncGet = module("aiocache").cached_stampede(lease=60, ttl=TTL_SECONDS)(load)
    return get


def _cashews(load: AsyncLoad, loop: VirtualTimeLoop) -> AsyncGet:
    module("cashews.backends.memory").time = SimpleNamespace(time=loop.time)  # it takes no clock
    cache = module("cashews").Cache()
    cache.setup("mem://", size=1_000_000, check_interval=0)
    get: AsyncGet = cache(ttl=TTL_SECONDS, key="{key}")(load)
    return get


SHOPS: Final[dict[str, ShopMaker]] = {
    BARE: bare,
    "herdless": plain,
    SWR: serving_stale,
    "async-lru": _async_lru,
    "anyio": _anyio,
    "aiocache, stampede": _aiocache,
    "cashews": _cashews,
}


def shops() -> dict[str, ShopMaker]:
    """Those that are installed."""
    return {name: make for name, make in SHOPS.items() if is_installed(name)}
