"""The entry state machine: everything that decides, and nothing else.

    transition(entry, event, now, policy) -> (next entry, effects)

It is a function. Every step first ages the entry, so that no timer is needed for correctness, and then does what
docs/states.md says for its state and the event. All pairs are defined.

`read`, `join`, `start` and `fill` are the steps of which a busy cache makes millions, without the objects that describe
a step. `transition` is made of the last three; `on_join`, `on_start` and `on_fill` are what they order. That all four
are what `transition` does, tests/core/test_every_copy.py looks up in the whole product of states and events, and
specs/contracts.py confirms it for every path. `peek` is the part of a lookup that neither waits nor starts anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never, final

from herdless_core._durations import LONG_AGO, NANOSECONDS_PER_SECOND, after
from herdless_core._effects import (
    FORGET,
    SAVE,
    Answer,
    CancelLoad,
    Effects,
    Join,
    Outcome,
    Rearm,
    Refuse,
    Settle,
    StartLoad,
    Value,
)
from herdless_core._errors import LoadTimeout, is_memorable
from herdless_core._events import (
    DeadlinePassed,
    Event,
    Evict,
    Expire,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Put,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    WaiterLeft,
)
from herdless_core._policy import Lifetime, Policy
from herdless_core._states import ABSENT, Absent, Cause, Entry, Evicted, Failure, Flight, Fresh, Pending, Stale

Next: TypeAlias = tuple[Entry, Effects]

NOTHING: Final[Effects] = ()

# Flags by position: a keyword argument costs a miss a quarter of the object it builds.
LEADS: Final = True
JOINS: Final = False
IS_STALE: Final = True
NOT_STALE: Final = False
NO_ANSWER: Final = False


@final
@dataclass(slots=True)
class Step:
    """One step as it happened: what an observer is told and what the invariants judge."""

    before: Final[Entry]
    event: Final[Event]
    now: Final[int]
    policy: Final[Policy]
    after: Final[Entry]
    effects: Final[Effects]


def transition(  # noqa: PLR0912  # a branch for each event
    entry: Entry, event: Event, now: int, policy: Policy
) -> Next:
    """The next entry, and the effects that the caller MUST carry out in their order once the entry is committed.

    entry: the key's, as it was committed, not aged; event: what happened; now: the instant, in nanoseconds, from the
    origin that all instants of the entry count from; policy: what the key is kept by.
    """
    if entry.holds_value:
        entry = age(entry, now)
    match event:
        case Get():
            return _get(entry, event, now, policy)
        case LoadSucceeded():
            return _load_succeeded(entry, event)
        case LoadFailed():
            return _load_failed(entry, event, now, policy)
        case WaiterLeft():
            return _waiter_left(entry, event)
        case SoftTimeoutPassed():
            return _soft_timeout_passed(entry, event.generation)
        case Put():
            return _put(entry, event, now)
        case Invalidate():
            return _invalidate(entry)
        case Expire():
            return _expire(entry, now)
        case Refresh():
            return _refresh(entry, event.generation, now, policy)
        case Evict():
            return _evict(entry)
        case DeadlinePassed():
            return _deadline_passed(entry, event.generation, now, policy)
        case Restarted():
            return _without_flight(entry), NOTHING
    assert_never(event)


def read(entry: Entry, now: int) -> Value | None:
    """The answer to a lookup that is a hit and needs no step; None for any other. Equals `transition(Get)` where it is
    not None.
    """
    if isinstance(entry, Fresh) and now < entry.hit_until:
        return Value(entry.value, entry.loaded_at, NOT_STALE)
    return None


def join(entry: Entry, now: int, policy: Policy) -> Pending | None:
    """The next entry after a lookup that waits for a load in flight, with nothing to answer meanwhile; None for any
    other. Equals `transition(Get)` where it is not None. Arguments as for `transition`.
    """
    if isinstance(entry, Pending):
        flight = entry.flight
        if flight.waiters < policy.max_waiters and now < flight.due_at:
            return Pending(Flight(flight.generation, flight.started_at, flight.due_at, flight.waiters + 1))
    return None


def start(generation: int, now: int, policy: Policy) -> Pending:
    """The next entry after a lookup of an unknown key. Equals `transition(Get)` of Absent.

    generation: the next unused one; now, policy: as for `transition`.
    """
    return Pending(Flight(generation, now, after(now, policy.load_timeout), 1))


def fill(entry: Entry, generation: int, value: object, lifetime: Lifetime) -> Fresh | None:
    """The next entry after its load succeeded; None where the load was superseded (NoStaleSet) or the entry evicted.
    Equals `transition(LoadSucceeded)` of a value that was new when the load began, where it is not None.

    generation: that of the load, which may not be the entry's flight; value: what it gave; lifetime: the value's.
    """
    flight = entry.flight
    if flight is None or flight.generation != generation or isinstance(entry, Evicted):
        return None
    return _fresh(value, flight.started_at, lifetime)


def on_start(started: Pending) -> Effects:
    """What the lookup orders that started this flight."""
    return Join(started.flight.generation, LEADS), StartLoad(started.flight.generation, started.flight.due_at)


def on_join(joined: Pending) -> Effects:
    """What the lookup orders that joined this flight."""
    return (Join(joined.flight.generation, JOINS),)


def on_fill(generation: int, outcome: Value) -> Effects:
    """What the report of a load orders whose value is stored: this flight's waiters get the outcome."""
    return SAVE, Settle(generation, outcome)


