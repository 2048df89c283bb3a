"""One scene for every runtime: a body that awaits the cache's lookups, whichever way they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import trio

import herdless.asyncio
import herdless.threads
import herdless.trio

RUNTIMES: Final = ("asyncio", "trio", "threads")

Get: TypeAlias = Callable[[Any], Awaitable[Any]]
Body: TypeAlias = Callable[[Any, Get], Awaitable[None]]


Told: TypeAlias = list[tuple[object, object, str]]
"""What a listener was told."""


class Client:
    """What has to be closed, and not twice."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.closed = 0

    def close(self, *_: object) -> None:
        """Close it."""
        self.closed += 1


def cache_of(runtime: str, load: Callable[..., Any], **options: Any) -> Any:
    """The runtime's cache, with a loader of its colour that does what `load` does."""

    async def load_async(*arguments: Any) -> Any:
        return load(*arguments)

    match runtime:
        case "asyncio":
            return herdless.asyncio.Cache(load_async, **options)
        case "trio":
            return herdless.trio.Cache(load_async, **options)
        case _:
            return herdless.threads.Cache(load, **options)


def play(runtime: str, body: Body, load: Callable[..., Any], **options: Any) -> Any:
    """Run `body(cache, get)` inside the cache's own `with`, and close it. Returns the cache."""
    cache = cache_of(runtime, load, **options)
    play_in(runtime, cache, body)
    return cache


def play_in(runtime: str, cache: Any, body: Body) -> None:
    """The same, in a cache that there is already."""

    async def in_threads() -> None:
        async def get(key: Any) -> Any:
            return cache.get(key)

        with cache:
            await body(cache, get)

    async def awaited() -> None:
        async with cache:
            await body(cache, cache.get)

    if runtime == "trio":
        trio.run(awaited)
    else:
        asyncio.run(in_threads() if runtime == "threads" else awaited())
