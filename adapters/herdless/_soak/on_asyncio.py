"""A round on asyncio: one task for each caller, and a thread that changes the cache from outside of the loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

from herdless._soak.oracle import Made
from herdless._soak.origin import Origin
from herdless._soak.plan import next_visit
from herdless._soak.scene import Scene
from herdless._soak.storm import CALLERS, Left, LookUp, Runtime, Storm
from herdless._soak.switching import switching_often
from herdless.asyncio import Cache

MEDDLES_EVERY_SECONDS: Final = 0.001


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
    eager = getattr(asyncio, "eager_task_factory", None)
    if eager is not None and scene.plan.number % 2 == 0:  # a load may then end before its task is known
        loop.set_task_factory(eager)
    scene.origin = Origin(asyncio.Event)
    scene.stops_by = asyncio.CancelledError
    storm = Storm(scene, Runtime(asyncio.sleep, asyncio.CancelledError, _within))
    cache = Cache[str, Made](storm.load, observe=scene.watch, maxsize=scene.plan.maxsize, **scene.plan.policy)
    storm.cache = cache
    for _ in range(CALLERS):
        scene.came()
    callers = [asyncio.create_task(storm.call(number)) for number in range(CALLERS)]
    with _meddler(scene, cache):
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


@contextmanager
def _meddler(scene: Scene, cache: Cache[str, Made]) -> Iterator[None]:
    """Another thread may put, invalidate, expire and clear."""

    def meddle() -> None:
        dice = scene.plan.dice("meddler")
        while not scene.is_calm and not scene.is_over:
            visit = next_visit(dice)
            if visit.action in {"put", "invalidate", "expire", "clear"}:
                scene.change(cache, visit)
                time.sleep(MEDDLES_EVERY_SECONDS)

    thread = Thread(target=meddle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        scene.is_calm = True
        thread.join()
