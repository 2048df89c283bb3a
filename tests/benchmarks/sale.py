"""The flash sale, simulated: the real caches on an event loop in virtual time, so the same figures on every machine.

The CPU time of the caches takes no virtual time; it is in the other sections.
"""

from __future__ import annotations

from typing import Final

from tests.benchmarks import svg
from tests.benchmarks.origin import LOAD_SECONDS, Origin, Stall
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.shop import BARE, SWR, TTL_SECONDS, bare, plain, serving_stale, shops
from tests.benchmarks.visitors import REQUESTS_PER_SECOND, Crowd, Day, sell

KEYS: Final = 100_000
STALL_SECONDS: Final = 2.5
CONNECTIONS: Final = 10
"""Times 50 loads a second each: 500 queries a second."""

COLUMNS: Final = (
    "cache",
    "loads",
    "of the hottest key",
    "of the top ten",
    "peak loads of one key",
    "p50 ms",
    "p99 ms",
    "p99 ms of those who waited",
)


def run(plan: Plan) -> Result:
    """The sale against an origin that stalls, against one that queues, and for which crowds coalescing pays."""
    seconds = plan.size(10, 4)
    crowd = Crowd(keys=KEYS, seconds=seconds)
    middle = (seconds - STALL_SECONDS) / 2
    stall = Stall(middle, middle + STALL_SECONDS)
    makers = dict(list(shops().items())[: plan.size(99, 3)])
    stalling = {name: sell(make, Origin(stall), crowd) for name, make in makers.items()}
    few = {BARE: bare, "herdless": plain, SWR: serving_stale}
    queueing = {name: sell(make, Origin(stall, CONNECTIONS), crowd) for name, make in few.items()}
    setting = (
        f"Zipf(1.0) over {KEYS:,} keys, {REQUESTS_PER_SECOND:,} requests/s for {seconds} s, ttl {TTL_SECONDS} s, "
        f"loads of {LOAD_SECONDS * 1e3:.0f} ms, a stall of {STALL_SECONDS} s in the middle. "
    )
    return Result(
        tables=(
            Table("Flash sale", COLUMNS, _rows(stalling), setting + "The origin takes any number of loads at a time."),
            Table("Flash sale, 500 queries/s", COLUMNS, _rows(queueing), setting + QUEUE_NOTE),
            _claims(plan),
        ),
        figures={
            "sale, hottest": stalling[BARE].hottest / stalling["herdless"].hottest,
            "sale, total": 1 - stalling["herdless"].loads / stalling[BARE].loads,
        },
        plots={
            "sale.svg": svg.bars(
                "Flash sale: the most simultaneous loads of one key",
                {name: float(day.peak) for name, day in stalling.items()},
                unit="loads",
                wrong=frozenset(name for name, day in stalling.items() if day.peak > 1),
            )
        },
    )


QUEUE_NOTE: Final = (
    "The origin does 500 queries/s and queues the others. The tail of the keys alone asks for more than that, so the "
    "queue grows for as long as the sale lasts, with or without coalescing."
)


def _rows(days: dict[str, Day]) -> tuple[tuple[str | int | float | None, ...], ...]:
    return tuple(
        (name, d.loads, d.hottest, d.top_ten, d.peak, d.p50_ms, d.p99_ms, d.waited_p99_ms) for name, d in days.items()
    )


def _claims(plan: Plan) -> Table:
    """For which crowds it holds that coalescing saves 40 % of the queries and that misses take under 100 ms."""
    rows = []
    for keys in (10, 100, 1_000, 10_000, 100_000):
        crowd = Crowd(keys=keys, seconds=plan.size(3, 2))
        without, coalesced = (sell(make, Origin(), crowd) for make in (bare, plain))
        slow_without, slow = (sell(make, Origin(connections=CONNECTIONS), crowd) for make in (bare, plain))
        saved = 1 - coalesced.loads / without.loads
        holds = saved >= 0.4 and (slow.waited_p99_ms or 0) < 100
        rows.append(
            (
                f"{keys:,}",
                without.loads,
                coalesced.loads,
                f"{saved:.0%}",
                coalesced.waited_p99_ms,
                slow_without.waited_p99_ms,
                slow.waited_p99_ms,
                "yes" if holds else "no",
            )
        )
    columns = (
        "keys",
        "loads without coalescing",
        "loads, herdless",
        "fewer",
        "p99 ms of misses",
        "at 500 queries/s, without",
        "at 500 queries/s, herdless",
        "40 % fewer and under 100 ms at 500 queries/s",
    )
    note = (
        f"Zipf(1.0), {REQUESTS_PER_SECOND:,} requests/s, ttl {TTL_SECONDS} s, loads of 20 ms, no stall, from a cold "
        "start. Misses include joins."
    )
    return Table("Where coalescing pays", columns, tuple(rows), note)
