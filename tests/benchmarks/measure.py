"""Interleaved A/B measurement in one process.

Every subject runs once in every round, in an order that moves on by one from round to round, so that a slow second of
the machine hits all alike. What is measured is the CPU time of the process, threads of its own included: what other
people do on the machine costs wall time, not CPU time. The garbage collector is off while a batch runs.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import process_time_ns
from typing import Any, Final, TypeAlias

Batch: TypeAlias = Callable[[int], int]
"""Does an operation n times and returns the CPU nanoseconds that these took, without its own preparations."""

AsyncBatch: TypeAlias = Callable[[int], Coroutine[Any, Any, int]]

BATCH_NANOSECONDS: Final = 3_000_000
"""A batch is made about so long: far above the clock's resolution, far below the machine's moods."""

MAX_OPERATIONS: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation costs, absolutely and as a multiple of the base."""

    best_ns: float
    median_ns: float
    best_ratio: float
    """The subject's best round by the base's best round."""
    median_ratio: float
    """The median of the ratios within each round."""


def compare(batches: Mapping[str, Batch], *, base: str, rounds: int, operations: int | None = None) -> dict[str, Cost]:
    """The cost of every batch; `operations` per batch are found by trying unless they are given."""
    gc.collect()
    gc.freeze()  # so that the collections before each batch look at what the subjects left, not at all modules
    counts = {name: operations or _calibrated(batch) for name, batch in batches.items()}
    names = list(batches)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            times[name].append(_timed(batches[name], counts[name]) / counts[name])
    return {name: _cost(times[name], times[base]) for name in names}


def on_loop(runner: asyncio.Runner, batch: AsyncBatch) -> Batch:
    """An asynchronous batch as a synchronous one, on the runner's event loop."""
    return lambda operations: runner.run(batch(operations))


def cpu_time() -> int:
    """The CPU time of this process so far, in nanoseconds."""
    return process_time_ns()


def _cost(times: list[float], base: list[float]) -> Cost:
    return Cost(
        best_ns=min(times),
        median_ns=statistics.median(times),
        best_ratio=min(times) / min(base),
        median_ratio=statistics.median(mine / floor for mine, floor in zip(times, base, strict=True)),
    )


def _calibrated(batch: Batch) -> int:
    operations = 20
    while operations < MAX_OPERATIONS and _timed(batch, operations) < BATCH_NANOSECONDS:
        operations *= 2
    return operations


def _timed(batch: Batch, operations: int) -> int:
    gc.collect()
    gc.disable()
    try:
        return batch(operations)
    finally:
        gc.enable()
