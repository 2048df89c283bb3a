"""When the object's one alarm is to go off."""

from __future__ import annotations

from typing import Final

from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Entry, Failure, Fresh, Policy, Stale

LEASE: Final = 15 * 60 * NANOSECONDS_PER_SECOND
"""How long after the start of a load the alarm looks whether an instance died of it, and left something behind, where
there is no `load_timeout`."""

LEASE_MARGIN: Final = 5 * NANOSECONDS_PER_SECOND
"""The same, after `load_timeout`, by when a load that lives has been given up."""


def lease(policy: Policy) -> int:
    """For how long a load is believed to live, in nanoseconds from its start, where its instance does not say so."""
    return LEASE if policy.load_timeout >= NEVER else policy.load_timeout + LEASE_MARGIN


def due_at(entry: Entry, *, keeps_warm: bool) -> int:
    """When an entry without a flight needs the alarm next, to be refreshed or to be freed; `NEVER` if it does not."""
    if not isinstance(entry, (Fresh, Stale)):
        return NEVER
    return min(refresh_at(entry), entry.kept_until) if keeps_warm else entry.kept_until


def refresh_at(entry: Entry) -> int:
    """From when on the entry's value may be refreshed though nobody asks; `NEVER` for one that has none."""
    match entry:
        case Fresh() if not isinstance(entry.value, Failure):
            return entry.refresh_at
        case Stale():
            return entry.retry_at
        case _:
            return NEVER
