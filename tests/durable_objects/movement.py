"""Who moves, of the threads of a scenario in workerd: the part of it that can be known on this side of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, final

PATIENCE_SECONDS: Final = 20
"""A deadlock ends the test after so long; no test waits for it otherwise."""


@final
class Movement:
    """Counts the threads that wait for nothing; knows the callers who are away, and the loads that have come."""

    def __init__(self) -> None:
        self.condition: Final = threading.Condition()
        self._moving = 0
        self._changes = 0
        self._away: Final[set[int]] = set()
        """The callers whose request is under way, or waits in an object."""
        self._left: Final[set[int]] = set()
        """Those who have closed their connection: an object does not know it."""
        self._handled: Final[set[int]] = set()
        """The loads that have reached the origin and were not answered yet."""
        self._seen: Final[set[int]] = set()

    def start(self, body: Callable[[], object]) -> None:
        """Run the body in a thread that is counted."""

        def counted() -> None:
            try:
                body()
            finally:
                self.change(-1)

        self.change(1)
        threading.Thread(target=counted, daemon=True).start()

    @contextmanager
    def away(self, caller: int) -> Iterator[None]:
        """Meanwhile an object has the caller."""
        with self.condition:
            self._away.add(caller)
            self.change(-1)
        try:
            yield
        finally:
            with self.condition:
                self._away.discard(caller)
                self.change(1)

    @contextmanager
    def handling(self, load: int) -> Iterator[None]:
        """Meanwhile the origin has the load, in a thread that is counted."""
        with self.condition:
            self._handled.add(load)
            self._seen.add(load)
            self.change(1)
        try:
            yield
        finally:
            with self.condition:
                self._handled.discard(load)
                self.change(-1)

    def left(self, caller: int) -> None:
        """The caller closes its connection."""
        with self.condition:
            self._left.add(caller)
            self.change(0)

    def change(self, threads: int) -> None:
        """So many threads more move."""
        with self.condition:
            self._moving += threads
            self._changes += 1
            self.condition.notify_all()

    def settle(self, pulse: Callable[[], dict[str, Any]]) -> None:
        """Return when nothing moves, here and, as `pulse` tells, in the objects. Raises AssertionError if it does not
        come to that.
        """
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            with self.condition:
                assert self.condition.wait_for(lambda: self._moving == 0, PATIENCE_SECONDS), "a thread does not wait"
                before = self._changes
            there = pulse()
            with self.condition:
                if before == self._changes and self._agrees(there):
                    return
            assert monotonic() < deadline, f"{self._away} are away, {self._handled} are loaded; in the objects {there}"

    def _agrees(self, there: dict[str, Any]) -> bool:
        cancelled = set(there["cancelled"])
        return (
            not there["moves"]
            and set(there["waiting"]) - self._left == self._away
            and there["running"] == len(self._handled - cancelled)
            and cancelled <= self._seen
        )


@final
class Parking:
    """Where a load waits. Whoever lets it go counts it as moving, before it runs."""

    def __init__(self, movement: Movement) -> None:
        self._movement: Final = movement
        self._is_set = False
        self._is_parked = False

    def set(self) -> None:
        """Let it go."""
        with self._movement.condition:
            self._is_set = True
            if self._is_parked:
                self._is_parked = False
                self._movement.change(1)

    def wait(self) -> None:
        """Wait until it may go."""
        with self._movement.condition:
            if not self._is_set:
                self._is_parked = True
                self._movement.change(-1)
                self._movement.condition.wait_for(lambda: self._is_set)
