"""How often a bounded cache has what is asked for: the eviction policies on four kinds of workload.

The real caches are driven, in one thread; the same keys for all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, TypeAlias

import herdless.threads
from tests.benchmarks import svg
from tests.benchmarks.results import Cell, Plan, Result, Table
from tests.benchmarks.subjects import Get, Load, is_installed, module

KEYS: Final = 20_000
Bounded: TypeAlias = Callable[[Load, int], Get]


def run(plan: Plan) -> Result:
    """Hit ratios in per cent, by workload and subject."""
    requests = plan.size(100_000, 20_000)
    subjects = {name: make for name, make in POLICIES.items() if is_installed(name)}
    ratios = {
        name: {subject: _hit_percent(make, keys, room) for subject, make in subjects.items()}
        for name, keys, room in _workloads(requests)
    }
    rows: tuple[tuple[Cell, ...], ...] = tuple((workload, *found.values()) for workload, found in ratios.items())
    note = f"Per cent of {requests:,} lookups of up to {KEYS:,} keys; scans ask for keys of their own, once."
    zipf = next(iter(ratios))
    return Result(
        tables=(Table("Hit ratio", ("workload", *subjects), rows, note),),
        figures={f"hit ratio, {workload}": found["herdless"] for workload, found in ratios.items()},
        plots={"hitratio.svg": svg.bars(f"Hit ratio: {zipf}", ratios[zipf], unit="%")},
    )


def _workloads(requests: int) -> list[tuple[str, Sequence[int], int]]:
    one, ten = KEYS // 100, KEYS // 10
    zipf = _zipf(requests)
    scanned = _with_scans(zipf, one)
    return [
        ("Zipf(1.0), room for 1 %", zipf, one),
        ("Zipf(1.0), room for 10 %", zipf, ten),
        ("with scans, room for 1 %", scanned, one),
        ("with scans, room for 10 %", scanned, ten),
        ("loop of 1.25 x the room", [at % (ten * 5 // 4) for at in range(requests)], ten),
        ("shifting Zipf, room for 10 %", _shifting(zipf), ten),
    ]


def _zipf(requests: int) -> list[int]:
    weights = list(accumulate(1 / rank for rank in range(1, KEYS + 1)))
    return random.Random(1).choices(range(KEYS), cum_weights=weights, k=requests)


def _with_scans(keys: Sequence[int], length: int) -> list[int]:
    """After every so many lookups as many new keys that are asked for once."""
    found: list[int] = []
    new = KEYS
    for start in range(0, len(keys) // 2, length):
        found += keys[start : start + length]
        found += range(new, new + length)
        new += length
    return found


def _shifting(keys: Sequence[int]) -> list[int]:
    """What is popular changes ten times."""
    era = len(keys) // 10
    return [(key + at // era * 997) % KEYS for at, key in enumerate(keys)]


def _hit_percent(make: Bounded, keys: Sequence[int], room: int) -> float:
    loads = 0

    def load(key: int) -> int:
        nonlocal loads
        loads += 1
        return key

    get = make(load, room)
    for key in keys:
        get(key)
    return 100 * (1 - loads / len(keys))


def _herdless(load: Load, room: int) -> Get:
    return herdless.threads.Cache(load, maxsize=room).get


def _lru(load: Load, room: int) -> Get:
    return lru_cache(maxsize=room)(load)


def _fifo(load: Load, room: int) -> Get:
    entries: dict[int, int] = {}
    order: deque[int] = deque()

    def get(key: int) -> int:
        if key not in entries:
            entries[key] = load(key)
            order.append(key)
            if len(order) > room:
                del entries[order.popleft()]
        return entries[key]

    return get


def _decorated(name: str, policy: str) -> Bounded:
    def make(load: Load, room: int) -> Get:
        library = module(name)
        get: Get = library.cached(getattr(library, policy)(room))(load)
        return get

    return make


def _moka(load: Load, room: int) -> Get:
    get: Get = module("moka_py").cached(maxsize=room)(load)
    return get


def _theine(load: Load, room: int) -> Get:
    get: Get = module("theine").Memoize(room, None)(load)
    return get


POLICIES: Final[dict[str, Bounded]] = {
    "herdless": _herdless,
    "FIFO": _fifo,
    "LRU": _lru,
    "cachetools LFU": _decorated("cachetools", "LFUCache"),
    "cachebox LFU": _decorated("cachebox", "LFUCache"),
    "moka-py": _moka,
    "theine": _theine,
}
