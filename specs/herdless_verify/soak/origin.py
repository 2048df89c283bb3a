"""The origin on which loads hang: it is down now and then, and recovers for all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, final

MAX_HUNG: Final = 4
"""So many loads hang at a time; a hung load of threads keeps its thread."""

MAX_GIVEN_UP: Final = 12
"""So many where they are given up at their deadline: more than threads have for refreshes."""


@final
class Origin:
    """make_event: what the runtime waits for, with `set()` and `wait()`; most: so many loads hang at a time."""

    def __init__(self, make_event: Callable[[], Any], most: int) -> None:
        self._make_event: Final = make_event
        self._most: Final = most
        self._lock: Final = threading.Lock()
        self._hung = 0
        self._has_recovered = False
        self.recovery = make_event()
        """What a load waits for that hangs."""
        self.is_down = False
        """Whether every load hangs."""
        self.end: Final = make_event()
        """What a load waits for that hangs for ever."""

    @property
    def hung(self) -> int:
        """How many loads hang that were not freed yet."""
        return 0 if self._has_recovered else min(self._hung, self._most)

    def may_hang(self) -> bool:
        """Whether one more load may hang; it must then wait for the recovery."""
        with self._lock:
            self._hung += 1
            return self._hung <= self._most and not self._has_recovered

    def recovers(self, *, for_good: bool = False) -> None:
        """Those who hang go on; for_good: from now on nobody hangs. In the runtime's own thread."""
        with self._lock:
            self._has_recovered |= for_good
            self.is_down = False
            recovery = self.recovery
            if not self._has_recovered:
                self.recovery = self._make_event()
            self._hung = 0
        recovery.set()
