"""For each promise the situation in which it could be broken, and the policies under which that comes about.

A promise that holds where nothing could break it says nothing. So whatever judges a promise counts how often its
situation came about, and one that never did is "not tried". A situation is told from what was there and what was
asked, not from what the machine should have done, so that a mistake does not hide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from herdless_core import (
    NEVER,
    Absent,
    Answer,
    DeadlinePassed,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Forget,
    Fresh,
    Get,
    Join,
    LoadFailed,
    LoadSucceeded,
    Pending,
    Policy,
    Refresh,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    Value,
    WaiterLeft,
    age,
)
from herdless_verify.exploration.world import Move, World

Situation: TypeAlias = Callable[[Step], bool]


def holds_something(step: Step) -> bool:
    """Afterwards there is an outcome, or a flight, of which the entry tells instants."""
    return step.after.holds_value or step.after.flight is not None


def could_start_twice(step: Step) -> bool:
    """A load is asked for where one is attached."""
    return isinstance(step.event, Get | Refresh) and _flight(step) is not None


def value_is_superseded(step: Step) -> bool:
    """A value comes from a load that is not the attached one, or for an entry that was removed."""
    return isinstance(step.event, LoadSucceeded) and (not _is_own(step) or isinstance(step.before, Evicted))


def lookup_is_answered(step: Step) -> bool:
    """A lookup gets what the entry holds."""
    return isinstance(step.event, Get) and any(isinstance(effect, Answer) for effect in step.effects)


def waiters_lose_their_flight(step: Step) -> bool:
    """A flight that callers wait for is not the entry's afterwards, or has lost one who waited."""
    flight = _flight(step)
    if flight is None or flight.waiters == 0:
        return False
    after = step.after.flight
    return after is None or after.generation != flight.generation or after.waiters < flight.waiters


def herd_is_settled(step: Step) -> bool:
    """Two callers or more wait for the flight that is settled."""
    flight = _flight(step)
    return flight is not None and flight.waiters > 1 and flight.generation in _settled(step)


def flight_is_doomed(step: Step) -> bool:
    """A lookup finds a flight past its deadline, or whoever ran one is gone."""
    flight = _flight(step)
    if flight is None:
        return False
    return isinstance(step.event, Restarted) or (isinstance(step.event, Get) and step.now >= flight.due_at)


def value_is_answered(step: Step) -> bool:
    """A lookup is answered with a value, fresh or stale."""
    return any(isinstance(effect, Answer) and isinstance(effect.outcome, Value) for effect in step.effects)


def refresh_fails(step: Step) -> bool:
    """The load behind a value fails, or is given up."""
    before, flight = _before(step), _flight(step)
    if flight is None or not isinstance(before, Fresh | Stale) or isinstance(before.value, Failure):
        return False
    late = isinstance(step.event, DeadlinePassed) and step.now >= flight.due_at
    failed = isinstance(step.event, LoadFailed) and not step.event.is_answer
    return (failed or late) and _is_own(step)


def refresh_answers(step: Step) -> bool:
    """The load behind a value ends by an error that is an answer."""
    is_answer = isinstance(step.event, LoadFailed) and step.event.is_answer
    return is_answer and isinstance(_before(step), Fresh | Stale) and _is_own(step)


def refresh_is_not_kept(step: Step) -> bool:
    """The load behind a value gives another one, which is not to be kept."""
    is_kept = not isinstance(step.event, LoadSucceeded) or step.event.lifetime is not None
    return not is_kept and isinstance(_before(step), Fresh | Stale) and _is_own(step)


def value_is_reloaded(step: Step) -> bool:
    """A load is asked for although something is held."""
    return isinstance(step.event, Get) and step.event.reloads and isinstance(_before(step), Fresh | Stale)


def caller_has_waited(step: Step) -> bool:
    """A caller has waited for `soft_timeout`, and something is kept."""
    return isinstance(step.event, SoftTimeoutPassed) and isinstance(_before(step), Fresh | Stale) and _is_own(step)


