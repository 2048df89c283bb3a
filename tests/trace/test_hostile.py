"""A trace may come from anywhere: whatever is in it, there is a verdict, or one line that says what is wrong."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless._trace.plain import EFFECTS, EVENTS
from herdless._trace.strict import KINDS, LINE_LIMIT
from herdless.trace import NotATrace, Recorded, as_mermaid, as_perfetto, departure, read_trace
from herdless_core import Flight, Fresh, Lifetime, Stale, Value
from tests.trace.mutants import as_text, base
from tests.trace.runs import recorded

LINES = [json.loads(line) for line in recorded("threads", "early", 0)] + [json.loads(line) for line in as_text(base())]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, -1, 2**62 - 1, 2**63 - 1, -(2**63), 10**400, -(10**4000)])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["9" * 19, "9" * 5000, "-1", "1_0", "\N{ARABIC-INDIC DIGIT ONE}", "nan", "\ud800", "\x1b[2J", ""])
    | st.sampled_from([*EVENTS, *EFFECTS, "absent", "pending", "fresh", "stale", "evicted", "capacity", "LoadTimeout"])
)
NAMES = st.sampled_from(sorted(KINDS)) | st.text(max_size=3)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)


def places(plain: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in it, with each of its names or positions."""
    for at in plain if isinstance(plain, dict) else range(len(plain)):
        yield plain, at
        if isinstance(plain[at], dict | list):
            yield from places(plain[at])


@st.composite
def mutated(draw: st.DrawFn) -> list[str]:
    """The lines of a right trace, with up to three places in them changed, and perhaps some characters of the text."""
    lines = copy.deepcopy(LINES)
    for _ in range(draw(st.integers(1, 3))):
        line = lines[draw(st.integers(0, len(lines) - 1))]
        holder, at = draw(st.sampled_from(list(places(line))))
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            holder[at] = draw(ANYTHING)
        elif change == "remove":
            del holder[at]
        elif isinstance(holder, dict):
            holder[draw(NAMES)] = draw(ANYTHING)
        if not all(lines):
            break
    texts = [json.dumps(line) + "\n" for line in lines]
    if draw(st.booleans()):
        number = draw(st.integers(0, len(texts) - 1))
        text, at = texts[number], draw(st.integers(0, len(texts[number])))
        texts[number] = text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return texts


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