def peek(entry: Entry, now: int) -> Outcome | None:
    """What a lookup would be answered with at once; None where it would wait. Starts nothing."""
    entry = age(entry, now)
    if isinstance(entry, Fresh) or (isinstance(entry, Stale) and _is_answerable(entry, now)):
        return _outcome(entry)
    return None


def age(entry: Entry, now: int) -> Entry:
    """The same entry at `now`: Fresh at or past its ttl is Stale, Stale at or past the end of its windows is gone."""
    if isinstance(entry, Fresh):
        fresh_until = entry.fresh_until
        if now < fresh_until:
            return entry
        if isinstance(entry.value, Failure):
            return _without_value(entry)
        entry = _stale(entry, fresh_until, retry_at=entry.refresh_at)
    if isinstance(entry, Stale) and now >= entry.kept_until:
        return _without_value(entry)
    return entry


# Requests


def _get(entry: Entry, event: Get, now: int, policy: Policy) -> Next:
    generation, flight = event.generation, entry.flight
    if flight is not None and now >= flight.due_at and not isinstance(entry, Evicted):
        # No timer was needed to see it; and nobody may join a load that is given up (NoDoomedJoin).
        given_up, effects = _deadline_passed(entry, flight.generation, now, policy)
        entry, replied = _get(given_up, event, now, policy)
        return entry, (replied[0], *effects, *replied[1:])
    match entry:
        case Absent():
            pending = start(generation, now, policy)
            return pending, on_start(pending)
        case Pending():
            joined = join(entry, now, policy)
            if joined is None:
                return entry, (Refuse(policy.max_waiters),)
            return joined, on_join(joined)
        case Fresh() | Stale() if event.reloads:
            return _wait_behind(entry, generation, now, policy)
        case Fresh():
            answer = Answer(_outcome(entry))
            if now < entry.refresh_at or entry.flight is not None:
                return entry, (answer,)
            return _start_behind(entry, generation, now, policy, answer)
        case Stale():
            return _get_stale(entry, generation, now, policy)
        case Evicted():
            return entry, NOTHING
    assert_never(entry)


def _get_stale(entry: Stale, generation: int, now: int, policy: Policy) -> Next:
    if _is_answerable(entry, now):
        answer = Answer(_outcome(entry))
        if entry.flight is not None or now < entry.retry_at:
            return entry, (answer,)
        return _start_behind(entry, generation, now, policy, answer)
    return _wait_behind(entry, generation, now, policy)


def _wait_behind(entry: Fresh | Stale, generation: int, now: int, policy: Policy) -> Next:
    """The caller waits for a load, which is started where none is in flight; what is held is kept meanwhile."""
    flight = entry.flight
    if flight is None:
        flight = Flight(generation, now, after(now, policy.load_timeout), 1)
        return _with_flight(entry, flight), (Join(generation, LEADS), StartLoad(generation, flight.due_at))
    if flight.waiters >= policy.max_waiters:
        return entry, (Refuse(policy.max_waiters),)
    return _with_waiters(entry, flight, flight.waiters + 1), (Join(flight.generation, JOINS),)


def _start_behind(entry: Fresh | Stale | None, generation: int, now: int, policy: Policy, *first: Answer) -> Next:
    flight = Flight(generation, now, after(now, policy.load_timeout), 0)
    started = Pending(flight) if entry is None else _with_flight(entry, flight)
    return started, (*first, StartLoad(generation, flight.due_at))


def _put(entry: Entry, event: Put, now: int) -> Next:
    if isinstance(entry, Evicted):
        return entry, NOTHING
    fresh = _fresh(event.value, now - event.age, event.lifetime)
    flight = entry.flight
    if flight is None:
        return fresh, (SAVE,)
    return fresh, (SAVE, Settle(flight.generation, _outcome(fresh)), CancelLoad(flight.generation))


