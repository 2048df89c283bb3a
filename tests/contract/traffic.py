"""Real threads, of which it is known at every moment whether they move or wait.

Every thread that a scenario starts counts as moving until it ends or waits for an event. Whoever sets an event counts
those it wakes as moving in the same critical section, before they run; so "nothing moves" cannot be seen too early, and
no thread ever sleeps to be on the safe side.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from herdless_core import NANOSECONDS_PER_SECOND

STUCK_SECONDS: Final = 20.0
"""A deadlock ends the test after so long; no test waits for it otherwise."""


class _Parked:
    def __init__(self, event: WatchedEvent, deadline: int | None) -> None:
        self.event: Final = event
        self.deadline: Final = deadline


class Traffic:
    """Counts the threads that move. `clock` gives the virtual time in nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock: Final = clock
        self.condition: Final = threading.Condition()
        self._moving = 0
        self._parked: Final[list[_Parked]] = []

    def make_event(self) -> WatchedEvent:
        """An event whose waiters are known."""
        return WatchedEvent(self)

    @contextmanager
    def watching_events(self, prefix: str) -> Iterator[None]:
        """Meanwhile the modules whose name has this prefix make watched events, wherever they import `Event`."""
        modules = [
            module
            for name, module in sys.modules.items()
            if name.startswith(prefix) and getattr(module, "Event", None) is threading.Event
        ]
        assert modules, "no module makes events: the driver would not know who waits"
        patches = [patch.object(module, "Event", self.make_event) for module in modules]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()

    def start(self, body: Callable[[], object]) -> None:
        """Run the body in a thread that is watched."""

        def watched() -> None:
            try:
                body()
            finally:
                with self.condition:
                    self._stop_moving()

        with self.condition:
            self._moving += 1
        threading.Thread(target=watched, daemon=True).start()

    def settle(self) -> None:
        """Wait until no thread moves."""
        with self.condition:
            assert self.condition.wait_for(lambda: self._moving == 0, STUCK_SECONDS), "a thread neither waits nor ends"

    def look_at_clock(self) -> None:
        """Wake those whose deadline has passed."""
        with self.condition:
            self.wake(lambda parked: parked.deadline is not None and self.clock() >= parked.deadline)

    def wake(self, is_meant: Callable[[_Parked], bool]) -> None:
        """Wake the waiters that are meant. Inside the condition."""
        for parked in [parked for parked in self._parked if is_meant(parked)]:
            self._parked.remove(parked)
            self._moving += 1
        self.condition.notify_all()

    def park(self, parked: _Parked) -> None:
        """Wait until woken. Inside the condition."""
        self._parked.append(parked)
        self._stop_moving()
        self.condition.wait_for(lambda: parked not in self._parked)

    def _stop_moving(self) -> None:
        self._moving -= 1
        self.condition.notify_all()


class WatchedEvent:
    """A `threading.Event` whose waiters are known, and whose timeouts are of the virtual clock."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic: Final = traffic
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Wake all waiters."""
        with self._traffic.condition:
            self._is_set = True
            self._traffic.wake(lambda parked: parked.event is self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or the virtual clock has moved on by `timeout` seconds; returns whether it is set."""
        with self._traffic.condition:
            now = self._traffic.clock()
            deadline = None if timeout is None else now + round(timeout * NANOSECONDS_PER_SECOND)
            if not self._is_set and (deadline is None or now < deadline):
                self._traffic.park(_Parked(self, deadline))
            return self._is_set
