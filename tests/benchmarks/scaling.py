"""Threads, 1 to 64: hits of one key from all at once, and a herd of threads that ask for a key that is not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

from tests.benchmarks import svg
from tests.benchmarks.measure import cpu_time
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import SYNC, Get, is_installed

KEY: Final = 7
SUBJECTS: Final = ("herdless", "functools.lru_cache", "cachetools, lock", "cachetools, condition", "dogpile.cache")


def run(plan: Plan) -> Result:
    """Both, for herdless and those that threads use today."""
    counts = [1, 4, 16] if plan.quick else [1, 2, 4, 8, 16, 32, 64]
    subjects = [name for name in SUBJECTS if is_installed(name)]
    costs = {name: [_hit_ns(name, count, plan.size(100_000, 20_000)) for count in counts] for name in subjects}
    herds = [(count, *(cell for name in subjects for cell in _herd(name, count))) for count in counts]
    rows = tuple((count, *(costs[name][at] for name in subjects)) for at, count in enumerate(counts))
    columns = tuple(f"{name}: {what}" for name in subjects for what in ("loads", "CPU us"))
    series = {name: [(float(n), costs[name][at]) for at, n in enumerate(counts)] for name in subjects}
    return Result(
        tables=(
            Table("Hits from threads", ("threads", *subjects), rows, "Wall ns per hit, all threads together."),
            Table("Herds of threads", ("threads", *columns), tuple(herds), "Loads of one key, and CPU per caller."),
        ),
        plots={"growth-threads.svg": svg.lines("Wall time per hit by threads", series, x="threads", y="ns")},
    )


def _hit_ns(name: str, threads: int, hits: int) -> float:
    get = SYNC[name](lambda key: key, 10)
    get(KEY)
    each = hits // threads

    def work() -> None:
        for _ in range(each):
            get(KEY)

    return min(_wall_ns(work, threads) for _ in range(3)) / (each * threads)


def _wall_ns(work: Callable[[], None], threads: int) -> int:
    barrier = threading.Barrier(threads + 1)

    def wait_and_work() -> None:
        barrier.wait()
        work()

    crew = [threading.Thread(target=wait_and_work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    barrier.wait()
    start = perf_counter_ns()
    for thread in crew:
        thread.join()
    return perf_counter_ns() - start


def _herd(name: str, threads: int) -> tuple[int, float]:
    """Loads, and CPU microseconds per caller, of threads that all ask while the load is held."""
    loads = 0
    asked = threading.Semaphore(0)
    go = threading.Event()

    def load(key: int) -> int:
        nonlocal loads
        loads += 1
        go.wait()
        return key

    get: Get = SYNC[name](load, 10)

    def ask() -> None:
        asked.release()
        get(KEY)

    crew = [threading.Thread(target=ask) for _ in range(threads)]
    start = cpu_time()
    for thread in crew:
        thread.start()
    for _ in crew:
        asked.acquire()
    go.set()
    for thread in crew:
        thread.join()
    return loads, (cpu_time() - start) / threads / 1e3