def refresh_backs_off(step: Step) -> bool:
    """The same, where the policy has a back-off."""
    return refresh_fails(step) and step.policy.refresh_backoff > 0


def load_starts(step: Step) -> bool:
    """A new flight needs a number."""
    return any(isinstance(effect, StartLoad) for effect in step.effects)


def was_evicted(step: Step) -> bool:
    """Something is reported of an entry that was removed."""
    return isinstance(step.before, Evicted)


def victim_is_awaited(step: Step) -> bool:
    """Room is wanted, and callers wait for the entry's flight."""
    flight = _flight(step)
    return isinstance(step.event, Evict) and flight is not None and flight.waiters > 0


def waiters_come_or_go(step: Step) -> bool:
    """A caller joins, or leaves."""
    joins = any(isinstance(effect, Join) for effect in step.effects)
    return joins or (isinstance(step.event, WaiterLeft | SoftTimeoutPassed) and _is_own(step))


def flight_is_full(step: Step) -> bool:
    """A lookup finds as many waiters as are allowed."""
    flight = _flight(step)
    if flight is None or not isinstance(step.event, Get) or step.now >= flight.due_at:
        return False
    return flight.waiters >= step.policy.max_waiters


def woken_and_stored(step: Step) -> bool:
    """Waiters are woken by the step that writes or deletes what is stored."""
    kinds = {type(effect) for effect in step.effects}
    return Settle in kinds and not kinds.isdisjoint({Save, Forget})


def has_instants(step: Step) -> bool:
    """There are instants to move."""
    return not isinstance(step.before, Absent) and (step.before.holds_value or step.before.flight is not None)


def state_changes(step: Step) -> bool:
    """The step leads from one state to another."""
    return type(_before(step)) is not type(step.after)


def is_read(step: Step) -> bool:
    """A lookup is a hit that needs no step."""
    return isinstance(step.event, Get) and step.now < step.before.hit_until


def is_joined(step: Step) -> bool:
    """A lookup may join, with nothing to answer meanwhile."""
    before = step.before
    if not isinstance(before, Pending) or not isinstance(step.event, Get):
        return False
    return before.flight.waiters < step.policy.max_waiters and step.now < before.flight.due_at


def is_unknown(step: Step) -> bool:
    """A lookup of an unknown key."""
    return isinstance(step.event, Get) and isinstance(step.before, Absent)


def is_filled(step: Step) -> bool:
    """The attached load gives its value, which is to be kept."""
    if not isinstance(step.event, LoadSucceeded) or step.event.lifetime is None:
        return False
    return _is_own(step) and not isinstance(step.before, Evicted)


def load_is_in_flight(step: Step) -> bool:
    """There is a load that somebody, or nobody, has use for afterwards."""
    return _flight(step) is not None


def load_is_asked_for(step: Step) -> bool:
    """A refresh finds no flight."""
    return isinstance(step.event, Refresh) and _flight(step) is None and not isinstance(step.before, Evicted)


def value_is_expired(step: Step) -> bool:
    """A fresh value is expired."""
    before = _before(step)
    return isinstance(step.event, Expire) and isinstance(before, Fresh) and not isinstance(before.value, Failure)


def refresh_is_due(step: Step) -> bool:
    """A lookup finds a value past its early point, or a stale one that may be answered, and nothing in its way."""
    before = _before(step)
    if not isinstance(step.event, Get) or _flight(step) is not None:
        return False
    if isinstance(before, Fresh):
        return step.now >= before.refresh_at and not isinstance(before.value, Failure)
    return isinstance(before, Stale) and before.retry_at <= step.now < before.stale_until


