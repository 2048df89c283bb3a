"""What the near cache holds of a key, what cannot be read of a record, and who sees what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

from herdless._lookup import How
from herdless_core._fleet.requests import Swap


@final
@dataclass(frozen=True, slots=True)
class Held:
    """What the near cache holds of a key."""

    value: Any
    loaded_at: int
    """When its load started, by this process's clock."""
    fresh_until: int
    """Until when it is fresh, by the same clock: `NEVER` without end, `LONG_AGO` where it is not or not kept."""
    is_stale: bool
    how: How
    """How whoever fetched it got it."""
    version: bytes
    """Of the record."""


class Witness(Protocol):
    """Sees what one process writes, for whoever judges a fleet. Called by any of its threads; must not raise."""

    def tries(self, text: str, swap: Swap) -> None:
        """The store is asked to write this for the key of this text, now."""

    def knows(self, swap: Swap, *, is_written: bool) -> None:
        """The store has said whether it did. It need not come to that."""


@final
class Undecodable(Exception):
    """`decode` raised."""
