"""The edits that the project's tests must notice; `python -m herdless_verify.mutants --edits` makes them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from herdless_verify.mutants import edits, search
from herdless_verify.mutants.edits import CHECKOUT, SourceEdit, load_source_edits, sample, try_out

EDITS = {edit.name: edit for edit in load_source_edits()}
QUICK = SourceEdit(
    name="a question without the lock",
    file="adapters/herdless/_section.py",
    find="        answers: list[T] = []\n",
    replace="        return question()\n        answers: list[T] = []\n",
    tests=("tests/runtimes/test_inside_the_lock.py",),
)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edit_can_be_made_and_names_tests_that_are_there(edit: SourceEdit) -> None:
    """One that no longer matches would be found by nobody, and by a test that is gone it would seem to be."""
    assert (CHECKOUT / edit.file).read_text(encoding="utf-8").count(edit.find) == 1
    assert edit.find != edit.replace
    paths = [each for each in edit.tests if each.startswith("tests/")]
    assert paths
    assert all((CHECKOUT / path.partition("::")[0]).exists() for path in paths)


def test_edits_are_of_all_parts() -> None:
    """The machine has checkers of its own; all else has nothing but the tests."""
    assert {edit.file.split("/")[0] for edit in EDITS.values()} == {"core", "adapters", "specs"}
    assert len(EDITS) >= 28


def test_sample_changes_with_the_commit() -> None:
    """In the course of a few commits all get their turn, and one commit has the same each time."""
    every = list(EDITS.values())
    assert sample(every, 2, "one") == sample(every, 2, "one")
    seen = {edit.name for number in range(400) for edit in sample(every, 2, f"commit {number}")}
    assert seen == set(EDITS)
    assert len(sample(every, 1_000, "")) == len(every)


@pytest.mark.pure("edits the library's source")
def test_edit_that_is_noticed_falls_and_one_that_is_not_survives() -> None:
    """It is made in a copy: the checkout itself is as it was."""
    before = (CHECKOUT / QUICK.file).read_text(encoding="utf-8")
    verdict, printed = try_out(QUICK)
    assert verdict == edits.FALLS, printed
    harmless = replace(QUICK, replace=f"        # harmless\n{QUICK.find}")
    assert try_out(harmless)[0] == edits.SURVIVES
    assert (CHECKOUT / QUICK.file).read_text(encoding="utf-8") == before


@pytest.mark.pure("edits the library's source")
def test_edit_whose_tests_come_to_no_end_is_ended() -> None:
    """A mistake may keep the tests from ending, and must not keep the search for it from ending."""
    hanging = replace(QUICK, replace="        while True:\n            pass\n")
    assert try_out(hanging, seconds=5)[0] == edits.HANGS


def test_without_a_checkout_nothing_can_fall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has installed the kit has no tests of ours: that is said, and nobody takes it for a success."""
    with pytest.raises(edits.NoCheckout, match="needs a checkout"):
        load_source_edits(tmp_path / "edits.toml")


def test_edit_that_is_not_noticed_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what noticed the others is told."""
    verdicts = iter([(edits.FALLS, "FAILED tests/a.py::b\n"), (edits.SURVIVES, "")])
    monkeypatch.setattr(edits, "try_out", lambda _edit, _seconds: next(verdicts))
    monkeypatch.setattr(sys, "argv", ["mutants", "--edits", "jitter"])
    assert search.main() == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.endswith(": falls FAILED tests/a.py::b")
    assert second.endswith(": survives")
    assert last == "1 of 2 edits are noticed"
