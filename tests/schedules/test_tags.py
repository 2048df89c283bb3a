"""Invalidations by a tag in every order: two callers, their load, and two invalidations, in each runtime.

An origin has a version. Whoever changes it invalidates the tag afterwards, and from then on nobody who asks may be told
an older one. Who asked before may be, and then must be told it without waiting for another load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.testing import (
    Schedule,
    ScheduleFailed,
    SeededEventLoop,
    Threads,
    Trace,
    VirtualClock,
    assert_trace_valid,
    explore,
    run_threads,
    run_trio,
)
from herdless_core import Loaded
from tests.schedules.depth import within

TAG: Final = "user:7"
TURNS: Final = ["at once", "a turn later", "two turns later"]


class Origin:
    """What is cached: a number that grows. And the judge of what is told of it."""

    def __init__(self, cache: Callable[..., Any], tags: tuple[str, ...]) -> None:
        self.trace = Trace()
        self.tags = tags
        self.has_tag = TAG in tags
        self.version = 0
        self.floor = 0
        """The version of which everybody was told who asks from now on."""
        self.loads = 0
        self.told = 0
        self.cache = cache(observe=self.trace)

    def begin(self) -> int:
        """A load reads the version at once, and may be slow to say so."""
        self.loads += 1
        return self.version

    def end(self, version: int) -> Loaded[int]:
        """It turns out what tags the value has."""
        return Loaded(version, tags=self.tags)

    def judge(self, floor: int, told: int) -> None:
        """A caller is told; floor: the least that may be told, as it was when the caller asked."""
        assert not self.has_tag or told >= floor, f"told version {told} after it was {floor}"
        self.told += 1

    def change(self) -> None:
        """The version grows, and the tag is invalidated."""
        self.version += 1
        changed = self.version
        self.cache.invalidate_tag(TAG)
        self.floor = max(self.floor, changed)

    def judged(self, callers: int) -> None:
        """All is over."""
        self.judge(self.floor, self.cache.peek("k", self.floor))
        assert self.told == callers + 1
        assert self.has_tag or self.loads == 1, "a value without the tag was loaded again"
        assert self.cache.stats().in_flight == 0
        assert_trace_valid(self.trace, has_ended=True)


def in_asyncio(schedule: Schedule, tags: tuple[str, ...], changes: int) -> None:
    """Two callers, a refresh, and changes."""
    clock = VirtualClock()
    loop = SeededEventLoop(schedule, clock)

    async def load(key: str) -> Loaded[int]:
        version = origin.begin()
        await asyncio.sleep(0)
        return origin.end(version)

    async def get() -> None:
        floor = origin.floor
        origin.judge(floor, await origin.cache.get("k"))

    async def change() -> None:
        origin.change()

    origin = Origin(partial(herdless.asyncio.Cache[str, int], load, clock=clock), tags)
    tasks = [loop.call(loop.create_task, each) for each in (get(), get(), *(change() for _ in range(changes)))]
    loop.run_until_idle()
    try:
        for task in tasks:
            task.result()
        origin.judged(2)
    finally:
        loop.end()


def in_trio(schedule: Schedule, tags: tuple[str, ...], changes: int) -> None:
    """The same."""
    clock = VirtualClock()

    async def load(key: str) -> Loaded[int]:
        version = origin.begin()
        await turns(2)
        return origin.end(version)

    async def turns(count: int) -> None:
        for _ in range(count):
            await trio.lowlevel.checkpoint()

    async def get() -> None:
        await turns(schedule.pick(TURNS))
        floor = origin.floor
        origin.judge(floor, await origin.cache.get("k"))

    async def change() -> None:
        await turns(schedule.pick(TURNS))
        origin.change()

    async def main() -> None:
        async with origin.cache:
            async with trio.open_nursery() as nursery:
                for task in (get, get, *(change for _ in range(changes))):
                    nursery.start_soon(task)
            origin.judged(2)

    origin = Origin(partial(herdless.trio.Cache[str, int], load, checkpoint="never", clock=clock), tags)
    run_trio(main, schedule, clock=clock)


def in_threads(schedule: Schedule, tags: tuple[str, ...], changes: int) -> None:
    """The same."""
    clock = VirtualClock()

    def main(threads: Threads) -> None:
        def load(key: str) -> Loaded[int]:
            version = origin.begin()
            threads.pause("loads")
            return origin.end(version)

        def get() -> None:
            floor = origin.floor
            origin.judge(floor, origin.cache.get("k"))

        origin = Origin(partial(herdless.threads.Cache[str, int], load, clock=clock), tags)
        spawned = [threads.spawn(each) for each in (get, get, *(origin.change for _ in range(changes)))]
        for thread in spawned:
            thread.result()
        origin.judged(2)

    run_threads(main, schedule, clock=clock)


@pytest.mark.parametrize(
    ("run", "changes", "bound"),
    [(in_asyncio, 1, None), (in_asyncio, 2, within(3)), (in_trio, 1, within(2)), (in_threads, 1, within(1))],
)
@pytest.mark.parametrize("tags", [("other", TAG), ("other",)], ids=["with the tag", "without it"])
def test_every_order_of_two_callers_and_changes_is_right(
    run: Callable[[Schedule, tuple[str, ...], int], None], changes: int, bound: int | None, tags: tuple[str, ...]
) -> None:
    """NoStaleRead for tags, NoStaleSet for tags; and a value without the tag is loaded once."""
    assert explore(lambda schedule: run(schedule, tags, changes), bound=bound) >= 50


@pytest.mark.pure("breaks an adapter by replacing its method")
@pytest.mark.parametrize(
    ("cache", "run"),
    [(herdless.asyncio.Cache, in_asyncio), (herdless.trio.Cache, in_trio), (herdless.threads.Cache, in_threads)],
)
def test_callers_who_are_not_told_apart_are_found(monkeypatch: pytest.MonkeyPatch, cache: Any, run: Any) -> None:
    """The judge finds who joined too late and is answered all the same: it can fail."""
    settle = cache._settle

    def settle_all_alike(self: Any, flight: Any, outcome: Any) -> None:
        flight.outdated_by = 0
        settle(self, flight, outcome)

    monkeypatch.setattr(cache, "_settle", settle_all_alike)
    with pytest.raises(ScheduleFailed, match="told version 0 after it was 1"):
        explore(lambda schedule: run(schedule, (TAG,), 1), bound=2)


@pytest.mark.pure("breaks the core by replacing a method")
def test_an_outdated_value_that_is_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, of what is kept for those who come when the load has ended."""
    monkeypatch.setattr("herdless_core._tags.Tags.outdated_by", lambda *_: 0)
    with pytest.raises(ScheduleFailed, match="told version 0 after it was 1"):
        explore(lambda schedule: in_threads(schedule, (TAG,), 1), bound=1)
