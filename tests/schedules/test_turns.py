"""`max_loads` of threads, under many schedules: never more loads run, and no turn is lost."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Final

import pytest

import herdless._cache
import herdless._workers
import herdless.threads
from herdless.testing import Schedule, Threads, VirtualClock, run_threads, sample
from herdless.threads import Cache
from tests.schedules.depth import times

ADAPTER = (herdless.threads.__file__, herdless._cache.__file__, herdless._workers.__file__)
MAX_LOADS: Final = 2
KEYS: Final = 6


def play(schedule: Schedule, *, timeout: float | None, by_lines: bool = False) -> None:
    """Callers of several keys look up, invalidate and refresh, more of them than may load at once."""

    def main(threads: Threads) -> None:
        running = 0

        def load(key: int) -> int:
            nonlocal running
            running += 1
            assert running <= MAX_LOADS, f"{running} loads run"
            threads.pause("loads")
            running -= 1
            return key

        cache = Cache(load, max_loads=MAX_LOADS, clock=threads.clock, ttl=5, stale_while_revalidate=5)

        def use(key: int) -> None:
            with contextlib.suppress(TimeoutError):
                cache.get(key, timeout)
            cache.invalidate((key + 1) % KEYS)
            cache.refresh((key + 2) % KEYS)
            with contextlib.suppress(TimeoutError):
                cache.get((key + 3) % KEYS, timeout)

        for spawned in [threads.spawn(partial(use, key), name=f"caller {key}") for key in range(KEYS)]:
            spawned.result()
        cache.settled()
        assert not cache._keyspace._waiting
        assert cache.get(KEYS) == KEYS, "no turn is left"

    run_threads(main, schedule, clock=VirtualClock(), lines_of=ADAPTER if by_lines else ())


@pytest.mark.parametrize("switches", [None, 3], ids=["any", "few"])
@pytest.mark.parametrize("timeout", [None, 1_000.0], ids=["own threads", "workers"])
def test_no_more_loads_run_than_may(timeout: float | None, switches: int | None) -> None:
    """A turn that is taken twice is one load too many, and one that is lost is somebody who waits for ever."""
    sample(partial(play, timeout=timeout), seeds=range(times(60)), switches=switches)


def test_no_more_loads_run_than_may_by_lines() -> None:
    """The same, with a switch before any line of the adapter."""
    sample(partial(play, timeout=None, by_lines=True), seeds=range(times(10)), switches=4)
