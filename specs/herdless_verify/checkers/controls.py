"""Whether the checks are blind: each predicate has to refute a machine that breaks it, where the user runs it.

A predicate that returns True, a search that judges nothing, a comparison that finds everything equal: all of these
would hold of anything. So beside each of them there is one mistake that it must find. They are edits of the machine's
source, which is part of the installation, and stand in specs/mutants.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any, Final, TypeAlias

from herdless_core import Step
from herdless_core.invariants import INVARIANTS
from herdless_verify import mistakes
from herdless_verify.checkers.findings import Finding, Task, Work
from herdless_verify.exploration.search import Exploration, Judgement, explore, explore_ticks
from herdless_verify.exploration.world import Machine, Move, Outline, World
from herdless_verify.tlc import configurations

NOT_REFUTED: Final = "its mistake is not refuted, so this check is blind"

SAME_STEPS: Final = "SameSteps"
"""That code and specification are the same machine, as a promise."""

OTHER_STEPS: Final = "a put leaves the old load running"
"""The edit that the comparison must find."""

Names: TypeAlias = Callable[[World, Step, World], Iterator[str]]
"""The promises that a step breaks, by one part of the judgement."""


class Refuted(Exception):
    """The mistake has been found."""


def machine_controls(work: Work) -> Task:
    """The predicates, each with the edit of the machine that it must refute."""
    return Task("the mistakes that the exploration must find", partial(_predicates, work))


def _predicates(work: Work) -> Iterator[Finding]:
    edits = mistakes.machine_edits()
    for promise, name in mistakes.controls("predicates").items():
        yield _control(work, promise, name, edits[name].machine(), _of_step(promise))
    for promise, name in mistakes.controls("over_steps").items():
        yield _control(work, promise, name, edits[name].machine(), _of_world)


def _of_step(promise: str) -> Callable[[Machine], Names]:
    """The predicate alone: what is judged beside it must not hide that it is blind."""
    invariants = {name: holds for name, holds in INVARIANTS.items() if name == promise}

    def names(machine: Machine) -> Names:
        judge = Judgement(machine, invariants)
        return lambda _before, step, _after: judge.of_step(step)

    return names


def _of_world(machine: Machine) -> Names:
    judge = Judgement(machine, {})
    return judge.of_world


def _control(work: Work, promise: str, name: str, machine: Machine, judging: Callable[[Machine], Names]) -> Finding:
    run = configurations.load_runs()[mistakes.controls("worlds").get(name, "ttl")]
    refuted = _is_refuted(promise, machine, judging(machine), run)
    work.looked["mistakes refuted"] += refuted
    complaint = "" if refuted else f"{NOT_REFUTED}: {name}"
    return Finding(promise, "explore", f"mistake: {name}", 0, "state", 0.0, complaint=complaint)


def _is_refuted(promise: str, machine: Machine, judge: Names, run: Any) -> bool:
    def watch(
        world: World, _move: Move, step: Step, after: World, _alike: object, _found: Exploration
    ) -> Iterator[str]:
        if promise in judge(world, step, after):
            raise Refuted
        return iter(())

    try:
        explore_ticks(run.machine_policy(), run.bounds(), machine=machine, watch=watch)
    except Refuted:
        return True
    return False


def steps_control(work: Work, name: str, steps: Container[Outline]) -> Finding:
    """The comparison of all steps, with a machine that takes others under any policy."""
    machine = mistakes.machine_edits()[OTHER_STEPS].machine()
    found = explore(work.policies[name], invariants={}, machine=machine, known=steps)
    refuted = not found.is_complete
    work.looked["mistakes refuted"] += refuted
    complaint = "" if refuted else f"{NOT_REFUTED}: {OTHER_STEPS}"
    return Finding(SAME_STEPS, "graph", f"mistake: {OTHER_STEPS}", 0, "step", 0.0, complaint=complaint)
