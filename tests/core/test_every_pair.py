"""Every state with every event, at every boundary: nothing is undefined, and every promise is kept by every step."""

from __future__ import annotations

import copy
from collections import defaultdict

import pytest

from herdless_core import (
    Absent,
    Answer,
    DeadlinePassed,
    Evict,
    Evicted,
    Failure,
    Flight,
    Fresh,
    Get,
    Join,
    LoadTimeout,
    Pending,
    Policy,
    Settle,
    Stale,
    Step,
    age,
    peek,
    transition,
)
from herdless_core.invariants import violated
from herdless_core.table import AGEING, EVENTS, STATES, TABLE, State
from tests.core import _product


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """The whole product, made once."""
    return list(_product.steps())


def test_every_step_keeps_every_invariant(steps: list[Step]) -> None:
    """What herdless promises holds of each step by itself, whatever came before it."""
    broken = [(step, names) for step in steps if (names := violated(step))]
    assert not broken, f"{len(broken)} steps, the first: {broken[0]}"


def test_the_table_is_what_the_machine_does(steps: list[Step]) -> None:
    """The table from which diagrams and docs are made has all the moves of the machine, and none that it lacks."""
    seen: defaultdict[State, defaultdict[type, set[State]]] = defaultdict(lambda: defaultdict(set))
    for step in steps:
        seen[type(age(step.before, step.now))][type(step.event)].add(type(step.after))
    assert {state: dict(row) for state, row in seen.items()} == TABLE


def test_the_table_names_every_state_and_event() -> None:
    """A pair that is not in the table would be undefined."""
    assert set(TABLE) == set(AGEING) == set(STATES) == {Absent, Pending, Fresh, Stale, Evicted}
    assert all(list(row) == sorted(row, key=list(row).index) and set(row) == set(EVENTS) for row in TABLE.values())


def test_time_alone_does_what_the_table_of_ageing_says() -> None:
    """The dashed edges of the diagram are real, and no others are."""
    seen: defaultdict[State, set[State]] = defaultdict(set)
    for entry in _product.entries():
        for now in (_product.LOADED_AT, *_product.instants(entry)):
            seen[type(entry)].add(type(age(entry, now)))
    assert seen == AGEING


def test_a_step_changes_neither_the_entry_nor_the_event() -> None:
    """Threads look at entries without a lock, so a step makes the next entry and leaves the old one alone."""
    for entry in _product.entries():
        for event in _product.events():
            before = copy.copy(entry), copy.copy(event), copy.copy(entry.flight)
            transition(entry, event, _product.STARTED_AT + 600, _product.POLICIES[1])
            assert before == (entry, event, entry.flight)


def test_ageing_twice_is_ageing_once() -> None:
    """Every step begins by ageing, so ageing an aged entry must change nothing."""
    for entry in _product.entries():
        for now in _product.instants(entry):
            aged = age(entry, now)
            assert age(aged, now) is aged


def test_peek_says_what_a_lookup_would_be_answered_with(steps: list[Step]) -> None:
    """`peek` must not show what `get` would not serve, nor hide what it would."""
    overdue = 0
    for step in steps:
        if not isinstance(step.event, Get) or step.event.reloads or isinstance(step.before, Evicted):
            continue
        answers = [effect.outcome for effect in step.effects if isinstance(effect, Answer)]
        flight = step.before.flight
        if flight is not None and step.now >= flight.due_at:
            overdue += 1  # the lookup gives the late load up first, and may then serve the value that it kept
        else:
            assert peek(step.before, step.now) == (answers[0] if answers else None)
    assert overdue > 0


def test_evict_is_refused_while_callers_wait(steps: list[Step]) -> None:
    """PendingIsNoVictim, spelled out: the entry stays and nothing is ordered."""
    spared = [
        step for step in steps if isinstance(step.event, Evict) and step.after.flight and step.after.flight.waiters
    ]
    assert {type(step.after) for step in spared} == {Pending, Fresh, Stale, Evicted}
    assert all(step.effects == () for step in spared)


def test_a_timeout_is_remembered_where_that_was_asked_for() -> None:
    """A key whose loads hang would otherwise be loaded, and waited for, by one caller after the other."""
    now = 10**9
    loading = Pending(Flight(1, 0, now, 2))
    for asked in (False, True):
        policy = Policy(negative_ttl=5, remember_timeouts=asked, load_timeout=1)
        after, effects = transition(loading, DeadlinePassed(1), now, policy)
        assert isinstance(after, Fresh) is asked
        settle = next(effect for effect in effects if isinstance(effect, Settle))
        assert isinstance(settle.outcome, Failure)
        assert isinstance(settle.outcome.error, LoadTimeout)
        answer = transition(after, Get(2), now + 5 * 10**9 - 1, policy)[1][0]
        assert answer == (Answer(settle.outcome) if asked else Join(2, leads=True))
        assert isinstance(transition(after, Get(2), now + 5 * 10**9, policy)[1][0], Join)
        assert not violated(Step(loading, DeadlinePassed(1), now, policy, after, effects))
