"""What a shared cache has where it is used, in every runtime: a connection, and those who wait for what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable
from typing import Final

LIVING_EVERY: Final = 0.1
"""Seconds between two looks at whether those still live for whose loads this process waits."""
LOOKS_UNTIL_DEAD: Final = 2
"""So many looks in a row have to miss somebody: a connection may be lost for a moment."""
POLL: Final = 0.05
"""Seconds between two looks at a record while nothing that is told of it would arrive."""
TRIES_AGAIN: Final = 0.1
"""Seconds after which a store that was down is asked again, by lookups and by who listens."""
BEATS_UNTIL_LOST: Final = 4
"""So many questions without an answer, and the connection is taken for dead."""


class BasePlace(ABC):
    """Where one session waits for news of its key."""

    def __init__(self, owner: str) -> None:
        self.owner: Final = owner
        self.missed = 0
        """How many looks in a row did not find the owner alive."""

    @abstractmethod
    def wake(self, *, owner_is_gone: bool = False) -> None:
        """Look again."""


def wake_orphans(places: Iterable[BasePlace], living: Container[str]) -> None:
    """Those look again whose owners were not found among the living so many times in a row."""
    for place in places:
        place.missed = 0 if place.owner in living else place.missed + 1
        if place.missed >= LOOKS_UNTIL_DEAD:
            place.wake(owner_is_gone=True)


class BaseLink(ABC):
    """What a shared cache has where it is used: a connection, and who listens."""

    def __init__(self) -> None:
        self.is_heard = False
        """Whether what is told arrives just now."""
        self.knows_the_living = True
        self.is_closed = False

    @abstractmethod
    def begin(self) -> None:
        """It listens, or cannot: who waited for that goes on."""

    @abstractmethod
    def wake(self, key: str) -> None:
        """Who waits for this key looks again."""

    @abstractmethod
    def wake_all(self) -> None:
        """Something may be lost."""
