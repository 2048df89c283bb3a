"""Traces that no recorder has written: a right one with anything in any place of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from herdless._trace.plain import EFFECTS, EVENTS
from herdless._trace.strict import KINDS
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
