"""What a verdict assumes and leaves out is said beside it."""

from __future__ import annotations

from herdless_core import Policy
from herdless_verify.exploration.limits import limits


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


def test_an_order_of_sums_that_is_not_kept_is_said() -> None:
    """With these a refresh may fail three times before the ttl, in ticks once: nobody may take one for the other."""
    (said,) = limits(Policy(ttl=60, early_refresh=0.8, refresh_backoff=5, load_timeout=100))
    assert said == "not kept by the ticks: early_refresh + refresh_backoff against ttl"
