"""`herdless_verify.explore`: the exploration, as a test of a user's own calls it."""

from __future__ import annotations

from typing import Any

import pytest

from herdless_core import Policy
from herdless_verify import Explored, Violation, explore
from herdless_verify.exploration import search
from herdless_verify.mistakes import machine_edits

POLICY = Policy(ttl=60, max_waiters=2)


def with_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the exploration look at a machine with this mistake."""
    machine, really = machine_edits()[name].machine(), search.explore

    def mistaken(policy: Policy, **arguments: Any) -> search.Exploration:
        return really(policy, machine=machine, **arguments)

    monkeypatch.setattr(search, "explore", mistaken)


def test_all_is_well_under_a_policy_of_one_s_own() -> None:
    """And what was looked at is told, so that a test can ask for it."""
    found = explore(POLICY)
    assert found.holds
    assert found.violations == ()
    assert found.not_tried == ()
    assert found.states > 1_000
    assert found.steps > found.states
    assert found.tried["Bounded"] > 0, "max_waiters lets a lookup be refused"
    assert str(found).startswith(f"{found.states:,} states, {found.steps:,} steps: all promises hold\nassumed: ")


def test_a_broken_promise_is_told_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a failed assertion is all that a reader has."""
    with_mistake(monkeypatch, "a late result is stored")
    found = explore(POLICY)
    assert not found.holds
    violation = next(each for each in found.violations if each.promise == "NoStaleSet")
    assert isinstance(violation, Violation)
    assert "NoStaleSet is broken:" in str(found)
    assert " -> ".join(violation.path) in str(found)


def test_a_promise_that_was_never_tried_is_not_said_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the policy makes its situation possible, something is wrong with the search."""
    really = search.explore

    def blind(policy: Policy, **arguments: Any) -> search.Exploration:
        exploration = really(policy, **arguments)
        del exploration.tried["Bounded"]
        return exploration

    monkeypatch.setattr(search, "explore", blind)
    found = explore(POLICY)
    assert not found.holds
    assert found.not_tried == ("Bounded",)
    assert "Bounded is not tried" in str(found)


def test_what_the_policy_rules_out_need_not_be_tried() -> None:
    """Without max_waiters no lookup is ever refused."""
    found = explore(Policy(ttl=60))
    assert found.tried["Bounded"] == 0
    assert found.holds


def test_a_search_that_was_cut_short_does_not_hold() -> None:
    """Nothing is known of the rest."""
    found = explore(POLICY, max_states=100)
    assert not found.is_complete
    assert not found.holds
    assert "not finished" in str(found)


def test_bad_arguments_are_named() -> None:
    """One clear error: which argument, its value, and what is accepted."""
    policy: Any = {"ttl": 60}
    with pytest.raises(TypeError, match=r"policy=\{'ttl': 60\} is not accepted: give a herdless_core.Policy"):
        explore(policy)
    with pytest.raises(ValueError, match="max_states=0 is not accepted: give an integer >= 1"):
        explore(POLICY, max_states=0)


def test_the_result_is_a_value() -> None:
    """Two explorations of one policy find the same."""
    assert isinstance(explore(POLICY), Explored)
    assert str(explore(POLICY)) == str(explore(POLICY))
