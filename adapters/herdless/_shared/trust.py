"""Until when a process may answer with what it holds: the bound after which an invalidation binds every process.

The store is asked now and then, on the connection on which it tells of changes. When it answers, everything has arrived
that was told before the question was SENT. So nothing that is held was invalidated before that, and it may be answered
for `staleness` from then on. No clocks are compared, and no message has to arrive.

Where no answer comes in time, the process is BLIND: it lets go of what it holds, and keeps what it fetches from then
on for `staleness` from the start of the fetch, and no longer. When an answer comes again it lets go once more: a fetch
that began before that may bring what was invalidated while nothing could be heard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from herdless import _primitives
from herdless_core import LONG_AGO, NEVER


@final
class Trust:
    """Instants in nanoseconds of the process's monotonic clock."""

    def __init__(self, staleness: int, clear: Callable[[], None]) -> None:
        """clear: lets go of all that is held, and of what is being fetched."""
        self._staleness: Final = staleness
        self._clear: Final = clear
        self._lock = _primitives.RLock()
        self.until = NEVER
        """From this instant on nothing may be answered that is held. To be read BEFORE what is held."""
        self.is_blind = True
        self.losses = 0
        """How often it became blind."""

    def heard(self, sent: int) -> None:
        """The store has answered a question that was sent at this instant."""
        with self._lock:
            if self.is_blind:
                self.until = LONG_AGO  # until all is done, nobody answers
                self._clear()
                self.is_blind = False
                self.until = sent + self._staleness
            else:
                self.until = max(self.until, sent + self._staleness)

    def look(self, now: int) -> None:
        """Whether the time is over; whoever is about to answer asks."""
        if now >= self.until:
            with self._lock:
                if now >= self.until:
                    self._forsake()

    def lost(self) -> None:
        """Something that was told may be lost: what comes later does not make up for it."""
        with self._lock:
            if not self.is_blind:
                self._forsake()

    def distrust(self) -> None:
        """In a forked child, where nobody listens, and no lock may be taken: whoever looks next lets go of all."""
        self._lock = _primitives.RLock()
        self.is_blind = True  # so that what is held goes also where the store is heard before anybody looks
        self.until = LONG_AGO

    def _forsake(self) -> None:
        self.is_blind = True  # first: what is fetched from now on is not kept for long
        self.losses += 1
        self._clear()
        self.until = NEVER
