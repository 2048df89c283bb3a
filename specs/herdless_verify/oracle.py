"""What becomes of an entry, in a table of phrases: the design a second time, for readers to run and to compare with.

    from herdless_verify.oracle import Oracle

    oracle = Oracle()
    oracle.next_state(step)  # "Stale", where the machine's step should end in Stale

The table is written from the promises and not from the machine: it names no function of the core, and says of each
input in each state which condition leads where. `transitions`, a general library of state machines that knows nothing
of this one, goes by it. `herdless_core.table` has the same moves without their conditions; a test compares the two, and
every step that the machine can take with what the table says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, final

from herdless_core import (
    NEVER,
    DeadlinePassed,
    Failure,
    Fresh,
    HerdlessError,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    RemoteLoadError,
    Stale,
    Step,
    WaiterLeft,
)

TIME: Final = "time"
"""What happens to the entry before every input."""

SAME: Final = "same"
"""In the table: the state that it was in."""

DESIGN: Final = """
time           | Absent, Pending, Evicted |                               | same
time           | Fresh                    | within its ttl                | same
time           | Fresh                    | an error, loading             | Pending
time           | Fresh                    | an error                      | Absent
time           | Fresh, Stale             | within its stale windows      | Stale
time           | Fresh, Stale             | loading                       | Pending
time           | Fresh, Stale             |                               | Absent

Get            | Absent                   |                               | Pending
Get            | Pending                  | late, a timeout is remembered | Fresh
Get            | Pending, Fresh, Stale    |                               | same

Put            | Absent, Pending          |                               | Fresh
Put            | Fresh, Stale             |                               | Fresh

Invalidate     | Absent, Pending          |                               | Evicted
Invalidate     | Fresh, Stale             |                               | Evicted

Expire         | Fresh                    | an error, loading             | Pending
Expire         | Fresh                    | an error                      | Absent
Expire         | Fresh                    |                               | Stale
Expire         | Absent, Pending, Stale   |                               | same

Refresh        | Absent                   |                               | Pending
Refresh        | Pending, Fresh, Stale    |                               | same

Evict          | Fresh, Stale             | nobody waits                  | Evicted
Evict          | Fresh, Stale             |                               | same
Evict          | Absent, Pending          |                               | same

LoadSucceeded  | Pending, Fresh, Stale    | its own, to be kept           | Fresh
LoadSucceeded  | Pending                  | its own                       | Absent
LoadSucceeded  | Absent, Pending          |                               | same
LoadSucceeded  | Fresh, Stale             |                               | same

LoadFailed     | Pending                  | its own, remembered           | Fresh
LoadFailed     | Pending                  | its own                       | Absent
LoadFailed     | Fresh, Stale             | its own, an answer, remembered| Fresh
LoadFailed     | Fresh, Stale             | its own, an answer            | Absent
LoadFailed     | Absent, Pending          |                               | same
LoadFailed     | Fresh, Stale             |                               | same

DeadlinePassed | Pending                  | its own, late, a timeout is remembered | Fresh
DeadlinePassed | Pending                  | its own, late                 | Absent
DeadlinePassed | Absent, Pending          |                               | same
DeadlinePassed | Fresh, Stale             |                               | same

WaiterLeft     | Pending                  | its own, the last one, can be cancelled | Absent
WaiterLeft     | Absent, Pending          |                               | same
WaiterLeft     | Fresh, Stale             |                               | same

SoftTimeoutPassed | Absent, Pending       |                               | same
SoftTimeoutPassed | Fresh, Stale          |                               | same

