"""A cache that processes share: what a herd costs the store, what callers wait, and what happens under faults.

The store is a real Valkey on loopback, the processes are real, and where truth is counted there is a server of its own.
Commands are those of `INFO commandstats`, which has the ones inside scripts too; what a connection begins by is left
out, and so is what is asked to measure. Peers come with the extra `bench`.
"""

from __future__ import annotations

import statistics
import time
from typing import Final

from tests.benchmarks import fleet_operations
from tests.benchmarks.fleet_crew import Bill, Crew, billed, crew, watched
from tests.benchmarks.fleet_subjects import HOT, HOT_TTL_SECONDS, installed
from tests.benchmarks.results import Cell, Plan, Result, Table
from tests.fleet.server import Server, running

PROCESSES: Final = 8
CALLERS: Final = 100
LOAD_SECONDS: Final = 0.1
FEW: Final = 4
LOCK_SECONDS: Final = 5.0
SHORT_LOCK_SECONDS: Final = 1.0
LONG_LOAD_SECONDS: Final = 3.5
PATIENCE_SECONDS: Final = 6.0
HOT_SECONDS: Final = 6
LATE_SECONDS: Final = 0.02
MILLISECOND: Final = 1e3
KIB: Final = 1024


def run(plan: Plan) -> Result:
    """Every table; the figures are herdless's own on asyncio."""
    figures: dict[str, float] = {}
    with running() as server, running() as origin:
        tables = (
            herds(server, origin, plan, figures),
            faults(server, origin, figures),
            fleet_operations.table(server, plan, figures),
            fleet_operations.telling(server, plan),
            hot(server, origin, plan),
        )
    return Result(tables, figures)


def herds(server: Server, origin: Server, plan: Plan, figures: dict[str, float]) -> Table:
    """Everybody at once, on one key that nobody knows."""
    rows = []
    for subject in installed():
        with crew(server, origin, processes=PROCESSES, subject=subject) as workers:
            row = _herds(workers, plan.size(10, 2))
        rows.append((subject, *row))
        if subject == "herdless":
            figures |= {"fleet herd loads": float(row[0]), "fleet herd commands": float(row[1])}
    columns = (
        "subject",
        "loads",
        "commands, median",
        "most",
        "in scripts",
        "KiB in",
        "KiB out",
        "store CPU ms",
    )
    note = (
        f"{PROCESSES} processes x {CALLERS} callers, a load of {LOAD_SECONDS:g} s. Loads: the most of any herd. "
        "Commands: all that the server carried out, those inside scripts included; how many of one herd's were in "
        "scripts stands beside. The last columns: how long after the first load's end callers had the value."
    )
    return Table("A cold herd", (*columns, "ms after, p50", "last"), tuple(rows), note)


def _herds(workers: Crew, count: int) -> tuple[int, int, int, int, float, float, float, float, float]:
    workers.herd(workers.key(LOAD_SECONDS), CALLERS)  # connects
    with watched(workers.server) as given:
        workers.herd(workers.key(LOAD_SECONDS), CALLERS)
    bills: list[Bill] = []
    loads, late = [], list[float]()
    for _ in range(count):
        key = workers.key(LOAD_SECONDS)
        with billed(workers.server) as bill:
            ends = workers.herd(key, CALLERS)
        assert all(end["right"] == CALLERS for end in ends), workers
        bills += bill
        began = workers.loads(key)
        loads.append(len(began))
        late += [at - began[0] - LOAD_SECONDS for end in ends for at in end["at"]]
    commands = [bill.commands for bill in bills]
    late.sort()
    return (
        max(loads),
        round(statistics.median(commands)),
        max(commands),
        given["script"],
        statistics.median(bill.bytes_in for bill in bills) / KIB,
        statistics.median(bill.bytes_out for bill in bills) / KIB,
        statistics.median(bill.cpu_seconds for bill in bills) * MILLISECOND,
        late[len(late) // 2] * MILLISECOND,
        late[-1] * MILLISECOND,
    )


def faults(server: Server, origin: Server, figures: dict[str, float]) -> Table:
    """The holder dies, or takes longer than its lock is held."""
    rows: list[tuple[Cell, ...]] = []
    for subject in installed():
        with crew(server, origin, processes=FEW, subject=subject, lock=LOCK_SECONDS) as workers:
            took, loads = _killed(workers)
        with crew(server, origin, processes=FEW, subject=subject, lock=SHORT_LOCK_SECONDS) as workers:
            key = workers.key(LONG_LOAD_SECONDS)
            workers.herd(key, 10)
            slow = len(workers.loads(key))
        rows.append((subject, took, loads or None, slow))
        if subject == "herdless" and took is not None:
            figures["fleet takeover"] = took
    note = (
        f"{FEW} processes. Killed: the one that loads, by kill -9, while 10 callers wait in each of the others. "
        f"Lock or lease {LOCK_SECONDS:g} s; the seconds until the next load begins ({PATIENCE_SECONDS:g} are waited), "
        "and the loads of those who were left. A dash: nobody goes on, or nobody waits for another process. Slow: "
        f"a load of {LONG_LOAD_SECONDS:g} s under a lock of {SHORT_LOCK_SECONDS:g} s; how many loads there were. The "
        "lock of cashews is held as long as the value lives."
    )
    columns = ("subject", "killed: s to the next load", "killed: loads after", "slow: loads")
    return Table("Faults", columns, tuple(rows), note)


def _killed(workers: Crew) -> tuple[float | None, int]:
    key = workers.key(1.5)
    workers.order(0, "herd", key, 1, 0)
    workers.wait_for_loads(key, 1)
    for worker in range(1, FEW):
        workers.order(worker, "herd", key, 10, 0)
    time.sleep(0.5)  # so that all wait
    before = len(workers.loads(key))
    workers.workers[0].kill()
    killed_at = time.time()
    if before > 1 or not workers.wait_for_loads(key, before + 1, PATIENCE_SECONDS):
        return None, 0  # each loads for itself, or nobody goes on
    for worker in range(1, FEW):
        workers.answer(worker)
    began = workers.loads(key)[before:]
    return began[0] - killed_at, len(began)


def hot(server: Server, origin: Server, plan: Plan) -> Table:
    """A value that lives shortly and is asked for all the time."""
    rows = []
    seconds = plan.size(HOT_SECONDS, 2)
    for subject in HOT:
        with crew(server, origin, processes=FEW, subject=subject, table="hot") as workers:
            key = workers.key(0.05)
            until = time.time() + seconds
            for worker in range(FEW):
                workers.order(worker, "hammer", key, 5, until)
            took = [each for worker in range(FEW) for caller in workers.answer(worker) for each in caller]
            waited = sorted(each for each in took if each > LATE_SECONDS)
            median = waited[len(waited) // 2] * MILLISECOND if waited else None
            rows.append((subject, len(workers.loads(key)), len(took), len(waited), median))
    note = (
        f"{FEW} processes x 5 callers for {seconds} s, a ttl of {HOT_TTL_SECONDS:g} s, loads of 0.05 s. Waited: "
        f"lookups that took more than {LATE_SECONDS * MILLISECOND:g} ms; those of all callers wait for the first load."
    )
    return Table("A hot key", ("subject", "loads", "lookups", "waited", "ms, median of those"), tuple(rows), note)
