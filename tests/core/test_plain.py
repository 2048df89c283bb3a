"""An entry written down and read again is the same entry, and says nothing that JSON cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless_core import (
    ABSENT,
    LONG_AGO,
    MAX_MESSAGE_CHARACTERS,
    NEVER,
    Cause,
    Entry,
    Evicted,
    Failure,
    Flight,
    Fresh,
    Lifetime,
    Pending,
    RemoteLoadError,
    Stale,
    describe,
    from_plain,
    to_plain,
)

INSTANTS = st.integers(LONG_AGO, NEVER)
VALUES = st.none() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)
FLIGHTS = st.builds(Flight, INSTANTS, INSTANTS, INSTANTS, st.integers(0, 9))
LIFETIMES = st.builds(Lifetime, INSTANTS, INSTANTS, INSTANTS, INSTANTS)
ENTRIES: st.SearchStrategy[Entry] = (
    st.just(ABSENT)
    | st.builds(Pending, FLIGHTS)
    | st.builds(Fresh, VALUES, INSTANTS, LIFETIMES, INSTANTS, st.none() | FLIGHTS, INSTANTS)
    | st.builds(Stale, VALUES, INSTANTS, INSTANTS, INSTANTS, INSTANTS, st.none() | FLIGHTS)
    | st.builds(Evicted, st.sampled_from(Cause), st.none() | FLIGHTS)
)


def _wrapped(value: Any) -> Any:
    return {"wrapped": value}


def _unwrapped(value: Any) -> Any:
    return value["wrapped"]


@given(ENTRIES)
def test_what_was_written_is_read_again(entry: Entry) -> None:
    """Whatever the state, with or without a flight, by way of JSON text."""
    assert from_plain(json.loads(json.dumps(to_plain(entry, _wrapped))), _unwrapped) == entry


@given(ENTRIES)
def test_no_number_is_rounded_by_javascript(entry: Entry) -> None:
    """JavaScript's numbers are exact up to 2**53; the instants of wall time are beyond it."""

    def is_exact(plain: Any) -> bool:
        match plain:
            case dict():
                return all(is_exact(part) for part in plain.values())
            case int():
                return abs(plain) <= 2**53
            case _:
                return isinstance(plain, str | None)

    assert is_exact(to_plain(entry, str))


def test_an_integer_is_text_only_where_it_has_to_be() -> None:
    """Small numbers stay readable."""
    flight = to_plain(Pending(Flight(2**53, 2**53 + 1, NEVER, 3)), str)["flight"]
    assert flight == {"generation": 2**53, "started_at": str(2**53 + 1), "due_at": str(NEVER), "waiters": 3}


def test_of_an_error_the_class_name_and_the_message_are_kept() -> None:
    """The class itself may not exist where the entry is read, nor may its arguments be plain."""
    lifetime = Lifetime(1, 1, 0, 0)
    remembered = Fresh(Failure(LookupError("no such user"), None), 0, lifetime, 1, None, LONG_AGO)
    for _ in range(2):  # what was read is written again without growing
        plain = to_plain(remembered, _wrapped)
        assert plain["error"] == {"kind": "LookupError", "message": "no such user"}
        read = from_plain(plain, _unwrapped)
        assert isinstance(read, Fresh)
        assert isinstance(read.value, Failure)
        assert isinstance(read.value.error, RemoteLoadError)
        assert (read.value.error.kind, str(read.value.error)) == ("LookupError", "no such user")
        remembered = read


@pytest.mark.parametrize(
    "plain",
    [{}, {"state": "half"}, {"state": "pending"}, {"state": "evicted", "cause": "whim", "flight": None}, {"state": []}],
)
def test_what_was_not_written_by_to_plain_is_refused(plain: dict[str, Any]) -> None:
    """Storage outlives versions: whoever reads must be able to tell, and to drop the entry."""
    with pytest.raises(ValueError, match="give what to_plain returned"):
        from_plain(plain, _unwrapped)


def test_what_an_error_says_is_had_whatever_its_class_does() -> None:
    """Its message is text of a bounded length, also where the class cannot say one."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ArithmeticError

    assert describe(Mute()) == ("Mute", "the message cannot be had: str() raised ArithmeticError")
    kind, message = describe(ValueError("x" * 100_000))
    assert kind == "ValueError"
    assert message == "x" * MAX_MESSAGE_CHARACTERS + "..."
