"""Instructions per operation, counted by valgrind's callgrind: the same number at every run, on a busy machine too.

One process runs all operations: each n times and then 2n times, so that what is not the operation falls out of the
difference. Between them the program calls `os.getppid`, at which callgrind writes a dump; nothing else does. The hash
seed is fixed, the garbage collector off, the cache's clock stands still.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import herdless.asyncio
import herdless.threads

MARK: Final = "getppid"
"""A function of the C library; `os.getppid` calls it, and nothing else here."""

COUNT: Final = 200
"""Operations of the shorter one of the two runs."""

FLOORS: Final = {
    "hit": "bare coroutine",
    "hit, ttl": "bare coroutine",
    "stale hit": "bare coroutine",
    "miss": "create_task",
    "miss, ttl": "create_task",
    "join": "bare shared future",
    "put": "dict",
    "invalidate": "dict",
    "threads hit": "dict",
}
"""Operations, and the floor each one is a multiple of."""

KEY: Final = 7
TABLE: Final = {KEY: KEY}

Run: TypeAlias = Callable[[], Awaitable[None]]
"""What is counted, made ready for a number of operations."""


def missing_tool() -> str | None:
    """Why nothing can be counted here; None where it can."""
    return None if shutil.which("valgrind") else "valgrind is not installed"


def count(operations: Sequence[str]) -> dict[str, float]:
    """Instructions per operation. Raises CalledProcessError where valgrind fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind")
        program = [sys.executable, "-s", "-S", "-m", "tests.benchmarks.instructions", *operations]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0", "PATH": os.defpath}
        # Once without valgrind, so that bytecode is written here and not there.
        _run(program, environment)
        callgrind = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={out}"]
        _run([*callgrind, *program], environment)
        dumps = [_total(Path(f"{out}.{number}")) for number in range(1, 4 * len(operations) + 1)]
    # Of four dumps the first and third are of preparations.
    return {name: (dumps[4 * at + 3] - dumps[4 * at + 1]) / COUNT for at, name in enumerate(operations)}


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")


def _total(dump: Path) -> int:
    found = re.search(r"^totals: (\d+)$", dump.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no totals into {dump.name}")
    return int(found[1])


# What runs under valgrind


async def _measure(operation: str) -> None:
    prepare = OPERATIONS[operation]
    await (await prepare(COUNT))()  # lets the interpreter specialise its bytecode
    for times in (COUNT, 2 * COUNT):
        run = await prepare(times)
        os.getppid()
        await run()
        os.getppid()


async def _load(key: int) -> int:
    return key


async def _bare(key: int) -> int:
    return TABLE[key]


def _cache(ttl: float | None = None, *, stale: float = 0) -> herdless.asyncio.Cache[int, int]:
    clock = itertools.repeat(0).__next__
    return herdless.asyncio.Cache(_load, ttl=ttl, stale_while_revalidate=stale, clock=clock)


def _hits(get: Callable[[int], Awaitable[int]], times: int) -> Run:
    async def run() -> None:
        for _ in range(times):
            await get(KEY)

    return run


async def _bare_hits(times: int) -> Run:
    return _hits(_bare, times)


async def _own_hits(times: int, ttl: float | None = None) -> Run:
    cache = _cache(ttl)
    cache.put(KEY, KEY)
    return _hits(cache.get, times)


async def _ttl_hits(times: int) -> Run:
    return await _own_hits(times, ttl=60)


async def _stale_hits(times: int) -> Run:
    never = asyncio.Event()

    async def stuck(key: int) -> int:
        await never.wait()
        return key

    clock = itertools.repeat(0).__next__
    cache = herdless.asyncio.Cache[int, int](stuck, ttl=60, stale_while_revalidate=60, clock=clock)
    cache.put(KEY, KEY)
    cache.expire(KEY)
    await cache.get(KEY)
    return _hits(cache.get, times)


async def _tasks(times: int) -> Run:
    async def run() -> None:
        create_task = asyncio.get_running_loop().create_task
        for key in range(times):
            await create_task(_load(key))

    return run


async def _misses(times: int, ttl: float | None = None) -> Run:
    get = _cache(ttl).get

    async def run() -> None:
        for key in range(times):
            await get(key)

    return run


async def _ttl_misses(times: int) -> Run:
    return await _misses(times, ttl=60)


async def _bare_joins(times: int) -> Run:
    shared: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await shared

    tasks = [asyncio.ensure_future(wait()) for _ in range(times)]
    return _joining(tasks, lambda: shared.set_result(KEY))


async def _joins(times: int) -> Run:
    gate = asyncio.Event()

    async def load(key: int) -> int:
        await gate.wait()
        return key

    get = herdless.asyncio.Cache[int, int](load, clock=itertools.repeat(0).__next__).get
    tasks = [asyncio.ensure_future(get(KEY)) for _ in range(times)]
    return _joining(tasks, gate.set)


def _joining(tasks: list[asyncio.Task[int]], let_go: Callable[[], None]) -> Run:
    async def run() -> None:
        await asyncio.sleep(0)
        let_go()
        for task in tasks:
            await task

    return run


def _sync(step: Callable[[int], object], times: int) -> Run:
    async def run() -> None:
        for key in range(times):
            step(key)

    return run


async def _dict_reads(times: int) -> Run:
    return _sync(dict(zip(range(times), range(times), strict=True)).__getitem__, times)


async def _puts(times: int) -> Run:
    cache = _cache(60)
    return _sync(lambda key: cache.put(key, key), times)


async def _invalidations(times: int) -> Run:
    cache = _cache(60)
    for key in range(times):
        cache.put(key, key)
    return _sync(cache.invalidate, times)


async def _thread_hits(times: int) -> Run:
    cache = herdless.threads.Cache[int, int](lambda key: key, clock=itertools.repeat(0).__next__)
    for key in range(times):
        cache.put(key, key)
    return _sync(cache.get, times)


OPERATIONS: Final[dict[str, Callable[[int], Awaitable[Run]]]] = {
    "bare coroutine": _bare_hits,
    "hit": _own_hits,
    "hit, ttl": _ttl_hits,
    "stale hit": _stale_hits,
    "create_task": _tasks,
    "miss": _misses,
    "miss, ttl": _ttl_misses,
    "bare shared future": _bare_joins,
    "join": _joins,
    "dict": _dict_reads,
    "put": _puts,
    "invalidate": _invalidations,
    "threads hit": _thread_hits,
}


async def _main(operations: list[str]) -> None:
    gc.disable()
    for operation in operations:
        await _measure(operation)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
