"""What must be true of a cache's tables whenever nobody is inside of it."""

from __future__ import annotations

from typing import Any

from herdless.adapter import BaseCache


def assert_tables_agree(cache: BaseCache[Any, Any, Any]) -> None:
    """The tables of entries, of flights, and the queues of eviction say the same."""
    keyspace = cache._keyspace
    store = keyspace._store
    entries = {**store.cold, **store.hot}
    assert not store.hot.keys() & store.cold.keys(), "an entry is in both tables"
    assert all(entry.is_reachable for entry in entries.values()), f"an entry is there that is not: {entries}"
    values = {key for key, entry in entries.items() if entry.holds_value}
    assert store.size == len(values), f"size is {store.size}, and values of {values} are held"

    attached = {entry.flight.generation: key for key, entry in entries.items() if entry.flight is not None}
    flights = {generation: flight.key for generation, flight in keyspace.flights.items() if flight.evicted is None}
    assert flights == attached, f"{flights} are in flight, and {attached} are attached"
    assert not any(flight.has_ended for flight in keyspace.flights.values()), "a flight is in flight that has ended"
    for flight in keyspace.flights.values():
        assert flight.evicted is None or flight.evicted.flight is not None, f"{flight.key} is evicted without a flight"
        assert flight.generation <= keyspace.generation, "a generation will be given again"
    assert not keyspace.ended, f"nobody looked after {keyspace.ended}"
    assert not keyspace.started, f"nobody filled in {keyspace.started}"
    assert not keyspace.leaving, f"{keyspace.leaving} are kept"
    assert not keyspace._is_torn, "a step was broken off"
    turns = keyspace._turns
    if turns is not None:
        assert not turns._running, f"{[load.key for load in turns._running]} have a turn, and nothing runs"
        assert not turns._waiting, f"{turns._waiting} wait for a turn"
    assert not cache._postponed, "a change is not carried out"
    assert not cache._is_entered, "somebody is inside"

    mentions = [key for line in store._lines for part in (line.passed, line.ahead) for key in part]
    due = {key for key, entry in entries.items() if store._is_due(entry)}
    assert due <= set(mentions), f"{due - set(mentions)} can never be evicted, or swept out"
    assert store._voids == len(mentions) - len(due), f"{store._voids} mentions are void of {mentions}, for {due}"
    if store._order is not None:
        assert store._order._ghosts <= set(store._order._ghost_order), "a ghost is remembered for ever"
