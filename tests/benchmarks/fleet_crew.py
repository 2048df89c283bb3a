"""Several processes with one cache, the server that they share, and what it says of the commands it got."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.fleet.server import PATIENCE, Server

ROOT: Final = Path(__file__).parents[2]
prefixes = itertools.count()

OURSELVES: Final = frozenset({"config|resetstat", "info"})
"""What is asked to measure."""
ONCE: Final = frozenset({"hello", "client|setinfo", "client|setname", "script|load", "command"})
"""What a connection begins by."""
GETS_READY_SECONDS: Final = 0.15
"""A herd is ordered so long before it begins."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What the server did for something."""

    commands: int
    """Those inside scripts included."""
    bytes_in: int
    bytes_out: int
    cpu_seconds: float


@contextmanager
def billed(server: Server) -> Iterator[list[Bill]]:
    """Count what happens in the block; the list has the bill when it has ended."""
    bills: list[Bill] = []
    with server.client() as client:
        client.info("commandstats")  # connects
        client.config_resetstat()
        cpu = client.info("cpu")
        yield bills
        calls = client.info("commandstats")
        stats, after = client.info("stats"), client.info("cpu")
        commands = sum(
            said["calls"] for name, said in calls.items() if name.removeprefix("cmdstat_") not in OURSELVES | ONCE
        )
        spent = sum(after[kind] - cpu[kind] for kind in ("used_cpu_user", "used_cpu_sys"))
        bills.append(Bill(commands, stats["total_net_input_bytes"], stats["total_net_output_bytes"], spent))


class Crew:
    """So many processes with the same cache."""

    def __init__(
        self, server: Server, origin: Server, *, processes: int, subject: str, table: str, lock: float
    ) -> None:
        self.server: Final = server
        self.prefix: Final = f"crew{next(prefixes)}"
        self._books: Final = origin.client()
        words = [table, subject, server.url, self.prefix, origin.url, str(lock)]
        self.workers: Final = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.fleet_worker", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for _ in range(processes)
        ]
        self._keys: Final = itertools.count()
        for worker in range(processes):
            self.answer(worker)

    def key(self, load_seconds: float) -> str:
        """One that nobody knows."""
        return f"key{next(self._keys)}:{load_seconds}"

    def order(self, worker: int, *order: Any) -> None:
        """See `fleet_worker`."""
        stdin = self.workers[worker].stdin
        assert stdin is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    def answer(self, worker: int) -> Any:
        """The next one of this process."""
        stdout = self.workers[worker].stdout
        assert stdout is not None
        return json.loads(stdout.readline())

    def herd(self, key: str, callers: int) -> list[Any]:
        """All processes at once; what each answers."""
        at = time.time() + GETS_READY_SECONDS
        for worker in range(len(self.workers)):
            self.order(worker, "herd", key, callers, at)
        return [self.answer(worker) for worker in range(len(self.workers))]

    def loads(self, key: str) -> list[float]:
        """When each began, by the wall clock."""
        return [float(each) for each in self._books.lrange(f"{self.prefix}:{key}", 0, -1)]

    def wait_for_loads(self, key: str, count: int, patience: float = PATIENCE) -> bool:
        """Until so many have begun; False where they have not after so many seconds."""
        ends_at = time.monotonic() + patience
        while len(self.loads(key)) < count:
            if time.monotonic() >= ends_at:
                return False
            time.sleep(0.005)
        return True

    def close(self) -> None:
        """For whatever state they are in."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                assert pipe is not None
                pipe.close()
        self._books.close()


@contextmanager
def crew(
    server: Server, origin: Server, *, processes: int, subject: str, table: str = "herd", lock: float = 10.0
) -> Iterator[Crew]:
    """Processes for as long as the block lasts, on a server that is empty."""
    with server.client() as client:
        client.flushall()
    made = Crew(server, origin, processes=processes, subject=subject, table=table, lock=lock)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def watched(server: Server) -> Iterator[Counter[str]]:
    """Count commands by who gave them: "client", or "script"."""
    counts: Counter[str] = Counter()
    client = server.client()
    monitor = client.monitor()
    monitor.__enter__()

    def read() -> None:
        for said in monitor.listen():
            if said["command"].startswith("ECHO the end"):
                return
            counts["script" if said["client_type"] == "lua" else "client"] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield counts
    finally:
        with server.client() as last:
            last.echo("the end")
        reader.join(PATIENCE)
        monitor.__exit__(None, None, None)
        client.close()
