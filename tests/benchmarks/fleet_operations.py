"""Single lookups of a shared cache beside a bare GET, in turns in one process."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

import herdless.asyncio
from herdless.stores import RedisStore
from tests.benchmarks.fleet_crew import billed
from tests.benchmarks.hit import KEY
from tests.benchmarks.measure import AsyncBatch, compare, cpu_time, on_loop
from tests.benchmarks.results import Cell, Plan, Table
from tests.benchmarks.subjects import module
from tests.fleet.server import Server

Operation = Callable[[], Awaitable[object]]
VALUE: Final = {"id": 7, "name": "Ada", "balance": "0.00", "roles": ["reader", "writer"]}
BATCH: Final = 40
BARE: Final = "bare GET"
MICROSECONDS: Final = 1e6


def table(server: Server, plan: Plan, figures: dict[str, float]) -> Table:
    """Wall time, since the store's is a part of it."""
    rows = asyncio.run(_measured(server, plan, figures))
    figures["near hit"] = _near_hit(server, plan)
    rows += [("near hit, x a hit of a cache of one process (CPU)", None, figures["near hit"], None, None, None, None)]
    note = (
        f"One process, one caller, {BATCH} of each kind in turns; wall time, as multiples of a GET of the same "
        "record by the same client library in the same round. The server is on the same machine, so a round trip over "
        "a network is missing in all of them. Cold: nothing is there, and the load takes no time. Warm: the record is "
        "there, and nothing near."
    )
    columns = ("operation", "us, best", "x GET, best", "x GET, median", "commands", "bytes in", "bytes out")
    return Table("Single operations", columns, tuple(rows), note)


async def _measured(server: Server, plan: Plan, figures: dict[str, float]) -> list[tuple[Cell, ...]]:
    async def load(key: int | str) -> Any:
        return VALUE

    store = RedisStore(server.url, name="operations")
    client = module("redis.asyncio").Redis.from_url(server.url)
    rounds = plan.size(60, 6)
    cold, warm = itertools.count(1_000_000), itertools.count()
    async with (
        herdless.asyncio.SharedCache(load, store=store, ttl=3_600) as cache,
        herdless.asyncio.SharedCache(load, store=store, ttl=3_600) as other,
    ):
        for key in range((rounds + 1) * BATCH):
            await other.get(key)
        await client.set("bare", await client.get(f"operations:{KEY}"))
        operations: dict[str, Operation] = {
            BARE: lambda: client.get("bare"),
            "cold lookup": lambda: cache.get(next(cold)),
            "warm lookup": lambda: cache.get(next(warm)),
            "invalidate": lambda: cache.invalidate("dropped"),
            "put": lambda: cache.put("put", VALUE),
        }
        seconds: dict[str, list[float]] = {name: [] for name in operations}
        names = list(operations)
        for turn in range(rounds):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                seconds[name].append(await _timed(operations[name]))
        rows: list[tuple[Cell, ...]] = []
        for name, operation in operations.items():
            with billed(server) as bills:
                for _ in range(BATCH):
                    await operation()
            best, bill = min(seconds[name]) / min(seconds[BARE]), bills[0]
            ratios = [mine / floor for mine, floor in zip(seconds[name], seconds[BARE], strict=True)]
            figures[f"fleet {name}"] = best
            counts = (bill.commands / BATCH, bill.bytes_in / BATCH, bill.bytes_out / BATCH)
            rows.append((name, min(seconds[name]) * MICROSECONDS, best, statistics.median(ratios), *counts))
    await client.aclose()
    return rows


async def _timed(operation: Operation) -> float:
    began = perf_counter()
    for _ in range(BATCH):
        await operation()
    return (perf_counter() - began) / BATCH


def _near_hit(server: Server, plan: Plan) -> float:
    """By CPU time, as the hits of the other tables."""

    async def load(key: int) -> Any:
        return VALUE

    def looks_up(get: Callable[[int], Awaitable[Any]]) -> AsyncBatch:
        async def batch(operations: int) -> int:
            start = cpu_time()
            for _ in range(operations):
                await get(KEY)
            return cpu_time() - start

        return batch

    with asyncio.Runner() as runner:
        own = herdless.asyncio.Cache(load, ttl=3_600)
        shared = herdless.asyncio.SharedCache(load, store=RedisStore(server.url, name="near"), ttl=3_600, staleness=600)
        runner.run(own.get(KEY))
        runner.run(shared.get(KEY))
        batches = {"own": on_loop(runner, looks_up(own.get)), "near": on_loop(runner, looks_up(shared.get))}
        costs = compare(batches, base="own", rounds=plan.rounds)
        runner.run(shared.close())
        runner.run(own.close())
    return costs["near"].best_ratio
