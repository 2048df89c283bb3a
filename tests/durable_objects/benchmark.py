"""What a request costs: herdless against the same pattern by hand in JavaScript, and against no coalescing.

    python -m tests.durable_objects.benchmark

All are measured in one run, in the real workerd, by turns, so that the ratios hold where the figures do not.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.durable_objects.build import build
from tests.durable_objects.origin import Origin
from tests.durable_objects.packages import installed
from tests.durable_objects.workerd import Workerd, start

CONNECTIONS: Final = 16
KEYS: Final = 20
HITS: Final = 2_000
HERD: Final = 500
ROUNDS: Final = 3
ORIGIN_SECONDS: Final = 0.2

_NUMBERS: Final = count()


@dataclass(frozen=True)
class Contender:
    """A way to answer: the front, and the paths there and at the origin, but for the key."""

    name: str
    front: str
    path: str
    origin_path: str


CONTENDERS: Final = (
    Contender("by hand: a JavaScript object that holds the promise", "reference", "/Coalescing/", "Reference/"),
    Contender("herdless, JavaScript front", "edge", "/", "users/"),
    Contender("herdless, Python front", "edge-python", "/", "users/"),
    Contender("no coalescing: a JavaScript object that only caches", "reference", "/Loading/", "Reference/"),
)


@dataclass
class Result:
    """What one contender did."""

    requests_per_second: list[float]
    cpu_ms: list[float]
    herd_ms: list[float]
    herd_loads: list[int]
    mix_loads: list[int]


async def ask(port: int, paths: list[str], connections: int) -> float:
    """Ask for all paths over so many connections that stay open; the seconds that it took."""
    todo = iter(paths)

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in todo:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: edge\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path} was answered with {head!r}")
            await _skip_body(reader, head.lower())
        writer.close()
        await writer.wait_closed()

    started = perf_counter()
    await asyncio.gather(*(caller() for _ in range(connections)))
    return perf_counter() - started


async def _skip_body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(workerd: Workerd, origin: Origin, contender: Contender, result: Result) -> None:
    """One round: a herd of one cold key, a mix of cold keys, and hits."""
    port = workerd.ports[contender.front]
    key = f"herd{next(_NUMBERS)}"
    result.herd_ms.append(asyncio.run(ask(port, [contender.path + key] * HERD, HERD)) * 1000)
    result.herd_loads.append(origin.requests(contender.origin_path + key))
    keys = [f"mix{next(_NUMBERS)}" for _ in range(KEYS)]
    asyncio.run(ask(port, [contender.path + key for key in keys * (HERD // KEYS)], HERD))
    result.mix_loads.append(sum(origin.requests(contender.origin_path + key) for key in keys))
    cpu = cpu_seconds(workerd.pid)
    seconds = asyncio.run(ask(port, [contender.path + key for key in keys * (HITS // KEYS)], CONNECTIONS))
    result.cpu_ms.append((cpu_seconds(workerd.pid) - cpu) / HITS * 1000)
    result.requests_per_second.append(HITS / seconds)


def table(results: dict[str, Result]) -> Table:
    """The medians, and their ratios to the first contender."""
    table = Table(title=f"medians of {ROUNDS} rounds; hits: {KEYS} keys, {CONNECTIONS} connections")
    for title in ("", "hits/s", "CPU ms/hit", "x by hand", f"herd of {HERD}, ms", "its loads", f"loads of {KEYS} keys"):
        table.add_column(title, justify="left" if not title else "right")
    by_hand = results[CONTENDERS[0].name].cpu_ms
    for name, result in results.items():
        # By turns, so each round is compared with the same round of the other: what else the machine does cancels out.
        ratio = statistics.median(mine / theirs for mine, theirs in zip(result.cpu_ms, by_hand, strict=True))
        table.add_row(
            name,
            f"{statistics.median(result.requests_per_second):,.0f}",
            f"{statistics.median(result.cpu_ms):.3f}",
            f"{ratio:.1f}",
            f"{statistics.median(result.herd_ms):,.0f}",
            _range(result.herd_loads),
            _range(result.mix_loads),
        )
    return table


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)}-{max(counts)}"


def main() -> None:
    """Measure all, print the table."""
    runtime = installed()
    results = {contender.name: Result([], [], [], [], []) for contender in CONTENDERS}
    with (
        tempfile.TemporaryDirectory() as directory,
        Origin(seconds=ORIGIN_SECONDS) as origin,
        start(runtime, build(runtime), Path(directory) / "disk", origin.port) as workerd,
    ):
        for contender in CONTENDERS:  # compiled and warm before anything is counted
            asyncio.run(ask(workerd.ports[contender.front], [contender.path + "warm"] * HITS, CONNECTIONS))
        for _ in range(ROUNDS):
            for contender in CONTENDERS:
                measure(workerd, origin, contender, results[contender.name])
    Console(width=140).print(table(results))


if __name__ == "__main__":
    main()
