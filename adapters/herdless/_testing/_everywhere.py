"""What tests of a program do with all of its caches, wherever they are: empty them, pass them by, move their clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, final

from herdless._known import Known, known, unwatch, watch
from herdless._testing._clock import VirtualClock
from herdless.adapter import BaseCache
from herdless_core import CacheClosed


def clear_all() -> None:
    """Make every cache of the process as it was when it was new: empty, and its counters at 0.

    A load in flight goes on for those who wait for it, and nothing of it is stored. A closed cache is empty already.
    """
    for cache in _caches():
        with suppress(CacheClosed):
            cache.clear()
        cache._count_anew()


@contextmanager
def disabled() -> Iterator[None]:
    """Inside, every lookup of every cache loads, waits for its own load alone, and nothing is kept: as if there were no
    cache. Before and afterwards all caches are emptied.

    Also for caches that are made inside, and in every thread. `put` and `refresh` do nothing; `max_loads`,
    `load_timeout` and ReentrantLoad are as ever. It may be nested.
    """
    _change_disabled(+1)
    try:
        yield
    finally:
        _change_disabled(-1)


_lock: Final = threading.Lock()
_depth = 0


def _change_disabled(by: int) -> None:
    global _depth  # noqa: PLW0603  # there is one for the process
    with _lock:
        _depth += by
        if by > 0 and _depth == 1:
            watch(_pass_by)
        elif _depth == 0:
            unwatch(_pass_by)
            for cache in _caches():
                cache._pass_by(False)


def _pass_by(met: Known) -> None:
    cache = met.cache()
    if isinstance(cache, BaseCache):
        cache._pass_by(True)


def _caches() -> list[BaseCache[Any, Any, Any]]:
    """All that are alive. Of a shared cache it is the part of this process, which is a cache like any other."""
    return [cache for each in known() if isinstance(cache := each.cache(), BaseCache)]


@final
class SwitchedClock:
    """The clock of all caches that are given none, which a test may take over."""

    def __init__(self) -> None:
        self._read: Callable[[], int] = time.monotonic_ns

    def __call__(self) -> int:
        """The instant in nanoseconds."""
        return self._read()

    @contextmanager
    def by(self, read: Callable[[], int]) -> Iterator[None]:
        """Inside, the time is what `read` says; all caches are emptied before and afterwards, since what they hold is
        of another time.
        """
        before, self._read = self._read, read
        clear_all()
        try:
            yield
        finally:
            self._read = before
            clear_all()


def virtual_from_now() -> VirtualClock:
    """A clock that stands still, at the real time."""
    return VirtualClock(time.monotonic_ns())


def wall_clock() -> int:
    """What `time.time_ns` says, also where somebody has put another function in its place."""
    return time.time_ns()
