"""An entry moved in time, which is what TimeShift is about."""

from __future__ import annotations

from typing import assert_never

from herdless_core._durations import LONG_AGO, NEVER
from herdless_core._effects import Answer, Effect, Settle, Value
from herdless_core._states import Absent, Entry, Evicted, Failure, Flight, Fresh, Pending, Stale


def shift(entry: Entry, by: int) -> Entry:
    """The same entry with every instant later by so many nanoseconds; NEVER and LONG_AGO stay where they are."""
    flight = None if entry.flight is None else _shifted_flight(entry.flight, by)
    match entry:
        case Absent():
            return entry
        case Pending():
            return Pending(_shifted_flight(entry.flight, by))
        case Fresh():
            refresh_at, hit_until = _shifted(entry.refresh_at, by), _shifted(entry.hit_until, by)
            return Fresh(entry.value, _shifted(entry.loaded_at, by), entry.lifetime, refresh_at, flight, hit_until)
        case Stale():
            loaded_at, retry_at = _shifted(entry.loaded_at, by), _shifted(entry.retry_at, by)
            stale_until, kept_until = _shifted(entry.stale_until, by), _shifted(entry.kept_until, by)
            return Stale(entry.value, loaded_at, stale_until, kept_until, retry_at, flight)
        case Evicted():
            return Evicted(entry.cause, flight)
    assert_never(entry)


def _shifted(instant: int, by: int) -> int:
    return instant if instant in (NEVER, LONG_AGO) else instant + by


def _shifted_flight(flight: Flight, by: int) -> Flight:
    return Flight(flight.generation, _shifted(flight.started_at, by), _shifted(flight.due_at, by), flight.waiters)


def shape(entry: Entry) -> Entry:
    """The entry with the class of a remembered error, which may have been made on the way."""
    if not isinstance(entry, Fresh) or not isinstance(entry.value, Failure):
        return entry
    kind = type(entry.value.error)
    return Fresh(kind, entry.loaded_at, entry.lifetime, entry.refresh_at, entry.flight, entry.hit_until)


def shapes(effects: tuple[Effect, ...]) -> list[object]:
    """The effects without what differs from one step to the next like it: instants, and exceptions made on the way."""
    found: list[object] = []
    for effect in effects:
        given = effect.outcome if isinstance(effect, Answer | Settle) else None
        if isinstance(given, Value):
            given = given.value
        found.append(
            (type(effect), getattr(effect, "generation", None), type(given) if isinstance(given, Failure) else given)
        )
    return found
