"""Real runs of the three adapters under schedules that repeat: what is recorded of them is what the tests judge."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.testing import Schedule, Threads, VirtualClock, run_asyncio, run_threads, run_trio
from herdless.trace import TraceWriter
from herdless_core import Loaded, Observer

KEYS: Final = ("a", "b")


class LoaderBroke(Exception):
    """What a loader raises."""


class NotThere(LookupError):
    """What it raises that may be an answer."""


POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ttl": {"ttl": 4},
    "stale": {"ttl": 2, "stale_while_revalidate": 2, "stale_if_error": 4, "refresh_backoff": 2},
    "early": {"ttl": 4, "early_refresh": 0.5, "negative_ttl": 2, "load_timeout": 3, "max_waiters": 2, "maxsize": 1},
    "answers": {"ttl": 2, "stale_if_error": 4, "negative_ttl": 2, "answers": NotThere},
}

Run: TypeAlias = Callable[[int, Mapping[str, Any], Observer], None]
"""A seed, the cache's options, the recorder."""


class Play:
    """What the callers and the loads of one run do, drawn from one seed. Seconds of virtual time, all of them whole."""

    def __init__(self, seed: int) -> None:
        self._dice: Final = random.Random(seed)

    def acts(self) -> list[tuple[str, str, int]]:
        """What one caller does: a method, a key, and how long it waits then."""
        methods = ("get", "get", "get", "get", "get within 1", "put", "invalidate", "expire", "refresh")
        return [
            (self._dice.choice(methods), self._dice.choice(KEYS), self._dice.choice((0, 0, 1, 2))) for _ in range(5)
        ]

    def seconds(self) -> int:
        """How long a load takes."""
        return self._dice.choice((0, 1, 1, 2, 4))

    def value(self, key: str) -> list[str] | Loaded[list[str]]:
        """What a load gives, or raises."""
        (end,) = self._dice.choices(("keep", "give", "old", "fail", "answer"), (6, 1, 1, 2, 2))
        if end == "fail":
            raise LoaderBroke(key)
        if end == "answer":
            raise NotThere(key)
        if end == "old":
            return Loaded([key], age=self.seconds())
        return Loaded([key], keep=False) if end == "give" else [key]


def change(cache: Any, method: str, key: str) -> None:
    """One of the methods that never wait."""
    arguments = ([key],) if method == "put" else ()
    getattr(cache, method)(key, *arguments)


def in_asyncio(seed: int, options: Mapping[str, Any], recorder: Observer) -> None:
    """Three tasks; one who gets within a second is cancelled then."""
    play, clock = Play(seed), VirtualClock()

    async def load(key: str) -> list[str] | Loaded[list[str]]:
        await asyncio.sleep(play.seconds())
        return play.value(key)

    async def act(cache: herdless.asyncio.Cache[str, list[str]]) -> None:
        for method, key, pause in play.acts():
            with contextlib.suppress(Exception):
                if method.startswith("get"):
                    async with asyncio.timeout(1 if "within" in method else None):
                        await cache.get(key)
                else:
                    change(cache, method, key)
            await asyncio.sleep(pause)

    async def main() -> None:
        async with herdless.asyncio.Cache(load, clock=clock, observe=recorder, **options) as cache:
            await asyncio.gather(*[act(cache) for _ in range(3)])

    run_asyncio(main, Schedule(seed), clock=clock)


def in_trio(seed: int, options: Mapping[str, Any], recorder: Observer) -> None:
    """The same tasks in trio."""
    play, clock = Play(seed), VirtualClock()

    async def load(key: str) -> list[str] | Loaded[list[str]]:
        await trio.sleep(play.seconds())
        return play.value(key)

    async def act(cache: herdless.trio.Cache[str, list[str]]) -> None:
        for method, key, pause in play.acts():
            with contextlib.suppress(Exception):
                if method.startswith("get"):
                    with trio.move_on_after(1 if "within" in method else float("inf")):
                        await cache.get(key)
                else:
                    change(cache, method, key)
            await trio.sleep(pause)

    async def main() -> None:
        cache = herdless.trio.Cache(load, clock=clock, observe=recorder, **options)
        async with cache, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(act, cache)

    run_trio(main, Schedule(seed), clock=clock)


def in_threads(seed: int, options: Mapping[str, Any], recorder: Observer) -> None:
    """Three threads under the scheduler; who gets within a second leaves then."""
    clock = VirtualClock()

    def main(threads: Threads) -> None:
        play = Play(seed)

        def load(key: str) -> list[str] | Loaded[list[str]]:
            threads.pause("loads")
            clock.advance(play.seconds())
            return play.value(key)

        cache = herdless.threads.Cache(load, clock=clock, observe=recorder, **options)

        def act() -> None:
            for method, key, pause in play.acts():
                with contextlib.suppress(Exception):
                    if method.startswith("get"):
                        cache.get(key, timeout=1 if "within" in method else None)
                    else:
                        change(cache, method, key)
                clock.advance(pause)
                threads.pause("between")

        for each in [threads.spawn(act) for _ in range(3)]:
            each.result()
        cache.close()

    run_threads(main, Schedule(seed), clock=clock)


RUNS: Final[Mapping[str, Run]] = {"asyncio": in_asyncio, "trio": in_trio, "threads": in_threads}


def recorded(runtime: str, policy: str, seed: int) -> list[str]:
    """The lines of one run."""
    lines: list[str] = []
    RUNS[runtime](seed, POLICIES[policy], TraceWriter(lines.append))
    return lines


def traces(seeds: int) -> Iterator[list[str]]:
    """So many runs in each runtime, under each policy."""
    for runtime in RUNS:
        for policy in POLICIES:
            for seed in range(seeds):
                yield recorded(runtime, policy, seed)
