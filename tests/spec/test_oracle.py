"""The design's table, run by a library that knows nothing of this machine, agrees with the machine on every step."""

from __future__ import annotations

from collections import defaultdict

import pytest

from herdless_core import Step, age
from herdless_core.table import AGEING, EVENTS, STATES, TABLE
from herdless_verify.mistakes import load_edits, machine_edits
from herdless_verify.oracle import CONDITIONS, TIME, Oracle, rows
from tests.core import _product

pytest.importorskip("transitions")

ASTRAY = (
    "an entry is evicted while callers wait",
    "an invalidation keeps the value",
    "a hit at exactly ttl",
    "a timeout is remembered",
    "a superseded flight can be joined",
    "a restart leaves the flight attached",
    "an error replaces a usable value",
    "an answer is covered by a value",
    "a value that is not kept takes the one before along",
    "any waiter who leaves takes the load along",
    "a late result is stored",
    "loads are cancelled where the runtime cannot",
    "loads are never cancelled when the last waiter leaves",
    "a refresh of an unknown key does nothing",
)
"""Mistakes after which an entry is in another state than it should be."""


def test_the_machine_does_what_the_design_says() -> None:
    """Of every entry, input and instant of the product the oracle names the state, without a look at the machine's."""
    oracle = Oracle()
    astray = [
        step
        for step in _product.steps()
        if (oracle.aged(step), oracle.next_state(step))
        != (type(age(step.before, step.now)).__name__, type(step.after).__name__)
    ]
    assert not astray, f"{len(astray)} steps, the first: {astray[0]}"


def test_the_design_has_the_moves_of_the_table_and_no_others() -> None:
    """The core's table, which diagrams are made from, was checked against the machine; this one was made apart."""
    designed: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows():
        designed[row.input, row.state].add(row.next_state)
    moves = {(event.__name__, state.__name__): TABLE[state][event] for state in STATES for event in EVENTS}
    moves |= {(TIME, state.__name__): AGEING[state] for state in STATES}
    assert designed == {move: {state.__name__ for state in states} for move, states in moves.items()}


def test_every_line_of_the_design_is_gone_by() -> None:
    """A line that never counts says nothing, and hides that it is wrong."""
    lines: defaultdict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    for row in rows():
        lines[row.input, row.state].append(row.conditions)
    used: set[tuple[str, ...]] = set()
    for step in _product.steps():
        for event, state in ((TIME, step.before), (type(step.event).__name__, age(step.before, step.now))):
            aged = Step(state, step.event, step.now, step.policy, step.after, step.effects)
            for conditions in lines[event, type(state).__name__]:
                if all(CONDITIONS[phrase](aged) for phrase in conditions):
                    used.add((event, type(state).__name__, *conditions))
                    break
    assert used == {(row.input, row.state, *row.conditions) for row in rows()}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_machine_that_goes_astray_is_noticed(name: str) -> None:
    """An oracle that agrees with everything would be decoration."""
    edits = machine_edits() | {edit.name: edit for edit in load_edits()}
    machine, oracle = edits[name].machine(), Oracle()
    assert any(
        oracle.next_state(step) != type(machine.transition(step.before, step.event, step.now, step.policy)[0]).__name__
        for step in _product.steps()
    )
