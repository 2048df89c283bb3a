"""One run of the herd: every phase, in every runtime, through the plain cache and through herdless."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import final

from herdless._command._check import flights_of, violations
from herdless._command._ledger import Ledger
from herdless._command._origin import Source
from herdless._command._plan import Plan
from herdless._command._serve import Order, Serve
from herdless._command._timeline import Segment, time_line

CACHES = ("plain ttl", "herdless")


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
    saved: int | None
    """Origin queries that the plain cache made and this one did not; None: this is the plain one."""
    p50: float
    p99: float
    elapsed: float
    generations: int | None
    time_line: tuple[Segment, ...]
    """Of the watched key's entry."""
    violations: tuple[str, ...]


def run_all(
    plans: Sequence[Plan], runtimes: dict[str, Serve], source: Source, announce: Callable[[str], None]
) -> list[Row]:
    """Every row of the report; `announce` is told of each before it begins."""
    rows: list[Row] = []
    for plan, (runtime, serve) in product(plans, runtimes.items()):
        plain: Row | None = None
        for cache in CACHES:
            announce(f"{runtime}, {cache}: {plan.phase}")
            plain = run_one(plan, runtime, serve, source, plain)
            rows.append(plain)
    return rows


def run_one(plan: Plan, runtime: str, serve: Serve, source: Source, plain: Row | None) -> Row:
    """Through herdless, to be compared with the row of the plain cache; or, without one, through the plain cache."""
    ledger = Ledger()
    observe = None if plain is None else ledger.observe
    measured = serve(Order(plan, ledger.recording(source), source.is_async, observe))
    flights = flights_of(ledger.steps)
    watched = [step for key, step in ledger.steps if key == plan.watched]
    latencies = sorted(measured.latencies)
    return Row(
        phase=plan.phase,
        runtime=runtime,
        cache=CACHES[plain is not None],
        callers=len(plan.callers),
        lookups=len(latencies),
        queries=len(ledger.loads),
        saved=None if plain is None else plain.queries - len(ledger.loads),
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
        elapsed=measured.elapsed,
        generations=None if plain is None else len(flights),
        time_line=time_line(watched, measured.started_at, measured.elapsed),
        violations=() if plain is None else _judge(plan, runtime, ledger),
    )


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The nearest rank: the smallest value that so large a fraction of them does not exceed."""
    return ordered[math.ceil(fraction * len(ordered)) - 1]


def _judge(plan: Plan, runtime: str, ledger: Ledger) -> tuple[str, ...]:
    found = violations(ledger.loads, flights_of(ledger.steps), is_cold_herd=plan.phase == "cold")
    return tuple(f"{runtime}, {plan.phase}: {what}" for what in found)
