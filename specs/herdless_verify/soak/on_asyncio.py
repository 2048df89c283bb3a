"""A round on asyncio: one task for each caller, and a thread that changes the cache from outside of the loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from threading import get_ident
from typing import Any

from herdless.asyncio import Cache
from herdless_verify.soak.meddler import meddler
from herdless_verify.soak.model import Made
from herdless_verify.soak.origin import Origin
from herdless_verify.soak.plan import STUCK
from herdless_verify.soak.scene import Scene
from herdless_verify.soak.storm import CALLERS, Left, LookUp, Runtime, Storm
from herdless_verify.soak.switching import switching_often


def play(scene: Scene) -> int:
    """Run the round in an event loop of its own; returns how many tasks were left over.

    One in three is in asyncio's debug mode, which refuses what another thread may not do to a loop.
    """
    loop = asyncio.new_event_loop()
    loop.set_debug(scene.plan.number % 3 == 1)
    try:
        with switching_often():
            return loop.run_until_complete(_play(scene))
    finally:
        loop.close()  # and not `asyncio.run`, which waits for ever for a task that cannot be woken


async def _play(scene: Scene) -> int:
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = math.inf  # the debug mode need not tell of a busy machine
    loop.set_task_factory(_task_factory(scene))
    scene.loop_thread = get_ident()
    scene.origin = Origin(asyncio.Event, scene.most_hung)
    scene.stops_by = asyncio.CancelledError
    storm = Storm(scene, Runtime(asyncio.sleep, asyncio.CancelledError, _within))
    cache = Cache[str, Made](
        storm.load, clock=scene.clock, observe=scene.watch, maxsize=scene.plan.maxsize, **scene.plan.policy
    )
    storm.cache = cache
    for _ in range(CALLERS):
        scene.came()
    callers = [asyncio.create_task(storm.stay(key)) for key in STUCK]
    callers += [asyncio.create_task(storm.call(number)) for number in range(CALLERS)]
    with scene.foreign.around(cache), meddler(scene, cache):
        await storm.run()
    for end in await _ended(scene, callers):
        if not end.cancelled() and end.exception() is not None:
            scene.findings.complain(f"a caller ended by {end.exception()!r}")
    if not scene.oracle.is_closing:
        await storm.close(cancel=False)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        scene.findings.complain(f"{len(left)} tasks are left over, of which one is {next(iter(left)).get_coro()!r}")
        loop.set_exception_handler(lambda *_: None)  # of those that cannot be woken it says so once more
        await _ended(scene, left)
    return len(left)


def _task_factory(scene: Scene) -> Any:
    """The loop's own; or an eager one, by which a load may end before its task is known; or one that wraps what it is
    given, as tracers install.
    """
    eager = getattr(asyncio, "eager_task_factory", None) if scene.plan.number % 2 == 0 else None
    if "factories" not in scene.foreign.injections:
        return eager

    async def wrapped(coroutine: Any) -> Any:
        return await coroutine

    def wrapping(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if eager is None:
            return asyncio.Task(wrapped(coroutine), loop=loop, **options)
        return eager(loop, wrapped(coroutine), **options)

    return wrapping


async def _ended(scene: Scene, tasks: Collection[asyncio.Task[Any]]) -> Collection[asyncio.Task[Any]]:
    """The tasks that have ended, after being cancelled where they had not."""
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=scene.patience)
    return ended


async def _within(seconds: float, look_up: LookUp) -> Any:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await look_up()
    except TimeoutError:
        if limit.expired():
            raise Left from None
        raise
