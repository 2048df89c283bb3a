"""Ten thousand visitors a second, in an open loop: they come whether or not the shop keeps up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tests.benchmarks.origin import Origin
from tests.benchmarks.shop import ShopMaker
from tests.benchmarks.subjects import AsyncGet
from tests.benchmarks.virtual import VirtualTimeLoop, run

REQUESTS_PER_SECOND: Final = 10_000
TICK_SECONDS: Final = 0.001
"""Visitors come in ticks; so many together that one second has its number."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who asks for what: `keys` articles, the n-th asked for in proportion to n ** -skew."""

    keys: int
    seconds: float
    skew: float = 1.0

    def arrivals(self) -> Iterator[list[int]]:
        """The keys asked for in each tick; the same at every run."""
        weights = list(accumulate(rank**-self.skew for rank in range(1, self.keys + 1)))
        draw = random.Random(self.keys)
        together = round(REQUESTS_PER_SECOND * TICK_SECONDS)
        for _ in range(round(self.seconds / TICK_SECONDS)):
            yield draw.choices(range(self.keys), cum_weights=weights, k=together)


@dataclass(frozen=True, slots=True)
class Day:
    """What the sale came to."""

    loads: int
    hottest: int
    """Loads of the key that was asked for most."""
    top_ten: int
    peak: int
    """The most simultaneous loads of one key."""
    p50_ms: float
    p99_ms: float
    waited_p99_ms: float | None
    """Of the requests that waited at all: the misses and joins."""


def sell(make: ShopMaker, origin: Origin, crowd: Crowd) -> Day:
    """Let the crowd in, and wait until the last one is served."""
    loop = VirtualTimeLoop()
    latencies = run(_serve(make(origin.load, loop), crowd), loop)
    latencies.sort()
    waited = [latency for latency in latencies if latency > 0]
    return Day(
        loads=origin.loads.total(),
        hottest=origin.loads[0],
        top_ten=sum(origin.loads[key] for key in range(10)),
        peak=max(origin.peak.values()),
        p50_ms=_quantile_ms(latencies, 0.50),
        p99_ms=_quantile_ms(latencies, 0.99),
        waited_p99_ms=_quantile_ms(waited, 0.99) if waited else None,
    )


async def _serve(get: AsyncGet, crowd: Crowd) -> list[float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    visitors: set[asyncio.Task[None]] = set()

    async def visit(key: int) -> None:
        came = loop.time()
        await get(key)
        latencies.append(loop.time() - came)

    for tick, keys in enumerate(crowd.arrivals()):
        await asyncio.sleep(tick * TICK_SECONDS - loop.time())
        for key in keys:
            task = loop.create_task(visit(key))
            visitors.add(task)
            task.add_done_callback(visitors.discard)
    while visitors:
        await asyncio.wait(visitors)
    return latencies


def _quantile_ms(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] * 1e3
