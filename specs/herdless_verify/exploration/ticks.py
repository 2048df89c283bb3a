"""A user's policy in a few ticks: the same order of boundaries, the smallest durations that have it.

What an entry does depends on which boundary comes before which: the early point before the ttl, the ttl before the end
of the stale windows, `load_timeout` before or after either. How far apart they are does not matter to any of the
promises, but very much to how many states there are. So every boundary is replaced by its rank among all boundaries.
In the same way `max_waiters` is one, or two for any larger number, or without end.

What a rank does not keep is the order of sums, such as an early point plus a back-off against the ttl. The policies in
specs/configurations.toml have some of these in either order.
"""

from __future__ import annotations

from typing import Final

from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Policy, after

MANY: Final = 2
"""The largest `max_waiters` that is explored: what matters is whether a second caller may join, and a third."""

TICK: Final = NANOSECONDS_PER_SECOND
"""One tick, in nanoseconds: a second, so that messages read well."""


def in_ticks(policy: Policy) -> Policy:
    """The policy whose boundaries are at whole ticks, in the same order as those of the given one. Without jitter."""
    lifetime = policy.lifetime
    stale_until = after(lifetime.ttl, lifetime.stale_while_revalidate)
    error_until = after(lifetime.ttl, lifetime.stale_if_error)
    boundaries = {
        0,
        lifetime.early_refresh,
        lifetime.ttl,
        stale_until,
        error_until,
        policy.negative_lifetime.ttl,
        policy.load_timeout,
        policy.refresh_backoff,
    }
    ticks = {boundary: rank for rank, boundary in enumerate(sorted(boundaries)) if boundary < NEVER}
    # With a ttl that does not end the stale windows begin at an `expire`; their order is then that of their lengths.
    windows = sorted({0, min(lifetime.stale_while_revalidate, NEVER), min(lifetime.stale_if_error, NEVER)})
    ttl = ticks.get(lifetime.ttl)
    if ttl is None:
        swr, sie = (_finite(windows, each) for each in (lifetime.stale_while_revalidate, lifetime.stale_if_error))
    else:
        swr, sie = (_past(ticks, ttl, boundary) for boundary in (stale_until, error_until))
    return policy_of_ticks(
        ttl=ttl,
        early_refresh=ticks.get(lifetime.early_refresh),
        stale_while_revalidate=swr,
        stale_if_error=sie,
        negative_ttl=ticks[policy.negative_lifetime.ttl] if policy.negative_lifetime.ttl < NEVER else None,
        answers=policy.answers is not None,
        remember_timeouts=policy.remember_timeouts,
        load_timeout=ticks.get(policy.load_timeout),
        refresh_backoff=ticks.get(policy.refresh_backoff),
        max_waiters=None if policy.max_waiters >= NEVER else min(policy.max_waiters, MANY),
    )


def policy_of_ticks(
    *,
    ttl: int | None,
    early_refresh: int | None,
    stale_while_revalidate: int | None,
    stale_if_error: int | None,
    negative_ttl: int | None,
    answers: bool,
    remember_timeouts: bool,
    load_timeout: int | None,
    refresh_backoff: int | None,
    max_waiters: int | None,
) -> Policy:
    """A policy of so many ticks each; None: without end. `early_refresh` is the age itself, not a fraction.

    answers: whether some errors of the loader's are answers.
    """
    fraction = None
    if early_refresh is not None and ttl is not None and early_refresh < ttl:
        # Half a nanosecond more, so that the rounding of the fraction cannot fall below the tick.
        fraction = (early_refresh * TICK + 0.5) / (ttl * TICK)
    return Policy(
        ttl=_duration(ttl),
        early_refresh=fraction,
        stale_while_revalidate=_duration(stale_while_revalidate),
        stale_if_error=_duration(stale_if_error),
        negative_ttl=_duration(negative_ttl),
        answers=LookupError if answers else None,
        remember_timeouts=remember_timeouts,
        load_timeout=load_timeout,
        refresh_backoff=_duration(refresh_backoff),
        max_waiters=max_waiters,
    )


def age_cap(policy: Policy) -> int:
    """The age in ticks beyond which nothing differs any more: the last boundary that comes at all."""
    lifetime = policy.lifetime
    boundaries = (after(lifetime.ttl, lifetime.kept), policy.negative_lifetime.ttl, policy.load_timeout)
    return max((boundary // TICK for boundary in boundaries if boundary < NEVER), default=0)


def _past(ticks: dict[int, int], ttl: int, boundary: int) -> int | None:
    return ticks[boundary] - ttl if boundary in ticks else None


def _finite(windows: list[int], window: int) -> int | None:
    return windows.index(window) if window < NEVER else None


def _duration(ticks: int | None) -> int | float:
    return float("inf") if ticks is None else ticks
