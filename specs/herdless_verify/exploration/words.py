"""A step in words, for whoever has to read a counterexample. Instants are told from now."""

from __future__ import annotations

from typing import Final, assert_never

from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Absent,
    Answer,
    CancelLoad,
    Effect,
    Entry,
    Event,
    Evicted,
    Failure,
    Flight,
    Forget,
    Fresh,
    Join,
    Outcome,
    Pending,
    Rearm,
    Refuse,
    Save,
    Settle,
    Stale,
    StartLoad,
    Step,
)

_MILLISECOND: Final = 1_000_000


def step_in_words(step: Step) -> tuple[str, ...]:
    """What was, what happened, what came of it, and what was ordered, in their order."""
    orders = "; ".join(effect_in_words(effect, step.now) for effect in step.effects) or "nothing"
    return (
        f"before: {entry_in_words(step.before, step.now)}",
        f"event:  {event_in_words(step.event)}",
        f"after:  {entry_in_words(step.after, step.now)}",
        f"orders: {orders}",
    )


def event_in_words(event: Event) -> str:
    """Its kind, and the flight it is about."""
    generation = getattr(event, "generation", None)
    return type(event).__name__ if generation is None else f"{type(event).__name__} {generation}"


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
    name = type(effect).__name__
    match effect:
        case Answer():
            return f"{name} with {_outcome(effect.outcome, now)}"
        case Settle():
            return f"{name} {effect.generation} with {_outcome(effect.outcome, now)}"
        case Join():
            return f"{name} {effect.generation} as {'its first' if effect.leads else 'one more'} waiter"
        case StartLoad() | Rearm():
            return f"{name} {effect.generation}, due {_instant(effect.due_at, now)}"
        case CancelLoad():
            return f"{name} {effect.generation}"
        case Refuse() | Save() | Forget():
            return name
    assert_never(effect)


def _flight(flight: Flight, now: int) -> str:
    due = f"due {_instant(flight.due_at, now)}"
    return f"flight {flight.generation} started {_instant(flight.started_at, now)}, {due}, {flight.waiters} waiting"


def _outcome(outcome: Outcome, now: int) -> str:
    if isinstance(outcome, Failure):
        return _value(outcome)
    stale = ", stale" if outcome.is_stale else ""
    return f"{_value(outcome.value)} loaded {_instant(outcome.loaded_at, now)}{stale}"


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
