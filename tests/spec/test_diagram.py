"""The picture of the states has all that is in the table, and a second library agrees on what it says."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from herdless_core.table import STATES
from herdless_verify import diagram


def test_the_drawing_has_every_state_and_every_edge() -> None:
    """Places and bends are chosen by hand, so a new state or edge could be forgotten."""
    drawing = ElementTree.fromstring(diagram.svg())  # noqa: S314  # our own text
    texts = [element.text for element in drawing.iter() if element.tag.endswith("text")]
    assert {state.__name__ for state in STATES} <= set(texts)
    edges = [element for element in drawing.iter() if element.get("marker-end")]
    assert len(edges) == len(diagram.causes())
    assert set(diagram.BENDS) <= set(diagram.causes())


def test_the_oracle_allows_what_the_table_has_and_nothing_else() -> None:
    """A library that was written for other people's machines refuses a move that is not in the table."""
    transitions = pytest.importorskip("transitions")
    moves = diagram.moves()
    moves.trigger(diagram.trigger("Get", "Pending"))
    moves.trigger(diagram.trigger("LoadSucceeded", "Fresh"))
    with pytest.raises(transitions.MachineError):
        moves.trigger(diagram.trigger("Restarted", "Absent"))
