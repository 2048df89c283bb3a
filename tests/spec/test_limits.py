"""What a verdict assumes and leaves out is said beside it."""

from __future__ import annotations

import math

import pytest

from herdless_core import Policy
from herdless_verify.exploration.limits import limits
from herdless_verify.exploration.ticks import in_ticks, sums


def test_what_is_assumed_is_said() -> None:
    """Without `load_timeout` nobody ends a load that hangs, and whoever waits for it waits on."""
    assert list(limits(Policy(ttl=60, refresh_backoff=0))) == [
        "assumed: every load ends, for without load_timeout nobody ends it"
    ]
    assert list(limits(Policy(ttl=60, load_timeout=10, refresh_backoff=0))) == []


def test_what_is_left_out_is_said() -> None:
    """Chance is no part of the machine: the luck of each value is."""
    assert "left out: jitter, which makes a ttl shorter; each ttl is looked at by itself" in limits(
        Policy(ttl=60, jitter=0.1)
    )


def test_rests_that_differ_are_said_to_be_left_out() -> None:
    """The exploration knows one back-off, whatever the failure."""
    line = "left out: that failures rest for different times; each time is looked at by itself"
    assert line in limits(Policy(ttl=60, refresh_backoff=(1, 60)))
    assert line not in limits(Policy(ttl=60, refresh_backoff=1))


def test_as_many_refreshes_may_fail_before_the_ttl_as_in_ticks() -> None:
    """With these a refresh may be tried three times before the ttl is over: at 48, 53 and 58 seconds."""
    policy = Policy(ttl=60, early_refresh=0.8, refresh_backoff=5)
    assert not [line for line in limits(policy) if line.startswith("not kept")]
    ticks = in_ticks(policy)
    lifetime = ticks.lifetime
    attempts = range(lifetime.early_refresh, lifetime.ttl, ticks.refresh_backoff)
    assert len(attempts) == 3


def test_an_order_of_sums_that_is_not_kept_is_said() -> None:
    """Nobody may take one for the other: here a back-off is over long before the stale window, and in ticks with it."""
    (said,) = limits(Policy(ttl=60, stale_while_revalidate=300, refresh_backoff=5, load_timeout=1000))
    assert said == (
        "not kept by the ticks: ttl + refresh_backoff against the end of stale_while_revalidate, "
        "ttl + 2 refresh_backoff against the end of stale_while_revalidate"
    )


@pytest.mark.parametrize("early", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("backoff", [1, 5, 6, 12, 30, 100])
@pytest.mark.parametrize("load_timeout", [None, 3, 12])
def test_an_order_of_sums_that_is_kept_is_not_said(early: float, backoff: float, load_timeout: float | None) -> None:
    """Where nothing is said, each sum in ticks compares with the later boundary as it does in the policy."""
    policy = Policy(ttl=60, early_refresh=early, refresh_backoff=backoff, load_timeout=load_timeout)
    said = next((line for line in limits(policy) if line.startswith("not kept")), "")
    ticks = {name: compared(*sum_of) - until for name, sum_of, until in sums(in_ticks(policy))}
    for name, sum_of, until in sums(policy):
        is_kept = name in ticks and math.copysign(1, compared(*sum_of) - until) == math.copysign(1, ticks[name])
        is_kept = is_kept and (compared(*sum_of) == until) == (ticks[name] == 0)
        assert is_kept == (f" {name}," not in f" {said.partition(': ')[2]},")


def compared(at: int, times: int, duration: int) -> int:
    """The sum."""
    return at + times * duration
