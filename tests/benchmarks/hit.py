"""A lookup whose value is there: in asyncio, in trio, in threads, and stale.

Ten lookups stand in the body of the loop, so that the loop itself costs next to nothing of what is measured.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Literal

import trio

import herdless.asyncio
import herdless.trio
from tests.benchmarks import svg
from tests.benchmarks.measure import Batch, Cost, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import ASYNC, SYNC, AsyncGet, Get, is_installed

KEY: Final = 7
TABLE: Final = {KEY: KEY}
FLOOR: Final = "bare coroutine"
DICT: Final = "dict"
COLUMNS: Final = ("subject", "ns", "x floor, best", "x floor, median")
ROOM: Final = 1000


def run(plan: Plan) -> Result:
    """All kinds of hits."""
    with asyncio.Runner() as runner:
        in_asyncio = compare(_asyncio_batches(runner), base=FLOOR, rounds=plan.rounds)
        cache = herdless.asyncio.Cache(_stuck, ttl=60, stale_while_revalidate=3600)
        stale = compare(_stale_batches(runner, cache), base=FLOOR, rounds=plan.rounds)
        runner.run(cache.close())
    in_trio = compare(_trio_batches(), base=FLOOR, rounds=plan.rounds)
    in_threads = compare(_thread_batches(), base=DICT, rounds=plan.rounds)
    return Result(
        tables=(
            table("Hit, asyncio", in_asyncio, f"Floor: awaiting a coroutine that returns `d[key]` ({FLOOR})."),
            table("Stale hit, asyncio", stale, "A value past its ttl, answered while its refresh is in flight."),
            table("Hit, trio", in_trio, "The three checkpoint modes; the same floor, run by trio."),
            table("Hit, threads", in_threads, "Floor: `d[key]`."),
        ),
        figures={
            "async hit": in_asyncio["herdless"].best_ratio,
            "async hit, ttl": in_asyncio["herdless, ttl"].best_ratio,
            "stale hit": stale["herdless, stale hit"].best_ratio,
            "threads hit": in_threads["herdless"].best_ratio,
            "threads hit, ttl": in_threads["herdless, ttl"].best_ratio,
        }
        | _against_async_lru(in_asyncio),
        plots={"hit.svg": plot("A hit in asyncio, as a multiple of a bare coroutine", in_asyncio)},
    )


def table(title: str, costs: dict[str, Cost], note: str) -> Table:
    """The costs, cheapest first."""
    ordered = sorted(costs.items(), key=lambda item: item[1].best_ratio)
    rows = tuple((name, cost.best_ns, cost.best_ratio, cost.median_ratio) for name, cost in ordered)
    return Table(title, COLUMNS, rows, note)


def plot(title: str, costs: dict[str, Cost]) -> str:
    """The best ratios, cheapest first."""
    ordered = sorted(costs.items(), key=lambda item: item[1].best_ratio)
    return svg.bars(title, {name: cost.best_ratio for name, cost in ordered}, unit="x")


def _against_async_lru(costs: dict[str, Cost]) -> dict[str, float]:
    if "async-lru" not in costs:
        return {}
    return {"async-lru / herdless, hit": costs["async-lru"].best_ns / costs["herdless"].best_ns}


# asyncio


async def load(key: int) -> int:
    """A loader that costs as little as one can."""
    return key


async def bare(key: int) -> int:
    """The floor: the cheapest coroutine that looks a key up."""
    return TABLE[key]


def _asyncio_batches(runner: asyncio.Runner) -> dict[str, Batch]:
    gets: dict[str, AsyncGet] = {FLOOR: bare}
    gets |= {name: make(load, ROOM) for name, make in ASYNC.items() if is_installed(name)}
    for get in gets.values():
        runner.run(_first(get))
    return {name: on_loop(runner, partial(await_hits, get)) for name, get in gets.items()}


async def _first(get: AsyncGet) -> None:
    await get(KEY)


async def await_hits(get: AsyncGet, operations: int) -> int:
    """The CPU time of so many lookups; `operations` is a multiple of ten."""
    key = KEY
    start = cpu_time()
    for _ in range(operations // 10):
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
        await get(key)
    return cpu_time() - start


def _stale_batches(runner: asyncio.Runner, cache: herdless.asyncio.Cache[int, int]) -> dict[str, Batch]:
    cache.put(KEY, KEY)
    cache.expire(KEY)
    gets = {FLOOR: bare, "herdless, stale hit": cache.get}
    return {name: on_loop(runner, partial(await_hits, get)) for name, get in gets.items()}


async def _stuck(key: int) -> int:
    """A refresh that never ends, so that the value stays stale."""
    await asyncio.Event().wait()
    return key


# trio


def _trio_batches() -> dict[str, Batch]:
    batches: dict[str, Batch] = {FLOOR: lambda operations: trio.run(await_hits, bare, operations)}
    modes: tuple[Literal["never", "fair", "always"], ...] = ("never", "fair", "always")
    for mode in modes:
        batches[f'herdless, checkpoint="{mode}"'] = partial(_run_trio, mode)
    return batches


def _run_trio(mode: Literal["never", "fair", "always"], operations: int) -> int:
    async def main() -> int:
        async with herdless.trio.Cache(load, checkpoint=mode) as cache:
            cache.put(KEY, KEY)
            return await await_hits(cache.get, operations)

    return trio.run(main)


# Threads


def _thread_batches() -> dict[str, Batch]:
    batches: dict[str, Batch] = {DICT: _dict_hits, "bare function": partial(hits, _bare)}
    for name, make in SYNC.items():
        if is_installed(name):
            get = make(_bare, ROOM)
            get(KEY)
            batches[name] = partial(hits, get)
    return batches


def _bare(key: int) -> int:
    return TABLE[key]


def hits(get: Get, operations: int) -> int:
    """The CPU time of so many lookups; `operations` is a multiple of ten."""
    key = KEY
    start = cpu_time()
    for _ in range(operations // 10):
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
        get(key)
    return cpu_time() - start


def _dict_hits(operations: int) -> int:
    table, key = TABLE, KEY
    start = cpu_time()
    for _ in range(operations // 10):
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
        table[key]
    return cpu_time() - start
