"""What the verdict on a policy assumes, and what it leaves out: to be said beside it."""

from __future__ import annotations

from collections.abc import Iterator

from herdless_core import NEVER, Policy
from herdless_verify.exploration.ticks import in_ticks, sums


def limits(policy: Policy) -> Iterator[str]:
    """In lines: what is assumed, what is not looked at, and where the ticks do not keep the order of two instants."""
    if policy.load_timeout >= NEVER:
        yield "assumed: every load ends, for without load_timeout nobody ends it"
    if policy.jitter:
        yield "left out: jitter, which makes a ttl shorter; each ttl is looked at by itself"
    if policy.rests_differ:
        yield "left out: that failures rest for different times; each time is looked at by itself"
    ours, theirs = _orders(policy), _orders(in_ticks(policy))
    lost = [name for name, order in ours.items() if theirs.get(name) != order]
    if lost:
        yield f"not kept by the ticks: {', '.join(lost)}"


def _orders(policy: Policy) -> dict[str, int]:
    """How each sum compares with the later boundary: -1 where it is over before, 0 at the same instant, 1 after it."""
    return {
        name: (at + times * duration > until) - (at + times * duration < until)
        for name, (at, times, duration), until in sums(policy)
    }
