"""What a runtime adds to `soft_timeout`; what every runtime does is in the contract suite."""

from __future__ import annotations

import asyncio

import herdless.asyncio
import herdless.threads
from herdless_core import NANOSECONDS_PER_SECOND


class Clock:
    """Stands, or goes on by a step at each look."""

    def __init__(self) -> None:
        self.now = self.step = 0

    def __call__(self) -> int:
        """Tell the time."""
        self.now += self.step
        return self.now


def test_soft_timeout_is_one_of_the_cache_s_clock() -> None:
    """A loop whose own clock is ahead looks again, and answers nobody too early."""
    clock = Clock()

    async def main() -> None:
        release = asyncio.Event()

        async def load(key: str) -> str:
            await release.wait()
            return key.upper()

        async with herdless.asyncio.Cache(load, ttl=1, stale_if_error=100, soft_timeout=1e-9, clock=clock) as cache:
            cache.put("k", "old")
            clock.now += 20 * NANOSECONDS_PER_SECOND
            caller = asyncio.create_task(cache.get("k"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not caller.done()
            clock.now += 1
            assert await caller == "old"
            release.set()

    asyncio.run(main())


def test_caller_who_is_cancelled_just_after_a_soft_answer_did_not_leave() -> None:
    """Or it would count off another one, whose load would then be cancelled."""
    clock = Clock()

    async def main() -> None:
        release = asyncio.Event()

        async def load(key: str) -> str:
            await release.wait()
            return key.upper()

        async with herdless.asyncio.Cache(load, ttl=1, stale_if_error=100, soft_timeout=5, clock=clock) as cache:
            cache.put("k", "old")
            clock.now += 20 * NANOSECONDS_PER_SECOND
            callers = [asyncio.create_task(cache.get("k")) for _ in range(2)]
            await asyncio.sleep(0)
            (flight,) = cache._flights.values()
            clock.now += 5 * NANOSECONDS_PER_SECOND
            cache._look_at_soft_timeout(flight, flight.waiters[0], clock.now)
            callers[0].cancel()
            await asyncio.wait(callers[:1])
            entered = cache._keyspace.entry("k").flight
            assert entered is not None
            assert entered.waiters == 1
            release.set()
            assert await callers[1] == "K"

    asyncio.run(main())


def test_caller_with_a_timeout_of_its_own_gets_what_is_kept_before_it() -> None:
    """On threads both are looked at: the shorter one is over first."""
    clock = Clock()
    cache = herdless.threads.Cache[str, str](
        str.upper, ttl=1, stale_if_error=100, soft_timeout=1e-9, clock=clock, executor=Never()
    )
    cache.put("k", "old")
    clock.now += 20 * NANOSECONDS_PER_SECOND
    clock.step = NANOSECONDS_PER_SECOND
    found = cache.lookup("k", timeout=60)
    assert (found.value, found.how) == ("old", "stale")


class Never:
    """An executor that runs nothing."""

    def submit(self, job: object) -> None:
        """Leave it."""
