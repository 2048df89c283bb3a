"""The decorators of all runtimes, for scenes that are the same in each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio


class Runtime(NamedTuple):
    """One runtime: its decorator, and how a scene is played in it."""

    cached: Callable[..., Any]
    play: Callable[[Callable[[], Awaitable[None]]], None]
    is_async: bool

    def decorate(self, function: Callable[..., Any], **options: Any) -> Any:
        """The function, made async where that is needed, and cached."""
        if not self.is_async:
            return self.cached(**options)(function)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        call.__name__, call.__qualname__ = function.__name__, function.__qualname__
        call.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # what `inspect` looks for
        return self.cached(**options)(call)


class Opened:
    """A cache that is open: trio's own, or one of a runtime that needs none to be."""

    def __init__(self, cache: Any) -> None:
        self._cache: Final = cache

    async def __aenter__(self) -> None:
        if isinstance(self._cache, herdless.trio.Cache):
            await self._cache.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        if isinstance(self._cache, herdless.trio.Cache):
            await self._cache.__aexit__(*raised)


async def got(result: Any) -> Any:
    """What a call gives, awaited where it has to be."""
    return await result if inspect.isawaitable(result) else result


def _in_asyncio(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


RUNTIMES: Final = {
    "threads": Runtime(herdless.threads.cached, _in_asyncio, is_async=False),
    "asyncio": Runtime(herdless.asyncio.cached, _in_asyncio, is_async=True),
    "trio": Runtime(herdless.trio.cached, trio.run, is_async=True),
}

every_runtime = pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=list(RUNTIMES))
