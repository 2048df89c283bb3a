"""`herdless verify --quick` compares code and specification under each policy it is given, and sees what differs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import pytest

from herdless_core import Policy, Step
from herdless_verify.checkers.findings import POLICIES
from herdless_verify.exploration.search import Exploration, bounds_of, explore
from herdless_verify.exploration.world import Machine, Outline
from herdless_verify.mistakes import load_edits, load_mutants, machine_edits
from herdless_verify.tlc.watched import Watched, differences, watch, watched_run

SHORT_CUT: Final = "the short cut joins a flight past its deadline"
"""Of which the graph knows nothing: the exploration compares the short cuts with the steps."""

UNDONE: Final = (
    "a put leaves the old load running",
    "a refresh of a stale value does nothing",
    "a refresh of an unknown key does nothing",
    "loads are cancelled where the runtime cannot",
    "loads are never cancelled when the last waiter leaves",
    "an expired value loses its stale windows",
    "an expired value is not saved",
    "an eviction leaves the load running",
    "an invalidation leaves a load running that nobody waits for",
    "a load past its deadline is not cancelled",
    "early refreshes never happen",
    "the last waiter of a removed entry leaves its load running",
)
"""The slips that leave something undone."""

EDITS: Final[Mapping[str, Machine]] = {edit.name: edit.machine() for edit in load_edits()} | {
    name: machine_edits()[name].machine() for name in (*UNDONE, *(mutant.name for mutant in load_mutants()))
}


@cache
def explored(name: str) -> Exploration:
    """The code under one of the command's own policies."""
    return explore(POLICIES[name], invariants={})


@pytest.fixture(scope="module")
def specified(tlc: None) -> Mapping[str, Watched]:
    """The specification under all of them."""
    return {
        name: watch(watched_run(name, explored(name).policy, bounds_of(policy))) for name, policy in POLICIES.items()
    }


def test_code_and_specification_take_the_same_steps(specified: Mapping[str, Watched]) -> None:
    """What TLC finds of the specification is true of the code only because they are the same machine."""
    for name, found in specified.items():
        assert list(differences(explored(name), found)) == [], name


@cache
def taken(name: str) -> tuple[Step, ...]:
    """The steps of the code under one of the policies."""
    steps: list[Step] = []

    def note(step: Step) -> bool:
        steps.append(step)
        return True

    explore(POLICIES[name], invariants={"noted": note})
    return tuple(steps)


def shows(machine: Machine, name: str) -> bool:
    """Whether the machine takes any of these steps otherwise: where it does not, its graph is the same."""
    try:
        return any(
            machine.transition(step.before, step.event, step.now, step.policy) != (step.after, step.effects)
            for step in taken(name)
        )
    except Exception:  # noqa: BLE001  # of a machine that is broken
        return True


def is_seen(machine: Machine, name: str, steps: set[Outline]) -> bool:
    """Whether the machine takes another step than these, or none of them, under a policy."""
    try:
        found = explore(POLICIES[name], invariants={}, machine=machine, known=steps)
    except RecursionError:
        return True
    return found.steps.keys() != steps


@pytest.mark.parametrize("edit", [name for name in EDITS if name != SHORT_CUT])
def test_every_edit_of_the_machine_is_seen(edit: str, specified: Mapping[str, Watched]) -> None:
    """Most of the edits that harm break no promise: only the comparison of all steps finds them."""
    machine = EDITS[edit]
    where = [name for name in specified if shows(machine, name)]
    assert any(is_seen(machine, name, set(specified[name].steps)) for name in where)


def test_a_difference_is_told_with_the_shortest_way_to_it(specified: Mapping[str, Watched]) -> None:
    """Who has made the edit wants to know where it shows, and what should have been."""
    name = "ttl=60"
    machine = EDITS["a put leaves the old load running"]
    lines = list(differences(explore(POLICIES[name], invariants={}, machine=machine), specified[name]))
    assert lines[:2] == ["after: Get", "Put, by the code:"]
    assert "Put, by the specification:" in lines
    code, specification = (line for line in lines if line.startswith("  orders: "))
    assert specification == f"{code}; CancelLoad, generation 1"


def test_a_step_that_is_never_taken_is_told() -> None:
    """A machine that does less than the specification differs from it, too."""
    code = explore(Policy(ttl=0), invariants={})
    lost, *others = code.steps
    specification = Watched(output=None, steps={lost, *others})  # type: ignore[arg-type]  # its output is not asked for
    code.steps.pop(lost)
    assert "that the code never takes" in next(differences(code, specification))
