"""The picture of the states has all that is in the table."""

from __future__ import annotations

from xml.etree import ElementTree

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
