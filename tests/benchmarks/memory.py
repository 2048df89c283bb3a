"""What an entry costs in memory: the growth of the process's private bytes while a million entries are loaded.

Every subject has a process of its own. Keys are counted, values are their keys.
"""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from herdless.asyncio import Cache, Loaded
from tests.benchmarks import svg
from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import ASYNC, SYNC, is_installed

ENTRIES: Final = 1_000_000
MILLION: Final = (
    "threads: dict",
    "asyncio: herdless",
    "asyncio: herdless, ttl",
    "asyncio: async-lru",
    "threads: functools.lru_cache",
)
"""The subjects that the goals and the bases need; the others load a fifth of it, which takes minutes less."""

SAME_STORE: Final = {"aiocache, stampede", "cashews, lock", "cachetools, lock", "cachetools, condition"}
"""These keep their entries as their namesakes do."""

TAGGED: Final = {"asyncio: herdless, a tag of many": 1_000, "asyncio: herdless, a tag of its own": 1}
"""Entries with one tag each, and how many share it."""

SMAPS: Final = Path("/proc/self/smaps_rollup")


def run(plan: Plan) -> Result:
    """Private bytes per entry, of all subjects."""
    if not SMAPS.exists():
        return Result((Table("Memory per entry", ("subject",), (), f"Left out: {SMAPS} is not on this system."),))
    rows: list[tuple[str, float, int]] = []
    for subject in subjects():
        entries = plan.size(ENTRIES, 100_000) // (1 if subject in MILLION else 5)
        rows.append((subject, _in_own_process(subject, entries), entries))
    rows.sort(key=lambda row: row[1])
    by_name = {name: size for name, size, _ in rows}
    figures = {"memory": by_name["asyncio: herdless"], "memory, ttl": by_name["asyncio: herdless, ttl"]}
    if "asyncio: async-lru" in by_name:
        figures["async-lru / herdless, memory"] = by_name["asyncio: async-lru"] / by_name["asyncio: herdless"]
    note = "Private bytes of a process for each entry loaded; the key itself is 32 of them."
    plot = svg.bars("Private bytes per entry", by_name, unit="B")
    table = Table("Memory per entry", ("subject", "bytes", "entries"), tuple(rows), note)
    return Result((table,), figures, {"memory.svg": plot})


def subjects() -> list[str]:
    """`runtime: name` of all, the plain dict first."""
    found = ["threads: dict"]
    found += [f"asyncio: {name}" for name in ASYNC if is_installed(name) and name not in SAME_STORE]
    found += TAGGED
    return found + [f"threads: {name}" for name in SYNC if is_installed(name) and name not in SAME_STORE]


def _in_own_process(subject: str, entries: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.memory", subject, str(entries)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(subject: str, entries: int) -> float:
    """The bytes per entry of this subject, measured in this process."""
    runtime, _, name = subject.partition(": ")
    if name == "dict":
        before = _private_bytes()
        table = {key: key for key in range(entries)}
        return (_private_bytes() - before) / len(table)
    if runtime == "threads":
        get = SYNC[name](_load, entries)
        before = _private_bytes()
        for key in range(entries):
            get(key)
        return (_private_bytes() - before) / entries
    if subject in TAGGED:
        return asyncio.run(_tagged_bytes(TAGGED[subject], entries))
    return asyncio.run(_asyncio_bytes(name, entries))


async def _asyncio_bytes(name: str, entries: int) -> float:
    get = ASYNC[name](_async_load, entries)
    before = _private_bytes()
    for key in range(entries):
        await get(key)
    return (_private_bytes() - before) / entries


async def _tagged_bytes(keys_of_a_tag: int, entries: int) -> float:
    async def load(key: int) -> Loaded[int]:
        return Loaded(key, tags=(f"tag:{key // keys_of_a_tag}",))

    cache = Cache[int, int](load)
    before = _private_bytes()
    for key in range(entries):
        await cache.get(key)
    return (_private_bytes() - before) / entries


def _load(key: int) -> int:
    return key


async def _async_load(key: int) -> int:
    return key


def _private_bytes() -> int:
    gc.collect()
    sizes = re.findall(r"^Private_\w+: +(\d+) kB$", SMAPS.read_text(encoding="ascii"), re.MULTILINE)
    return sum(map(int, sizes)) * 1024


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], int(sys.argv[2]))}\n")
