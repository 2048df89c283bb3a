"""One process of the fleet that `herdless herd` shows: `python -m herdless._command.herd.fleet_process`.

It reads lines of JSON: first what it is part of; then again and again the name of a cache, which it makes, the instant
at which its callers ask, and that all processes have ended. It answers each of the first two by a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter
from typing import Any, cast

import herdless.asyncio
from herdless._command._errors import CommandError, LoaderFailed, in_a_line
from herdless._command.herd.origin import CONNECTIONS, made_again
from herdless._command.herd.runs import FLEET, PLAIN, AsyncGet, Plan, Run
from herdless._command.herd.runtimes import PlainCache
from herdless.stores import RedisStore
from herdless_core import PolicyError, StoreDown

PATIENT_SECONDS = 60
"""A machine that is busy is not taken for a process that is dead."""


def main() -> None:
    """Until the end of the input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    config = json.loads(sys.stdin.readline())
    try:
        while line := sys.stdin.readline():
            asyncio.run(serve(config, json.loads(line)))
    except LoaderFailed as error:
        say({"loader failed": str(error)})
    except CommandError as error:
        say({"error": str(error)})
    except StoreDown as error:
        say({"error": f"the store cannot be asked: {in_a_line(error)}"})
    except PolicyError as error:
        say({"error": str(error)})


async def serve(config: dict[str, Any], cache: str) -> None:
    """One herd."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONNECTIONS))  # closed by asyncio.run
    plan = Plan("fleet", "", config["ttl"], tuple((at, key) for at, key in config["visits"]))
    run = Run(plan, "asyncio", cache, made_again(config["origin"]))
    async with made(run, config) as (get, begun):
        say("ready")
        at = json.loads(await asyncio.to_thread(sys.stdin.readline))
        start = perf_counter() + at - monotonic()
        await asyncio.gather(*(run.call_async(get, asyncio.sleep, visit, start) for visit in plan.visits))
        say({"latencies": run.latencies, "loads": run.loads, "begun": begun()})
        await asyncio.to_thread(sys.stdin.readline)


@contextlib.asynccontextmanager
async def made(run: Run, config: dict[str, Any]) -> AsyncIterator[tuple[AsyncGet, Callable[[], list[str]]]]:
    """The cache of the run: what looks a key up in it, and the keys of the loads that it says it has begun."""

    async def load(key: str) -> object:
        return await (run.load_async(key) if run.origin.is_async else asyncio.to_thread(run.load, key))

    async def load_and_forget(key: str) -> None:
        """What the values are is of no interest here, and a loader's may be nothing that JSON can say."""
        await load(key)

    if run.cache == PLAIN:
        yield PlainCache(load, run.plan.ttl).get_async, list
    elif run.cache == FLEET:
        store = RedisStore(config["url"], name=config["prefix"], timeout=PATIENT_SECONDS)
        options: dict[str, Any] = {"lease": PATIENT_SECONDS, "staleness": PATIENT_SECONDS, "store_down": "raise"}
        async with herdless.asyncio.SharedCache(load_and_forget, store=store, ttl=run.plan.ttl, **options) as shared:
            keys = list(dict.fromkeys(key for _, key in run.plan.visits))
            yield cast("AsyncGet", shared.get), lambda: keys[:1] * shared.stats().loads
            for key in keys:
                await shared.invalidate(key)  # nothing is left behind in a store of the user's
    else:
        async with herdless.asyncio.Cache(load, ttl=run.plan.ttl, observe=run.observe) as own:
            yield cast("AsyncGet", own.get), lambda: run.begun


def say(what: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
