"""What a shared cache has where it is used, in every runtime: a connection, and those who wait for what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Mapping
from typing import Final

from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Parked

LIVING_EVERY: Final = 0.1
"""Seconds between two looks of the first process that waits for a load: whether its holder still lives."""
RESTS: Final = 10
"""So many times as long are the pauses of a process that was not the first: the first one may be gone, too."""
LOOKS_UNTIL_DEAD: Final = 2
"""So many looks in a row have to miss somebody: a connection may be lost for a moment."""
POLL: Final = 0.05
"""Seconds between two looks at a record while nothing that is told of it would arrive."""
TRIES_AGAIN: Final = 0.1
"""Seconds after which a store that was down is asked again, by lookups and by who listens."""
BEATS_UNTIL_LOST: Final = 4
"""So many questions without an answer, and the connection is taken for dead."""


class BasePlace(ABC):
    """Where one session hears news of its key."""

    def __init__(self) -> None:
        self.owner = ""
        """For whose load it waits; empty while it does not."""
        self.missed = 0
        """How many looks in a row did not find the owner alive."""
        self.has_looked = False
        """Whether it was there before the record was asked for: then nothing that was told since is missed."""
        self._gone = ""
        """The owner that was found to be gone, who may be another than that for whose load it waits by then."""
        self._pause = self._rests = 1
        """How many turns there are between two looks, and until the next one."""

    def wait_for(self, record: Record) -> None:
        """It waits for the load of this record. Who finds it marked is not the first, and looks more seldom."""
        self.owner, self.missed = record.owner, 0
        self._pause = self._rests = RESTS if record.is_awaited else 1

    def is_due(self) -> bool:
        """Whether it looks in this turn."""
        self._rests -= 1
        return bool(self.owner) and self._rests <= 0

    @property
    def parked(self) -> Parked:
        """What came of waiting, while that is not over."""
        return Parked(owner_is_gone=bool(self._gone) and self._gone == self.owner)

    def found(self, owner: str, *, is_alive: bool) -> None:
        """What a look for this owner has shown, for whom it may wait no more by now. Whoever missed the owner once
        looks again in the next turn.
        """
        if owner != self.owner:
            return
        self.missed = 0 if is_alive else self.missed + 1
        self._rests = self._pause if is_alive else 1
        if self.missed >= LOOKS_UNTIL_DEAD:
            self._gone = owner
            self.wake()

    def is_sure_of(self, record: Record) -> bool:
        """Whether what comes of this record will be heard, without marking it first."""
        return record.is_awaited and self.has_looked

    def look_anew(self) -> None:
        """Whatever was told up to now is about to be seen in the store."""
        self.has_looked = True
        self._gone = ""

    @abstractmethod
    def wake(self) -> None:
        """Look again."""


def due_in(places: Iterable[BasePlace]) -> dict[BasePlace, str]:
    """Those that look for their owners in this turn, each with the owner."""
    return {place: place.owner for place in places if place.is_due()}


def wake_orphans(looks: Mapping[BasePlace, str], living: Container[str]) -> None:
    """Those look again whose owners were not found among the living so many times in a row. looks: as of `due_in`."""
    for place, owner in looks.items():
        place.found(owner, is_alive=owner in living)


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
