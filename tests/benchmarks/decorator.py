"""What `cached` adds to a hit: from a call's arguments to a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

import herdless.asyncio
import herdless.threads
from tests.benchmarks.hit import KEY, await_hits, hits, load, table
from tests.benchmarks.measure import Batch, compare, on_loop
from tests.benchmarks.results import Plan, Result
from tests.benchmarks.subjects import AsyncGet, is_installed, module

FLOOR: Final = "herdless, cache.get(key)"


def run(plan: Plan) -> Result:
    """Decorated functions called by position, with a default filled in, by keyword."""
    with asyncio.Runner() as runner:
        calls = _asyncio_calls()
        for call in calls.values():
            runner.run(call(KEY))
        asynchronous = compare(
            {name: on_loop(runner, partial(await_hits, call)) for name, call in calls.items()},
            base=FLOOR,
            rounds=plan.rounds,
        )
    sync: dict[str, Callable[[int], int]] = _thread_calls()
    for each in sync.values():
        each(KEY)
    batches: dict[str, Batch] = {name: partial(hits, call) for name, call in sync.items()}
    in_threads = compare(batches, base=FLOOR, rounds=plan.rounds)
    note = "A hit; the floor is the cache's own `get`. A call by keyword is bound to the signature, which costs most."
    return Result((table("Decorator, asyncio", asynchronous, note), table("Decorator, threads", in_threads, note)))


def _asyncio_calls() -> dict[str, AsyncGet]:
    @herdless.asyncio.cached()
    async def one(key: int) -> int:
        return key

    @herdless.asyncio.cached()
    async def two(key: int, more: int = 0) -> int:
        return key

    calls: dict[str, Any] = {
        FLOOR: herdless.asyncio.Cache(load).get,
        "herdless, f(key)": one,
        "herdless, f(key), a default filled in": two,
        "herdless, f(key=key)": lambda key: one(key=key),
    }
    if is_installed("async-lru"):
        memoized = module("async_lru").alru_cache(maxsize=None)(load)
        calls |= {"async-lru, f(key)": memoized, "async-lru, f(key=key)": lambda key: memoized(key=key)}
    return calls


def _thread_calls() -> dict[str, Any]:
    @herdless.threads.cached()
    def one(key: int) -> int:
        return key

    @cache
    def memoized(key: int) -> int:
        return key

    return {
        FLOOR: herdless.threads.Cache[int, int](lambda key: key).get,
        "herdless, f(key)": one,
        "herdless, f(key=key)": lambda key: one(key=key),
        "functools.lru_cache, f(key)": memoized,
        "functools.lru_cache, f(key=key)": lambda key: memoized(key=key),
    }