SITUATIONS: Final[Mapping[str, Situation]] = {
    "WellFormed": holds_something,
    "SingleFlight": could_start_twice,
    "NoStaleSet": value_is_superseded,
    "NoStaleRead": lookup_is_answered,
    "AnsweredOnce": waiters_lose_their_flight,
    "SameOutcome": herd_is_settled,
    "NoDoomedJoin": flight_is_doomed,
    "HitAge": value_is_answered,
    "StaleIfError": refresh_fails,
    "AnswersReplace": refresh_answers,
    "NotKept": refresh_is_not_kept,
    "ReloadIsNew": value_is_reloaded,
    "SoftAnswer": caller_has_waited,
    "BacksOff": refresh_backs_off,
    "GenerationMonotone": load_starts,
    "EvictedIsFinal": was_evicted,
    "PendingIsNoVictim": victim_is_awaited,
    "WaiterCount": waiters_come_or_go,
    "Bounded": flight_is_full,
    "SaveBeforeSettle": woken_and_stored,
    "UnwantedIsCancelled": load_is_in_flight,
    "RefreshLoads": load_is_asked_for,
    "ExpireKeepsWindows": value_is_expired,
    "RefreshIsStarted": refresh_is_due,
    "TimeShift": has_instants,
    "Table": state_changes,
    "ReadIsGet": is_read,
    "JoinIsGet": is_joined,
    "StartIsGet": is_unknown,
    "FillIsStep": is_filled,
}
"""Of one step, by the promise's name."""


def in_world(world: World, move: Move, step: Step, outdated: bool) -> Iterator[str]:
    """The promises over several steps whose situation this is, in which the world had a part.

    outdated: whether a value older than the last Put or Invalidate is reported.
    """
    if outdated:
        yield "NoStaleRead"
    if move.caller is not None and any(isinstance(effect, Join) for effect in step.effects):
        flight = step.after.flight
        others = {load.generation for load in world.loads}
        if flight is not None and others - {flight.generation}:
            yield "NoDoomedJoin"


BY_WORLD: Final = frozenset({"NoStaleRead", "NoDoomedJoin"})
"""Those for which `in_world` speaks, where there is a world: a step alone shows less."""


def is_possible(promise: str, policy: Policy) -> bool:
    """Whether the situation of a promise can come about under a policy."""
    lifetime = policy.lifetime
    keeps_values = lifetime.ttl > 0 or lifetime.kept > 0
    match promise:
        case "HitAge":
            kept_while_backing_off = lifetime.stale_if_error > 0 and policy.refresh_backoff > 0
            return lifetime.ttl > 0 or lifetime.stale_while_revalidate > 0 or kept_while_backing_off
        case "StaleIfError" | "NotKept" | "ReloadIsNew":
            return keeps_values
        case "SoftAnswer" | "AnswersReplace":
            return keeps_values and (
                policy.soft_timeout < NEVER if promise == "SoftAnswer" else policy.answers is not None
            )
        case "ExpireKeepsWindows":
            return lifetime.ttl > 0
        case "RefreshIsStarted":
            return lifetime.early_refresh < lifetime.ttl or lifetime.stale_while_revalidate > 0
        case "BacksOff":
            return keeps_values and policy.refresh_backoff > 0
        case "SameOutcome":
            return policy.max_waiters > 1 and policy.load_timeout > 0
        case "Bounded":
            return policy.max_waiters < NEVER and policy.load_timeout > 0
        case "StaleIsRefreshed":
            return lifetime.kept > 0
        case "ReadIsGet" | "HitUntil":
            return lifetime.early_refresh > 0
        case "JoinIsGet":
            return policy.load_timeout > 0
        case _:
            return True


def _before(step: Step) -> Absent | Pending | Fresh | Stale | Evicted:
    return age(step.before, step.now)


def _flight(step: Step) -> Flight | None:
    return step.before.flight


def _is_own(step: Step) -> bool:
    """Whether what is reported is of the flight that is attached."""
    flight = step.before.flight
    return flight is not None and getattr(step.event, "generation", None) == flight.generation


def _settled(step: Step) -> set[int]:
    return {effect.generation for effect in step.effects if isinstance(effect, Settle)}
