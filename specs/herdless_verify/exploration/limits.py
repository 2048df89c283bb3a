"""What the verdict on a policy assumes, and what it leaves out: to be said beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from herdless_core import NEVER, Policy, after
from herdless_verify.exploration.ticks import in_ticks

ENDS: Final = ("ttl", "the end of stale_while_revalidate", "the end of stale_if_error")


def limits(policy: Policy) -> Iterator[str]:
    """In lines: what is assumed, what is not looked at, and where the ticks do not keep the order of two instants."""
    if policy.load_timeout >= NEVER:
        yield "assumed: every load ends, for without load_timeout nobody ends it"
    if policy.jitter:
        yield "left out: jitter, which makes a ttl shorter; each ttl is looked at by itself"
    ours, theirs = _orders(policy), _orders(in_ticks(policy))
    lost = [name for name, order in ours.items() if theirs.get(name, order) != order]
    if lost:
        yield f"not kept by the ticks: {', '.join(lost)}"


def _orders(policy: Policy) -> dict[str, bool]:
    """Whether what begins at a boundary is over before a later one: a back-off, or a load that is given up."""
    lifetime = policy.lifetime
    begins = {"ttl": lifetime.ttl}
    if lifetime.early_refresh < lifetime.ttl:
        begins["early_refresh"] = lifetime.early_refresh
    lasts = {"refresh_backoff": policy.refresh_backoff, "load_timeout": policy.load_timeout}
    windows = zip(ENDS, (0, lifetime.stale_while_revalidate, lifetime.stale_if_error), strict=True)
    ends = {name: after(lifetime.ttl, window) for name, window in windows if window or name == "ttl"}
    return {
        f"{begin} + {last} against {end}": after(at, duration) < until
        for (begin, at), (last, duration), (end, until) in product(begins.items(), lasts.items(), ends.items())
        if 0 < duration < NEVER
    }
