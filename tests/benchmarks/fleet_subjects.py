"""The caches that several processes share: herdless, its peers, and a lock as many write it by hand.

A maker takes the address of the server, a prefix that is new, the loader, and for how long a lock is held at most where
that can be said. It gives the function that looks a key up. Peers are set up as their documentation says.
"""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import herdless.asyncio
import herdless.threads
from herdless.stores import RedisStore
from tests.benchmarks.subjects import TTL_SECONDS, is_installed, module

Load: TypeAlias = Callable[[str], Any]
Get: TypeAlias = Callable[[str], Awaitable[Any]]
Maker: TypeAlias = Callable[[str, str, Load, Load, float], Awaitable[Get]]
"""Of: the address, the prefix, a loader for asyncio, one for threads, the seconds of a lock."""

POLL_SECONDS: Final = 0.05
THREADS: Final = 128


async def herdless_asyncio(url: str, prefix: str, load: Load, _: Load, lock: float, **options: Any) -> Get:
    """`lease` is how long a holder is believed that says nothing."""
    store = RedisStore(url, name=prefix)
    cache: Any = herdless.asyncio.SharedCache(load, store=store, **{"ttl": TTL_SECONDS, "lease": lock} | options)
    await cache.__aenter__()
    get: Get = cache.get
    return get


async def herdless_threads(url: str, prefix: str, _: Load, load: Load, lock: float) -> Get:
    """A thread for each caller."""
    store = RedisStore(url, name=prefix)
    cache: Any = herdless.threads.SharedCache(load, store=store, ttl=TTL_SECONDS, lease=lock)
    cache.__enter__()
    return on_threads(cache.get)


async def one_each(_: str, __: str, load: Load, ___: Load, ____: float) -> Get:
    """A cache of one process, in each."""
    return herdless.asyncio.Cache(load, ttl=TTL_SECONDS).get


async def no_lock(url: str, prefix: str, load: Load, _: Load, __: float) -> Get:
    """GET, and where nothing is there load and SET."""
    client = module("redis.asyncio").Redis.from_url(url)

    async def get(key: str) -> Any:
        found = await client.get(f"{prefix}:{key}")
        if found is not None:
            return json.loads(found)
        value = await load(key)
        await client.set(f"{prefix}:{key}", json.dumps(value), ex=TTL_SECONDS)
        return value

    return get


async def hand_written_lock(
    url: str, prefix: str, load: Load, _: Load, lock: float, *, ttl: float = TTL_SECONDS
) -> Get:
    """SET NX PX, and whoever does not get it looks again every 50 ms; its owner alone gives it back, and looks once
    more when he has it.
    """
    client = module("redis.asyncio").Redis.from_url(url)
    give_back = client.register_script(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
    )

    async def get(key: str) -> Any:
        name, owner = f"{prefix}:{key}", secrets.token_hex(8)
        while True:
            found = await client.get(name)
            if found is not None:
                return json.loads(found)
            if await client.set(f"{name}:lock", owner, nx=True, px=round(lock * 1_000)):
                break
            await asyncio.sleep(POLL_SECONDS)
        try:
            found = await client.get(name)
            if found is not None:
                return json.loads(found)
            value = await load(key)
            await client.set(name, json.dumps(value), px=round(ttl * 1_000))
        finally:
            await give_back(keys=[f"{name}:lock"], args=[owner])
        return value

    return get


async def cashews(url: str, prefix: str, load: Load, _: Load, __: float) -> Get:
    """Client-side caching by tracking, and `lock=True`, whose time is that of the value."""
    cache = module("cashews").Cache()
    cache.setup(url, client_side=True)

    async def loaded(key: str) -> Any:
        return await load(key)

    get: Get = cache(ttl=TTL_SECONDS, key=prefix + ":{key}", lock=True)(loaded)
    return get


async def dogpile(url: str, prefix: str, _: Load, load: Load, lock: float) -> Get:
    """The backend for Redis, with its lock in Redis. A thread for each caller."""
    region = module("dogpile.cache").make_region()
    arguments = {"url": url, "distributed_lock": True, "thread_local_lock": False, "lock_timeout": lock}
    region.configure("dogpile.cache.redis", expiration_time=TTL_SECONDS, arguments=arguments)
    return on_threads(lambda key: region.get_or_create(f"{prefix}:{key}", functools.partial(load, key)))


async def aiocache(url: str, prefix: str, load: Load, on_thread: Load, lock: float) -> Get:
    """`cached_stampede`, whose lease is in Redis."""
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    decorate = module("aiocache").cached_stampede(
        lease=lock,
        ttl=TTL_SECONDS,
        cache=module("aiocache").Cache.REDIS,
        endpoint=host,
        port=int(port),
        serializer=module("aiocache.serializers").JsonSerializer(),
        key_builder=lambda _, key: f"{prefix}:{key}",
    )

    async def loaded(key: str) -> Any:
        return await load(key)

    get: Get = decorate(loaded)
    return get


def on_threads(get: Callable[[str], Any]) -> Get:
    """Each call on a thread of its own."""
    pool = ThreadPoolExecutor(THREADS)

    async def call(key: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, get, key)

    return call


SUBJECTS: Final[dict[str, Maker]] = {
    "herdless": herdless_asyncio,
    "herdless, threads": herdless_threads,
    "a herdless cache in each process": one_each,
    "no lock": no_lock,
    "lock by hand": hand_written_lock,
    "cashews": cashews,
    "dogpile.cache": dogpile,
    "aiocache": aiocache,
}

HOT_TTL_SECONDS: Final = 0.5
HOT: Final[dict[str, Maker]] = {
    "herdless": functools.partial(herdless_asyncio, ttl=HOT_TTL_SECONDS),
    "herdless, stale_while_revalidate": functools.partial(
        herdless_asyncio, ttl=HOT_TTL_SECONDS, stale_while_revalidate=60
    ),
    "herdless, early_refresh": functools.partial(
        herdless_asyncio, ttl=HOT_TTL_SECONDS, early_refresh=0.5, stale_while_revalidate=60
    ),
    "lock by hand": functools.partial(hand_written_lock, ttl=HOT_TTL_SECONDS),
}
"""Of a value that lives shortly, and is asked for all the time."""

OURS: Final = ("herdless", "herdless, threads", "a herdless cache in each process", "no lock", "lock by hand")

TABLES: Final = {"herd": SUBJECTS, "hot": HOT}


def installed() -> list[str]:
    """Those that can be made here."""
    return [name for name in SUBJECTS if name in OURS or is_installed(name)]
