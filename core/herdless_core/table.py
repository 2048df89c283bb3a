"""Which states an event may lead to: the checked summary of `transition`.

`TABLE[Pending][Get]` is the set of states in which an entry that was Pending may be after a lookup. There is a row for
each state that the entry is in once it has been aged, and a column for each event. `AGEING` says what time alone does;
`STATES` and `EVENTS` are all there are, in the order in which documents show them.

    from herdless_core import Get, Pending
    from herdless_core.table import TABLE

    print(sorted(state.__name__ for state in TABLE[Pending][Get]))  # ['Fresh', 'Pending']

It decides nothing, and is what diagrams, documents and checkers are made from. A test compares it with `transition`
over the whole product of states and events, so it has every move of the machine, and none that the machine lacks.
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
    SoftTimeoutPassed,
    WaiterLeft,
)
from herdless_core._states import Absent, Entry, Evicted, Fresh, Pending, Stale

__all__ = ["AGEING", "EVENTS", "STATES", "TABLE", "Next", "State"]

State: TypeAlias = type[Absent] | type[Pending] | type[Fresh] | type[Stale] | type[Evicted]
"""A state, by its class."""
Next: TypeAlias = frozenset[State]
"""The states to which a move may lead."""

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
        SoftTimeoutPassed: _to(Absent),
        Restarted: _to(Absent),
    },
    Pending: {
        Get: _to(Pending, Fresh),
        Put: _to(Fresh),
        Invalidate: _to(Evicted),
        Expire: _to(Pending),
        Refresh: _to(Pending),
        Evict: _to(Pending),
        LoadSucceeded: _to(Pending, Absent, Fresh),
        LoadFailed: _to(Pending, Absent, Fresh),
        DeadlinePassed: _to(Pending, Absent, Fresh),
        WaiterLeft: _to(Pending, Absent),
        SoftTimeoutPassed: _to(Pending),
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
        LoadFailed: _to(Fresh, Absent),
        DeadlinePassed: _to(Fresh),
        WaiterLeft: _to(Fresh),
        SoftTimeoutPassed: _to(Fresh),
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
        LoadFailed: _to(Stale, Absent, Fresh),
        DeadlinePassed: _to(Stale),
        WaiterLeft: _to(Stale),
        SoftTimeoutPassed: _to(Stale),
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
        SoftTimeoutPassed: _to(Evicted),
        Restarted: _to(Evicted),
    },
}
"""For each state and event, the states in which the entry may be after the step."""

AGEING: Final[Mapping[State, Next]] = {
    Absent: _to(Absent),
    Pending: _to(Pending),
    Fresh: _to(Fresh, Stale, Absent, Pending),
    Stale: _to(Stale, Absent, Pending),
    Evicted: _to(Evicted),
}
"""What time alone does, before any event: a value past its windows leaves its flight behind, if it has one."""
