"""What the report says of a run, whatever it is printed with."""

from __future__ import annotations

import json

import pytest

from herdless._command._origin import Source
from herdless._command._plan import cold_herd, zipf_mix
from herdless._command._report import Report, as_json
from herdless._command._run import PLAIN, Row
from herdless._command._text import as_text
from herdless._command._timeline import Segment
from herdless._command._words import ASCII_GLYPHS, legend, remarks, verdict

LINE = (Segment("absent", 0.0, 0.001, 0), Segment("pending", 0.001, 0.006, 100), Segment("fresh", 0.006, 0.01, 0))


def row(phase: str, cache: str, queries: int, *violations: str) -> Row:
    """A row of a hundred callers on threads, with the time line that a good run has."""
    is_plain = cache == PLAIN
    return Row(
        phase=phase,
        runtime="threads",
        cache=cache,
        callers=100,
        lookups=100,
        queries=queries,
        generations=None if is_plain else queries,
        p50=0.005,
        p99=0.009,
        elapsed=0.01,
        time_line=() if is_plain else LINE,
        violations=violations,
    )


def report(plain_cold: int = 100, *violations: str) -> Report:
    """Of two phases, the plain cache having made so many queries in the first."""
    source = Source("a test", str, is_async=False, keys=("a", "b"), query_seconds=None)
    rows = [row("cold", PLAIN, plain_cold), row("cold", "herdless", 1, *violations)]
    rows += [row("mix", PLAIN, 20), row("mix", "herdless", 22)]
    return Report(source, 1, (cold_herd(100, "a"), zipf_mix(100, "ab", 1)), rows, {"trio": "trio is not installed"})


def test_saved_is_the_difference_to_the_plain_cache() -> None:
    """Of the same runtime and phase, and negative where herdless asked more."""
    whole = report()
    assert [whole.saved(each) for each in whole.rows] == [None, 99, None, -2]
    assert [each["saved"] for each in json.loads(as_json(whole))["rows"]] == [None, 99, None, -2]


def test_herd_that_came_too_late_is_remarked() -> None:
    """A plain cache that got away with it would else look like one that joins."""
    assert remarks(report(plain_cold=50)) == []
    (remark,) = remarks(report(plain_cold=49))
    assert remark.startswith("threads: the plain cache had its value before most of the herd came")


def test_verdict_names_every_broken_promise() -> None:
    """Each with its evidence; and what was counted when there is none."""
    assert verdict(report()) == ["Checked: 23 generations begun by herdless, 23 loads seen by the origin."]
    assert verdict(report(100, "one thing", "another")) == ["BROKEN: one thing", "BROKEN: another"]
    assert json.loads(as_json(report(100, "one thing")))["violations"] == ["one thing"]


def test_legend_has_the_states_that_occur() -> None:
    """No reader should look for a state that is not there."""
    assert [state for state, _ in legend(report(), ASCII_GLYPHS)] == ["absent", "pending", "fresh"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_text_shows_it_all_within_the_width(width: int) -> None:
    """The table, the time line to scale, what was left out, and the verdict."""
    text = as_text(report(), width, ASCII_GLYPHS)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "left out: trio is not installed" in lines
    assert "threads  pending at 1.00 ms, up to 100 waiting; fresh at 6.00 ms" in lines
    (bar,) = {line.split()[-1] for line in lines if line.startswith("threads  herdless")}
    assert 0.4 < bar.count("?") / len(bar) < 0.65
    assert 0.3 < bar.count("#") / len(bar) < 0.45
