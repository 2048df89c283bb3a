"""A lookup that starts a load and awaits it; the loader returns at once.

The floor is `await create_task(load(key))`: a load that outlives its caller needs a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.benchmarks.hit import load, plot, table
from tests.benchmarks.measure import Batch, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result
from tests.benchmarks.subjects import ASYNC, SYNC, AsyncMaker, Maker, is_installed

FLOOR: Final = "create_task"
BARE: Final = "bare function and dict"
OPERATIONS: Final = 500


def run(plan: Plan) -> Result:
    """Misses in asyncio and in threads."""
    with asyncio.Runner() as runner:
        batches: dict[str, Batch] = {FLOOR: on_loop(runner, tasks)}
        batches |= {n: on_loop(runner, partial(misses, make)) for n, make in ASYNC.items() if is_installed(n)}
        in_asyncio = compare(batches, base=FLOOR, rounds=plan.rounds, operations=OPERATIONS)
    sync: dict[str, Batch] = {BARE: _fill_dict}
    sync |= {name: partial(_sync_misses, make) for name, make in SYNC.items() if is_installed(name)}
    in_threads = compare(sync, base=BARE, rounds=plan.rounds, operations=OPERATIONS)
    return Result(
        tables=(
            table("Miss, asyncio", in_asyncio, "Floor: `await create_task(load(key))`, storing nothing."),
            table("Miss, threads", in_threads, "Floor: `d[key] = load(key)`. The load runs on the caller's thread."),
        ),
        figures={"miss": in_asyncio["herdless"].best_ratio, "miss, ttl": in_asyncio["herdless, ttl"].best_ratio},
        plots={"miss.svg": plot("A miss in asyncio, as a multiple of create_task", in_asyncio)},
    )


async def tasks(operations: int) -> int:
    """The CPU time of so many tasks of their own."""
    create_task = asyncio.get_running_loop().create_task
    start = cpu_time()
    for key in range(operations):
        await create_task(load(key))
    return cpu_time() - start


async def misses(make: AsyncMaker, operations: int) -> int:
    """The CPU time of looking so many keys up in a new cache."""
    get = make(load, operations)
    start = cpu_time()
    for key in range(operations):
        await get(key)
    return cpu_time() - start


def _fill_dict(operations: int) -> int:
    table: dict[int, int] = {}
    load: Callable[[int], int] = _load
    start = cpu_time()
    for key in range(operations):
        table[key] = load(key)
    return cpu_time() - start


def _load(key: int) -> int:
    return key


def _sync_misses(make: Maker, operations: int) -> int:
    get = make(_load, operations)
    start = cpu_time()
    for key in range(operations):
        get(key)
    return cpu_time() - start
