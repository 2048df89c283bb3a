"""What a step orders, carried out: in the same way by the cache of every runtime, and by an object of one key.

Four small orders depend on the runtime, and are left to a subclass: `_launch`, `_settle`, `_cancel`, `_arm`. This part
knows no lock and no keyspace, but for the three tables of flights that the keyspace shares with whoever drives it.
"""

from __future__ import annotations

from threading import get_ident
from typing import Final, Generic, TypeVar

from herdless_core import (
    NEVER,
    Answer,
    CancelLoad,
    Effects,
    Failure,
    Forget,
    Join,
    LoadCancelled,
    Outcome,
    Rearm,
    Refuse,
    RunningLoad,
    Save,
    Settle,
    StartLoad,
)

F = TypeVar("F", bound=RunningLoad)

LOOK_AGAIN: Final[Outcome] = Failure(LoadCancelled("the value was outdated: look up again"), None)
"""What those are woken with who must not be told a flight's value, since a tag of it was invalidated before they came,
and after the flight had begun.
"""


TO_WRITE: Final = ("_launch", "_settle", "_cancel", "_arm")
"""What every adapter has to write. Not by `abc`: compiled by mypyc 2.4, all classes below one of its classes share one
memory of what is an instance of which, and `isinstance` answers for one what was asked for another."""


def require_written(kind: type) -> None:
    """Raise TypeError for an adapter that lacks a method."""
    missing = [name for name in TO_WRITE if getattr(kind, name) is getattr(Orders, name)]
    if missing:
        raise TypeError(f"{kind.__qualname__} is no adapter yet: it has to write {', '.join(missing)}")


class Orders(Generic[F]):
    """Carries out the effects of a step, before the next step is taken.

    flights, started, ended: the keyspace's own tables, of the class of load that it makes.
    """

    def __init__(self, flights: dict[int, F], started: list[F], ended: dict[int, F]) -> None:
        self._flights: Final = flights
        self._started: Final = started
        self._ended: Final = ended

    def _carry_out(self, effects: Effects) -> F | None:
        """Carry the effects out in their order. A flight that is to start is returned: launch it when all is done."""
        boarded: F | None = None
        if self._started:
            self._equip_started()
        for effect in effects:
            match effect:
                case Join() | Answer() | Refuse() | Save() | Forget():
                    pass  # the caller's reply; and what is stored elsewhere is stored before
                case StartLoad():
                    boarded = self._flights[effect.generation]
                    if not boarded.boarder and boarded.due_at != NEVER:
                        self._arm(boarded)
                    boarded.boarder = get_ident()
                    boarded.is_launched = False  # it was, where it had to give up its turn before it began
                case Settle():
                    self._settle_ended(effect.generation, effect.outcome)
                case CancelLoad():  # no caller waits for it any more, but `close` may
                    nobody = Failure(LoadCancelled("nobody waits for the load any more"), None)
                    flight = self._settle_ended(effect.generation, nobody)
                    if flight is not None:
                        self._cancel(flight)
                case Rearm():
                    self._arm(self._flights[effect.generation])
        if self._ended:
            self._clear_ended()
        return boarded

    def _equip_started(self) -> None:
        for flight in self._started:
            self._equip(flight)
        self._started.clear()

    def _settle_ended(self, generation: int, outcome: Outcome) -> F | None:
        """The flight that the step ended, its waiters answered once."""
        flight = self._ended.get(generation)
        if flight is not None and not flight.is_settled:
            self._settle(flight, outcome)
            flight.is_settled = True
        return flight

    def _clear_ended(self) -> None:
        """Nobody was told what became of those that are left."""
        for flight in self._ended.values():
            if not flight.is_settled:
                self._settle_dropped(flight)
                self._cancel(flight)
        self._ended.clear()

    # What the runtime adds

    def _equip(self, flight: F) -> None:
        """Fill in what has to be looked up for a flight that was just started, as for asyncio its event loop.

        Inside the lock, after the step, so it MUST NOT raise: what could is refused by `_require_runtime`.
        """

    def _launch(self, flight: F) -> None:
        """Call the loader, not under the caller's cancellation, and set `flight.is_launched` once somebody is certain
        to report the load's end.

        Outside of the lock, so another thread may have superseded the flight already. A cache in which some callers
        run their loads themselves may leave such a flight to them.
        """
        raise NotImplementedError

    def _settle(self, flight: F, outcome: Outcome) -> None:
        """Answer all waiters. Inside the lock. Whoever is woken is told first and forgotten afterwards, so that what
        was broken off can be done again.
        """
        raise NotImplementedError

    def _settle_dropped(self, flight: F) -> None:
        """Answer all waiters of a flight whose load will not be told of: whoever ran it is gone. Inside the lock."""
        self._settle(flight, Failure(LoadCancelled("whoever ran the load is gone"), None))

    def _cancel(self, flight: F) -> None:
        """Cancel the load if the runtime can. Inside the lock."""
        raise NotImplementedError

    def _arm(self, flight: F) -> None:
        """Set the timer for `flight.due_at`, nanoseconds by the cache's clock, which is not `NEVER`. Inside the lock.

        When it goes off it calls `_deadline_passed`.
        """
        raise NotImplementedError
