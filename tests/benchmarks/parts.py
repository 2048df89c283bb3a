"""What a join and a miss are made of: the floor with one part more in each row, up to the whole.

A row has everything of those above it. The comparisons that leave the later parts out cost a little in each.
"""

from __future__ import annotations

import asyncio
from functools import partial
from threading import Lock
from time import monotonic_ns
from typing import Final

from herdless.adapter import LOADING
from herdless_core import Keyspace, Policy
from tests.benchmarks import join, miss
from tests.benchmarks.hit import KEY, load
from tests.benchmarks.measure import Batch, Cost, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import ASYNC

JOIN_PARTS: Final = (
    "a future of one's own, which one may leave",
    "+ finding out the running loop",
    "+ the lock",
    "+ the clock, and whether it is inside a load",
    "+ the step of the machine",
)
MISS_PARTS: Final = (
    "a future for the caller, and a coroutine that settles it",
    "+ finding out the running loop",
    "+ the lock, twice",
    "+ the clock twice, and whether it is inside a load",
    "+ the two steps of the machine",
)


def run(plan: Plan) -> Result:
    """Both, in asyncio."""
    with asyncio.Runner() as runner:
        joins: dict[str, Batch] = {join.FLOOR: on_loop(runner, partial(join.bare_joins, with_tasks=True))}
        joins |= {part: on_loop(runner, partial(_joins, stage)) for stage, part in enumerate(JOIN_PARTS)}
        joins["herdless"] = on_loop(runner, partial(join.joins, ASYNC["herdless"], with_tasks=True))
        of_joins = compare(joins, base=join.FLOOR, rounds=plan.rounds, operations=join.WAITERS)
        misses: dict[str, Batch] = {miss.FLOOR: on_loop(runner, miss.tasks)}
        misses |= {part: on_loop(runner, partial(_misses, stage)) for stage, part in enumerate(MISS_PARTS)}
        misses["herdless"] = on_loop(runner, partial(miss.misses, ASYNC["herdless"]))
        of_misses = compare(misses, base=miss.FLOOR, rounds=plan.rounds, operations=miss.OPERATIONS)
    return Result(
        tables=(_table("The parts of a join", of_joins), _table("The parts of a miss", of_misses)), figures={}
    )


def _table(title: str, costs: dict[str, Cost]) -> Table:
    rows: list[tuple[str, float, float, float]] = []
    before = 0.0
    for name, cost in costs.items():
        rows.append((name, cost.best_ns, cost.best_ns - before, cost.best_ratio))
        before = cost.best_ns
    note = "Each row has the parts of those above it; the last is the whole."
    return Table(title, ("with", "ns", "ns more", "x floor, best"), tuple(rows), note)


async def _joins(stage: int, operations: int) -> int:
    loop, lock, keyspace = asyncio.get_running_loop(), Lock(), Keyspace[int](Policy())
    keyspace.enter(KEY, 0)
    waiters: list[asyncio.Future[int]] = []

    def enter() -> asyncio.Future[int]:
        if stage >= 1:
            asyncio.get_running_loop()
        if stage >= 2:
            lock.acquire()
        if stage >= 3:
            LOADING.get()
            monotonic_ns()
        if stage >= 4:
            keyspace.enter(KEY, 0)
        waiter: asyncio.Future[int] = asyncio.Future(loop=loop)
        waiters.append(waiter)
        if stage >= 2:
            lock.release()
        return waiter

    async def get() -> int:
        return await enter()

    def let_go() -> None:
        for waiter in waiters:
            waiter.set_result(KEY)

    return await join.joined(get, operations, let_go, with_tasks=True)


async def _misses(stage: int, operations: int) -> int:
    loop, lock, keyspace = asyncio.get_running_loop(), Lock(), Keyspace[int](Policy())

    async def settle(key: int, waiter: asyncio.Future[int]) -> None:
        value = await load(key)
        if stage >= 2:
            lock.acquire()
        if stage >= 3:
            monotonic_ns()
        if stage >= 4:
            keyspace.fill(keyspace.flights[key + 1], value, 0)
        if stage >= 2:
            lock.release()
        waiter.set_result(value)

    async def get(key: int) -> int:
        if stage >= 1:
            asyncio.get_running_loop()
        if stage >= 2:
            lock.acquire()
        if stage >= 3:
            LOADING.get()
            monotonic_ns()
        if stage >= 4:
            keyspace.enter(key, 0)
        if stage >= 2:
            lock.release()
        waiter: asyncio.Future[int] = asyncio.Future(loop=loop)
        task = loop.create_task(settle(key, waiter))
        value = await waiter
        assert not task.cancelled()
        return value

    start = cpu_time()
    for key in range(operations):
        await get(key)
    return cpu_time() - start
