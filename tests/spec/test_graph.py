"""The code's graph equals that of the specification."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache

import pytest

from herdless_verify.exploration.search import Exploration, explore_ticks
from herdless_verify.mistakes import load_mutants
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import Steps, compare, describe, difference

RUNS = load_runs()
GRAPHS = [run for run in RUNS.values() if run.graph and not run.slow]


@lru_cache
def explored(name: str) -> Exploration:
    """The code's graph, every step of it judged."""
    return explore_ticks(RUNS[name].machine_policy(), RUNS[name].bounds())


@pytest.mark.parametrize("run", GRAPHS, ids=lambda run: run.name)
def test_code_and_specification_take_the_same_steps(run: Run, graphs: Mapping[str, Future[Steps]]) -> None:
    """What TLC proves of the specification is true of the code only because the two graphs are equal. TLC has checked
    every promise on the way.
    """
    specification = graphs[run.name].result()
    found = difference(explored(run.name), specification)
    assert found is None, describe(found)
    assert len(specification) == run.distinct


def test_a_mistake_in_the_code_is_shown_with_the_shortest_way_to_it(graphs: Mapping[str, Future[Steps]]) -> None:
    """A comparison that cannot find a difference is none, and one that does not say where is of little use."""
    mutant = next(each for each in load_mutants() if each.name == "a hit at exactly ttl")
    found = compare(RUNS["ttl"], graphs["ttl"].result(), mutant.machine())
    assert found is not None
    assert found.path == ("Put", "Tick")
    code, _, specification = describe(found).partition("Get, by the specification:")
    assert "Get, by the code:\n  entry: Fresh, value 1, lifetime 1/1/0/0, age 1," in code
    assert "entry: Pending" in specification


@pytest.mark.parametrize("run", GRAPHS, ids=lambda run: run.name)
def test_every_step_of_the_code_keeps_every_promise(run: Run) -> None:
    """The predicates that serve all other checkers hold over the whole graph, which needs no TLC."""
    exploration = explored(run.name)
    assert exploration.violations == []
    assert exploration.is_complete
    assert len(exploration.states) == run.distinct
