"""The pictures in docs/ are those of the table, and a second library agrees on what they say."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from herdless_core._table import STATES
from specs import diagram


def test_the_pictures_are_those_of_the_table() -> None:
    """A diagram that lags behind the code is worse than none; `python -m specs.diagram` rewrites them."""
    assert diagram.drifted() == []


def test_drift_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail, says so by its exit status, and what is written by hand survives the rewriting."""
    monkeypatch.setattr(diagram, "DOCS", tmp_path / "docs")
    diagram.DOCS.mkdir()
    page = diagram.DOCS / "states.md"
    page.write_text(f"By hand.\n\n{diagram.BEGIN}\nby mistake\n", encoding="utf-8")
    assert diagram.main(["--check"]) == 1
    assert diagram.main([]) == 0
    assert diagram.main(["--check"]) == 0
    assert page.read_text(encoding="utf-8").startswith(f"By hand.\n\n{diagram.BEGIN}\n\n```mermaid\n")


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not rewrite anything."""
    assert diagram.main(["--chek"]) == 2
    assert "--chek is not accepted" in capsys.readouterr().err


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
