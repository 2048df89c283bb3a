"""A cached function that calls itself too deep: the error is told, and the cache is as good as before."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

import herdless.asyncio
from herdless.threads import Cache, Stats, cached

PATIENCE: Final = 60


def by_cache() -> tuple[Callable[[int], int], Any]:
    """A loader that asks its own cache."""

    def load(number: int) -> int:
        return 0 if number == 0 else 1 + cache.get(number - 1)

    cache = Cache(load)
    return cache.get, cache


def by_decorator() -> tuple[Callable[[int], int], Any]:
    """A function that calls itself, as a recursive one with `functools.lru_cache` does."""

    @cached()
    def count(number: int) -> int:
        return 0 if number == 0 else 1 + count(number - 1)

    return count, count.cache


@pytest.mark.parametrize("make", [by_cache, by_decorator], ids=lambda make: make.__name__)
def test_recursion_that_is_too_deep_leaves_the_cache_whole(
    make: Callable[[], tuple[Callable[[int], int], Any]],
) -> None:
    """No lock is held, no flight is left, and every number can be asked for again, by anybody."""
    count, cache = make()
    told: list[object] = []

    def run() -> None:
        with pytest.raises(RecursionError):
            count(2 * sys.getrecursionlimit())
        told.extend(count(number) for number in range(0, 2 * sys.getrecursionlimit(), 20))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "a caller hangs"
    assert told == list(range(0, 2 * sys.getrecursionlimit(), 20))
    assert cache.stats().in_flight == 0


@pytest.mark.parametrize("change", ["put", "invalidate", "expire", "refresh", "clear"])
def test_change_at_the_end_of_the_stack_leaves_the_cache_whole(change: str) -> None:
    """Wherever in it the stack ends: the next caller finds the lock free."""
    cache = Cache(str.upper)
    arguments = {"put": ("k", "put"), "clear": ()}.get(change, ("k",))

    def deeper() -> None:
        try:
            deeper()
        finally:
            getattr(cache, change)(*arguments)

    def run() -> None:
        with pytest.raises(RecursionError):
            deeper()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert cache.get("other", timeout=PATIENCE) == "OTHER"
    cache.settled(PATIENCE)
    assert cache.stats().in_flight == 0


def test_coroutine_at_the_end_of_the_stack_leaves_the_cache_whole() -> None:
    """Wherever in its lookup the stack ends: the lock is free, no flight is left, and the limit is what it was."""

    async def load(key: str) -> str:
        return key

    async def at(depth: int, cache: herdless.asyncio.Cache[str, str]) -> str:
        return await (cache.get("k") if depth == 0 else at(depth - 1, cache))

    async def main() -> None:
        ended = 0
        for depth in range(limit - 80, limit):
            cache = herdless.asyncio.Cache(load)
            try:
                assert await at(depth, cache) == "k"
            except RecursionError:
                ended += 1
            await asyncio.sleep(0)
            assert sys.getrecursionlimit() == limit
            seen: list[Stats] = []
            other = threading.Thread(target=lambda cache=cache, seen=seen: seen.append(cache.stats()), daemon=True)
            other.start()
            other.join(PATIENCE)
            assert seen == [cache.stats()], "another thread gets the lock"
            assert await asyncio.wait_for(cache.get("k"), PATIENCE) == "k"
            assert cache.stats().in_flight == 0
        assert ended > 10

    limit = sys.getrecursionlimit()
    try:
        asyncio.run(main())
    finally:
        sys.setrecursionlimit(limit)
