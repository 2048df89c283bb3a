"""A user's policy in a few ticks: the same order of boundaries, the smallest durations that have it.

What an entry does depends on which boundary comes before which: the early point before the ttl, the ttl before the end
of the stale windows, `load_timeout` before or after either. How far apart they are does not matter to any of the
promises, but very much to how many states there are. So every boundary is replaced by its rank among all boundaries.
In the same way `max_waiters` is one, or two for any larger number, or without end.

A rank alone does not keep the order of sums, such as an early point plus a back-off against the ttl: whether a refresh
may fail once before the ttl is over, or three times. For what begins at the early point the boundaries are moved apart
as far as that needs, where LARGEST ticks are enough. All other sums are left to chance, since each costs several times
the states; `herdless_verify.exploration.limits` says of which the order is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Lifetime, Policy, after

MANY: Final = 2
"""The largest `max_waiters` that is explored: what matters is whether a second caller may join, and a third."""

TICK: Final = NANOSECONDS_PER_SECOND
"""One tick, in nanoseconds: a second, so that messages read well."""

LARGEST: Final = 5
"""Boundaries are moved apart as long as the last one is at most so many ticks away."""


def sums(policy: Policy) -> Iterator[tuple[str, tuple[int, int, int], int]]:
    """What begins at a boundary and may be over before a later one: a back-off, two of them, or a load given up.

    Each with its name; the boundary, how often, and the duration; and the later boundary. From the start of a load, in
    nanoseconds.
    """
    lifetime = policy.lifetime
    begins = {"ttl": lifetime.ttl}
    if lifetime.early_refresh < lifetime.ttl:
        begins["early_refresh"] = lifetime.early_refresh
    lasts = (
        ("refresh_backoff", 1, policy.refresh_backoff),
        ("2 refresh_backoff", 2, policy.refresh_backoff),
        ("load_timeout", 1, policy.load_timeout),
    )
    ends = {"ttl": lifetime.ttl}
    if lifetime.stale_while_revalidate:
        ends["the end of stale_while_revalidate"] = after(lifetime.ttl, lifetime.stale_while_revalidate)
    if lifetime.stale_if_error:
        ends["the end of stale_if_error"] = after(lifetime.ttl, lifetime.stale_if_error)
    for begin, at in begins.items():
        for last, times, duration in lasts:
            for end, until in ends.items():
                if 0 < duration < NEVER and at < until < NEVER:
                    yield f"{begin} + {last} against {end}", (at, times, duration), until


def ticks_of(policy: Policy) -> Mapping[int, int]:
    """What the policy tells apart, in nanoseconds from the start of a load, ascending; each with its tick."""
    lifetime = policy.lifetime
    found = {
        0,
        lifetime.early_refresh,
        lifetime.ttl,
        after(lifetime.ttl, lifetime.stale_while_revalidate),
        after(lifetime.ttl, lifetime.stale_if_error),
        policy.negative_lifetime.ttl,
        policy.load_timeout,
        policy.refresh_backoff,
    }
    return _moved_apart(sorted(boundary for boundary in found if boundary < NEVER), policy)


def in_ticks(policy: Policy) -> Policy:
    """The policy whose boundaries are at whole ticks, in the same order as those of the given one. Without jitter."""
    lifetime = policy.lifetime
    stale_until = after(lifetime.ttl, lifetime.stale_while_revalidate)
    error_until = after(lifetime.ttl, lifetime.stale_if_error)
    ticks = ticks_of(policy)
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
        has_soft_timeout=policy.soft_timeout < NEVER,
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
    has_soft_timeout: bool = False,
) -> Policy:
    """A policy of so many ticks each; None: without end. `early_refresh` is the age itself, not a fraction.

    answers: whether some errors of the loader's are answers; has_soft_timeout: whether there is one, however long: it
    is over when the world says so.
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
        soft_timeout=1 if has_soft_timeout else None,
        refresh_backoff=_duration(refresh_backoff),
        max_waiters=max_waiters,
    )


def age_cap(policy: Policy, *lifetimes: Lifetime) -> int:
    """The age in ticks beyond which nothing differs any more: the last boundary that comes at all. lifetimes: what
    values may get; none: the policy's.
    """
    ends = (after(lifetime.ttl, lifetime.kept) for lifetime in lifetimes or (policy.lifetime,))
    boundaries = (*ends, policy.negative_lifetime.ttl, policy.load_timeout)
    return max((boundary // TICK for boundary in boundaries if boundary < NEVER), default=0)


def _moved_apart(boundaries: Sequence[int], policy: Policy) -> Mapping[int, int]:
    """The tick of each boundary: the fewest that keep the order of sums; their ranks where LARGEST are too few."""
    lifetime = policy.lifetime
    asked = [
        (sum_of, until, _sign(sum_of[0] + sum_of[1] * sum_of[2], until))
        for _, sum_of, until in sums(policy)
        if until == lifetime.ttl and sum_of[0] == lifetime.early_refresh
    ]
    for last in range(len(boundaries) - 1, LARGEST + 1):
        for ticks in _placed(boundaries, {0: 0}, last, asked):
            return ticks
    return {boundary: rank for rank, boundary in enumerate(boundaries)}


Asked: TypeAlias = tuple[tuple[int, int, int], int, int]
"""A sum, what it is compared with, and how that comes out."""


def _placed(
    boundaries: Sequence[int], placed: dict[int, int], last: int, asked: Sequence[Asked]
) -> Iterator[Mapping[int, int]]:
    """The ticks of all boundaries, the first of which are placed, so that the last one is at `last`, or before."""
    if len(placed) == len(boundaries):
        yield placed
        return
    following = boundaries[len(placed)]
    left = len(boundaries) - len(placed) - 1
    for tick in range(placed[boundaries[len(placed) - 1]] + 1, last - left + 1):
        ticks = {**placed, following: tick}
        if all(_is_kept(ticks, each) for each in asked):
            yield from _placed(boundaries, ticks, last, asked)


def _is_kept(ticks: Mapping[int, int], asked: Asked) -> bool:
    """Whether it comes out the same in ticks, as far as these are placed."""
    (at, times, duration), until, sign = asked
    if not ticks.keys() >= {at, duration, until}:
        return True
    return _sign(ticks[at] + times * ticks[duration], ticks[until]) == sign


def _sign(one: int, other: int) -> int:
    return (one > other) - (one < other)


def _past(ticks: Mapping[int, int], ttl: int, boundary: int) -> int | None:
    return ticks[boundary] - ttl if boundary in ticks else None


def _finite(windows: list[int], window: int) -> int | None:
    return windows.index(window) if window < NEVER else None


def _duration(ticks: int | None) -> int | float:
    return float("inf") if ticks is None else ticks
