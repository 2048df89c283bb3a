"""One run of the herd: every phase, in every runtime, through the plain cache and through herdless."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, final

from herdless._command._check import flights_of, violations
from herdless._command._ledger import Ledger
from herdless._command._origin import Source
from herdless._command._plan import COLD, Plan
from herdless._command._serve import Order, Serve
from herdless._command._timeline import Segment, time_line

PLAIN: Final = "plain ttl"
CACHES: Final = (PLAIN, "herdless")


@final
@dataclass(frozen=True, slots=True)
class Row:
    """What one cache did in one phase. Seconds."""

    phase: str
    runtime: str
    cache: str
    callers: int
    lookups: int
    queries: int
    generations: int | None
    """How many the cache began; None: it knows none."""
    p50: float
    p99: float
    elapsed: float
    time_line: tuple[Segment, ...]
    """Of the watched key's entry."""
    violations: tuple[str, ...]


def run_all(
    plans: Sequence[Plan], runtimes: dict[str, Serve], source: Source, announce: Callable[[str], None]
) -> list[Row]:
    """Every row of the report; `announce` is told of each before it begins."""
    rows = []
    for plan, (runtime, serve) in product(plans, runtimes.items()):
        for cache in CACHES:
            announce(f"{plan.phase}: {runtime}, {cache}")
            rows.append(run_one(plan, runtime, serve, source, cache))
    return rows


def run_one(plan: Plan, runtime: str, serve: Serve, source: Source, cache: str) -> Row:
    """One phase in one runtime through one cache."""
    ledger = Ledger()
    is_plain = cache == PLAIN
    measured = serve(Order(plan, ledger.recording(source), source.is_async, None if is_plain else ledger.observe))
    flights = flights_of(ledger.steps)
    watched = [step for key, step in ledger.steps if key == plan.watched]
    latencies = sorted(measured.latencies)
    found = [] if is_plain else violations(ledger.loads, flights, is_cold_herd=plan.phase == COLD)
    return Row(
        phase=plan.phase,
        runtime=runtime,
        cache=cache,
        callers=len(plan.callers),
        lookups=len(latencies),
        queries=len(ledger.loads),
        generations=None if is_plain else len(flights),
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
        elapsed=measured.elapsed,
        time_line=time_line(watched, measured.started_at, measured.elapsed),
        violations=tuple(f"{plan.phase}, {runtime}: {what}" for what in found),
    )


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The nearest rank: the smallest value that so large a fraction of them does not exceed."""
    return ordered[math.ceil(fraction * len(ordered)) - 1]
