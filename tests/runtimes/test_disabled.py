"""`herdless.testing.disabled()`: every lookup loads, in every runtime, and nothing is kept."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import ReentrantLoad
from herdless.testing import Trace, assert_trace_valid, clear_all, disabled


def test_callers_who_come_together_load_each_for_himself() -> None:
    """A test of an origin under load must see the load."""
    started: list[str] = []

    async def main() -> None:
        gate, trace = asyncio.Event(), Trace()

        async def load(key: str) -> str:
            started.append(key)
            await gate.wait()
            return key.upper()

        cache = herdless.asyncio.Cache(load, ttl=60, observe=trace)
        with disabled():
            callers = [asyncio.create_task(cache.get("a")) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert started == ["a"] * 3
            gate.set()
            assert await asyncio.gather(*callers) == ["A"] * 3
            assert (len(cache), cache.stats().in_flight, cache.peek("a")) == (0, 0, None)
        assert [await cache.get("a") for _ in range(2)] == ["A"] * 2
        assert started == ["a"] * 4
        assert_trace_valid(trace, has_ended=True)

    asyncio.run(main())


def test_what_was_held_before_is_not_served_and_neither_is_what_is_put() -> None:
    """Or a test would see the value of another one."""
    cache = herdless.threads.Cache(str.upper, ttl=60, max_loads=1)
    cache.put("a", "old")
    with disabled():
        assert cache.get("a") == "A"
        cache.put("a", "put")
        cache.refresh("a")
        assert cache.get("a") == "A"
        assert cache.lookup("a").how == "loaded"
        assert cache.stats().in_flight == 0
    assert cache.peek("a") is None


def test_a_cache_that_is_made_inside_is_disabled_until_the_outermost_end() -> None:
    """Caches are made when a module is imported, which may be in the test."""
    with disabled():
        with disabled():
            cache = herdless.threads.Cache(str.upper, ttl=60)
        cache.get("a")
        assert len(cache) == 0
    cache.get("a")
    assert len(cache) == 1


def test_a_load_that_asks_for_itself_is_told_as_ever() -> None:
    """Without a cache it would go on without end; with one it is an error, which a test must see."""
    loads: list[str] = []

    def load(key: str) -> str:
        loads.append(key)
        return str(cache.get({"a": "b", "b": "a", "self": "self"}[key]))

    cache = herdless.threads.Cache(load)
    with disabled():
        for key, asked in (("self", ["self"]), ("a", ["a", "b"])):
            loads.clear()
            with pytest.raises(ReentrantLoad):
                cache.get(key)
            assert loads == asked


def test_loads_inside_of_loads_go_on() -> None:
    """A loader may ask for other keys."""
    cache: Any = herdless.threads.Cache(lambda key: key if key == 0 else cache.get(key - 1) + cache.get(0))
    with disabled():
        assert cache.get(3) == 0
        assert cache.stats().loads == 7


def test_trio_too() -> None:
    """Its lookups take another way to the keyspace."""
    loads: list[str] = []

    async def load(key: str) -> str:
        loads.append(key)
        return key

    async def main() -> None:
        async with herdless.trio.Cache(load, ttl=60) as cache:
            with disabled():
                await cache.get("a")
                await cache.get("a")
            await cache.get("a")
            await cache.get("a")
        clear_all()  # it is closed now, which is no error

    trio.run(main)
    assert loads == ["a"] * 3


def test_caches_are_emptied_whoever_is_at_work() -> None:
    """A daemon thread of the last test may still look up."""
    cache, is_over = herdless.threads.Cache(str.upper, ttl=60), threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not is_over.is_set():
                assert cache.get("a") == "A"
        except BaseException as error:  # noqa: BLE001  # shown below
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(100):
        clear_all()
        with disabled():
            pass
    is_over.set()
    for worker in workers:
        worker.join()
    assert failures == []
