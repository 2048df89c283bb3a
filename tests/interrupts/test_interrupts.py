"""An exception that comes in between, at any bytecode of any method, leaves a cache that is as good as before.

Ctrl-C in a notebook, a task queue's soft time limit and a server's abort of its worker are raised by a signal's handler
wherever the program happens to be. By default a few are disturbed at every point on threads, and all others at every so
manieth, each beginning at another one, and the runtimes beside threads share the cases; with
`--hypothesis-profile=deep` all of them are at every point, in every runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import herdless.asyncio
import herdless_core
from herdless import _loop_thread, _workers
from herdless.testing import Injection, interrupt_everywhere
from herdless.threads import Cache
from herdless_core import LoadCancelled
from tests.interrupts import in_asyncio, in_threads, in_trio
from tests.interrupts.cases import OPERATIONS, SITUATIONS, LoadBroke, Situation
from tests.interrupts.in_asyncio import Interrupt, TimeLimit
from tests.interrupts.tables import assert_tables_agree
from tests.schedules.depth import IS_DEEP

pytestmark = [
    pytest.mark.pure("a compiled library has no bytecodes: the contract suite is for it"),
    # A coroutine that an interrupt took away from whoever was to await it.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

every_situation = pytest.mark.parametrize("situation", SITUATIONS, ids=str)
every_operation = pytest.mark.parametrize("operation", OPERATIONS)

EXHAUSTIVE = {
    ("get", "absent, a caller joins"),
    ("get", "loaded by another"),
    ("invalidate", "loaded by another, for three"),
}
"""These are in the default run of every runtime."""
EXHAUSTIVE_IN_THREADS = {
    *EXHAUSTIVE,
    ("get", "absent, and no turn is free"),
    ("invalidate", "loaded by another, others wait for their turn"),
}
"""On threads these are disturbed at every point in the default run too; in a loop that takes minutes."""
OFTEN = 11
"""At every so manieth point they are disturbed elsewhere."""


def a_third(part: int) -> pytest.MarkDecorator:
    """The situations and operations of one of three parts, and the exhaustive ones; the deep run takes all. Threads
    take all of them in the default run too.
    """
    pairs = [
        pytest.param(situation, operation, id=f"{situation}-{operation}")
        for at, situation in enumerate(SITUATIONS)
        for place, operation in enumerate(OPERATIONS)
        if IS_DEEP or (operation, situation.name) in EXHAUSTIVE or (at + place) % 3 == part
    ]
    return pytest.mark.parametrize(("situation", "operation"), pairs)


def disturb(play: Callable[..., None], situation: Situation, operation: str, every: int, **options: Any) -> None:
    """Run the scene for its points. Where not all are tried, each case begins at another one."""
    is_plain = options.get("error", KeyboardInterrupt) in {KeyboardInterrupt, Interrupt, in_trio.Interrupt}
    if IS_DEEP or (play is in_threads.play and is_plain and (operation, situation.name) in EXHAUSTIVE_IN_THREADS):
        every = 1
    elif is_plain and (operation, situation.name) in EXHAUSTIVE:
        every = OFTEN
    first = 1 + (SITUATIONS.index(situation) + 5 * list(OPERATIONS).index(operation)) % every
    assert (
        interrupt_everywhere(
            partial(play, situation=situation, operation=operation), every=every, first=first, **options
        )
        > 0
    )


@every_operation
@every_situation
def test_an_interrupted_thread_leaves_the_cache_whole(situation: Situation, operation: str) -> None:
    """The lock is free, every other caller is answered, no flight is left, and the tables agree."""
    disturb(in_threads.play, situation, operation, every=199)


@every_situation
def test_an_interrupted_call_of_a_decorated_function_leaves_the_cache_whole(situation: Situation) -> None:
    """It has a copy of what `Cache.get` does, so that a call is one frame only."""
    disturb(partial(in_threads.play, is_decorated=True), situation, "get", every=199)


@pytest.mark.parametrize("operation", ["get", "refresh"])
@pytest.mark.parametrize(
    "situation",
    [each for each in SITUATIONS if {"load_timeout", "stale_while_revalidate"} & each.options.keys()],
    ids=str,
)
def test_an_interrupted_worker_leaves_the_cache_whole(situation: Situation, operation: str) -> None:
    """Time limits can be raised in any thread, and a load that must be left behind runs on one of the cache's own."""
    disturb(partial(in_threads.play, in_workers=True), situation, operation, every=199)


