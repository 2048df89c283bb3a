"""`max_loads` with threads: the turns of refreshes that are queued, overtaken or interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless._workers import MAX_REFRESHERS
from tests.runtimes.origin import Origin

PATIENCE: Final = 30


class HungOrigin:
    """Hangs at as many keys as there are threads for refreshes, and answers at all others."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self._hung = threading.Semaphore(0)

    def load(self, key: int) -> int:
        """Hang until the release, or not."""
        if key < MAX_REFRESHERS:
            self._hung.release()
            assert self.release.wait(PATIENCE)
        return key

    def wait_until_all_hang(self) -> None:
        """Until no thread for refreshes is left."""
        for _ in range(MAX_REFRESHERS):
            assert self._hung.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_callers_who_take_over_queued_refreshes_lose_no_turn(timeout: float | None) -> None:
    """More refreshes than threads, more than turns, and callers for some of each: every one of them is loaded."""
    origin = HungOrigin()
    cache = herdless.threads.Cache(origin.load, max_loads=MAX_REFRESHERS + 2)
    for key in range(MAX_REFRESHERS + 6):
        cache.refresh(key)
    origin.wait_until_all_hang()
    for key in range(MAX_REFRESHERS, MAX_REFRESHERS + 6, 2):
        assert cache.get(key, timeout) == key
    origin.release.set()
    cache.settled(PATIENCE)
    assert len(cache) == MAX_REFRESHERS + 6


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_refreshes_that_have_not_begun_keep_no_caller_waiting(timeout: float | None) -> None:
    """They have all the turns, and no threads, since others hang: what a caller needs is loaded first."""
    origin = HungOrigin()
    cache = herdless.threads.Cache(origin.load, max_loads=MAX_REFRESHERS + 2)
    for key in range(MAX_REFRESHERS + 2):
        cache.refresh(key)
    origin.wait_until_all_hang()
    for key in range(100, 103):
        assert cache.get(key, timeout) == key
    origin.release.set()
    cache.settled(PATIENCE)
    assert len(cache) == MAX_REFRESHERS + 2 + 3, "those who gave up their turns have had others"


def test_turn_that_a_lookup_inside_a_load_sets_free_is_taken_at_once() -> None:
    """A refresh that has not begun is loaded for the caller inside another load, and then its turn is the next one's:
    that is not to wait for the outer load's end.
    """
    jobs: list[Callable[[], object]] = []

    class Held:
        def submit(self, job: Callable[[], object]) -> None:
            jobs.append(job)

    def load(key: str) -> str:
        if key == "outer":
            cache.refresh("late")  # one load too many
            assert len(jobs) == 1
            assert cache.get("early") == "early"
            assert len(jobs) == 2, "it has the turn that was set free, and is launched"
        return key

    cache = herdless.threads.Cache[str, str](load, executor=Held(), max_loads=2)
    cache.refresh("early")
    assert cache.get("outer") == "outer"
    for job in jobs:
        job()
    assert cache.peek("late") == "late"
    assert cache.stats().in_flight == 0


def test_refresh_that_is_overtaken_in_the_queue_gives_its_turn_back() -> None:
    """Nobody calls its loader any more, so nothing else would end it."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        busy = executor.submit(release.wait, PATIENCE)
        cache = herdless.threads.Cache(str.upper, max_loads=1, executor=executor)
        cache.refresh("k")
        cache.put("k", "put")
        release.set()
        assert cache.get("another", timeout=PATIENCE) == "ANOTHER"
    assert busy.result()


def test_load_that_was_begun_keeps_its_turn_though_its_launch_was_interrupted() -> None:
    """A thread runs it already: one more would be one too many."""
    origin, has_begun, release = Origin(), threading.Event(), threading.Event()

    def load(key: str) -> str:
        with origin:
            has_begun.set()
            assert release.wait(PATIENCE)
            return key

    class Interrupted(ThreadPoolExecutor):
        """Ctrl-C comes when the first job has been handed over, and runs."""

        is_first = True

        def submit(self, *args: Any, **options: Any) -> Any:
            submitted = super().submit(*args, **options)
            if self.is_first:
                self.is_first = False
                assert has_begun.wait(PATIENCE)
                raise KeyboardInterrupt
            return submitted

    with Interrupted(2) as executor:
        cache = herdless.threads.Cache(load, max_loads=1, executor=executor)
        with pytest.raises(KeyboardInterrupt):
            cache.refresh("begun")
        cache.refresh("waits")
        assert origin.running == 1
        assert cache.stats().in_flight == 2
        release.set()
        cache.settled(PATIENCE)
    assert origin.most == 1
