"""A trace may come from anywhere: whatever is in it, there is a verdict, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
import tracemalloc
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


HEADER, STEP = base()[:2]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (STEP | {"now": 10**400}, "now=1000"),
        (STEP | {"now": 2**63}, "now=9223372036854775808 is no integer of 64 bits"),
        (STEP | {"now": str(2**63)}, "now=9223372036854775808 is no integer"),
        (STEP | {"now": "1_0"}, "now='1_0' is no integer"),
        (STEP | {"now": "\N{ARABIC-INDIC DIGIT ONE}"}, "is no integer"),
        (STEP | {"now": 1.5}, r"now=1\.5 is no integer"),
        (STEP | {"now": True}, "now=True is no integer"),
        (STEP | {"now": math.inf}, "Infinity is no number"),
        (STEP | {"nobody": math.nan}, "NaN is no number"),
        (STEP | {"owner": {}}, "owner=an object is no text"),
        (STEP | {"owner": []}, "owner=a list is no text"),
        (STEP | {"key": None}, "key=None is no text"),
        (STEP | {"before": []}, "before=a list is no object"),
        (STEP | {"effects": {}}, "effects=an object is no list"),
        (STEP | {"effects": [[]]}, "effects=a list is no object"),
        (HEADER | {"policy": HEADER["policy"] | {"ttl": 10**400}}, "ttl=1000"),
        (HEADER | {"policy": HEADER["policy"] | {"max_waiters": "x"}}, "max_waiters='x' is no integer"),
        (HEADER | {"policy": HEADER["policy"] | {"jitter": 10**400}}, "jitter=1000"),
        (HEADER | {"policy": HEADER["policy"] | {"jitter": True}}, "jitter=True is no number"),
        (HEADER | {"herdless_trace": True}, "herdless_trace=True"),
        (HEADER | {"herdless_trace": {}}, "herdless_trace='an object'"),
        (HEADER | {"is_durable": 1}, "is_durable=1 is neither true nor false"),
    ],
)
def test_other_kinds_are_refused_by_name(line: dict[str, Any], says: str) -> None:
    """Before anything computes with them: an integer of a thousand digits has no seconds, and an object no hash."""
    with pytest.raises(NotATrace, match=f"line 2 .*{says}"):
        list(read_trace([json.dumps(HEADER), json.dumps(line) + "\n"]))


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
