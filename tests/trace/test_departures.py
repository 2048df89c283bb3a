"""A trace that is wrong in one thing departs where it is wrong."""

from __future__ import annotations

import pytest

from herdless.trace import departure, read_trace
from tests.trace.mutants import MUTANTS, as_text, base, mutated


def test_recorded_trace_is_right() -> None:
    """Otherwise the mutants below might be refused for what they have in common."""
    lines = as_text(base())
    assert len(lines) == 14
    assert departure(read_trace(lines), has_ended=True) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_departs_where_it_is_wrong(name: str) -> None:
    """The line is what somebody looks at who searches for the mistake."""
    lines, number = mutated(name)
    found = departure(read_trace(lines))
    assert found is not None
    assert found.line == number, str(found)
    assert found.complaint
