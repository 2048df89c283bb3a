"""The herd on asyncio: one task for each caller."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns

from herdless._command._baseline import PlainAsyncCache
from herdless._command._plan import CONNECTIONS, Key
from herdless._command._serve import AsyncCallers, Get, Measured, Order
from herdless.asyncio import Cache


def serve(order: Order) -> Measured:
    """Run the plan in an event loop of its own."""
    return asyncio.run(_serve(order))


async def _serve(order: Order) -> Measured:
    async def load_aside(key: Key) -> object:
        return await asyncio.to_thread(order.load, key)

    load = order.load if order.is_async else load_aside
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONNECTIONS))  # closed by asyncio.run
    if order.observe is None:
        return await _herd(order, PlainAsyncCache(load, order.plan.ttl).get)
    async with Cache[Key, object](load, ttl=order.plan.ttl, observe=order.observe) as cache:
        return await _herd(order, cache.get)


async def _herd(order: Order, get: Get) -> Measured:
    started_at = monotonic_ns()
    callers = AsyncCallers(get, asyncio.sleep)
    # No task runs before this one waits, so all of them are there when the first one looks up.
    await asyncio.gather(*map(callers.call, order.plan.callers))
    return Measured(callers.latencies, started_at, callers.elapsed())
