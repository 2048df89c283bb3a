"""Put, invalidate, and loading under eviction pressure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import herdless.threads
from tests.benchmarks.hit import table
from tests.benchmarks.measure import Batch, compare, cpu_time
from tests.benchmarks.results import Plan, Result
from tests.benchmarks.subjects import SYNC, TTL_SECONDS, Maker, is_installed, module

FLOOR: Final = "dict"
OPERATIONS: Final = 1000
ROOM: Final = 1000
BOUNDED: Final = (
    "herdless, ttl and maxsize",
    "functools.lru_cache",
    "cachebox",
    "cachetools",
    "moka-py, wait",
    "onecache",
    "theine",
)
"""The subjects that evict."""


def run(plan: Plan) -> Result:
    """All writes; they neither wait nor load, and cost the same in every runtime."""
    makers = _mappings()
    put = {name: partial(_puts, make) for name, make in makers.items()}
    invalidate = {name: partial(_invalidations, make) for name, make in makers.items()}
    pressed: dict[str, Batch] = {FLOOR: _fill_dict}
    pressed |= {name: partial(_evictions, SYNC[name]) for name in BOUNDED if is_installed(name)}
    costs = [
        compare(batches, base=FLOOR, rounds=plan.rounds, operations=OPERATIONS)
        for batches in (put, invalidate, pressed)
    ]
    notes = ("A new key each time. Floor: `d[key] = value`.", "A key that is there. Floor: `del d[key]`.")
    note = f"Every lookup misses, loads, and evicts one of {ROOM:,} entries; threads. Floor: `d[key] = load(key)`."
    return Result(
        tables=(
            table("Put", costs[0], notes[0]),
            table("Invalidate", costs[1], notes[1]),
            table("Eviction pressure", costs[2], note),
        ),
        figures={"put": costs[0]["herdless"].best_ns, "invalidate": costs[1]["herdless"].best_ns},
    )


class Mapping:
    """What is measured of a mapping-like cache."""

    def __init__(self, put: Callable[[int, int], object], remove: Callable[[int], object]) -> None:
        self.put: Final = put
        self.remove: Final = remove


def _mappings() -> dict[str, Callable[[], Mapping]]:
    makers: dict[str, Callable[[], Mapping]] = {
        FLOOR: lambda: _item_access({}),
        "herdless": lambda: _own(herdless.threads.Cache(_load)),
        "herdless, ttl": lambda: _own(herdless.threads.Cache(_load, ttl=TTL_SECONDS)),
        "herdless, ttl and maxsize": lambda: _own(herdless.threads.Cache(_load, ttl=TTL_SECONDS, maxsize=OPERATIONS)),
        "cachetools": lambda: _item_access(module("cachetools").TTLCache(OPERATIONS, TTL_SECONDS)),
        "cachebox": lambda: _item_access(module("cachebox").TTLCache(OPERATIONS, TTL_SECONDS)),
        "moka-py": lambda: _named(module("moka_py").Moka(OPERATIONS, ttl=TTL_SECONDS), "set", "remove"),
        "theine": lambda: _named(module("theine").Cache(OPERATIONS), "set", "delete"),
    }
    return {name: make for name, make in makers.items() if is_installed(name)}


def _own(cache: herdless.threads.Cache[int, int]) -> Mapping:
    return Mapping(cache.put, cache.invalidate)


def _item_access(mapping: Any) -> Mapping:
    return Mapping(mapping.__setitem__, mapping.__delitem__)


def _named(cache: Any, put: str, remove: str) -> Mapping:
    return Mapping(getattr(cache, put), getattr(cache, remove))


def _puts(make: Callable[[], Mapping], operations: int) -> int:
    put = make().put
    start = cpu_time()
    for key in range(operations):
        put(key, key)
    return cpu_time() - start


def _invalidations(make: Callable[[], Mapping], operations: int) -> int:
    mapping = make()
    for key in range(operations):
        mapping.put(key, key)
    remove = mapping.remove
    start = cpu_time()
    for key in range(operations):
        remove(key)
    return cpu_time() - start


def _evictions(make: Maker, operations: int) -> int:
    get = make(_load, ROOM)
    for key in range(-ROOM, 0):
        get(key)
    start = cpu_time()
    for key in range(operations):
        get(key)
    return cpu_time() - start


def _fill_dict(operations: int) -> int:
    entries: dict[int, int] = {}
    start = cpu_time()
    for key in range(operations):
        entries[key] = _load(key)
    return cpu_time() - start


def _load(key: int) -> int:
    return key
