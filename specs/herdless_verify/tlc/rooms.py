"""The graph of the real keyspace must equal that of specs/Keyspace.tla."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from herdless_verify.exploration.rooms import Explored, Rooms, State
from herdless_verify.exploration.world import Outline
from herdless_verify.tlc.configurations import Run
from herdless_verify.tlc.graph import Steps, specified
from herdless_verify.tlc.values import parse, parse_state


@final
@dataclass(frozen=True, slots=True)
class Difference:
    """The first state from which the two differ, and how."""

    state: State
    only_code: frozenset[str]
    """The moves by which the code leads where the specification does not."""
    only_specification: frozenset[str]

    def __str__(self) -> str:
        entries, generation, running, _ = self.state
        sides = (("the code", self.only_code), ("the specification", self.only_specification))
        said = "; ".join(f"{', '.join(sorted(moves))} by {side} alone" for side, moves in sides if moves)
        return f"with entries {entries}, generation {generation}, loads {running}: {said or 'never come to'}"


def rooms_of(run: Run) -> Rooms:
    """The world of a run of Keyspace.tla, for the code."""
    constants: Mapping[str, Any] = run.constants or {}
    names = ("NumberOfKeys", "MaxGeneration", "MaxSize", "MaxWaiters")
    return Rooms(*(int(constants[name]) for name in names))


def specified_rooms(run: Run) -> Steps:
    """The graph of the specification. Raises AssertionError when a promise does not hold on the way."""
    return specified(run, state_of)


def state_of(text: str) -> Outline:
    """A state as TLC prints it, in the order of `herdless_verify.exploration.rooms`."""
    variables = {name: parse(value) for name, value in parse_state(text).items()}
    entries = variables["entries"]
    by_key = entries.values() if isinstance(entries, Mapping) else entries  # a function on 1 .. n is a sequence
    return (
        tuple((entry["holds"], entry["flight"], entry["waiters"]) for entry in by_key),
        variables["generation"],
        *(frozenset((load["key"], load["generation"]) for load in variables[name]) for name in ("running", "started")),
    )


def difference(explored: Explored, specification: Steps) -> Difference | None:
    """A state from which the graphs differ; None where they are equal."""
    ours = explored.steps()
    for state in sorted(ours.keys() | specification.keys(), key=repr):
        mine, theirs = ours.get(state, set()), specification.get(state, set())
        if mine != theirs or (state in ours) != (state in specification):
            moves = (frozenset(name for name, _ in each) for each in (mine - theirs, theirs - mine))
            return Difference(state, *moves)
    return None
