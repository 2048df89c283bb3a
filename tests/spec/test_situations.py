"""What is judged has been seen: callers who meet, values that are outdated, and how often each promise was tried."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from herdless_core import Policy
from herdless_core.invariants import INVARIANTS
from herdless_verify.checkers.findings import POLICIES
from herdless_verify.checkers.pins import PREDICATES, SMALLEST, WORLDS
from herdless_verify.exploration.search import bounds_of, explore
from herdless_verify.exploration.situations import SITUATIONS, is_possible
from herdless_verify.exploration.ticks import in_ticks
from herdless_verify.tlc.watched import watched_run

SMALL: Final = [
    Policy(ttl=ttl, stale_while_revalidate=swr, stale_if_error=sie, refresh_backoff=backoff, max_waiters=waiters)
    for (ttl, swr, sie), backoff, waiters in product(((0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)), (0, 1), (1, None))
    if backoff == 1 or waiters == 1
]
"""Policies of which each differs from another in one thing that a situation needs."""


@pytest.mark.parametrize("policy", SMALL, ids=lambda policy: f"{in_ticks(policy).lifetime}"[8:])
def test_a_promise_is_tried_exactly_where_the_policy_makes_it_possible(policy: Policy) -> None:
    """A promise that nothing could break is none; one that something could break must not pass for that."""
    found = explore(policy)
    assert found.violations == []
    assert {name: found.tried[name] > 0 for name in SITUATIONS} == {
        name: is_possible(name, found.policy) for name in SITUATIONS
    }


def test_two_callers_and_two_truths_are_in_every_world() -> None:
    """With one caller nobody is refused and no load is shared; with one truth nothing is ever outdated."""
    for policy in (*POLICIES.values(), Policy(ttl=1, max_waiters=7)):
        bounds = bounds_of(policy)
        assert bounds.clients >= 2
        assert bounds.clients > policy.max_waiters or policy.max_waiters > 2
        assert bounds.truths == 2
        assert bounds.can_cancel is None, "some runtimes can cancel a load, others cannot"
        world = watched_run("", in_ticks(policy), bounds).world
        assert (world["clients"], world["truths"], world["can_cancel"]) == (bounds.clients, 2, None)


def test_any_larger_number_of_waiters_is_like_two() -> None:
    """One may join, one more is refused: how many there are before makes no difference."""
    assert in_ticks(Policy(ttl=1, max_waiters=100)).max_waiters == 2


def test_what_is_pinned_is_what_is_judged() -> None:
    """A predicate more needs a situation, and its number written down."""
    assert len(SITUATIONS) == PREDICATES
    assert set(INVARIANTS) < set(SITUATIONS)
    assert WORLDS.keys() == POLICIES.keys()
    least = explore(Policy(ttl=0, max_waiters=1), invariants={})
    assert (len(least.states), least.moves) >= SMALLEST
