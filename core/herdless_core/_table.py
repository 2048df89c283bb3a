"""Which states an event may lead to: the checked summary of `transition`.

A row for each state the entry is in once it has been aged, a column for each event, the possible next states in each
field. It decides nothing: a test compares it with `transition` over the whole product, and the diagrams and the table
in docs/ are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, get_args

from herdless_core._events import (
    DeadlinePassed,
    Event,
    Evict,
    Expire,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Put,
    Refresh,
    Restarted,
    WaiterLeft,
)
from herdless_core._states import Absent, Entry, Evicted, Fresh, Pending, Stale

State: TypeAlias = type[Absent] | type[Pending] | type[Fresh] | type[Stale] | type[Evicted]
Next: TypeAlias = frozenset[State]

STATES: Final[tuple[State, ...]] = get_args(Entry)
EVENTS: Final[tuple[type[Event], ...]] = get_args(Event)


def _to(*states: State) -> Next:
    return frozenset(states)


TABLE: Final[Mapping[State, Mapping[type[Event], Next]]] = {
    Absent: {
        Get: _to(Pending),
        Put: _to(Fresh),
        Invalidate: _to(Evicted),
        Expire: _to(Absent),
        Refresh: _to(Pending),
        Evict: _to(Absent),
        LoadSucceeded: _to(Absent),
        LoadFailed: _to(Absent),
        DeadlinePassed: _to(Absent),
        WaiterLeft: _to(Absent),
        Restarted: _to(Absent),
    },
    Pending: {
        Get: _to(Pending, Fresh),
        Put: _to(Fresh),
        Invalidate: _to(Evicted),
        Expire: _to(Pending),
        Refresh: _to(Pending),
        Evict: _to(Pending),
        LoadSucceeded: _to(Pending, Fresh),
        LoadFailed: _to(Pending, Absent, Fresh),
        DeadlinePassed: _to(Pending, Absent, Fresh),
        WaiterLeft: _to(Pending, Absent),
        Restarted: _to(Absent),
    },
    Fresh: {
        Get: _to(Fresh),
        Put: _to(Fresh),
        Invalidate: _to(Evicted),
        Expire: _to(Stale, Absent, Pending),
        Refresh: _to(Fresh),
        Evict: _to(Fresh, Evicted),
        LoadSucceeded: _to(Fresh),
        LoadFailed: _to(Fresh),
        DeadlinePassed: _to(Fresh),
        WaiterLeft: _to(Fresh),
        Restarted: _to(Fresh),
    },
    Stale: {
        Get: _to(Stale),
        Put: _to(Fresh),
        Invalidate: _to(Evicted),
        Expire: _to(Stale),
        Refresh: _to(Stale),
        Evict: _to(Stale, Evicted),
        LoadSucceeded: _to(Stale, Fresh),
        LoadFailed: _to(Stale),
        DeadlinePassed: _to(Stale),
        WaiterLeft: _to(Stale),
        Restarted: _to(Stale),
    },
    Evicted: {
        Get: _to(Evicted),
        Put: _to(Evicted),
        Invalidate: _to(Evicted),
        Expire: _to(Evicted),
        Refresh: _to(Evicted),
        Evict: _to(Evicted),
        LoadSucceeded: _to(Evicted),
        LoadFailed: _to(Evicted),
        DeadlinePassed: _to(Evicted),
        WaiterLeft: _to(Evicted),
        Restarted: _to(Evicted),
    },
}

AGEING: Final[Mapping[State, Next]] = {
    Absent: _to(Absent),
    Pending: _to(Pending),
    Fresh: _to(Fresh, Stale, Absent, Pending),
    Stale: _to(Stale, Absent, Pending),
    Evicted: _to(Evicted),
}
"""What time alone does, before any event: a value past its windows leaves its flight behind, if it has one."""
