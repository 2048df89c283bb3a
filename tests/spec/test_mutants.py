"""The mistakes that the checkers must find; `python -m herdless_verify.mutants` lets all of them look."""

from __future__ import annotations

from pathlib import Path

import pytest

from herdless_core import _machine
from herdless_verify.exploration.search import explore_ticks
from herdless_verify.mistakes import Mutant, load_mutants
from herdless_verify.mutants.walks import JUDGED, random_walks
from herdless_verify.tlc.configurations import load_runs

MUTANTS = {mutant.name: mutant for mutant in load_mutants()}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_mistake_can_be_made_in_code_and_specification(mutant: Mutant, tmp_path: Path) -> None:
    """An edit that no longer matches leaves the machine as it is, and what is no mistake passes every check."""
    assert vars(mutant.machine())["transition"] is not _machine.transition
    mutant.specification(tmp_path)
    assert mutant.spec_replace in (tmp_path / "CacheEntry.tla").read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_mistake_is_found_by_exploration(mutant: Mutant) -> None:
    """The table in docs/spec/mistakes.md says that it was; within a few moves it still is."""
    run = load_runs()[mutant.spec_run]
    machine = mutant.machine()
    try:
        found = explore_ticks(run.machine_policy(), run.bounds(), machine=machine, invariants=JUDGED, max_states=400)
    except RecursionError:
        assert mutant.name == "a timer that is due is set again"
    else:
        assert found.violations != []


def test_a_refresh_within_the_back_off_breaks_a_promise() -> None:
    """That a back-off is noted is worth nothing if lookups do not heed it."""
    run = load_runs()["stale_while_revalidate"]
    machine = MUTANTS["a back-off keeps nobody from starting a refresh"].machine()
    exploration = explore_ticks(run.machine_policy(), run.bounds(), machine=machine, invariants=JUDGED)
    assert [violation.promise for violation in exploration.violations] == ["BacksOff"]


def test_random_walks_find_nothing_in_the_machine_itself() -> None:
    """What finds mistakes everywhere has found none."""
    assert random_walks(_machine, walks=50) == ""


def test_random_walks_find_a_late_result_that_is_stored() -> None:
    """The cheapest checker must not be blind."""
    machine = MUTANTS["a late result is stored"].machine()
    assert random_walks(machine, walks=50) != ""