Restarted      | Absent, Pending          |                               | Absent
Restarted      | Fresh, Stale             |                               | same
"""
"""In each line an input, the states in which it comes, what must be so, and the state afterwards. Of the lines for one
input and one state the first counts whose conditions are all true. An entry that is Evicted stays so.
"""


@final
class Row(NamedTuple):
    """A line of the table, for one state."""

    input: str
    state: str
    conditions: tuple[str, ...]
    next_state: str


Condition: TypeAlias = Callable[[Step], bool]


def rows() -> Iterator[Row]:
    """The table, line by line."""
    inputs: dict[str, None] = {}
    for line in filter(None, DESIGN.splitlines()):
        event, states, conditions, target = (cell.strip() for cell in line.split("|"))
        inputs[event] = None
        for state in states.split(", "):
            phrases = tuple(phrase.strip() for phrase in conditions.split(",") if phrase)
            yield Row(event, state, phrases, state if target == SAME else target)
    for event in inputs:
        if event != TIME:
            yield Row(event, "Evicted", (), "Evicted")


@final
class Oracle:
    """A `transitions.Machine` that goes by the table. Raises ModuleNotFoundError where `transitions` is not there, and
    its `next_state` `transitions.MachineError` where the table says nothing of the input.
    """

    def __init__(self) -> None:
        from transitions import Machine

        known = [
            {
                "trigger": row.input,
                "source": row.state,
                "dest": row.next_state,
                "conditions": [CONDITIONS[phrase] for phrase in row.conditions],
            }
            for row in rows()
        ]
        states = ["Absent", "Pending", "Fresh", "Stale", "Evicted"]
        self._machine: Final[Any] = Machine(states=states, transitions=known, initial="Absent", auto_transitions=False)

    def aged(self, step: Step) -> str:
        """The state that time alone leads to before the step's input comes."""
        self._machine.set_state(type(step.before).__name__)
        self._machine.trigger(TIME, step)
        return str(self._machine.state)

    def next_state(self, step: Step) -> str:
        """The state in which the entry should be afterwards. What the step left is not looked at."""
        self.aged(step)
        self._machine.trigger(type(step.event).__name__, step)
        return str(self._machine.state)


def _is_before_end(began_at: int, duration: int, now: int) -> bool:
    return duration >= NEVER or now < began_at + duration


def _is_within_ttl(step: Step) -> bool:
    entry = step.before
    return isinstance(entry, Fresh) and _is_before_end(entry.loaded_at, entry.lifetime.ttl, step.now)


def _is_within_windows(step: Step) -> bool:
    entry = step.before
    if isinstance(entry, Fresh):
        lifetime = entry.lifetime
        window = max(lifetime.stale_while_revalidate, lifetime.stale_if_error)
        return _is_before_end(entry.loaded_at, lifetime.ttl + window, step.now)
    return isinstance(entry, Stale) and step.now < entry.kept_until


def _is_error(step: Step) -> bool:
    return isinstance(step.before, Fresh) and isinstance(step.before.value, Failure)


def _is_loading(step: Step) -> bool:
    return step.before.flight is not None


def _is_late(step: Step) -> bool:
    flight = step.before.flight
    return flight is not None and step.now >= flight.due_at


def _is_own(step: Step) -> bool:
    flight, event = step.before.flight, step.event
    reports = LoadSucceeded | LoadFailed | DeadlinePassed | WaiterLeft
    return flight is not None and isinstance(event, reports) and flight.generation == event.generation


def _is_to_be_kept(step: Step) -> bool:
    return isinstance(step.event, LoadSucceeded) and step.event.lifetime is not None


def _is_answer(step: Step) -> bool:
    return isinstance(step.event, LoadFailed) and step.event.is_answer


def _is_timeout_remembered(step: Step) -> bool:
    return step.policy.remember_timeouts and step.policy.negative_lifetime.ttl > 0


def _is_remembered(step: Step) -> bool:
    """What the loader says of the key, for `negative_ttl`; where some errors are answers, these alone."""
    event, policy = step.event, step.policy
    if not isinstance(event, LoadFailed) or policy.negative_lifetime.ttl == 0:
        return False
    if isinstance(event.error, LoadTimeout):
        return policy.remember_timeouts
    is_ours = isinstance(event.error, HerdlessError) and not isinstance(event.error, RemoteLoadError)
    says_something = isinstance(event.error, Exception) and not is_ours
    return says_something and (event.is_answer or policy.answers is None)


def _is_unawaited(step: Step) -> bool:
    return step.before.flight is None or step.before.flight.waiters == 0


def _is_last(step: Step) -> bool:
    return step.before.flight is not None and step.before.flight.waiters == 1


def _is_cancellable(step: Step) -> bool:
    return isinstance(step.event, WaiterLeft) and step.event.can_cancel


CONDITIONS: Final[Mapping[str, Condition]] = {
    "within its ttl": _is_within_ttl,
    "within its stale windows": _is_within_windows,
    "an error": _is_error,
    "loading": _is_loading,
    "late": _is_late,
    "its own": _is_own,
    "to be kept": _is_to_be_kept,
    "an answer": _is_answer,
    "a timeout is remembered": _is_timeout_remembered,
    "remembered": _is_remembered,
    "nobody waits": _is_unawaited,
    "the last one": _is_last,
    "can be cancelled": _is_cancellable,
}
"""The phrases of the table, asked of the step before it is taken."""
