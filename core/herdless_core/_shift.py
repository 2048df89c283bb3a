"""An entry moved in time, which is what TimeShift is about."""

from __future__ import annotations

from typing import assert_never

from herdless_core._policy import LONG_AGO, NEVER
from herdless_core._states import Absent, Entry, Evicted, Flight, Fresh, Pending, Stale


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
