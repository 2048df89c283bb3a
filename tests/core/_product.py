"""The whole product of the machine: representative entries, every event, the instants at which anything changes.

Policies and entries are made of small numbers of nanoseconds, so that boundaries can be listed: everything that an
entry can compare `now` with is in the list, with the instant before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from herdless_core import (
    ABSENT,
    LONG_AGO,
    NEVER,
    Cause,
    DeadlinePassed,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Fresh,
    Get,
    Invalidate,
    Lifetime,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Pending,
    Policy,
    Put,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    Stale,
    Step,
    WaiterLeft,
    transition,
)

MICROSECOND: Final = timedelta(microseconds=1)

POLICIES: Final = (
    Policy(),
    Policy(ttl=MICROSECOND, max_waiters=2, load_timeout=MICROSECOND, negative_ttl=MICROSECOND),
    Policy(load_timeout=MICROSECOND, negative_ttl=MICROSECOND, remember_timeouts=True),
    Policy(negative_ttl=MICROSECOND, answers=LookupError),
    Policy(ttl=0, refresh_backoff=0, load_timeout=MICROSECOND, max_waiters=1, stale_if_error=MICROSECOND),
)

ATTACHED: Final = 7
"""The generation of the flight of every entry that has one; the next unused one is the one after it."""

NEXT: Final = ATTACHED + 1
SUPERSEDED: Final = ATTACHED - 1

LOADED_AT: Final = 1_000
STARTED_AT: Final = 1_500

LIFETIMES: Final = (
    Lifetime(ttl=NEVER, early_refresh=NEVER, stale_while_revalidate=0, stale_if_error=0),
    Lifetime(ttl=1_000, early_refresh=400, stale_while_revalidate=200, stale_if_error=300),
    Lifetime(ttl=1_000, early_refresh=1_000, stale_while_revalidate=300, stale_if_error=200),
    Lifetime(ttl=0, early_refresh=0, stale_while_revalidate=0, stale_if_error=0),
)
REMEMBERED: Final = Lifetime(ttl=1_000, early_refresh=1_000, stale_while_revalidate=0, stale_if_error=0)

ERROR: Final = Failure(KeyError("remembered"), None)


def entries() -> Iterator[Entry]:
    """Entries of every state, with and without a flight, with and without waiters."""
    yield ABSENT
    for flight in _flights():
        yield Pending(flight)
        if flight.waiters > 0:
            yield Evicted(Cause.INVALIDATED, flight)
    yield from (Evicted(cause, None) for cause in Cause)
    for maybe in (None, *_flights()):
        yield from (_fresh("value", lifetime, maybe, 0) for lifetime in LIFETIMES)
        yield _fresh(None, LIFETIMES[1], maybe, 0)
        yield _fresh(ERROR, REMEMBERED, maybe, 0)
        yield _fresh("backing off", LIFETIMES[1], maybe, 900)
        yield from (_stale(window, maybe, 0) for window in LIFETIMES[1:])
        yield _stale(LIFETIMES[1], maybe, 250)


def events() -> Iterator[Event]:
    """Every event, a report of the attached flight and one of a superseded one each."""
    yield from (Get(NEXT), Get(NEXT, reloads=True), Refresh(NEXT), Invalidate(), Expire(), Evict(), Restarted())
    yield from (Put("put", LIFETIMES[1]), Put(None, LIFETIMES[2]), Put("old", LIFETIMES[1], 300))
    for generation in (ATTACHED, SUPERSEDED):
        yield LoadSucceeded(generation, "loaded", LIFETIMES[1])
        yield LoadSucceeded(generation, "old", LIFETIMES[1], 300)
        yield LoadSucceeded(generation, "not kept", None, 300)
        yield LoadFailed(generation, ValueError("failed"), is_answer=False)
        yield LoadFailed(generation, LookupError("answers"), is_answer=True)
        yield LoadFailed(generation, LoadTimeout("seldom remembered"), is_answer=False)
        yield DeadlinePassed(generation)
        yield SoftTimeoutPassed(generation)
        yield from (WaiterLeft(generation, can_cancel=can_cancel) for can_cancel in (True, False))


def instants(entry: Entry) -> list[int]:
    """Every instant with which the entry can be compared, and the one before it; none before its flight started."""
    boundaries = {STARTED_AT}
    if entry.flight is not None:
        boundaries.add(entry.flight.due_at)
    match entry:
        case Fresh():
            boundaries |= {entry.refresh_at, entry.fresh_until, entry.kept_until}
            boundaries.add(entry.fresh_until + entry.lifetime.stale_while_revalidate)
        case Stale():
            boundaries |= {entry.stale_until, entry.kept_until, entry.retry_at}
        case _:
            pass
    near = {boundary + by for boundary in boundaries if abs(boundary) < NEVER for by in (-1, 0)}
    return sorted(instant for instant in near if instant >= STARTED_AT)


def steps() -> Iterator[Step]:
    """Every step of the product."""
    for policy in POLICIES:
        for entry in entries():
            for now in instants(entry):
                for event in events():
                    yield Step(entry, event, now, policy, *transition(entry, event, now, policy))


def _flights() -> Iterator[Flight]:
    for waiters in (0, 1, 2):
        for due_at in (NEVER, STARTED_AT + 600):
            yield Flight(ATTACHED, STARTED_AT, due_at, waiters)


def _fresh(value: object, lifetime: Lifetime, flight: Flight | None, backoff: int) -> Fresh:
    fresh_until = NEVER if lifetime.ttl == NEVER else LOADED_AT + lifetime.ttl
    refresh_at = NEVER if lifetime.ttl == NEVER else LOADED_AT + max(lifetime.early_refresh, backoff)
    hit_until = min(fresh_until, refresh_at if flight is None else flight.due_at)
    is_failure = isinstance(value, Failure)
    return Fresh(value, LOADED_AT, lifetime, refresh_at, flight, LONG_AGO if is_failure else hit_until)


def _stale(window: Lifetime, flight: Flight | None, backoff: int) -> Stale:
    fresh_until = LOADED_AT + window.ttl
    stale_until = fresh_until + window.stale_while_revalidate
    return Stale("stale", LOADED_AT, stale_until, fresh_until + window.kept, fresh_until + backoff, flight)
