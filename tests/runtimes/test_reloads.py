"""What `reload` is beside the contract suite: where it may not be called, and what each runtime adds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import CacheClosed, MisuseError, PolicyError, ReentrantLoad
from herdless.testing import Threads, VirtualClock, run_threads


class Origin:
    """Counts its loads, and gives their number."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self, key: str) -> int:
        """A loader."""
        self.loads += 1
        return self.loads

    async def load_async(self, key: str) -> int:
        """The same where it is awaited."""
        await asyncio.sleep(0)
        return self.load(key)


def test_threads_reload_within_a_timeout() -> None:
    """Who gives up takes only itself away: the load goes on and is stored."""

    def main(threads: Threads) -> None:
        def load(key: str) -> str:
            threads.pause("loads", lambda: gate.is_open)
            return "value"

        class gate:  # noqa: N801  # one attribute
            is_open = True

        cache = herdless.threads.Cache(load, clock=threads.clock)
        assert cache.get("k") == "value"
        gate.is_open = False
        with pytest.raises(TimeoutError, match="the caller's timeout passed"):
            cache.reload("k", timeout=1)
        assert cache.stats().in_flight == 1
        assert cache.get("k") == "value"
        gate.is_open = True
        cache.settled()
        assert cache.stats().in_flight == 0

    run_threads(main)


@pytest.mark.parametrize("timeout", [-1, "1", True])
def test_a_bad_timeout_is_named(timeout: Any) -> None:
    """As for `get`."""
    with pytest.raises(ValueError, match=f"timeout={timeout!r} is not accepted"):
        herdless.threads.Cache(Origin().load).reload("k", timeout=timeout)


def test_a_loader_that_reloads_its_own_key_is_told() -> None:
    """It would wait for itself."""

    def load(key: str) -> int:
        return cache.reload(key)

    cache: herdless.threads.Cache[str, int] = herdless.threads.Cache(load)
    with pytest.raises(ReentrantLoad):
        cache.get("k")
    assert cache.stats().in_flight == 0


def test_a_loader_may_reload_another_key() -> None:
    """One value that is made of another, and must be made of a new one."""
    origin = Origin()

    def load(key: str) -> int:
        return origin.load(key) if key == "part" else 10 * cache.reload("part")

    cache: herdless.threads.Cache[str, int] = herdless.threads.Cache(load)
    assert cache.get("part") == 1
    assert cache.get("whole") == 20
    assert cache.get("part") == 2


def test_reload_inside_the_lock_is_refused() -> None:
    """An observer that waits for a load inside the lock would wait for ever."""
    errors: list[BaseException] = []

    def observe(_key: object, _step: object) -> None:
        try:
            cache.reload("k")
        except MisuseError as error:
            errors.append(error)

    cache = herdless.threads.Cache(Origin().load, observe=observe)
    assert cache.get("k") == 1
    assert "inside the cache's own lock" in str(errors[0])


def test_refresh_inside_the_lock_is_put_off_and_says_so() -> None:
    """Whether it will start a load is not known yet."""
    said: list[bool] = []

    def observe(_key: object, _step: object) -> None:
        if not said:
            said.append(cache.refresh("other"))

    cache = herdless.threads.Cache(Origin().load, observe=observe)
    cache.get("k")
    cache.settled()
    assert said == [False]
    assert cache.peek("other") is not None


@pytest.mark.parametrize("key", [[], {}])
def test_an_unhashable_key_is_refused(key: Any) -> None:
    """With Python's own error, and nothing is left in flight."""
    cache: herdless.threads.Cache[Any, int] = herdless.threads.Cache(Origin().load)
    with pytest.raises(TypeError, match="unhashable"):
        cache.reload(key)
    assert cache.stats().in_flight == 0


def test_a_closed_cache_reloads_nothing() -> None:
    """As it loads nothing."""
    cache = herdless.threads.Cache(Origin().load)
    cache.close()
    with pytest.raises(CacheClosed):
        cache.reload("k")


def test_a_reload_is_no_lookup_in_the_counters() -> None:
    """Hits over lookups must not fall because somebody reloads."""
    cache = herdless.threads.Cache(Origin().load)
    cache.reload("k")
    cache.reload("k")
    stats = cache.stats()
    assert (stats.loads, stats.hits, stats.misses, stats.joins) == (2, 0, 0, 0)


def test_trio_reloads_in_the_run_that_opened_the_cache() -> None:
    """Its loads run in that one's nursery."""

    async def load(key: str) -> str:
        return key

    cache = herdless.trio.Cache(load)

    async def elsewhere() -> None:
        with pytest.raises(CacheClosed):
            await cache.reload("k")

    async def main() -> None:
        async with cache:
            assert await cache.reload("k") == "k"
            await trio.to_thread.run_sync(lambda: trio.run(elsewhere))

    trio.run(main)
    trio.run(elsewhere)


def test_asyncio_reloads_from_several_loops() -> None:
    """A flight of another loop is waited for as any older one; the next load is the caller's own."""
    origin = Origin()
    cache = herdless.asyncio.Cache(origin.load_async, loads_in="thread")

    async def main() -> int:
        return await cache.reload("k")

    assert asyncio.run(main()) == 1
    assert asyncio.run(main()) == 2
    assert cache.peek("k") == 2


def test_asyncio_reload_after_the_loop_of_an_older_load_has_died() -> None:
    """Nobody tells of its end: it is given up, and the reload has a load of its own."""
    clock = VirtualClock()

    async def load(key: str) -> str:
        if clock.now:
            return "value"
        await asyncio.Event().wait()  # for ever
        return "never"

    cache = herdless.asyncio.Cache(load, clock=clock)

    async def begin() -> None:
        cache.refresh("k")
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    hung = asyncio.all_tasks(loop)
    loop.close()
    clock.advance(1)

    async def main() -> str:
        return await asyncio.wait_for(cache.reload("k"), 10)

    assert asyncio.run(main()) == "value"
    assert hung, "whose task is held so that it is not told of"
    for task in hung:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own word for "I know"


def test_previous_without_a_loader_is_refused() -> None:
    """A caller's own loader is given its key alone."""
    with pytest.raises(PolicyError, match="previous=True is not accepted without a load"):
        herdless.threads.Cache[str, str](previous=True)


def test_reload_takes_a_loader_of_the_caller_s() -> None:
    """As every lookup does."""
    cache = herdless.threads.Cache[str, str](ttl=60)
    assert cache.reload("k", load=str.upper) == "K"
    assert cache.peek("k") == "K"
