"""What herdless promises, as predicates: one definition for every checker.

To judge the steps of a cache of your own, observe it:

    from herdless_core.invariants import violated

    def observe(key, step):
        broken.extend((key, step, name) for name in violated(step))

    cache = Cache(load, ttl=60, observe=observe)

`violated(step)` gives the names of the promises that a step breaks, and `INVARIANTS` has each predicate by its name. A
step is a `herdless_core.Step`: what an observer is given, what `herdless.testing.Trace` records, or one that you make
yourself of `transition`. `shift` moves an entry in time, which is what TimeShift is about.

Each predicate judges one step by itself, so that the same function serves the stateful tests, CrossHair, the exhaustive
exploration and the traces of real adapters. They are written from the promises, not from the machine: in terms of ages
and of what callers get, and without the helpers of `_machine.py`. What spans steps (AnsweredOnce of each caller,
liveness) or keys (Bounded in size) is built on these: `herdless.testing.assert_trace_valid` judges a whole trace.

The names are those of docs/spec/ and of specs/CacheEntryInv.tla.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from herdless_core._durations import LONG_AGO, after
from herdless_core._duties import DUTIES
from herdless_core._effects import (
    Answer,
    CancelLoad,
    Forget,
    Join,
    Outcome,
    Refuse,
    Save,
    Settle,
    StartLoad,
    Value,
)
from herdless_core._errors import LoadTimeout, is_memorable
from herdless_core._events import (
    DeadlinePassed,
    Evict,
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
from herdless_core._machine import Step, age, transition
from herdless_core._policy import Policy
from herdless_core._shift import shape, shapes, shift
from herdless_core._states import Entry, Evicted, Failure, Flight, Fresh, Pending, Stale

__all__ = ["INVARIANTS", "Invariant", "shift", "violated"]

Invariant: TypeAlias = Callable[[Step], bool]
"""Whether the promise is kept by this step."""


def well_formed(step: Step) -> bool:
    """An entry says of itself nothing that contradicts itself, before and after; the only error it remembers is the
    loader's own.
    """
    return all(_is_well_formed(entry, step.policy) for entry in (step.before, step.after))


def single_flight(step: Step) -> bool:
    """A load starts only where none is attached, at most one a step, and it is the one that is attached afterwards."""
    started = [effect.generation for effect in step.effects if isinstance(effect, StartLoad)]
    if not started:
        return True
    flight = step.after.flight
    gave_up = _gave_up(step)
    return (
        len(started) == 1
        and flight is not None
        and flight.generation == started[0]
        and (_before(step).flight is None or gave_up)
    )


def no_stale_set(step: Step) -> bool:
    """The value of a load that is not the attached one is never stored; an entry that was removed stores nothing."""
    if not isinstance(step.event, LoadSucceeded | LoadFailed | DeadlinePassed):
        return True
    before = _before(step)
    current = before.flight is not None and before.flight.generation == step.event.generation
    if current and not isinstance(before, Evicted):
        return True
    return not _stores(step) and _value_of(step.after) is _value_of(before)


def no_stale_read(step: Step) -> bool:
    """An invalidation leaves the key without its entry; a lookup is answered with what the entry holds, or not at all.

    Together with NoStaleSet and EvictedIsFinal: what was read before an invalidation reaches nobody who asks after it.
    """
    if isinstance(step.event, Invalidate):
        return isinstance(step.after, Evicted)
    if not isinstance(step.event, Get):
        return True
    held = _value_of(_before(step))
    for effect in step.effects:
        if isinstance(effect, Answer):
            given = effect.outcome.value if isinstance(effect.outcome, Value) else effect.outcome
            if _is_timeout_of_this_step(step, given):
                continue  # it says that the key is not known: nothing was read
            if given is not held or held is _NO_VALUE:
                return False
    return True


def answered_once(step: Step) -> bool:
    """A lookup gets exactly one reply; a flight that leaves the entry with waiters settles them, or stays with the
    Evicted one.

    And it settles them once. Whoever is answered since `soft_timeout` is over waits no more.
    """
    replies = [effect for effect in step.effects if isinstance(effect, Answer | Join | Refuse)]
    is_soft = isinstance(step.event, SoftTimeoutPassed) and _soft_answer(step) is not _NO_VALUE
    expected = is_soft or (isinstance(step.event, Get) and not isinstance(step.before, Evicted))
    if len(replies) != expected:
        return False
    settled = _settled(step)
    if len(settled) != len(set(settled)):
        return False
    flight = _before(step).flight
    if flight is None:
        return True
    gone = _is_gone(flight, step.after)
    if not gone:
        return flight.generation not in settled
    left = flight.waiters == 0 or (flight.waiters == 1 and isinstance(step.event, WaiterLeft))
    return flight.generation in settled or left or isinstance(step.event, Restarted)


def same_outcome(step: Step) -> bool:
    """The waiters of a flight get what its own load gave, what was put, what was kept, or LoadTimeout; all of them the
    same.
    """
    return all(_is_explained(step, settle.outcome) for settle in _settles(step))


def no_doomed_join(step: Step) -> bool:
    """Nobody joins a flight that is cancelled, settled or past its deadline; after a restart none is left to join."""
    if isinstance(step.event, Restarted):
        return step.after.flight is None
    joined = [effect.generation for effect in step.effects if isinstance(effect, Join)]
    if not joined:
        return True
    flight = step.after.flight
    doomed = {effect.generation for effect in step.effects if isinstance(effect, CancelLoad | Settle)}
    in_time = flight is not None and (step.now < flight.due_at or flight.started_at == step.now)
    return flight is not None and joined == [flight.generation] and joined[0] not in doomed and in_time


def hit_age(step: Step) -> bool:
    """A hit is younger than its ttl, counted from the start of the load, or from so long before as its loader says.

    A stale hit is younger than ttl + stale_while_revalidate, or than the longer window while a failed refresh backs
    off, or where its caller has waited for `soft_timeout`; and a refresh is in flight or backing off. What is stored
    has the lifetime that was said of it.
    """
    before = _before(step)
    if _stores(step) and isinstance(step.event, LoadSucceeded | Put):
        began = step.now if isinstance(step.event, Put) else _start_of(before.flight)
        if began is None or _value_age_origin(step.after) != began - step.event.age:
            return False
        given = step.event.lifetime
        if isinstance(step.after, Fresh) and step.after.lifetime is not given and step.after.lifetime != given:
            return False
    for effect in step.effects:
        if not isinstance(effect, Answer) or not isinstance(effect.outcome, Value):
            continue
        if not effect.outcome.is_stale:
            if not (isinstance(before, Fresh) and step.now < after(before.loaded_at, before.lifetime.ttl)):
                return False
        elif not _is_stale_hit_allowed(step):
            return False
    return True


def stale_if_error(step: Step) -> bool:
    """A load that fails, or is late, leaves a usable value where it is, and its waiters get that value."""
    if not isinstance(step.event, LoadFailed | DeadlinePassed) or _is_answer(step):
        return True
    before = _before(step)
    if not isinstance(before, Fresh | Stale):
        return True
    if _value_of(step.after) is not before.value:
        return False
    mine = before.flight is not None and before.flight.generation == step.event.generation
    return all(_given(settle.outcome) is before.value for settle in _settles(step)) or not mine


def answers_replace(step: Step) -> bool:
    """After an error that is an answer nobody is given what was held before, and who waited gets the error."""
    event, flight = step.event, step.before.flight
    if not isinstance(event, LoadFailed) or not event.is_answer or isinstance(step.before, Evicted):
        return True
    if flight is None or flight.generation != event.generation:
        return True
    held = _value_of(step.after)
    given = [settle.outcome for settle in _settles(step)] + ([] if held is _NO_VALUE else [held])
    return all(isinstance(one, Failure) and one.error is event.error for one in given)


def not_kept(step: Step) -> bool:
    """A value that is not to be kept is stored nowhere, and what was held before stays."""
    if not isinstance(step.event, LoadSucceeded) or step.event.lifetime is not None:
        return True
    saves = any(isinstance(effect, Save) for effect in step.effects)
    return not saves and _value_of(step.after) is _value_of(_before(step))


def reload_is_new(step: Step) -> bool:
    """Nothing that is held answers a reload: it joins the load in flight, or starts one."""
    if not isinstance(step.event, Get) or not step.event.reloads:
        return True
    return not any(isinstance(effect, Answer) for effect in step.effects)


def soft_answer(step: Step) -> bool:
    """Whoever has waited for `soft_timeout` while a value is kept is answered with that, and nobody else; the load goes
    on, and the entry is what it was.
    """
    if not isinstance(step.event, SoftTimeoutPassed):
        return True
    before, entry, kept = _before(step), step.after, _soft_answer(step)
    if kept is _NO_VALUE:
        return not step.effects and entry == before
    given = [_given(effect.outcome) for effect in step.effects if isinstance(effect, Answer)]
    goes_on = entry.flight is not None and entry.flight.generation == step.event.generation
    return goes_on and len(step.effects) == 1 and given == [kept] and _value_of(entry) is kept


def backs_off(step: Step) -> bool:
    """After a failed refresh no lookup starts another before `refresh_backoff` is over."""
    before = _before(step)
    if _starts_behind(step) and (
        _not_before(before) > step.now or (_gave_up(step) and step.policy.refresh_backoff > 0)
    ):
        return False
    failed = isinstance(before, Fresh | Stale) and _is_gone_by_failure(step, before.flight)
    if not failed or step.policy.refresh_backoff == 0:
        return True
    if isinstance(step.after, Fresh):
        return step.after.refresh_at >= after(step.now, step.policy.refresh_backoff)
    return isinstance(step.after, Stale) and step.after.retry_at >= after(step.now, step.policy.refresh_backoff)


def generation_monotone(step: Step) -> bool:
    """A new flight has the number that its request brought, greater than the one before; no other flight appears."""
    old, new = step.before.flight, step.after.flight
    if new is None or (old is not None and old.generation == new.generation):
        return True
    brought = isinstance(step.event, Get | Refresh) and step.event.generation == new.generation
    return brought and (old is None or new.generation > old.generation)


def evicted_is_final(step: Step) -> bool:
    """An entry that was removed stays so, with its cause, and never gets a flight or a value."""
    if not isinstance(step.before, Evicted):
        return True
    kept = isinstance(step.after, Evicted) and step.after.cause is step.before.cause
    return kept and not _stores(step) and not any(isinstance(effect, StartLoad) for effect in step.effects)


def pending_is_no_victim(step: Step) -> bool:
    """Capacity never takes an entry with waiters, nor one that has nothing to give up."""
    before = _before(step)
    if not isinstance(step.event, Evict):
        return True
    spared = isinstance(before, Pending) or (before.flight is not None and before.flight.waiters > 0)
    return step.after == before if spared else True


def waiter_count(step: Step) -> bool:
    """The count of a flight grows by one for a join, shrinks by one for a waiter that left, and is else unchanged."""
    flight = step.after.flight
    if flight is None:
        return True
    old = _before(step).flight
    before = old.waiters if old is not None and old.generation == flight.generation else 0
    joined = sum(isinstance(effect, Join) for effect in step.effects)
    leaves = isinstance(step.event, WaiterLeft) and step.event.generation == flight.generation
    left = before > 0 and (leaves or _soft_answer(step) is not _NO_VALUE)
    return flight.waiters == before + joined - left


def bounded(step: Step) -> bool:
    """Never more than `max_waiters` callers join one flight."""
    flight = step.after.flight
    joined = any(isinstance(effect, Join) for effect in step.effects)
    return not joined or flight is None or flight.waiters <= step.policy.max_waiters


def save_before_settle(step: Step) -> bool:
    """Whatever is to be durable is so before anybody is woken; what gets a value is saved, what loses its key is
    forgotten.
    """
    woke = False
    for effect in step.effects:
        if isinstance(effect, Settle):
            woke = True
        elif isinstance(effect, Save | Forget) and woke:
            return False
    return not _stores(step) or any(isinstance(effect, Save) for effect in step.effects)


def time_shift(step: Step) -> bool:
    """Adding a constant to every instant changes nothing: here, one hour."""
    by = 3_600_000_000_000
    shifted, effects = transition(shift(step.before, by), step.event, step.now + by, step.policy)
    after = shift(step.after, by)
    return shape(shifted) == shape(after) and shapes(effects) == shapes(step.effects)


INVARIANTS: Final[Mapping[str, Invariant]] = {
    "WellFormed": well_formed,
    "SingleFlight": single_flight,
    "NoStaleSet": no_stale_set,
    "NoStaleRead": no_stale_read,
    "AnsweredOnce": answered_once,
    "SameOutcome": same_outcome,
    "NoDoomedJoin": no_doomed_join,
    "HitAge": hit_age,
    "StaleIfError": stale_if_error,
    "AnswersReplace": answers_replace,
    "NotKept": not_kept,
    "ReloadIsNew": reload_is_new,
    "SoftAnswer": soft_answer,
    "BacksOff": backs_off,
    "GenerationMonotone": generation_monotone,
    "EvictedIsFinal": evicted_is_final,
    "PendingIsNoVictim": pending_is_no_victim,
    "WaiterCount": waiter_count,
    "Bounded": bounded,
    "SaveBeforeSettle": save_before_settle,
    **DUTIES,
    "TimeShift": time_shift,
}
"""The predicates by the names of the promises."""


def violated(step: Step) -> list[str]:
    """The names of the promises that the step breaks; empty where it breaks none."""
    return [name for name, holds in INVARIANTS.items() if not holds(step)]


# Helpers, none of which the machine uses

_NO_VALUE: Final = object()


def _before(step: Step) -> Entry:
    return age(step.before, step.now)


def _value_of(entry: Entry) -> object:
    return entry.value if isinstance(entry, Fresh | Stale) else _NO_VALUE


def _is_answer(step: Step) -> bool:
    return isinstance(step.event, LoadFailed) and step.event.is_answer


def _given(outcome: Outcome) -> object:
    return outcome.value if isinstance(outcome, Value) else outcome


def _soft_answer(step: Step) -> object:
    """What a caller is answered with by this event; `_NO_VALUE` where it waits on, or the event is another."""
    entry = _before(step)
    if not isinstance(step.event, SoftTimeoutPassed) or not isinstance(entry, Fresh | Stale):
        return _NO_VALUE
    flight = entry.flight
    is_awaited = flight is not None and flight.generation == step.event.generation and flight.waiters > 0
    return entry.value if is_awaited else _NO_VALUE


def _settles(step: Step) -> list[Settle]:
    return [effect for effect in step.effects if isinstance(effect, Settle)]


def _settled(step: Step) -> list[int]:
    return [settle.generation for settle in _settles(step)]


def _stores(step: Step) -> bool:
    """Whether the step gave the entry a value it did not hold."""
    return _value_of(step.after) is not _NO_VALUE and _value_of(step.after) is not _value_of(step.before)


def _gave_up(step: Step) -> bool:
    """Whether a lookup found the flight past its deadline, and settled it."""
    flight = _before(step).flight
    return flight is not None and step.now >= flight.due_at and flight.generation in _settled(step)


def _value_age_origin(entry: Entry) -> int | None:
    """From when on the age counts."""
    return entry.loaded_at if isinstance(entry, Fresh | Stale) else None


def _start_of(flight: Flight | None) -> int | None:
    return None if flight is None else flight.started_at


def _starts_behind(step: Step) -> bool:
    """Whether a lookup was answered, and started a refresh."""
    kinds = {type(effect) for effect in step.effects}
    return isinstance(step.event, Get) and Answer in kinds and StartLoad in kinds


def _not_before(entry: Entry) -> int:
    """From when on a lookup may start a refresh."""
    match entry:
        case Fresh():
            return entry.refresh_at
        case Stale():
            return entry.retry_at
        case _:
            return LONG_AGO


def _is_gone(flight: Flight, entry: Entry) -> bool:
    return entry.flight is None or entry.flight.generation != flight.generation


def _is_gone_by_failure(step: Step, flight: Flight | None) -> bool:
    if flight is None or not _is_gone(flight, step.after) or _stores(step) or _is_answer(step):
        return False
    reported = isinstance(step.event, LoadFailed | DeadlinePassed) and step.event.generation == flight.generation
    return reported or (isinstance(step.event, Get) and step.after.flight is None)


def _is_explained(step: Step, outcome: Outcome) -> bool:
    kept = _value_of(_before(step))
    match step.event:
        case Put(value=value) | LoadSucceeded(value=value):
            return _given(outcome) is value
        case LoadFailed(error=error):
            return _given(outcome) is kept or (isinstance(outcome, Failure) and outcome.error is error)
        case DeadlinePassed() | Get():
            return _given(outcome) is kept or (isinstance(outcome, Failure) and isinstance(outcome.error, LoadTimeout))
        case _:
            return False


def _is_timeout_of_this_step(step: Step, given: object) -> bool:
    """Whether a lookup that gave up the load past its deadline is answered with that, where it is remembered."""
    if not step.policy.remember_timeouts or not isinstance(given, Failure) or not isinstance(step.after, Fresh):
        return False
    flight = step.before.flight
    is_late = flight is not None and step.now >= flight.due_at
    return is_late and isinstance(given.error, LoadTimeout) and given is step.after.value


def _is_stale_hit_allowed(step: Step) -> bool:
    before, entry = _before(step), step.after
    if not isinstance(before, Stale) or not isinstance(entry, Stale) or step.now >= before.kept_until:
        return False
    if isinstance(step.event, SoftTimeoutPassed):
        return entry.flight is not None
    backing_off = step.now < entry.retry_at
    return (step.now < before.stale_until or backing_off) and (entry.flight is not None or backing_off)


def _is_well_formed(entry: Entry, policy: Policy) -> bool:
    if entry.flight is not None and entry.flight.waiters < 0:
        return False
    match entry:
        case Fresh():
            end = after(entry.loaded_at, entry.lifetime.ttl)
            if isinstance(entry.value, Failure):
                error = entry.value.error  # one from before a restart, or from elsewhere, was memorable there
                is_remembered = is_memorable(error) or (policy.remember_timeouts and isinstance(error, LoadTimeout))
                return entry.hit_until == LONG_AGO and is_remembered
            return entry.hit_until == min(end, entry.refresh_at if entry.flight is None else entry.flight.due_at)
        case Stale():
            return entry.stale_until <= entry.kept_until
        case _:
            return True
