"""How costs grow: a hit and a miss with the entries held, a herd with its waiters."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Final

import herdless.asyncio
from tests.benchmarks import svg
from tests.benchmarks.herd import FLOOR, bare_herd, herd
from tests.benchmarks.hit import load
from tests.benchmarks.measure import AsyncBatch, compare, cpu_time, on_loop
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import ASYNC, AsyncGet, is_installed

LOOKUPS: Final = 5_000
MISSES: Final = 500
HERD_NAMES: Final = ("herdless", "async-lru")


def run(plan: Plan) -> Result:
    """By entries, and by waiters."""
    entries = [1_000, 10_000, 100_000] if plan.quick else [1_000, 10_000, 100_000, 1_000_000]
    waiters = [1, 10, 100, 1_000] if plan.quick else [1, 10, 100, 1_000, 10_000, 100_000]
    with asyncio.Runner() as runner:
        by_entries = [runner.run(_at_size(size, plan.size(7, 2))) for size in entries]
        by_waiters = [_at_waiters(runner, count, plan.size(7, 2)) for count in waiters]
    return Result(
        tables=(
            Table("Growth with entries", ("entries", *by_entries[0]), _rows(entries, by_entries), ENTRIES_NOTE),
            Table("Growth with waiters", ("waiters", *by_waiters[0]), _rows(waiters, by_waiters), WAITERS_NOTE),
        ),
        plots={
            "growth-entries.svg": _plot("CPU time of one operation by entries held", entries, by_entries, "entries"),
            "growth-waiters.svg": _plot("CPU time per waiter by waiters of one key", waiters, by_waiters, "waiters"),
        },
    )


ENTRIES_NOTE: Final = (
    "CPU ns. Lookups of random keys: what grows is the cost of memory that is not in the processor's caches, which the "
    "dict has too. A hit costs what it costs however many entries there are; so do a miss and a miss that evicts."
)
WAITERS_NOTE: Final = "CPU ns per waiter, the making of its task included; the floor is one shared bare future."


def _rows(sizes: list[int], costs: list[dict[str, float]]) -> tuple[tuple[int | float, ...], ...]:
    return tuple((size, *cost.values()) for size, cost in zip(sizes, costs, strict=True))


def _plot(title: str, sizes: list[int], costs: list[dict[str, float]], x: str) -> str:
    series = {name: [(float(size), cost[name]) for size, cost in zip(sizes, costs, strict=True)] for name in costs[0]}
    return svg.lines(title, series, x=x, y="ns")


async def _at_size(size: int, rounds: int) -> dict[str, float]:
    keys = random.Random(size).choices(range(size), k=LOOKUPS)
    table = dict(zip(range(size), range(size), strict=True))

    async def bare(key: int) -> int:
        return table[key]

    plain = herdless.asyncio.Cache[int, int](load)
    bounded = herdless.asyncio.Cache[int, int](load, ttl=3600, maxsize=size)
    for key in range(size):
        plain.put(key, key)
        bounded.put(key, key)
    best = dict.fromkeys(("bare coroutine", "hit", "hit, ttl and maxsize", "miss", "miss that evicts"), float("inf"))
    for turn in range(rounds):
        new = range(size + turn * MISSES, size + (turn + 1) * MISSES)
        await _look_all_up(bounded.get, keys)  # those that were evicted come back
        for name, get, asked in (
            ("bare coroutine", bare, keys),
            ("hit", plain.get, keys),
            ("hit, ttl and maxsize", bounded.get, keys),
            ("miss", plain.get, new),
            ("miss that evicts", bounded.get, new),
        ):
            best[name] = min(best[name], await _look_all_up(get, asked) / len(asked))
    return best


async def _look_all_up(get: AsyncGet, keys: list[int] | range) -> int:
    start = cpu_time()
    for key in keys:
        await get(key)
    return cpu_time() - start


def _at_waiters(runner: asyncio.Runner, count: int, rounds: int) -> dict[str, float]:
    herds = max(1, 1_000 // count)
    batches = {FLOOR: on_loop(runner, partial(_repeated, bare_herd, herds, count))}
    for name in HERD_NAMES:
        if is_installed(name):
            batches[name] = on_loop(runner, partial(_repeated, partial(herd, ASYNC[name]), herds, count))
    costs = compare(batches, base=FLOOR, rounds=rounds, operations=herds * count)
    return {name: cost.best_ns for name, cost in costs.items()}


async def _repeated(one: AsyncBatch, herds: int, count: int, operations: int) -> int:
    return sum([await one(count) for _ in range(herds)])
