"""A lookup that waits for a load in flight.

Each waiter is a task of its own, as each request of a server is. The floor is so many tasks that await one bare future
together; it is no cache, since one of them cancelled would cancel all. The second table leaves the making of the tasks
out: what remains is the joining and the waking.
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
        makers = {name: make for name, make in ASYNC.items() if is_installed(name) and runner.run(coalesces(make))}
        whole: dict[str, Batch] = {FLOOR: on_loop(runner, partial(bare_joins, with_tasks=True))}
        whole |= {name: on_loop(runner, partial(joins, make, with_tasks=True)) for name, make in makers.items()}
        alone: dict[str, Batch] = {FLOOR: on_loop(runner, bare_joins)}
        alone |= {name: on_loop(runner, partial(joins, make)) for name, make in makers.items()}
        costs = compare(whole, base=FLOOR, rounds=plan.rounds, operations=WAITERS)
        costs_alone = compare(alone, base=FLOOR, rounds=plan.rounds, operations=WAITERS)
    note = f"{WAITERS} tasks, made here, join one load and are woken. Only caches that load once are listed."
    note_alone = f"The same with {WAITERS} tasks that are made beforehand."
    return Result(
        tables=(
            table("Join, asyncio", costs, note),
            table("Join, asyncio, without making the tasks", costs_alone, note_alone),
        ),
        figures={"join": costs["herdless"].best_ratio, "join alone": costs_alone["herdless"].best_ratio},
    )


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
    """So many callers look the key up at once, the gate opens when all wait, and all are answered."""
    answers = asyncio.gather(*[get(KEY) for _ in range(waiters)])
    await asyncio.sleep(0)
    gate.open()
    await answers


async def joins(make: AsyncMaker, operations: int, *, with_tasks: bool = False) -> int:
    """The CPU time of so many joins."""
    gate = Gate()
    get = make(gate.load, 10)
    first = asyncio.ensure_future(get(KEY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    took = await joined(partial(get, KEY), operations, gate.open, with_tasks=with_tasks)
    await first
    return took


async def bare_joins(operations: int, *, with_tasks: bool = False) -> int:
    """The CPU time of so many tasks that await one future."""
    shared: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await shared

    return await joined(wait, operations, partial(shared.set_result, KEY), with_tasks=with_tasks)


async def joined(
    wait: Callable[[], Coroutine[Any, Any, int]], operations: int, let_go: Callable[[], None], *, with_tasks: bool
) -> int:
    """The CPU time from the first step of the waiters, or from the making of their tasks, to the end of the last."""
    create_task = asyncio.get_running_loop().create_task
    start = cpu_time()
    tasks = [create_task(wait()) for _ in range(operations)]
    if not with_tasks:
        start = cpu_time()
    await asyncio.sleep(0)  # all step until they wait
    let_go()
    for task in tasks:
        await task
    return cpu_time() - start
