"""What a step must not leave undone, as predicates: of `herdless_core.invariants`, which says how they are used.

Most promises forbid something, and a machine that does nothing at all keeps them. These ask for what has to happen: no
caller would be told a lie without it, but a load would run on for nobody, or a refresh that was asked for never come.
"""

from __future__ import annotations

from typing import Final

from herdless_core._durations import after
from herdless_core._effects import Answer, CancelLoad, Save, StartLoad, Value
from herdless_core._events import Expire, Get, LoadFailed, LoadSucceeded, Refresh, Restarted, WaiterLeft
from herdless_core._machine import Step, age
from herdless_core._states import Evicted, Failure, Flight, Fresh, Pending, Stale


def unwanted_is_cancelled(step: Step) -> bool:
    """A load that is given up, by whatever step, is ordered to be cancelled; and one is given up when its last waiter
    leaves, where the runtime can cancel it and no value is served meanwhile.
    """
    flight = step.before.flight
    if flight is None:
        return True
    is_left = step.after.flight is None or step.after.flight.generation != flight.generation
    if isinstance(step.event, WaiterLeft):
        return is_left == _is_taken_along(step, flight) and (not is_left or _is_cancelled(step, flight))
    has_ended = isinstance(step.event, LoadSucceeded | LoadFailed) and step.event.generation == flight.generation
    return not is_left or has_ended or isinstance(step.event, Restarted) or _is_cancelled(step, flight)


def refresh_loads(step: Step) -> bool:
    """A refresh starts a load, unless one is in flight or the entry was removed."""
    if not isinstance(step.event, Refresh) or isinstance(step.before, Evicted) or step.before.flight is not None:
        return True
    started = [effect.generation for effect in step.effects if isinstance(effect, StartLoad)]
    return started == [step.event.generation]


def expire_keeps_windows(step: Step) -> bool:
    """A fresh value that is expired is stale as of now, with its stale windows whole, and saved as that."""
    before, entry = age(step.before, step.now), step.after
    if not isinstance(step.event, Expire) or not isinstance(before, Fresh) or isinstance(before.value, Failure):
        return True
    lifetime = before.lifetime
    return (
        isinstance(entry, Stale)
        and entry.value is before.value
        and entry.stale_until == after(step.now, lifetime.stale_while_revalidate)
        and entry.kept_until == after(step.now, lifetime.kept)
        and any(isinstance(effect, Save) for effect in step.effects)
    )


def refresh_is_started(step: Step) -> bool:
    """A lookup that is answered with a value past its early point, or a stale one, starts a load, unless one is in
    flight or a failed one backs off.
    """
    if not isinstance(step.event, Get) or step.before.flight is not None:
        return True
    if not any(isinstance(effect, Answer) and isinstance(effect.outcome, Value) for effect in step.effects):
        return True
    before = age(step.before, step.now)
    is_due = (isinstance(before, Fresh) and step.now >= before.refresh_at) or (
        isinstance(before, Stale) and step.now >= before.retry_at
    )
    return not is_due or any(isinstance(effect, StartLoad) for effect in step.effects)


DUTIES: Final = {
    "UnwantedIsCancelled": unwanted_is_cancelled,
    "RefreshLoads": refresh_loads,
    "ExpireKeepsWindows": expire_keeps_windows,
    "RefreshIsStarted": refresh_is_started,
}
"""The predicates by their names."""


def _is_taken_along(step: Step, flight: Flight) -> bool:
    """Whether the waiter who left was the last one, of a load that nobody has use for any more."""
    event, entry = step.event, age(step.before, step.now)
    if not isinstance(event, WaiterLeft) or event.generation != flight.generation or flight.waiters != 1:
        return False
    return isinstance(entry, Evicted) or (isinstance(entry, Pending) and event.can_cancel)


def _is_cancelled(step: Step, flight: Flight) -> bool:
    return any(isinstance(effect, CancelLoad) and effect.generation == flight.generation for effect in step.effects)
