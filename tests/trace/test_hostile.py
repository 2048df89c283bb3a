"""A trace may come from anywhere: whatever is in it, there is a verdict, or one line that says what is wrong."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless._trace.plain import EFFECTS, EVENTS
from herdless._trace.strict import KINDS, LINE_LIMIT
from herdless.trace import NotATrace, Recorded, as_mermaid, as_perfetto, departure, read_trace
from herdless_core import Flight, Fresh, Lifetime, Stale, Value
from tests.trace.hostile import mutated
from tests.trace.mutants import as_text, base


@given(mutated())
def test_every_change_of_a_trace_is_judged_or_refused(lines: list[str]) -> None:
    """No other error than NotATrace, in one line that is not long; and what can be read can be drawn."""
    read: list[Recorded] = []
    refused = ""
    try:
        for line in read_trace(lines):
            read += [line] if isinstance(line, Recorded) else []
    except NotATrace as error:
        refused = str(error)
    str(departure(read, has_ended=True, maxsize=1))
    assert refused.isprintable()
    assert len(refused) < 300
    assert as_mermaid(read).replace("\n", "").isprintable()
    json.dumps(as_perfetto(read), allow_nan=False)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_file_at_all(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Bytes that are no text, and text that is no trace."""
    path = tmp_path_factory.getbasetemp() / "any.trace"
    path.write_bytes(content)
    with pytest.raises(NotATrace):
        list(read_trace(path))


@pytest.mark.parametrize("nesting", ["[" * 200_000, '{"before":' * 50_000, '{"x":' * 900 + "1" + "}" * 900])
def test_deep_nesting_is_refused(nesting: str) -> None:
    """Python would end the recursion with an error of its own."""
    with pytest.raises(NotATrace, match="line 2 "):
        list(read_trace([as_text(base())[0], nesting + "\n"]))


def test_reading_one_line_has_a_bound(tmp_path: Path) -> None:
    """A file without an end of line is not read into the memory."""
    path = tmp_path / "endless.trace"
    with path.open("wb") as file:
        file.truncate(200 * LINE_LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(NotATrace, match=r"line 1 is longer than 1,048,576 bytes"):
            list(read_trace(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * LINE_LIMIT
    with pytest.raises(NotATrace, match="line 1 is longer"):
        list(read_trace([" " * (LINE_LIMIT + 1)]))


def test_every_part_of_a_step_has_its_kind() -> None:
    """What the table of kinds does not name is left out of what is read: a new field has to be put there."""
    parts = (*EVENTS.values(), *EFFECTS.values(), Fresh, Stale, Flight, Lifetime, Value)
    names = {field.name for part in parts for field in fields(part)}
    assert names <= set(KINDS)
