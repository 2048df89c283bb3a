"""A user's policy in ticks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from herdless_core import NEVER, Policy, after
from herdless_verify.exploration.search import explore
from herdless_verify.exploration.ticks import TICK, age_cap, in_ticks
from herdless_verify.exploration.world import Bounds

DURATIONS = st.sampled_from([0, 0.5, 1, 2, 3, 10, 3600])


def boundaries(policy: Policy) -> list[int]:
    """The instants, from the start of a load, at which something changes."""
    lifetime = policy.lifetime
    return [
        min(instant, NEVER)
        for instant in (
            lifetime.early_refresh,
            lifetime.ttl,
            after(lifetime.ttl, lifetime.stale_while_revalidate),
            after(lifetime.ttl, lifetime.stale_if_error),
            policy.negative_lifetime.ttl,
            policy.load_timeout,
            policy.refresh_backoff,
        )
    ]


@given(
    ttl=st.just(math.inf) | DURATIONS,
    swr=DURATIONS,
    sie=DURATIONS,
    negative_ttl=DURATIONS,
    early=st.sampled_from([None, 0.25, 0.9]),
    load_timeout=st.none() | DURATIONS.filter(lambda seconds: seconds >= 1e-9),
    backoff=DURATIONS,
)
def test_order_of_boundaries_is_kept(
    ttl: float,
    swr: float,
    sie: float,
    negative_ttl: float,
    early: float | None,
    load_timeout: float | None,
    backoff: float,
) -> None:
    """What holds of the policy in ticks is said of the user's policy, so nothing may change places."""
    policy = Policy(
        ttl=ttl,
        stale_while_revalidate=swr,
        stale_if_error=sie,
        negative_ttl=negative_ttl,
        early_refresh=early,
        load_timeout=load_timeout,
        refresh_backoff=backoff,
    )
    scaled = in_ticks(policy)
    ours, theirs = boundaries(policy), boundaries(scaled)
    for i, one in enumerate(ours):
        for j, other in enumerate(ours):
            assert (one < other) == (theirs[i] < theirs[j])
    assert all(instant % TICK == 0 for instant in theirs if instant < NEVER)
    assert age_cap(scaled) <= len(ours)


def test_policy_of_hours_is_explored_like_one_of_ticks() -> None:
    """The size of the search depends on the order of boundaries alone."""
    hours = explore(Policy(ttl=3600, stale_while_revalidate=86400), Bounds(clients=1))
    ticks = explore(Policy(ttl=2, stale_while_revalidate=1), Bounds(clients=1))
    assert hours.states.keys() == ticks.states.keys()
    assert hours.violations == []


def test_search_stops_at_the_number_of_states_allowed() -> None:
    """A search that was cut short says so, instead of passing for a proof."""
    exploration = explore(Policy(ttl=1), max_states=50)
    assert not exploration.is_complete