def test_a_worker_that_is_interrupted_anywhere_loses_no_load() -> None:
    """Not even at its very first instruction, before any `except` of its own: nobody else would run the load."""
    (situation,) = [each for each in SITUATIONS if each.name == "absent, with a deadline"]
    scene = partial(in_threads.play, in_workers=True, situation=situation, operation="get")
    assert interrupt_everywhere(scene, files=[str(Path(_workers.__file__))]) > 100


@a_third(0)
def test_an_interrupted_loop_leaves_the_cache_whole(situation: Situation, operation: str) -> None:
    """The interrupt stops the loop; whoever runs it again, or another, finds the cache whole."""
    disturb(in_asyncio.play, situation, operation, every=397, error=Interrupt)


@a_third(1)
def test_a_task_that_is_over_its_time_limit_leaves_the_cache_whole(situation: Situation, operation: str) -> None:
    """An ordinary Exception ends one task alone, and the others go on at once."""
    disturb(in_asyncio.play, situation, operation, every=397, error=TimeLimit)


@pytest.mark.parametrize("error", [in_trio.Interrupt, in_trio.TimeLimit], ids=lambda error: error.__name__)
@a_third(2)
def test_an_interrupted_trio_run_leaves_the_cache_whole(
    situation: Situation, operation: str, error: type[BaseException]
) -> None:
    """The run may end by it; nobody is left waiting, and the cache can be opened in another one."""
    disturb(in_trio.play, situation, operation, every=397, error=error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, LoadBroke], ids=lambda error: error.__name__)
def test_a_lookup_that_overtakes_others_is_interrupted(error: type[BaseException]) -> None:
    """Who sets a turn free boards a flight that was there before: it is launched, or given up, but never left."""

    def once(injection: Injection) -> None:
        jobs: list[Callable[[], object]] = []

        class Held:
            def submit(self, job: Callable[[], object]) -> None:
                jobs.append(job)

        def load(key: str) -> str:
            if key == "outer" and not is_judged:
                cache.refresh("late")
                assert cache.get("early") == "early"
            return key

        is_judged = False
        cache = Cache[str, str](load, executor=Held(), max_loads=2)
        cache.refresh("early")
        with contextlib.suppress(error, LoadCancelled), injection.using(cache):
            cache.get("outer")
        is_judged = True
        while jobs:
            jobs.pop(0)()
        assert cache.stats().in_flight == 0
        assert_tables_agree(cache)
        assert [cache.get(key) for key in ("outer", "early", "late")] == ["outer", "early", "late"]

    assert interrupt_everywhere(once, every=1 if IS_DEEP else 23, error=error) > 0


PATIENCE = 30

STORE = [str(Path(herdless_core.__file__).parent / f"{name}.py") for name in ("_store", "_eviction", "_steps")]


@pytest.mark.parametrize("operation", ["get", "put", "invalidate"])
@pytest.mark.parametrize("name", ["absent, in a full cache", "expired, others too"])
def test_an_ordinary_exception_is_not_taken_for_a_key_s_own(name: str, operation: str) -> None:
    """Where the tables are changed, what a key's hash raises is caught; a time limit may come there as well."""
    (situation,) = [each for each in SITUATIONS if each.name == name]
    scene = partial(in_asyncio.play, situation=situation, operation=operation)
    assert interrupt_everywhere(scene, error=TimeLimit, files=STORE) > 0


def test_loop_of_the_loads_goes_on_where_its_thread_is_interrupted() -> None:
    """All loads of a cache with `loads_in="thread"` run there, those of the next lookups too."""

    def once(injection: Injection) -> None:
        threads: list[threading.Thread] = []

        class Disturbed(threading.Thread):
            def run(self) -> None:
                threads.append(self)
                with injection:
                    super().run()

        async def load(key: str) -> str:
            return key

        async def main() -> None:
            async with herdless.asyncio.Cache(load, loads_in="thread") as cache:
                assert await asyncio.wait_for(cache.get("a"), PATIENCE) == "a"
                injection.stop()
                assert await asyncio.wait_for(cache.get("b"), PATIENCE) == "b"

        with patch("herdless._daemons.Thread", Disturbed):
            asyncio.run(main())
            while threads:
                threads.pop().join()

    assert interrupt_everywhere(once, files=[str(Path(_loop_thread.__file__))]) > 10