def _invalidate(entry: Entry) -> Next:
    if isinstance(entry, Evicted):
        return entry, NOTHING
    flight = entry.flight
    if flight is None:
        return Evicted(Cause.INVALIDATED, None), (FORGET,)
    if flight.waiters > 0:
        return Evicted(Cause.INVALIDATED, flight), (FORGET,)
    return Evicted(Cause.INVALIDATED, None), (FORGET, CancelLoad(flight.generation))


def _expire(entry: Entry, now: int) -> Next:
    if not isinstance(entry, Fresh):
        return entry, NOTHING
    if isinstance(entry.value, Failure):
        return _without_value(entry), (FORGET,)
    return _stale(entry, now, retry_at=now), (SAVE,)


def _refresh(entry: Entry, generation: int, now: int, policy: Policy) -> Next:
    match entry:
        case Absent():
            return _start_behind(None, generation, now, policy)
        case Fresh() | Stale() if entry.flight is None:
            return _start_behind(entry, generation, now, policy)
        case _:
            return entry, NOTHING


def _evict(entry: Entry) -> Next:
    if not isinstance(entry, (Fresh, Stale)):
        return entry, NOTHING
    flight = entry.flight
    if flight is None:
        return Evicted(Cause.EVICTED, None), (FORGET,)
    if flight.waiters > 0:
        return entry, NOTHING
    return Evicted(Cause.EVICTED, None), (FORGET, CancelLoad(flight.generation))


# Reports


def _load_succeeded(entry: Entry, event: LoadSucceeded) -> Next:
    lifetime = event.lifetime
    filled = None if lifetime is None else fill(entry, event.generation, event.value, lifetime)
    if filled is not None:
        if event.age:
            filled = _fresh(event.value, filled.loaded_at - event.age, filled.lifetime)
        return filled, on_fill(event.generation, Value(event.value, filled.loaded_at, NOT_STALE))
    flight = entry.flight
    if flight is not None and flight.generation == event.generation:
        # Not to be kept, or of an entry that was removed.
        outcome = Value(event.value, flight.started_at - event.age, NOT_STALE)
        return _without_flight(entry), (Settle(event.generation, outcome),)
    # Superseded: not stored. Whoever may still wait for it is answered all the same.
    return entry, (Settle(event.generation, Value(event.value, LONG_AGO, IS_STALE)),)


def _load_failed(entry: Entry, event: LoadFailed, now: int, policy: Policy) -> Next:
    generation, flight = event.generation, entry.flight
    failure = Failure(event.error, event.error.__traceback__)
    if isinstance(entry, Absent) or flight is None or flight.generation != generation:
        return entry, (Settle(generation, failure),)
    match entry:
        case Pending():
            return _without_value_but(failure, event, now, policy)
        case Fresh() | Stale() if event.is_answer:
            replaced, effects = _without_value_but(failure, event, now, policy)
            return replaced, (effects if isinstance(replaced, Fresh) else (FORGET, *effects))
        case Fresh() | Stale():
            kept = _without_refresh(entry, after(now, policy.refresh_backoff))
            return kept, (Settle(generation, _outcome(entry)),)
        case Evicted():
            return Evicted(entry.cause, None), (Settle(generation, failure),)
    assert_never(entry)


def _without_value_but(failure: Failure, event: LoadFailed, now: int, policy: Policy) -> Next:
    """No value is left; the error is remembered where the policy says so."""
    settle = Settle(event.generation, failure)
    if policy.negative_lifetime.ttl > 0 and _is_remembered(event, policy):
        # From now, not from the start of the load: a slow failure needs the rest as much as a quick one.
        return _fresh(failure, now, policy.negative_lifetime), (SAVE, settle)
    return ABSENT, (settle,)


def _deadline_passed(entry: Entry, generation: int, now: int, policy: Policy) -> Next:
    flight = entry.flight
    if flight is not None and flight.generation == generation and now < flight.due_at:
        return entry, (Rearm(generation, flight.due_at),)
    entry, effects = _load_failed(entry, LoadFailed(generation, too_late(policy), NO_ANSWER), now, policy)
    return entry, (*effects, CancelLoad(generation))


def too_late(policy: Policy) -> LoadTimeout:
    """The error of a load past its deadline."""
    seconds = policy.load_timeout / NANOSECONDS_PER_SECOND
    return LoadTimeout(f"the load did not end within load_timeout={seconds:g} seconds")


