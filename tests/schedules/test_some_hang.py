"""Some loads hang for ever, and all others progress, under many schedules; specs/Pool.tla says so of threads."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from functools import partial
from typing import Any, Final

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless._workers import MAX_REFRESHERS
from herdless.testing import Schedule, Threads, VirtualClock, run_asyncio, run_threads, run_trio, sample
from herdless_core import LoadCancelled, LoadTimeout, RunningLoad, TooManyLoads
from tests.schedules.depth import times

HUNG: Final = 3
"""So many keys hang."""
HEALTHY: Final = 4
NEEDED: Final = "needed"
"""What the loads of every other healthy key ask for."""
OPTIONS: Final[list[dict[str, Any]]] = [{}, {"load_timeout": 5}, {"max_loads": 2 * HUNG + 2}]
"""With so many turns two are left: what hangs is there twice at most, being looked up and being refreshed."""


def needs(key: str) -> bool:
    """Whether the load of this key asks for another one."""
    return key.startswith("healthy") and int(key[-1]) % 2 == 0


def keys(count: int, name: str) -> list[str]:
    """The first ones of this name."""
    return [f"{name} {number}" for number in range(count)]


class OfThreads:
    """A cache of threads, in which some callers, and the loads of the keys that hang, wait for ever."""

    def __init__(self, threads: Threads, seed: int, options: dict[str, Any]) -> None:
        self.threads = threads
        self.dice = random.Random(seed)
        self.cache = herdless.threads.Cache(
            self.load, ttl=10, stale_while_revalidate=10, clock=threads.clock, **options
        )

    def load(self, key: str) -> str:
        """The loader; every time it is called it looks at the pool, as it is then."""
        self.look_at_pool()
        self.threads.pause("loads", (lambda: False) if key.startswith("hung") else None)
        if needs(key):
            self.cache.get(NEEDED)
        return key

    def look_at_pool(self) -> None:
        """RoomInv and TurnsAreUsedInv of specs/Pool.tla."""
        cache = self.cache
        refreshing = [load for load in cache._workers.running() if not load.has_ended]
        assert len(refreshing) <= MAX_REFRESHERS
        assert not cache._look(self.idle_turns), "a load that never runs has a turn"

    def idle_turns(self) -> list[RunningLoad]:
        """Of what is over, and was never begun; inside the lock."""
        turns: list[Any] = self.cache._keyspace.turns()
        return [load for load in turns if load.has_ended and not load.is_begun]

    def use(self, key: str) -> None:
        """What a caller does who is to be answered."""
        for _ in range(3):
            match self.dice.randrange(4):
                case 0:
                    self.cache.refresh(key)
                case 1:
                    self.cache.expire(key)
                case 2:
                    self.cache.put(NEEDED, NEEDED)
                    self.cache.invalidate(NEEDED)
                case _:
                    self.cache.refresh(NEEDED)
            with contextlib.suppress(LoadTimeout):  # the schedule lets time pass as it likes
                assert self.cache.get(key) == key

    def hang(self, key: str) -> None:
        """What a caller does who is not."""
        self.cache.refresh(key)
        try:
            self.cache.get(key)
        except (LoadTimeout, TooManyLoads):
            return

    def play(self) -> None:
        """All of them. Who cannot go on, and is no daemon, is a deadlock."""
        for key in keys(HUNG, "hung"):
            self.threads.spawn(partial(self.hang, key), is_daemon=True)
        for spawned in [self.threads.spawn(partial(self.use, key)) for key in keys(HEALTHY, "healthy")]:
            spawned.result()
        flights = self.cache._flights
        self.threads.pause("waits for refreshes", lambda: all(str(load.key)[0] == "h" for load in flights.values()))


@pytest.mark.parametrize("switches", [None, 3], ids=["any", "few"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_threads_progress_beside_loads_that_hang_for_ever(options: dict[str, Any], switches: int | None) -> None:
    """They never recover: nobody is answered because the others were let go."""
    seeds = itertools.count()

    def play(schedule: Schedule) -> None:
        seed = next(seeds)
        run_threads(lambda threads: OfThreads(threads, seed, options).play(), schedule, clock=VirtualClock())

    sample(play, seeds=range(times(25)), switches=switches)


def test_refreshes_that_need_what_is_queued_behind_them_come_to_an_end() -> None:
    """As many as have threads ask for one that has none: to wait for it would be to wait for themselves."""

    def main(threads: Threads) -> None:
        is_queued = False

        def load(key: str) -> str:
            if key != NEEDED:
                threads.pause("waits for the queue", lambda: is_queued)
                cache.get(NEEDED)
            return key

        cache = herdless.threads.Cache(load, clock=threads.clock)
        outer = keys(MAX_REFRESHERS, "outer")
        for key in outer:
            cache.refresh(key)
        threads.pause("waits for the threads", lambda: len(cache._workers._taken) == MAX_REFRESHERS)
        cache.refresh(NEEDED)
        is_queued = True
        cache.settled()
        assert [cache.peek(key) for key in (*outer, NEEDED)] == [*outer, NEEDED]

    sample(lambda schedule: run_threads(main, schedule, clock=VirtualClock()), seeds=range(times(20)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_asyncio_tasks_progress_beside_loads_that_hang_for_ever(options: dict[str, Any]) -> None:
    """A task more costs nothing, but turns are few, and loads ask for others here too."""
    seeds = itertools.count()
    sample(lambda schedule: run_on_asyncio(schedule, next(seeds), options), seeds=range(times(10)))


def run_on_asyncio(schedule: Schedule, seed: int, options: dict[str, Any]) -> None:
    """One run."""

    async def load(key: str) -> str:
        await (asyncio.Event().wait() if key.startswith("hung") else asyncio.sleep(0))
        if needs(key):
            await cache.get(NEEDED)
        return key

    async def use(key: str) -> None:
        for _ in range(3):
            dice.choice((cache.refresh, cache.expire, cache.invalidate))(dice.choice((key, NEEDED)))
            with contextlib.suppress(LoadTimeout):  # the schedule lets time pass as it likes
                assert await cache.get(key) == key

    async def main() -> None:
        hung = [asyncio.create_task(cache.get(key)) for key in keys(HUNG, "hung")]
        for key in keys(HUNG, "hung"):
            cache.refresh(key)
        await asyncio.gather(*(use(key) for key in keys(HEALTHY, "healthy")))
        with contextlib.suppress(LoadTimeout):
            assert await cache.get(NEEDED) == NEEDED
        await cache.close(cancel=True)
        ends = await asyncio.gather(*hung, return_exceptions=True)
        assert all(isinstance(end, LoadTimeout | LoadCancelled) for end in ends)

    dice, clock = random.Random(seed), VirtualClock()
    cache = herdless.asyncio.Cache(load, ttl=10, stale_while_revalidate=10, clock=clock, **options)
    run_asyncio(main, schedule, clock=clock)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_trio_tasks_progress_beside_loads_that_hang_for_ever(options: dict[str, Any]) -> None:
    """The same in a nursery, which ends with all of them."""
    seeds = itertools.count()
    sample(lambda schedule: run_on_trio(schedule, next(seeds), options), seeds=range(times(10)))


def run_on_trio(schedule: Schedule, seed: int, options: dict[str, Any]) -> None:
    """One run."""

    async def load(key: str) -> str:
        if key.startswith("hung"):
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if needs(key):
            await cache.get(NEEDED)
        return key

    async def use(key: str) -> None:
        for _ in range(3):
            dice.choice((cache.refresh, cache.expire, cache.invalidate))(dice.choice((key, NEEDED)))
            assert await cache.get(key) == key

    async def hang(key: str) -> None:
        with contextlib.suppress(LoadTimeout, LoadCancelled):
            await cache.get(key)

    async def main() -> None:
        async with cache, trio.open_nursery() as around:
            for key in keys(HUNG, "hung"):
                around.start_soon(hang, key)
                cache.refresh(key)
            async with trio.open_nursery() as nursery:
                for key in keys(HEALTHY, "healthy"):
                    nursery.start_soon(use, key)
            assert await cache.get(NEEDED) == NEEDED
            await cache.close(cancel=True)

    dice, clock = random.Random(seed), VirtualClock()
    cache = herdless.trio.Cache(load, ttl=10, stale_while_revalidate=10, clock=clock, **options)
    run_trio(main, schedule, clock=clock)
