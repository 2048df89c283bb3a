"""The herd on trio: one task for each caller."""

from __future__ import annotations

from time import monotonic_ns

import trio

from herdless._command._baseline import PlainAsyncCache
from herdless._command._plan import CONNECTIONS, Key
from herdless._command._serve import AsyncCallers, Get, Measured, Order
from herdless.trio import Cache


def serve(order: Order) -> Measured:
    """Run the plan in a trio run of its own."""
    try:
        return trio.run(_serve, order)
    except BaseExceptionGroup as group:
        raise _first(group) from group


async def _serve(order: Order) -> Measured:
    limiter = trio.CapacityLimiter(CONNECTIONS)

    async def load_aside(key: Key) -> object:
        return await trio.to_thread.run_sync(order.load, key, limiter=limiter)

    load = order.load if order.is_async else load_aside
    if order.observe is None:
        return await _herd(order, PlainAsyncCache(load, order.plan.ttl).get)
    async with Cache[Key, object](load, ttl=order.plan.ttl, observe=order.observe) as cache:
        return await _herd(order, cache.get)


async def _herd(order: Order, get: Get) -> Measured:
    started_at = monotonic_ns()
    callers = AsyncCallers(get, trio.sleep)
    async with trio.open_nursery() as nursery:
        for visits in order.plan.callers:
            nursery.start_soon(callers.call, visits)
    return Measured(callers.latencies, started_at, callers.elapsed())


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception to tell the user of; an interrupt before all others."""
    interrupts = group.subgroup(KeyboardInterrupt)
    error: BaseException = interrupts or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
