"""The asyncio adapter in every order: all schedules of small scenes, run to the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from herdless.asyncio import Cache
from herdless.testing import (
    Schedule,
    SeededEventLoop,
    Trace,
    VirtualClock,
    assert_trace_valid,
    explore,
)
from tests.schedules.depth import within
from tests.schedules.oracle import LoadBroke, Made, Oracle, watched


class Scene:
    """One cache and one key on a loop; every load takes two callbacks."""

    def __init__(self, schedule: Schedule, *, is_broken: bool = False, load_timeout: float | None = None) -> None:
        self.clock = VirtualClock()
        self.loop = SeededEventLoop(schedule, self.clock)
        self.oracle = Oracle(lambda: self.clock.now, {"load_timeout": load_timeout})
        self.trace = Trace()
        self.is_broken = is_broken
        self.cache = Cache(self.load, clock=self.clock, observe=self.trace, load_timeout=load_timeout)

    async def load(self, key: str) -> Made:
        """The loader."""
        made = self.oracle.load_begins(key)
        await asyncio.sleep(0)
        if self.is_broken:
            raise LoadBroke(made)
        return made

    def start(self, coroutine: Any) -> asyncio.Task[None]:
        """Start a task."""
        return self.loop.call(self.loop.create_task, coroutine)

    async def get(self) -> None:
        """A caller."""
        caller = self.oracle.begins("a")
        caller.may_leave = True
        await watched(self.oracle, caller, lambda: self.cache.get("a"))

    async def invalidate(self) -> None:
        """A removal."""
        with self.oracle.removing("a"):
            self.cache.invalidate("a")

    async def put(self) -> None:
        """Another."""
        made = self.oracle.put("a")
        with self.oracle.removing("a", made):
            self.cache.put("a", made)


Play: TypeAlias = Callable[[Scene], object]


def in_every_order(play: Play, bound: int | None, **options: Any) -> int:
    """Run all schedules of the scene; returns how many there are."""

    def run(schedule: Schedule) -> None:
        scene = Scene(schedule, **options)
        play(scene)
        scene.loop.run_until_idle()
        scene.oracle.assert_all_answered()
        assert all(task.done() for task in scene.loop.tasks)
        assert_trace_valid(scene.trace, has_ended=True)
        scene.oracle.assert_loads_were_ordered(scene.trace)
        scene.loop.end()

    return explore(run, bound=bound, limit=1_000_000)


def three_callers(scene: Scene) -> None:
    """Three callers of one load."""
    for _ in range(3):
        scene.start(scene.get())


def three_callers_and_a_removal(scene: Scene) -> None:
    """Three callers, and a removal between any two of them: up to two loads."""
    three_callers(scene)
    scene.start(scene.invalidate())


def three_callers_and_a_put(scene: Scene) -> None:
    """A value is put at any moment."""
    three_callers(scene)
    scene.start(scene.put())


def cancelled(scene: Scene) -> None:
    """One of two callers is cancelled, at any moment."""

    async def cancel(task: asyncio.Task[None]) -> None:
        task.cancel()

    first = scene.start(scene.get())
    scene.start(scene.get())
    scene.start(cancel(first))


def cancelled_and_comes_again(scene: Scene) -> None:
    """The only caller goes, at any moment, and another comes at once: it must not join the load that is doomed."""

    async def cancel_and_get(task: asyncio.Task[None]) -> None:
        task.cancel()
        await scene.get()

    scene.start(cancel_and_get(scene.start(scene.get())))


def closed(scene: Scene) -> None:
    """The cache is closed while callers come."""
    scene.oracle.is_closing = True
    scene.start(scene.get())
    scene.start(scene.get())
    scene.start(scene.cache.close(cancel=True))


@pytest.mark.parametrize(
    ("play", "options", "bound", "at_least"),
    [
        (three_callers, {}, None, 100),
        (three_callers, {"is_broken": True}, None, 100),
        (three_callers, {"load_timeout": 1}, within(2), 50),
        (three_callers_and_a_removal, {}, within(4), 500),
        (three_callers_and_a_put, {}, None, 500),
        (cancelled, {}, None, 50),
        (cancelled, {"load_timeout": 1}, within(3), 100),
        (cancelled_and_comes_again, {}, None, 10),
        (cancelled_and_comes_again, {"is_broken": True}, None, 10),
        (closed, {}, None, 100),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "-".join(value) if isinstance(value, dict) else None,
)
def test_every_order_is_right(play: Play, options: dict[str, Any], bound: int | None, at_least: int) -> None:
    """Whatever is ready first: nobody hangs, nobody is told what is stale, and every step is the machine's.

    Deadlines pass before, between and after any two callbacks. Where there are too many orders, callbacks are out of
    turn so many times at most.
    """
    assert in_every_order(play, bound, **options) >= at_least
