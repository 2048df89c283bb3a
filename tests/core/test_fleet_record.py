"""A record is read as it was written, and bytes of anybody else are as good as none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless_core import (
    ABSENT,
    NEVER,
    Entry,
    Failure,
    Flight,
    Fresh,
    Lifetime,
    LoadTimeout,
    Pending,
    RemoteLoadError,
    Stale,
    Value,
)
from herdless_core._fleet.record import AWAITED_AT, TOKEN_BYTES, Record, Settled, parse, with_lease, with_mark

MILLISECOND = 1_000_000
INSTANTS = st.integers(1, NEVER)
BODIES = st.binary(max_size=40)
ERRORS = st.builds(lambda message, kind: Failure(RemoteLoadError(message, kind=kind), None), st.text(), st.text())
FLIGHTS = st.builds(Flight, st.integers(1, 2**62), INSTANTS, INSTANTS, st.integers(0, 1))
LIFETIMES = st.builds(Lifetime, INSTANTS, INSTANTS, INSTANTS, INSTANTS)
ENTRIES: st.SearchStrategy[Entry] = (
    st.just(ABSENT)
    | st.builds(Pending, FLIGHTS)
    | st.builds(Fresh, BODIES | ERRORS, INSTANTS, LIFETIMES, INSTANTS, st.none() | FLIGHTS, INSTANTS)
    | st.builds(Stale, BODIES, INSTANTS, INSTANTS, INSTANTS, INSTANTS, st.none() | FLIGHTS)
)
OUTCOMES = st.none() | ERRORS | st.builds(Value, BODIES, INSTANTS, st.booleans())
RECORDS = st.builds(
    Record,
    ENTRIES,
    st.integers(0, 2**40).map(lambda milliseconds: milliseconds * MILLISECOND),
    st.text(max_size=8),
    st.none() | st.builds(Settled, st.integers(1, 2**62), OUTCOMES),
    st.binary(min_size=8, max_size=8),
    st.booleans(),
)


def said(record: Record) -> object:
    """The record with what errors say in their place: two errors are never equal."""
    return repr(record)


@given(RECORDS)
def test_what_was_written_is_read_again(record: Record) -> None:
    """Whatever the state, the lease, the flight that ended last and the bodies."""
    raw = record.dump()
    assert said(parse(raw)) == said(replace(record, token=raw[:TOKEN_BYTES]))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record(raw: bytes) -> None:
    """Who can write to the store must not be able to make a lookup fail; and what is not read can be written over."""
    record = parse(raw)
    assert record.token == raw[:TOKEN_BYTES]


@given(RECORDS, st.data())
def test_a_record_that_was_tampered_with_is_a_record(record: Record, data: st.DataObject) -> None:
    """Bytes that are nearly right come further into the reader than random ones."""
    raw = bytearray(record.dump())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    assert parse(bytes(raw)).token == bytes(raw[:TOKEN_BYTES])
    assert parse(bytes(raw[:cut])).token == bytes(raw[:cut][:TOKEN_BYTES])


FRESH = {
    "state": "fresh",
    "value": None,
    "loaded_at": 1,
    "lifetime": {"ttl": 1, "early_refresh": 1, "stale_while_revalidate": 0, "stale_if_error": 0},
    "refresh_at": 2,
    "flight": None,
    "hit_until": 2,
}
FLIGHT = {"generation": 5, "started_at": 1, "due_at": 2, "waiters": 1}


@pytest.mark.parametrize(
    "head",
    [
        {},
        [],
        7,
        {"e": 7},
        {"e": {"state": "evicted", "cause": "evicted", "flight": None}},
        {"e": {"state": "unknown"}},
        {"e": FRESH | {"loaded_at": 0}},
        {"e": FRESH | {"loaded_at": float("inf")}},
        {"e": FRESH | {"loaded_at": "9" * 5_000}},
        {"e": FRESH, "n": -1},
        {"e": FRESH, "n": True},
        {"e": FRESH, "n": 99},
        {"e": FRESH, "o": ["a"]},
        {"e": FRESH, "s": {}},
        {"e": FRESH, "s": {"g": "x"}},
        {"e": FRESH, "s": {"g": 1, "x": [1, 2, 3]}},
        {"e": FRESH, "s": {"g": 1, "v": 3}},
        {"e": {"state": "pending", "flight": None}},
        {"e": {"state": "pending", "flight": FLIGHT | {"waiters": "many"}}},
        {"e": {"state": "pending", "flight": FLIGHT | {"waiters": 2}}},
        {"e": {"state": "pending", "flight": FLIGHT | {"generation": 0}}},
        {"e": {"state": "pending", "flight": FLIGHT | {"generation": 2**64}}},
    ],
)
def test_a_head_that_nobody_writes_is_absent(head: object) -> None:
    """Each of these would break a step, or pin a key for ever, if it were believed."""
    text = json.dumps(head).encode()
    raw = b"v" * 8 + bytes(8) + b"\0\1" + len(text).to_bytes(4) + text
    assert parse(raw) == Record(version=b"v" * 8, token=raw[:TOKEN_BYTES])


def test_deep_json_is_absent() -> None:
    """A reader that ends in the stack's end would take the caller along."""
    text = b"[" * 100_000
    raw = b"v" * 8 + bytes(8) + b"\0\1" + len(text).to_bytes(4) + text
    assert parse(raw).entry is ABSENT


