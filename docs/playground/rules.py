"""What the machine does for each state and event, in a sentence; and which promises a step is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from herdless_core import (
    Answer,
    DeadlinePassed,
    Evict,
    Evicted,
    Failure,
    Fresh,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Put,
    Refresh,
    Refuse,
    Report,
    Restarted,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    Value,
    WaiterLeft,
    age,
)

_OTHER_LOAD: Final = (
    "The report is of a load that is not the entry's: nothing changes. Who still waits for it is answered."
)

RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "Get": {
        "Absent": "Nothing is known: a load starts, and the caller waits for it.",
        "Pending": "A load is in flight: the caller joins it. Where max_waiters wait already, the caller is refused; "
        "where the load is past its due, it is given up and a new one starts.",
        "Fresh": "A hit. Past the early point a refresh starts beside it.",
        "Stale": "Within the stale window the value is answered at once and a refresh starts; later the caller waits.",
        "Evicted": "Nobody reaches a removed entry by its key.",
    },
    "Put": {
        "Absent": "The value is stored.",
        "Pending": "The value is stored, who waits gets it, and the load is cancelled.",
        "Fresh": "The value is replaced; a load in flight is cancelled, and who waits for it gets the new value.",
        "Stale": "The value is replaced; a load in flight is cancelled, and who waits for it gets the new value.",
        "Evicted": "Nothing.",
    },
    "Invalidate": {
        "Absent": "Nothing was known. Nobody is served an old value.",
        "Pending": "The entry is taken from its key at once. Who waits still gets the load's result; nothing of it is "
        "stored, and newcomers load anew.",
        "Fresh": "The value is gone, and a refresh that nobody waits for is cancelled.",
        "Stale": "The value is gone, and a refresh that nobody waits for is cancelled.",
        "Evicted": "Nothing.",
    },
    "Expire": {
        "Absent": "Nothing.",
        "Pending": "Nothing: what is being loaded is new anyway.",
        "Fresh": "The value is stale as of now, with its stale windows whole.",
        "Stale": "Nothing: it is stale already.",
        "Evicted": "Nothing.",
    },
    "Refresh": {
        "Absent": "A load starts, for which nobody waits.",
        "Pending": "Nothing: a load is in flight.",
        "Fresh": "A load starts beside the value, unless one is in flight.",
        "Stale": "A load starts beside the value, unless one is in flight.",
        "Evicted": "Nothing.",
    },
    "Evict": {
        "Absent": "Nothing.",
        "Pending": "Refused: callers wait for it.",
        "Fresh": "The entry gives up its room, unless callers wait for its load.",
        "Stale": "The entry gives up its room, unless callers wait for its load.",
        "Evicted": "Nothing.",
    },
    "LoadSucceeded": {
        "Absent": _OTHER_LOAD,
        "Pending": "The value is stored first, then who waits is answered.",
        "Fresh": "The new value takes the place of the old one.",
        "Stale": "The new value takes the place of the old one.",
        "Evicted": "Who waits is answered. Nothing is stored.",
    },
    "LoadFailed": {
        "Absent": _OTHER_LOAD,
        "Pending": "All who wait get the one error. It is forgotten then, unless negative_ttl remembers it.",
        "Fresh": "A failure leaves the value, and the next refresh backs off; an answer takes the value's place.",
        "Stale": "A failure leaves the value, and the next refresh backs off; an answer takes the value's place.",
        "Evicted": "Who waits gets the error. Nothing is stored.",
    },
    "DeadlinePassed": {
        "Absent": _OTHER_LOAD,
        "Pending": "Past its due, the load is given up: who waits gets LoadTimeout. Before, the timer is set again.",
        "Fresh": "Past its due, the load is given up; the value stays.",
        "Stale": "Past its due, the load is given up; the value stays, and the next refresh backs off.",
        "Evicted": "Past its due, who waits gets LoadTimeout.",
    },
    "WaiterLeft": {
        "Absent": "The load is not the entry's: nothing changes.",
        "Pending": "One waiter less. When the last one leaves, the load is cancelled, if the runtime can.",
        "Fresh": "One waiter less.",
        "Stale": "One waiter less.",
        "Evicted": "One waiter less. When the last one leaves, the load is cancelled, if the runtime can.",
    },
    "SoftTimeoutPassed": {
        "Absent": "The load is not the entry's: nothing changes.",
        "Pending": "No value is kept: the caller waits on.",
        "Fresh": "The caller is answered with the value, and waits no more; the load goes on.",
        "Stale": "The caller is answered with the value that is kept, as stale, and waits no more; the load goes on.",
        "Evicted": "Nothing is kept: the caller waits on.",
    },
    "Restarted": {
        "Absent": "Nothing was in flight.",
        "Pending": "Whoever ran the load is gone: the key can be loaded again.",
        "Fresh": "The value stays; a load that was in flight is gone.",
        "Stale": "The value stays; a load that was in flight is gone.",
        "Evicted": "No flight is left.",
    },
}
"""By the name of the event, then of the state in which the entry is once it has been aged."""


def rule_of(step: Step) -> str:
    """What the machine does here, and why."""
    before = age(step.before, step.now)
    if _is_superseded(step):
        return _OTHER_LOAD
    return RULES[type(step.event).__name__][type(before).__name__]


def promises_of(step: Step) -> tuple[str, ...]:
    """The names of the promises that a reader sees kept in this step, the first of them the most to the point."""
    return tuple(dict.fromkeys(_promises(step)))


def _is_superseded(step: Step) -> bool:
    flight = step.before.flight
    is_report = isinstance(step.event, Report)
    return is_report and (flight is None or flight.generation != getattr(step.event, "generation", None))


def _promises(step: Step) -> Iterator[str]:
    if _is_superseded(step):
        yield "NoStaleSet"
        return
    match step.event:
        case LoadSucceeded():
            yield "NoStaleSet" if isinstance(step.after, Evicted) else "HitAge"
        case LoadFailed(is_answer=True):
            yield "AnswersReplace"
        case LoadFailed() if isinstance(step.after, Fresh | Stale) and not isinstance(step.after.value, Failure):
            yield "StaleIfError"
        case LoadFailed() | DeadlinePassed():
            yield "EveryGetAnswered"
        case Invalidate():
            yield "NoStaleRead"
        case Evict():
            yield "EvictedIsFinal" if isinstance(step.after, Evicted) else "PendingIsNoVictim"
        case WaiterLeft():
            yield "WaiterCount"
        case SoftTimeoutPassed():
            yield from ("SoftAnswer", "WaiterCount")
        case Restarted():
            yield "GenerationMonotone"
        case Put() | Refresh():
            yield "SingleFlight"
        case _:
            pass
    yield from _of_effects(step)


def _of_effects(step: Step) -> Iterator[str]:
    for effect in step.effects:
        match effect:
            case Answer(outcome=Value(is_stale=True)):
                yield from ("HitAge", "StaleIsRefreshed")
            case Answer():
                yield "HitAge"
            case Join(leads=False):
                yield from ("SingleFlight", "NoDoomedJoin")
            case StartLoad():
                yield from ("SingleFlight", "GenerationMonotone")
            case Refuse():
                yield "Bounded"
            case Settle():
                yield from ("AnsweredOnce", "SameOutcome")
            case _:
                pass
    if isinstance(step.event, Get) and not step.effects:
        yield "EvictedIsFinal"
