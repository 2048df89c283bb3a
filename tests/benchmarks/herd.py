"""Ten thousand callers ask for one key that is not there, all by one `asyncio.gather`.

Loads, CPU time per caller (the making of its task included), and the time from the end of the load to the answer of
the 99th percentile of callers. The floor is ten thousand that await one bare future, gathered likewise.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter_ns
from typing import Final

from tests.benchmarks import svg
from tests.benchmarks.hit import KEY
from tests.benchmarks.join import Gate, gather
from tests.benchmarks.measure import Batch, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import ASYNC, AsyncGet, AsyncMaker, is_installed

FLOOR: Final = "bare shared future"
MILLISECOND: Final = 1e6


def run(plan: Plan) -> Result:
    """The herd in asyncio, for every subject; those who load more than once too, with their loads beside them."""
    waiters = plan.size(10_000, 2_000)
    makers = {name: make for name, make in ASYNC.items() if is_installed(name)}
    with asyncio.Runner() as runner:
        loads = {name: runner.run(_loads(make, waiters)) for name, make in makers.items()}
        late = {name: runner.run(_p99_ns(make, waiters)) for name, make in makers.items()}
        batches: dict[str, Batch] = {FLOOR: on_loop(runner, bare_herd)}
        batches |= {name: on_loop(runner, partial(herd, make)) for name, make in makers.items()}
        costs = compare(batches, base=FLOOR, rounds=plan.size(9, 3), operations=waiters)
    rows = tuple(
        (name, loads.get(name, 1), cost.best_ns, cost.best_ratio, cost.median_ratio, _ms(late.get(name)))
        for name, cost in sorted(costs.items(), key=lambda item: (loads.get(item[0], 1) > 1, item[1].best_ratio))
    )
    columns = ("subject", "loads", "CPU ns per waiter", "x floor, best", "x floor, median", "p99 ms after the load")
    figures = {"herd loads": float(loads["herdless"]), "herd": costs["herdless"].best_ratio}
    if "async-lru" in costs:
        figures["async-lru / herdless, herd"] = costs["async-lru"].best_ns / costs["herdless"].best_ns
    note = "More than one load is a wrong answer, however fast: those are listed last."
    title = f"A herd of {waiters:,}, asyncio"
    plot = svg.bars(
        "CPU time per waiter of one key; in red: more than one load",
        {str(row[0]): row[2] for row in rows},
        unit="ns",
        wrong=frozenset(name for name, count in loads.items() if count > 1),
    )
    return Result((Table(title, columns, rows, note),), figures, {"herd.svg": plot})


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / MILLISECOND


async def _loads(make: AsyncMaker, waiters: int) -> int:
    gate = Gate()
    await gather(make(gate.load, 10), waiters, gate)
    return gate.loads


async def herd(make: AsyncMaker, waiters: int) -> int:
    """The CPU time of so many callers of one key."""
    gate = Gate()
    get = make(gate.load, 10)
    start = cpu_time()
    await gather(get, waiters, gate)
    return cpu_time() - start


async def bare_herd(waiters: int) -> int:
    """The CPU time of so many callers that await one bare future."""
    shared: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    gate = Gate()

    async def load() -> None:
        shared.set_result(await gate.load(KEY))

    async def get(key: int) -> int:
        return await shared

    start = cpu_time()
    loading = asyncio.ensure_future(load())
    await gather(get, waiters, gate)
    await loading
    return cpu_time() - start


async def _p99_ns(make: AsyncMaker, waiters: int) -> float:
    """Nanoseconds from the end of the load until 99 % of the callers have their answers; the best of three."""
    best = float("inf")
    for _ in range(3):
        gate = Gate()
        answered: list[int] = []
        get = partial(_noting, make(gate.load, 10), answered)
        tasks = [asyncio.ensure_future(get(KEY)) for _ in range(waiters)]
        await asyncio.sleep(0)
        start = perf_counter_ns()
        gate.open()
        await asyncio.wait(tasks)
        best = min(best, sorted(answered)[int(0.99 * len(answered)) - 1] - start)
    return best


async def _noting(get: AsyncGet, answered: list[int], key: int) -> int:
    value = await get(key)
    answered.append(perf_counter_ns())
    return value
