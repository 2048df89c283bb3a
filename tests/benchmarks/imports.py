"""How long an import takes: CPU time in a new process, on top of the runtime's own modules; the best of several."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.benchmarks.results import Plan, Result, Table
from tests.benchmarks.subjects import is_installed

IMPORTS: Final = {
    "herdless.asyncio": ("asyncio", "herdless.asyncio"),
    "herdless.threads": ("threading", "herdless.threads"),
    "herdless.trio": ("trio", "herdless.trio"),
    "async-lru": ("asyncio", "async_lru"),
    "aiocache": ("asyncio", "aiocache"),
    "anyio": ("asyncio", "anyio.functools"),
    "cachebox": ("asyncio", "cachebox"),
    "cachetools": ("threading", "cachetools"),
    "cashews": ("asyncio", "cashews"),
    "dogpile.cache": ("threading", "dogpile.cache"),
    "moka-py": ("asyncio", "moka_py"),
    "onecache": ("asyncio", "onecache"),
    "theine": ("asyncio", "theine"),
}
"""Subject: the module that is there already, the module that is imported."""

PROGRAM: Final = "import {0}, sys, time; a = time.process_time_ns(); import {1}; print(time.process_time_ns() - a)"


def run(plan: Plan) -> Result:
    """All imports."""
    rows = []
    for name, (before, imported) in IMPORTS.items():
        if is_installed(name):
            best = min(_once(PROGRAM.format(before, imported)) for _ in range(plan.size(7, 2)))
            rows.append((name, before, best / 1e6))
    rows.sort(key=lambda row: row[2])
    columns = ("import", "on top of", "CPU ms")
    return Result((Table("Import time", columns, tuple(rows)),), {f"import, {name}": best for name, _, best in rows})


def _once(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)
