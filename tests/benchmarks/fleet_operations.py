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


def telling(server: Server, plan: Plan) -> Table:
    """What it costs the store that a change is told to so many processes."""
    changes = plan.size(500, 100)
    rows: list[tuple[Cell, ...]] = []
    for listeners in (0, 1, 8, 64, 256):
        store = RedisStore(server.url, name=f"telling{listeners}", timeout=10)
        connections = [store.connect() for _ in range(listeners + 1)]
        heard = [connection.listen(f"owner{number}") for number, connection in enumerate(connections[1:])]
        connections[0].forget("first")
        with billed(server) as bills:
            for _ in range(changes):
                connections[0].forget("key")
        for listener in heard:
            if listener is not None:
                listener.close()
        for connection in connections:
            connection.close()
        cpu = bills[0].cpu_seconds / changes
        rows.append((listeners, cpu * MICROSECONDS, bills[0].bytes_out / changes, round(0.5 / cpu) if cpu else None))
    note = (
        f"{changes} times `invalidate`, each told to so many listeners over one channel. The CPU time is the "
        "server's own, as it says. The last column is what half a processor would do."
    )
    columns = ("processes that listen", "store CPU us per change", "bytes out per change", "changes/s of half a CPU")
    return Table("What is told", columns, tuple(rows), note)
