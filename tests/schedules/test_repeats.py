"""A seed means the same run everywhere: under any hash seed, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import asyncio, contextlib, sys
import trio
from herdless import LoadTimeout
import herdless.asyncio, herdless.threads, herdless.trio
from herdless.testing import Schedule, Trace, VirtualClock, run_asyncio, run_threads, run_trio

def run_in_asyncio(schedule, clock, trace):
    async def load(key):
        await asyncio.sleep(1)
        return key
    async def main():
        async with herdless.asyncio.Cache(load, clock=clock, observe=trace, load_timeout=2) as cache:
            tasks = [asyncio.create_task(cache.get(key)) for key in "abcabc"]
            tasks[0].cancel()
            await asyncio.wait(tasks)
    run_asyncio(main, schedule, clock=clock)

def run_in_trio(schedule, clock, trace):
    async def load(key):
        await trio.sleep(1)
        return key
    async def main():
        async with herdless.trio.Cache(load, clock=clock, observe=trace) as cache, trio.open_nursery() as nursery:
            for key in "abcabc":
                nursery.start_soon(cache.get, key)
    run_trio(main, schedule, clock=clock)

def run_in_threads(schedule, clock, trace):
    def main(threads):
        cache = herdless.threads.Cache(lambda key: key, clock=clock, observe=trace, load_timeout=2)
        def get(key):
            with contextlib.suppress(LoadTimeout):
                cache.get(key)
        for each in [threads.spawn(lambda key=key: get(key)) for key in "abcabc"]:
            each.result()
    run_threads(main, schedule, clock=clock)

for seed in range(5):
    for run in (run_in_asyncio, run_in_trio, run_in_threads):
        schedule, trace = Schedule(seed), Trace()
        run(schedule, VirtualClock(), trace)
        print(run.__name__, *schedule.steps, str(trace), sep="\\n")
"""


def _output(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_seed_same_trace_under_any_hash_seed() -> None:
    """Steps and traces are equal letter by letter, or a failure of one machine could not be looked at on another."""
    first = _output("0")
    assert first.count("run_in") >= 15
    assert _output("1") == first
    assert _output("4242") == first


@pytest.mark.parametrize("module", ["trio", "hypothesis", "pytest", "gevent"])
def test_the_kit_needs_nothing_that_is_not_used(module: str) -> None:
    """Who tests an adapter for threads need not have trio, nor this project's own test tools."""
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from herdless.testing import run_asyncio, run_trio, explore\n"
        "async def main(): pass\n"
        "assert explore(lambda schedule: run_asyncio(main, schedule)) == 1\n"
        "try: run_trio(main)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("pip install 'herdless[trio]'" in done.stdout) is (module == "trio")
