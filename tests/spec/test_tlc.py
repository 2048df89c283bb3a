"""The runs of the model checker that have no graph, and what the runner makes of TLC's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import pytest
from rich.console import Console

from herdless_verify.tlc.check import PROCESSES, Result, check, complaint, never_taken, parts
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.counterexample import counterexample
from herdless_verify.tlc.toolbox import REFUTED, TOO_LONG, Output, run_tlc
from tests.spec.conftest import Made

RUNS = load_runs()

PARTS = [part for run in RUNS.values() if not run.graph and not run.slow for part in parts(run)]
"""Those with a graph are run by test_graph.py."""


Results: TypeAlias = Mapping[str, Future[Result]]


@pytest.fixture(scope="module")
def results(tlc: None, request: pytest.FixtureRequest) -> Iterator[Results]:
    """What came of each run; those are made at once that the tests of this session are about."""
    about = (item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec"))
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield Made(pool, check, PARTS, [str(name) for name in about])


@pytest.mark.parametrize("name", [part.name for part in PARTS])
def test_run_comes_out_as_expected(name: str, results: Results) -> None:
    """What is promised holds, what is not is refuted, and the number of states is the pinned one."""
    assert results[name].result().complaint == ""


def test_counterexample_reads_as_a_story(results: Results) -> None:
    """Who breaks the specification sees what happened, in the words of the design, and no dump."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(counterexample(results["not_promised.OneLoadInTheAirInv"].result().output.text))
    shown = capture.get()
    assert "Pending; flight 1, 1 waiting" in shown
    assert "Join 1 as its first waiter" in shown
    assert "load 2 has not read" in shown


def test_a_changed_number_of_states_is_a_complaint(results: Results) -> None:
    """The pins would be decoration if they could not fail."""
    result = results["durable"].result()
    assert "are pinned" in complaint(replace(result.run, distinct=1), result.output)


def test_what_must_be_refuted_and_holds_is_a_complaint(results: Results) -> None:
    """A situation that never comes about makes every promise about it empty."""
    result = results["durable"].result()
    assert complaint(replace(result.run, expect="refuted"), result.output) == "holds, but must be refuted"


def test_an_action_never_taken_is_a_complaint() -> None:
    """Coverage is read from TLC's last report."""
    report = "<{} line 1, col 1 to line 2, col 2 of module CacheEntry>: {}\n"
    text = report.format("Get", "0:0") + report.format("Put", "3:7")
    assert list(never_taken(text)) == ["Get"]
    run = Run(name="", why="", covers_all_actions=True)
    assert complaint(run, Output(0, text, 0.0)) == "never taken: Get"


def test_a_run_that_comes_to_no_end_is_not_refuted(tlc: None) -> None:
    """It is bound by processor time, so that a busy machine changes nothing; what is cut short is no counterexample."""
    output = run_tlc(RUNS["everything_in_three_flights"], timeout=1)
    assert output.status == TOO_LONG
    assert output.status not in REFUTED
    assert complaint(RUNS["ttl"], output) == "TLC ended with status -1"


def test_fairness_that_is_weakened_is_found(results: Results) -> None:
    """Where nothing need ever happen nobody need be answered: the formulas of whole behaviours must say so."""
    unfair = parts(RUNS["nothing_need_happen"])
    assert {run.name for run in unfair} == {f"nothing_need_happen.{name}" for name in RUNS["loads_end"].properties}
    assert all(results[run.name].result().output.status in REFUTED for run in unfair)


def test_every_run_that_holds_has_its_states_pinned() -> None:
    """A change of the model must show in the diff of its configurations."""
    unpinned = [
        run.name
        for run in RUNS.values()
        if run.expect == "holds" and (run.distinct is None or (run.depth is None and not run.slow))
    ]
    assert unpinned == []
