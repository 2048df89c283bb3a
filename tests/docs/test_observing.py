"""docs/observing.md names all that a cache tells."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import herdless_core
from herdless._trace.plain import EFFECTS, EVENTS
from herdless_core import Stats, Step, Value

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text(encoding="utf-8")
ROWS = [[re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:-1]] for row in PAGE.splitlines() if row[:1] == "|"]


def names(part: Any) -> list[str]:
    """The fields of a class."""
    return [field.name for field in fields(part)]


@pytest.mark.parametrize("part", [Stats, Step])
def test_every_field_has_its_row(part: Any) -> None:
    """Who builds a dashboard reads what a number means, not the source."""
    rows = [name for first, *_ in ROWS for name in first]
    assert set(names(part)) <= set(rows)
    assert hasattr(herdless_core, part.__name__)


@pytest.mark.parametrize("part", [*EVENTS.values(), *EFFECTS.values()], ids=lambda part: part.__name__)
def test_every_event_and_effect_has_its_row(part: Any) -> None:
    """With its fields, in their order."""
    (row,) = [row for row in ROWS if part.__name__ in row[0]]
    assert row[1] == names(part)
    assert hasattr(herdless_core, part.__name__)


def test_outcomes_are_described() -> None:
    """What a caller was told."""
    for name in (*names(Value), "error"):
        assert f"`{name}`" in PAGE.rpartition("An outcome is")[2]