def test_a_record_of_another_format_is_absent_and_can_be_written_over() -> None:
    """In a rolling upgrade both versions load for themselves what they cannot read of each other."""
    raw = bytearray(Record(Pending(Flight(5, 1, NEVER, 1)), 9 * MILLISECOND, "o", version=b"v" * 8).dump())
    assert parse(bytes(raw)).entry == Pending(Flight(5, 1, NEVER, 1))
    raw[AWAITED_AT + 1] = 2
    assert parse(bytes(raw)) == Record(version=b"v" * 8, token=bytes(raw[:TOKEN_BYTES]))


def test_a_timeout_is_the_same_error_in_every_process() -> None:
    """`except LoadTimeout` must not depend on which process led the load; a class of the user's is told by its name."""

    class Own(Exception):
        pass

    Own.__name__ = "LoadTimeout"
    for error, kind in ((LoadTimeout("late"), LoadTimeout), (Own("late"), RemoteLoadError)):
        settled = parse(Record(settled=Settled(5, Failure(error, None)), version=b"v" * 8).dump()).settled
        assert settled is not None
        assert isinstance(settled.outcome, Failure)
        assert type(settled.outcome.error) is kind
        assert str(settled.outcome.error) == "late"


def test_a_record_is_kept_as_long_as_its_value_or_its_lease() -> None:
    """One that a store drops too early is loaded again by everybody; one it keeps for ever fills it up."""
    lifetime = Lifetime(100, 100, 50, 70)
    fresh = Fresh(b"", 1_000, lifetime, 1_100, None, 1_100)
    linger = Record().keep(5_000)
    assert Record(fresh).keep(1_050) == 120 + linger
    assert Record(fresh, lease=2 * MILLISECOND).keep(1_000) == 2 * MILLISECOND - 1_000 + linger
    assert Record(Fresh(b"", 1, Lifetime(NEVER, NEVER, 0, 0), NEVER, None, NEVER)).keep(5) == NEVER
    assert linger > 0


@given(RECORDS, st.integers(0, 2**40))
def test_what_a_store_changes_in_place_is_what_the_holder_expects(record: Record, lease: int) -> None:
    """The token that it will swap against; and a mark changes no token."""
    raw = record.dump()
    renewed = with_lease(raw, lease)
    assert said(parse(renewed)) == said(parse(raw).renewed(lease * MILLISECOND))
    marked = with_mark(raw)
    assert said(parse(marked)) == said(replace(parse(raw), is_awaited=True))
