"""Entries and effects as short lines, for the golden transcripts."""

from __future__ import annotations

from typing import assert_never

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Absent,
    Answer,
    CancelLoad,
    Effect,
    Entry,
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
)


def entry_in_words(entry: Entry) -> str:
    """What the entry holds and until when, in seconds."""
    match entry:
        case Absent():
            return "Absent"
        case Pending():
            return f"Pending, {_flight(entry.flight)}"
        case Fresh():
            words = f"Fresh {_held(entry.value)} until {_seconds(entry.fresh_until)}"
            if entry.refresh_at != entry.fresh_until:
                words += f", refresh from {_seconds(entry.refresh_at)}"
        case Stale():
            words = f"Stale {_held(entry.value)} until {_seconds(entry.stale_until)}"
            if entry.kept_until != entry.stale_until:
                words += f", kept until {_seconds(entry.kept_until)}"
            words += f", refresh from {_seconds(entry.retry_at)}"
        case Evicted():
            words = f"Evicted ({entry.cause.value})"
    return words if entry.flight is None else f"{words}, {_flight(entry.flight)}"


def effect_in_words(effect: Effect) -> str:
    """The order, with what matters of it."""
    match effect:
        case Answer():
            return f"Answer {_outcome(effect.outcome)}"
        case Join():
            return f"Join {effect.generation}" + (" as its first" if effect.leads else "")
        case Refuse():
            return f"Refuse, {effect.max_waiters} wait already"
        case StartLoad():
            due = "" if effect.due_at == NEVER else f" due at {_seconds(effect.due_at)}"
            return f"StartLoad {effect.generation}{due}"
        case Settle():
            return f"Settle {effect.generation} with {_outcome(effect.outcome)}"
        case Rearm():
            return f"Rearm {effect.generation} at {_seconds(effect.due_at)}"
        case CancelLoad():
            return f"CancelLoad {effect.generation}"
        case Save() | Forget():
            return type(effect).__name__
    assert_never(effect)


def _flight(flight: Flight) -> str:
    due = "" if flight.due_at == NEVER else f", due at {_seconds(flight.due_at)}"
    return f"flight {flight.generation} with {flight.waiters} waiting{due}"


def _outcome(outcome: Outcome) -> str:
    if isinstance(outcome, Failure):
        return _held(outcome)
    return f"stale {outcome.value}" if outcome.is_stale else str(outcome.value)


def _held(value: object) -> str:
    return f"error {type(value.error).__name__}" if isinstance(value, Failure) else str(value)


def _seconds(instant: int) -> str:
    return "ever" if instant == NEVER else f"{instant / NANOSECONDS_PER_SECOND:g}"
