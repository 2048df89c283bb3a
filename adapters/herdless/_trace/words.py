"""A step in words: the one place for a trace's complaints, its drawings, and the counterexamples of what checks it.

There are three ways to say one. By names (`describe`, `named`): on one line, the same in each run, for complaints. In
full (`step_in_words`): all that an entry holds, instants told from now, for counterexamples. As a story
(`event_as_story`, `effect_as_story`): plain English, for drawings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, assert_never

from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Absent,
    Answer,
    CancelLoad,
    DeadlinePassed,
    Effect,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Forget,
    Fresh,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Outcome,
    Pending,
    Put,
    Rearm,
    Refresh,
    Refuse,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    WaiterLeft,
    shown,
)

_MILLISECOND: Final = 1_000_000


# By names


def describe(key: Any, step: Step) -> str:
    """The step in one line, without what differs from run to run: objects are named by their types."""
    states = f"{type(step.before).__name__} -> {type(step.after).__name__}"
    return f"{step.now} ns {shown(key)}: {name_of(step.event)}: {states}: {named(step.effects)}"


def named(effects: Iterable[Effect]) -> str:
    """The effects by name, with their generations."""
    return ", ".join(map(name_of, effects)) or "nothing"


def name_of(of: Event | Effect) -> str:
    """The kind of event or effect, and the generation of the flight that it is about."""
    generation = getattr(of, "generation", None)
    return type(of).__name__ if generation is None else f"{type(of).__name__} {generation}"


# In full


def step_in_words(step: Step) -> tuple[str, ...]:
    """What was, what happened, what came of it, and what was ordered, in their order."""
    orders = "; ".join(effect_in_words(effect, step.now) for effect in step.effects) or "nothing"
    return (
        f"before: {entry_in_words(step.before, step.now)}",
        f"event:  {name_of(step.event)}",
        f"after:  {entry_in_words(step.after, step.now)}",
        f"orders: {orders}",
    )


def entry_in_words(entry: Entry, now: int) -> str:
    """The state, what it holds, and its flight."""
    parts = [type(entry).__name__]
    match entry:
        case Absent() | Pending():
            pass
        case Fresh():
            parts += [_value(entry.value), f"loaded {_instant(entry.loaded_at, now)}"]
            parts += [f"ttl {_duration(entry.lifetime.ttl)}"]
            parts += [f"{name} {_instant(getattr(entry, name), now)}" for name in ("refresh_at", "hit_until")]
        case Stale():
            parts += [_value(entry.value), f"loaded {_instant(entry.loaded_at, now)}"]
            windows = ("stale_until", "kept_until", "retry_at")
            parts += [f"{name} {_instant(getattr(entry, name), now)}" for name in windows]
        case Evicted():
            parts += [entry.cause.value]
        case _:
            assert_never(entry)
    if entry.flight is not None:
        parts.append(_flight(entry.flight, now))
    return ", ".join(parts)


def effect_in_words(effect: Effect, now: int) -> str:
    """The order, and to which flight it is given."""
    name = name_of(effect)
    match effect:
        case Answer() | Settle():
            return f"{name} with {_outcome(effect.outcome, now)}"
        case Join():
            return f"{name} as {'its first' if effect.leads else 'one more'} waiter"
        case StartLoad() | Rearm():
            return f"{name}, due {_instant(effect.due_at, now)}"
        case CancelLoad() | Refuse() | Save() | Forget():
            return name
    assert_never(effect)


# As a story


def event_as_story(event: Event) -> str:
    """What happens, as somebody would tell it. Values are told by their `repr`, errors by their message."""
    match event:
        case Put():
            return f"put {event.value!r}{_age_in_words(event.age)}"
        case LoadSucceeded():
            kept = "" if event.lifetime is not None else ", not to be kept"
            return f"load {event.generation} gave {event.value!r}{_age_in_words(event.age)}{kept}"
        case LoadFailed():
            return f"load {event.generation} {'answered' if event.is_answer else 'failed'}, {event.error}"
        case DeadlinePassed():
            return f"the timer of load {event.generation} goes off"
        case WaiterLeft():
            return f"leaves, waits no longer for load {event.generation}"
        case SoftTimeoutPassed():
            return f"has waited for soft_timeout, for load {event.generation}"
        case Evict():
            return "evicted, for want of room or because it has expired"
        case Restarted():
            return "restarted, no flight is left"
        case Get() if event.reloads:
            return "reload"
        case Get() | Invalidate() | Expire() | Refresh():
            return type(event).__name__.lower()
    assert_never(event)


def effect_as_story(effect: Effect) -> str:
    """What comes of it, for whoever it is meant; empty for what nobody sees."""
    match effect:
        case Answer() | Settle():
            return _outcome_as_story(effect.outcome)
        case Join():
            return f"waits for load {effect.generation}"
        case Refuse():
            return f"refused, {effect.max_waiters} wait already"
        case StartLoad():
            return f"start load {effect.generation}"
        case CancelLoad():
            return f"cancel load {effect.generation}"
        case Rearm():
            return "not due yet"
        case Save() | Forget():
            return ""
    assert_never(effect)


def change_as_story(before: Entry, after: Entry) -> str:
    """From which state to which; empty where it stays the same."""
    states = [type(entry).__name__.lower() for entry in (before, after)]
    return "" if states[0] == states[1] else " to ".join(states)


# The parts


def _flight(flight: Flight, now: int) -> str:
    due = f"due {_instant(flight.due_at, now)}"
    return f"flight {flight.generation} started {_instant(flight.started_at, now)}, {due}, {flight.waiters} waiting"


def _outcome(outcome: Outcome, now: int) -> str:
    if isinstance(outcome, Failure):
        return _value(outcome)
    stale = ", stale" if outcome.is_stale else ""
    return f"{_value(outcome.value)} loaded {_instant(outcome.loaded_at, now)}{stale}"


def _outcome_as_story(outcome: Outcome) -> str:
    if isinstance(outcome, Failure):
        return str(outcome.error)
    return f"{outcome.value!r}, stale" if outcome.is_stale else repr(outcome.value)


def _age_in_words(nanoseconds: int) -> str:
    return f", {_duration(nanoseconds)} old" if nanoseconds else ""


def _value(value: object) -> str:
    return repr(value.error) if isinstance(value, Failure) else f"value {value!r}"


def _instant(at: int, now: int) -> str:
    if at >= NEVER:
        return "never"
    if at <= LONG_AGO:
        return "long ago"
    if at == now:
        return "now"
    return f"in {_duration(at - now)}" if at > now else f"{_duration(now - at)} ago"


def _duration(nanoseconds: int) -> str:
    if nanoseconds >= NEVER:
        return "without end"
    if nanoseconds % _MILLISECOND:
        return f"{nanoseconds} ns"
    return f"{nanoseconds / NANOSECONDS_PER_SECOND:g} s"
