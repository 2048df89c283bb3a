"""An asyncio event loop in virtual time: when there is nothing to do, the clock jumps to the next timer.

Minutes pass in seconds, and the same program gives the same result on any machine. What does not pass is CPU time: a
step of the program takes no virtual time at all. Good for days: where seconds as floats are coarser than the clock's
resolution, after months, asyncio itself never finds a timer due.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for the timeout, it lets it pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """No file is ever ready; raises RuntimeError where the loop would wait for ever."""
        if timeout is None:
            raise RuntimeError("nothing is scheduled: in virtual time the program would wait for ever")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` is virtual."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now

    def time_ns(self) -> int:
        """The same in nanoseconds, for caches that take a clock."""
        return round(self._virtual.now * 1e9)


def run(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    """Run to the end, in virtual time."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
