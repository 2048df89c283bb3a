"""The machine's short cuts, which a keyspace takes instead of a step, must come to what the step would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herdless_core import Absent, Answer, Get, Join, LoadSucceeded, Save, Settle, StartLoad, Step, Value
from herdless_verify.exploration.world import Machine

SHORT_CUTS: Final = {
    "ReadIsGet": "A hit that is read without a step is what a lookup would be answered with.",
    "JoinIsGet": "A caller who joins a load without a step is where a lookup would have brought it.",
    "StartIsGet": "A load of an unknown key that starts without a step is the one a lookup would have started.",
    "FillIsStep": "A value that is stored without a step is stored as the load's report would have had it.",
}
"""What is judged of them, by name."""


def unequal(machine: Machine, step: Step) -> Iterator[str]:
    """The short cuts that would have led elsewhere than the step."""
    match step.event:
        case Get(generation=generation, reloads=False):
            yield from _of_lookup(machine, step, generation)
        case LoadSucceeded(generation=generation, value=value, lifetime=lifetime, age=0) if lifetime is not None:
            filled = machine.fill(step.before, generation, value, lifetime)
            if filled is not None:
                outcome = Value(value, filled.loaded_at, is_stale=False)
                if (step.after, step.effects) != (filled, (Save(), Settle(generation, outcome))):
                    yield "FillIsStep"
        case _:
            pass


def _of_lookup(machine: Machine, step: Step, generation: int) -> Iterator[str]:
    done = (step.after, step.effects)
    hit = machine.read(step.before, step.now)
    if hit is not None and done != (step.before, (Answer(hit),)):
        yield "ReadIsGet"
    joined = machine.join(step.before, step.now, step.policy)
    if joined is not None and done != (joined, (Join(joined.flight.generation, leads=False),)):
        yield "JoinIsGet"
    if isinstance(step.before, Absent):
        started = machine.start(generation, step.now, step.policy)
        if done != (started, (Join(generation, leads=True), StartLoad(generation, started.flight.due_at))):
            yield "StartIsGet"
