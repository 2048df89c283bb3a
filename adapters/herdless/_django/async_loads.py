"""`aget_or_set`: the loads of async callers, shared with those of sync ones.

Async callers of one key wait for one task, whatever event loop they are in. That task waits for a thread, which asks
the sync cache, as any other thread would: so one load is shared by all. One thread is taken for each key that is being
loaded, and not for each caller. It belongs to nobody's pool: loads that wait for each other cannot fill it up.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, final

from django.db import connections

import herdless.asyncio
from herdless._django.places import Place
from herdless_core import LoadCancelled, Loaded

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether the loop still runs, in which an async function was called."""


@final
class AsyncLoads:
    """Async lookups of what sync callers look up too."""

    def __init__(self, place: Place) -> None:
        self._place: Final = place
        self._tasks: Final = herdless.asyncio.Cache[str, bytes](maxsize=0, finish_unwatched=True)
        """It keeps nothing: it is what async callers of one key wait for."""

    async def get(self, key: str, default: Any, loaded: Callable[[Any], Loaded[bytes]]) -> bytes:
        """What is stored under the key, or what `default` gives.

        key: as it is stored; default: a value, or a function, async or not; loaded: makes of a value what is stored.
        """
        loop = asyncio.get_running_loop()
        load = partial(_load, default, loaded, loop)
        return await self._tasks.get(key, load=lambda key: _on_a_thread(partial(self._place.load, key, load)))


def _load(default: Any, loaded: Callable[[Any], Loaded[bytes]], loop: asyncio.AbstractEventLoop, key: str) -> Any:
    value = default() if callable(default) else default
    return loaded(_result_in(loop, value) if inspect.isawaitable(value) else value)


def _result_in(loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Any]) -> Any:
    """What the awaitable gives in that loop, waited for on this thread; LoadCancelled where the loop ends before."""

    async def waiting() -> Any:
        return await awaitable

    coroutine = waiting()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError as error:  # it is closed
        coroutine.close()
        raise LoadCancelled("the event loop of the caller whose load it was has ended") from error
    while True:
        try:
            return future.result(LOOK_EVERY)
        except concurrent.futures.CancelledError as error:
            raise LoadCancelled("the event loop of the caller whose load it was has ended") from error
        except TimeoutError:
            if future.done():
                raise  # it is the function's own
            if loop.is_closed():
                raise LoadCancelled("the event loop of the caller whose load it was has ended") from None


async def _on_a_thread(function: Callable[[], bytes]) -> bytes:
    """What the function returns, on a thread of its own, in a copy of this context."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    returned: list[bytes] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(function())
        except BaseException as error:  # noqa: BLE001  # it is raised in the task
            raised.append(error)
        finally:
            connections.close_all()  # they are of this thread, and nobody else's
        try:
            loop.call_soon_threadsafe(done.set)
        except RuntimeError:  # the loop has ended, and who waited in it
            if not loop.is_closed():
                raise

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="herdless load", daemon=True).start()
    await done.wait()
    if raised:
        raise raised[0]
    return returned[0]
