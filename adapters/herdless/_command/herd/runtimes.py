"""The herd in each runtime: a task or a thread for each caller, and a cache between them and the origin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic, perf_counter
from typing import Any, Final, final

import herdless.asyncio
import herdless.threads
from herdless._command._errors import CommandError
from herdless._command.herd.origin import CONNECTIONS
from herdless._command.herd.runs import PLAIN, Run, Visit

SECONDS_TO_LEAVE_THE_GATE: Final = 0.0003
"""For each thread: they leave one after the other, so each then sleeps by itself until the start."""


def runner(runtime: str) -> Callable[[Run], None]:
    """What carries out a run in this runtime. Raises ModuleNotFoundError where the runtime is not installed."""
    if runtime == "trio":
        import trio  # noqa: F401  # only to see that it is there
    return {"asyncio": on_asyncio, "trio": on_trio, "threads": on_threads}[runtime]


@final
@dataclass(frozen=True, slots=True)
class PlainCache:
    """Values and when they expire, `ttl` seconds after their load; every caller who finds none loads."""

    load: Callable[[str], Any]
    ttl: float
    entries: dict[str, tuple[object, float]] = field(default_factory=dict)

    def get(self, key: str) -> object:
        """The key's value, for threads."""
        value, until = self.entries.get(key, (None, 0.0))
        return value if monotonic() < until else self._keep(key, self.load(key))

    async def get_async(self, key: str) -> object:
        """The key's value, for tasks."""
        value, until = self.entries.get(key, (None, 0.0))
        return value if monotonic() < until else self._keep(key, await self.load(key))

    def _keep(self, key: str, value: object) -> object:
        self.entries[key] = (value, monotonic() + self.ttl)
        return value


def on_asyncio(run: Run) -> None:
    """In an event loop of its own."""

    async def herd() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONNECTIONS))  # closed by asyncio.run
        load = run.load_async if run.origin.is_async else lambda key: asyncio.to_thread(run.load, key)
        async with herdless.asyncio.Cache(load, ttl=run.plan.ttl, observe=run.observe) as cache:
            get = PlainCache(load, run.plan.ttl).get_async if run.cache == PLAIN else cache.get
            start = perf_counter()
            await asyncio.gather(*(run.call_async(get, asyncio.sleep, visit, start) for visit in run.plan.visits))

    asyncio.run(herd())


def on_trio(run: Run) -> None:
    """In a trio run of its own."""
    import trio

    import herdless.trio

    async def herd() -> None:
        limiter, aside = trio.CapacityLimiter(CONNECTIONS), trio.to_thread.run_sync
        load = run.load_async if run.origin.is_async else lambda key: aside(run.load, key, limiter=limiter)
        async with (
            herdless.trio.Cache(load, ttl=run.plan.ttl, observe=run.observe) as cache,
            trio.open_nursery() as tasks,
        ):
            get = PlainCache(load, run.plan.ttl).get_async if run.cache == PLAIN else cache.get
            start = perf_counter()
            for visit in run.plan.visits:
                tasks.start_soon(run.call_async, get, trio.sleep, visit, start)

    try:
        trio.run(herd)
    except BaseExceptionGroup as group:
        # One exception is what the user is told of; an interrupt before all others.
        error: BaseException = group.subgroup(KeyboardInterrupt) or group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def on_threads(run: Run) -> None:
    """On threads that all start at one instant. Raises CommandError where there are fewer than callers."""
    gate = Event()
    errors: list[Exception] = []

    def call(get: Callable[[str], object], visit: Visit) -> None:
        gate.wait()
        try:
            if not errors:
                run.call(get, visit, start)
        except Exception as error:  # noqa: BLE001  # raised by the main thread
            errors.append(error)

    with herdless.threads.Cache(run.load, ttl=run.plan.ttl, observe=run.observe) as cache:
        get = PlainCache(run.load, run.plan.ttl).get if run.cache == PLAIN else cache.get
        # Daemons, so that after Ctrl-C nobody waits for a thousand of them.
        threads = [Thread(target=call, args=(get, visit), daemon=True) for visit in run.plan.visits]
        for number, thread in enumerate(threads):
            try:
                thread.start()
            except RuntimeError:
                most = f"this machine starts no more than {number} threads; ask for fewer"
                errors.append(CommandError(f"--callers {len(threads)}: {most}"))
                del threads[number:]
        start = perf_counter() + SECONDS_TO_LEAVE_THE_GATE * len(threads)
        gate.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