def _waiter_left(entry: Entry, event: WaiterLeft) -> Next:
    flight = entry.flight
    if isinstance(entry, Absent) or flight is None or flight.generation != event.generation or flight.waiters == 0:
        return entry, NOTHING
    is_last = flight.waiters == 1
    if is_last and isinstance(entry, Pending) and event.can_cancel:
        return ABSENT, (CancelLoad(flight.generation),)
    if is_last and isinstance(entry, Evicted):
        return Evicted(entry.cause, None), (CancelLoad(flight.generation),)
    return _with_waiters(entry, flight, flight.waiters - 1), NOTHING


def _soft_timeout_passed(entry: Entry, generation: int) -> Next:
    flight = entry.flight
    if not isinstance(entry, (Fresh, Stale)) or flight is None or flight.generation != generation or not flight.waiters:
        return entry, NOTHING
    return _with_waiters(entry, flight, flight.waiters - 1), (Answer(_outcome(entry)),)


# Building the next entry


def _fresh(value: object, loaded_at: int, lifetime: Lifetime) -> Fresh:
    fresh_until = after(loaded_at, lifetime.ttl)
    # The same integer object where the two are equal: 32 bytes less for each entry.
    refresh_at = fresh_until if lifetime.early_refresh == lifetime.ttl else after(loaded_at, lifetime.early_refresh)
    hit_until = LONG_AGO if isinstance(value, Failure) else refresh_at
    return Fresh(value, loaded_at, lifetime, refresh_at, None, hit_until)


def _stale(entry: Fresh, fresh_until: int, *, retry_at: int) -> Stale:
    lifetime = entry.lifetime
    stale_until = after(fresh_until, lifetime.stale_while_revalidate)
    kept_until = after(fresh_until, lifetime.kept)
    return Stale(entry.value, entry.loaded_at, stale_until, kept_until, retry_at, entry.flight)


def _with_flight(entry: Fresh | Stale, flight: Flight) -> Entry:
    match entry:
        case Fresh():
            # A lookup past the deadline has a step to make: it gives the load up.
            hit_until = LONG_AGO if isinstance(entry.value, Failure) else min(entry.fresh_until, flight.due_at)
            return Fresh(entry.value, entry.loaded_at, entry.lifetime, entry.refresh_at, flight, hit_until)
        case Stale():
            return Stale(entry.value, entry.loaded_at, entry.stale_until, entry.kept_until, entry.retry_at, flight)
    assert_never(entry)


def _with_waiters(entry: Pending | Fresh | Stale | Evicted, flight: Flight, waiters: int) -> Entry:
    flight = Flight(flight.generation, flight.started_at, flight.due_at, waiters)
    match entry:
        case Pending():
            return Pending(flight)
        case Fresh() | Stale():
            return _with_flight(entry, flight)
        case Evicted():
            return Evicted(entry.cause, flight)
    assert_never(entry)


def _without_flight(entry: Entry) -> Entry:
    match entry:
        case Absent() | Pending():
            return ABSENT
        case Fresh() | Stale():
            return _without_refresh(entry, LONG_AGO)
        case Evicted():
            return Evicted(entry.cause, None)
    assert_never(entry)


def _without_refresh(entry: Fresh | Stale, retry_at: int) -> Entry:
    """The value kept, the flight gone; no refresh before `retry_at`, nor before it was due anyway."""
    match entry:
        case Fresh():
            refresh_at = max(entry.refresh_at, retry_at)
            hit_until = LONG_AGO if isinstance(entry.value, Failure) else min(entry.fresh_until, refresh_at)
            return Fresh(entry.value, entry.loaded_at, entry.lifetime, refresh_at, None, hit_until)
        case Stale():
            retry_at = max(entry.retry_at, retry_at)
            return Stale(entry.value, entry.loaded_at, entry.stale_until, entry.kept_until, retry_at, None)
    assert_never(entry)


def _without_value(entry: Fresh | Stale) -> Entry:
    return ABSENT if entry.flight is None else Pending(entry.flight)


# Looking at an entry


def _is_remembered(event: LoadFailed, policy: Policy) -> bool:
    if isinstance(event.error, LoadTimeout):
        return policy.remember_timeouts
    return (event.is_answer or policy.remembers_failures) and is_memorable(event.error)


def _is_answerable(entry: Stale, now: int) -> bool:
    return now < entry.stale_until or now < entry.retry_at


def _outcome(entry: Fresh | Stale) -> Outcome:
    if isinstance(entry.value, Failure):
        return entry.value
    return Value(entry.value, entry.loaded_at, is_stale=isinstance(entry, Stale))
