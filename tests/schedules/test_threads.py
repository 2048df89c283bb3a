"""The adapter for threads under a scheduler that owns its locks: all schedules of small scenes, many of larger ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import herdless._orders
import herdless._reports
import herdless._section
import herdless._threads_loads
import herdless._threads_waits
import herdless.threads
from herdless.testing import explore, sample
from tests.schedules import threads_scene as scenes
from tests.schedules.depth import times, within
from tests.schedules.threads_scene import Play, run_scene

ADAPTER = tuple(
    str(module.__file__)
    for module in (
        herdless.threads,
        herdless._threads_waits,
        herdless._threads_loads,
        herdless._reports,
        herdless._section,
        herdless._orders,
    )
)


@pytest.mark.parametrize(
    ("play", "options", "bound", "at_least"),
    [
        (scenes.two_callers, {}, within(2), 50),
        (scenes.two_callers_who_ask_again, {}, within(2), 50),
        (scenes.a_removal, {}, within(1), 20),
        (scenes.a_put, {}, within(1), 20),
        (scenes.a_failure, {}, within(2), 50),
        (scenes.a_refresh, {}, within(1), 20),
        (scenes.a_closing, {}, within(1), 20),
        (scenes.two_callers, {"load_timeout": 1}, within(1), 20),
        (scenes.three_callers, {}, within(1), 20),
        (scenes.beside_a_load_that_hangs, {}, within(1), 20),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_schedule_is_right(play: Play, options: dict[str, Any], bound: int | None, at_least: int) -> None:
    """With so many preemptions at any points: nobody hangs, nothing stale is told, and the history is linearizable."""
    assert explore(partial(run_scene, play, **options), bound=bound) >= at_least


def test_every_schedule_by_lines_is_right() -> None:
    """Two callers, and one switch before any line of the adapter."""
    assert explore(partial(run_scene, scenes.two_callers, lines_of=ADAPTER), bound=within(1)) >= 300


@pytest.mark.parametrize("options", [{}, {"load_timeout": 1}, {"maxsize": 0}], ids=str)
def test_random_schedules_are_right(options: dict[str, Any]) -> None:
    """Where there are too many schedules to run all, each switch is random."""
    sample(partial(run_scene, scenes.everything, **options), seeds=range(times(100)))


def test_refreshes_that_hang_hold_up_nobody() -> None:
    """All the threads for refreshes are taken, for ever: who joins the one that is queued is answered all the same."""
    sample(partial(run_scene, scenes.beside_refreshes_that_hang), seeds=range(times(20)))


def test_random_priorities_are_right() -> None:
    """PCT: few switches, at any points, which is what most bugs need."""
    sample(partial(run_scene, scenes.everything), seeds=range(times(100)), switches=3)


@pytest.mark.parametrize(
    "play",
    [scenes.a_removal, scenes.three_callers, scenes.two_callers_who_ask_again],
    ids=lambda play: play.__name__,
)
def test_schedules_by_lines_are_right(play: Play) -> None:
    """A switch before any line of the adapter, so that what is read without the lock is read at any moment."""
    sample(partial(run_scene, play, lines_of=ADAPTER), seeds=range(times(100)), switches=2)
