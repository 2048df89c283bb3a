"""The real keyspace, gone through with two keys and room for one, has the graph of Keyspace.tla."""

from __future__ import annotations

from functools import lru_cache

import pytest

from herdless_core import Keyspace
from herdless_verify.exploration.rooms import Explored, Rooms, explore_rooms
from herdless_verify.tlc.configurations import load_runs
from herdless_verify.tlc.graph import Steps
from herdless_verify.tlc.rooms import difference, rooms_of, specified_rooms

RUN = load_runs()["keyspace_for_one"]
BEHIND = 10_574
"""The states of the keyspace itself, in which its queues and the lifetimes of its values differ."""


@lru_cache
def explored() -> Explored:
    """The graph of the code."""
    return explore_rooms(rooms_of(RUN))


@pytest.fixture(scope="module")
def specification(tlc: None) -> Steps:
    """The graph of Keyspace.tla."""
    return specified_rooms(RUN)


def test_keyspace_and_specification_take_the_same_steps(specification: Steps) -> None:
    """What TLC proves of many keys is true of the code only because the two graphs are equal."""
    found = difference(explored(), specification)
    assert found is None, str(found)
    assert len(specification) == len(explored().states) == RUN.distinct


def test_as_much_is_gone_through_as_is_pinned() -> None:
    """A search that stops early finds everything equal that it has not looked at."""
    assert explored().behind >= BEHIND


def test_a_keyspace_with_more_room_is_found(specification: Steps) -> None:
    """A comparison that cannot find a difference is none, and one that does not say where is of little use."""

    def roomier(rooms: Rooms) -> Keyspace[int]:
        return Keyspace(rooms.policy(), maxsize=rooms.maxsize + 1)

    found = explore_rooms(rooms_of(RUN), roomier, known=specification)
    assert found.unknown is not None
    path, name, _ = found.unknown
    assert (path, name) == ((("put", 1), ("put", 2)), "Put")


def test_a_step_that_is_never_taken_is_found(specification: Steps) -> None:
    """The keyspace may do too little, too."""
    less = Explored(explored().states, {edge for edge in explored().edges if edge[1] != "Leave"})
    found = difference(less, specification)
    assert found is not None
    assert found.only_specification == {"Leave"}
    assert "Leave by the specification alone" in str(found)
