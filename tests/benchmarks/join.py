"""A lookup that waits for a load in flight.

Waiters are tasks, and creating these is left out here: what is measured is their joining and their waking. The floor
is so many tasks that await one bare future together; it is no cache, since one of them cancelled would cancel all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from tests.benchmarks.hit import KEY, table
from tests.benchmarks.measure import Batch, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result
from tests.benchmarks.subjects import ASYNC, AsyncGet, AsyncMaker, is_installed

FLOOR: Final = "bare shared future"
WAITERS: Final = 500


def run(plan: Plan) -> Result:
    """Joins in asyncio, for those who coalesce."""
    with asyncio.Runner() as runner:
        batches: dict[str, Batch] = {FLOOR: on_loop(runner, bare_joins)}
        for name, make in ASYNC.items():
            if is_installed(name) and runner.run(coalesces(make)):
                batches[name] = on_loop(runner, partial(joins, make))
        costs = compare(batches, base=FLOOR, rounds=plan.rounds, operations=WAITERS)
    note = f"{WAITERS} tasks, made beforehand, join one load and are woken. Only caches that load once are listed."
    return Result(tables=(table("Join, asyncio", costs, note),), figures={"join": costs["herdless"].best_ratio})


class Gate:
    """A loader that is held until it is let go, and counts how often it was called."""

    def __init__(self) -> None:
        self.loads = 0
        self._open: Final = asyncio.Event()

    async def load(self, key: int) -> int:
        """Wait at the gate."""
        self.loads += 1
        await self._open.wait()
        return key

    def open(self) -> None:
        """Let all loads end."""
        self._open.set()


async def coalesces(make: AsyncMaker) -> bool:
    """Whether ten callers of one key make one load."""
    gate = Gate()
    await gather(make(gate.load, 10), 10, gate)
    return gate.loads == 1


async def gather(get: AsyncGet, waiters: int, gate: Gate) -> None:
    """So many tasks look the key up, the gate opens when all wait, and all have ended."""
    create_task = asyncio.get_running_loop().create_task
    tasks = [create_task(get(KEY)) for _ in range(waiters)]
    await asyncio.sleep(0)
    gate.open()
    for task in tasks:  # cheaper than `asyncio.wait`, which would add a callback to each
        await task


async def joins(make: AsyncMaker, operations: int) -> int:
    """The CPU time of so many joins."""
    gate = Gate()
    get = make(gate.load, 10)
    first = asyncio.ensure_future(get(KEY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    took = await joined([get(KEY) for _ in range(operations)], gate.open)
    await first
    return took


async def bare_joins(operations: int) -> int:
    """The CPU time of so many tasks that await one future."""
    shared: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await shared

    return await joined([wait() for _ in range(operations)], partial(shared.set_result, KEY))


async def joined(waiters: list[Coroutine[Any, Any, int]], let_go: Callable[[], None]) -> int:
    """The CPU time from the first step of the waiters, which are tasks already, to the end of the last."""
    create_task = asyncio.get_running_loop().create_task
    tasks = [create_task(waiter) for waiter in waiters]
    start = cpu_time()
    await asyncio.sleep(0)  # all step until they wait
    let_go()
    for task in tasks:
        await task
    return cpu_time() - start
