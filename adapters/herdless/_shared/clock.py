"""The store's clock, as it is seen from here: all leases and ages are judged by it, and by no clock of a process."""

from __future__ import annotations

from typing import Final, final

from herdless_core import NANOSECONDS_PER_SECOND

REMEMBERED: Final = 10 * NANOSECONDS_PER_SECOND
"""A good reading is preferred to worse ones for so long; then clocks may have drifted."""


@final
class StoreClock:
    """From what the store said, when it was asked and when it answered, by this process's monotonic clock.

    Its time is never before the store's own, and after it by no more than one round trip: what is judged by it looks
    older than it is. All in nanoseconds.
    """

    def __init__(self) -> None:
        self.is_known = False
        self._ahead = 0
        """What is to be added to this process's clock."""
        self._round_trip = 0
        self._read_at = 0

    def sample(self, sent: int, said: int, received: int) -> None:
        """The store was asked at `sent`, and answered by `said`, which arrived at `received`."""
        round_trip = received - sent
        is_better = round_trip <= self._round_trip or received - self._read_at > REMEMBERED
        if not self.is_known or is_better:
            self._round_trip, self._read_at = round_trip, received
            self._ahead = said - sent
            self.is_known = True

    def at(self, instant: int) -> int:
        """The store's time at this instant of the process's clock."""
        return instant + self._ahead

    def here(self, instant: int) -> int:
        """The instant of the process's clock at this time of the store."""
        return instant - self._ahead
