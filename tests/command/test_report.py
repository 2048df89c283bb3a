"""What the report of `herdless herd` says of its runs, whatever it is printed with."""

from __future__ import annotations

import sys

import pytest

from herdless._command.herd.origin import Origin
from herdless._command.herd.report import as_text, document
from herdless._command.herd.runs import PLAIN, Plan, Run, cold_herd, mix

COLD, MIX = cold_herd(100, "a"), mix(100, "ab", 1)


def run(plan: Plan, cache: str, loads: int, begun: int) -> Run:
    """A hundred callers on threads, of whom the first waited 1 ms, the last 100 ms."""
    origin = Origin("a shop[of]\x1bmine :smile:", str, is_async=False)
    latencies = [number / 1000 for number in range(100, 0, -1)]
    return Run(plan, "threads", cache, origin, latencies, [("a", i, i) for i in range(loads)], ["a"] * begun)


def runs(cold_loads: int = 1) -> list[Run]:
    """Two phases; herdless began one generation in the first, and so many loads were seen then."""
    return [
        run(COLD, PLAIN, 100, 0),
        run(COLD, "herdless", cold_loads, 1),
        run(MIX, PLAIN, 30, 0),
        run(MIX, "herdless", 22, 22),
    ]


LEFT_OUT = {"trio": "trio is not installed"}


def text(*, rich: bool, cold_loads: int = 1) -> list[str]:
    """The lines of the report, with and without rich."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "40")  # narrower than a row: it must not be cut or folded
        if not rich:
            patch.setitem(sys.modules, "rich.console", None)
        return as_text(document(runs(cold_loads), LEFT_OUT, seed=1)).splitlines()


def test_document_has_a_row_for_each_run() -> None:
    """Counts as they are, durations in seconds, percentiles that somebody had."""
    report = document(runs(), LEFT_OUT, seed=1)
    assert [(row["queries"], row["generations"]) for row in report["rows"]] == [
        (100, None),
        (1, 1),
        (30, None),
        (22, 22),
    ]
    assert {(row["callers"], row["p50"], row["p99"]) for row in report["rows"]} == {(100, 0.051, 0.1)}
    assert (report["left_out"], report["violations"]) == (LEFT_OUT, [])


def test_percentiles_of_one_caller() -> None:
    """A herd may be of one."""
    alone = Run(COLD, "threads", PLAIN, Origin("a test", str, is_async=False), [7.0])
    (row,) = document([alone], {})["rows"]
    assert row["p50"] == row["p99"] == 7.0


def test_both_ways_print_the_same_lines() -> None:
    """There is one list of lines; rich adds colours where stdout is a terminal, and changes nothing of what is said."""
    assert text(rich=True) == text(rich=False)


@pytest.mark.parametrize("rich", [True, False])
def test_text_shows_it_all_in_aligned_rows(*, rich: bool) -> None:
    """Phases, rows, what was left out and the verdict, in 80 columns; no name can give the terminal orders."""
    lines = text(rich=rich)
    assert lines[:2] == ["origin: a shop[of]\\x1bmine :smile:", "left out: trio is not installed"]
    assert COLD.about in lines
    assert MIX.about in lines
    table = [line for line in lines if line.startswith(("runtime", "threads"))]
    assert [line.split() for line in table[1:3]] == [
        ["threads", "plain", "ttl", "100", "100", "51.000", "100.000"],
        ["threads", "herdless", "100", "1", "1", "51.000", "100.000"],
    ]
    assert len({len(line) for line in table}) == 1
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "Checked: 23 generations begun by herdless, 23 loads seen by the origin."


@pytest.mark.parametrize("rich", [True, False])
def test_broken_promises_take_the_place_of_the_verdict(*, rich: bool) -> None:
    """Each with its evidence, and with the phase and the runtime in which it was broken."""
    lines = text(rich=rich, cold_loads=2)
    assert lines[-2:] == [
        "BROKEN: cold, threads: 'a': the origin saw 2 loads, herdless began 1 generations",
        "BROKEN: cold, threads: the herd on one cold key gave 2 origin queries instead of 1",
    ]
    assert not any(line.startswith("Checked") for line in lines)
