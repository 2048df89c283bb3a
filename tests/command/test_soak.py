"""`herdless soak` as its users run it, and its parts that are functions."""

from __future__ import annotations

import argparse
import json
import linecache
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from herdless_verify.command.soaked import SoakReport, has_gil, show
from herdless_verify.soak.findings import Memory, Soaked, told_nothing
from herdless_verify.soak.memory import BLOCKS_LIMIT, RSS_LIMIT, MemoryGauge, growth, leak
from herdless_verify.soak.plan import ACTIONS, LOAD_FAULTS, next_visit, plan_load, plan_round
from herdless_verify.soak.processes import soak_side_by_side
from tests.command.conftest import Run

WHAT_HAPPENS = {"caller leaves", "close", "expire", "invalidate", "put", "refresh"}
LOADS = {"load fails", "load is slow", "load hangs", "load hangs for ever", "load asks for another key"}

INTERRUPTED = """\
import os, signal, sys
from herdless.__main__ import main
from herdless_verify.command import soak

start = soak.soak_side_by_side
soak.soak_side_by_side = lambda *order: start(*order[:3], lambda passed: os.killpg(0, signal.SIGINT))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a soak of two seconds gave, of all runtimes side by side."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "herdless", "soak", "--seconds", "2", "--seed", "1", "--json"],
        cwd=tmp_path_factory.mktemp("soak"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    soaked: dict[str, Any] = json.loads(done.stdout)
    return soaked


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "threads"])
def test_real_adapter_keeps_every_promise(document: dict[str, Any], runtime: str) -> None:
    """Whatever goes wrong, and much does: nothing wrong is told, nobody hangs, nothing is left."""
    (soaked,) = [each for each in document["runtimes"] if each["runtime"] == runtime]
    assert (soaked["violations"], soaked["first_violation"]) == (0, None)
    assert (soaked["leaked_flights"], soaked["callers_left"], soaked["threads_or_tasks_left"]) == (0, 0, 0)
    assert set(soaked["faults"]) >= WHAT_HAPPENS | LOADS
    assert set(soaked["answers"]) >= {"hits", "joins", "misses", "LoadBroke"}
    assert soaked["steps"] > soaked["loads"] > 0


def test_json_has_what_its_readers_need(document: dict[str, Any]) -> None:
    """Machines read it: names and meanings must stay."""
    assert document["parameters"] == {"seconds": 2.0, "seed": 1}
    assert document["leak_limits"] == {"rss_bytes": RSS_LIMIT, "python_blocks": BLOCKS_LIMIT}
    assert (document["violations"], document["left_out"]) == ([], {})
    assert document["has_gil"] is has_gil()
    memory = document["runtimes"][0]["memory"]
    assert memory["blocks_growth"] <= BLOCKS_LIMIT
    if memory["measured_by"] == "/proc/self/statm":
        assert memory["rss"] > memory["rss_growth"]


def test_report_fits_a_terminal(document: dict[str, Any]) -> None:
    """What a user reads, in 80 columns."""
    soaked = [Soaked(**{**each, "memory": Memory(**each["memory"])}) for each in document["runtimes"]]
    text = show(SoakReport(2.0, 1, soaked, {"gevent": "gevent is not installed"}))
    for word in (
        "Soak of 2 s, seed 1, Python",
        "left out: gevent",
        "violations",
        "invalidate",
        "No promise was broken",
    ):
        assert word in text
    assert text.count("asyncio") == text.count("threads") == 3
    assert max(map(len, text.splitlines())) <= 80


def test_without_rich_the_report_is_plain_text(run: Run) -> None:
    """The library rich is an extra; the report is not."""
    done = run("soak", "--runtime", "threads", "--seconds", "1", without="rich")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.match(r"Soak of 1 s, seed \d+, Python", done.stdout), "a seed that nobody gave is told"
    assert "No promise was broken" in done.stdout
    assert "\x1b" not in done.stdout


def test_trio_by_name_without_trio_is_bad_input(run: Run) -> None:
    """Who asks for it by name gets it or the way to it."""
    done = run("soak", "--runtime", "trio", without="trio")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "herdless soak: --runtime trio: trio is not installed: pip install 'herdless[trio]'\n"


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are a POSIX facility")
def test_interrupt_is_130_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group, as at a terminal: one line, and nothing goes on in the background, which would
    keep the pipes open.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED, "soak", "--seconds", "60"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "herdless: interrupted\n")


def test_soak_that_dies_is_a_violation() -> None:
    """A crash of the interpreter must not look like a run that found nothing."""
    (soaked,) = soak_side_by_side(["twisted"], 1.0, 7, lambda _passed: None)
    assert (soaked.violations, soaked.seed) == (1, 7)
    assert soaked.first_violation == "its process ended with exit code 1 and told nothing"


def test_broken_promise_names_the_seed_and_the_way_to_repeat() -> None:
    """What is found at night is looked at in the morning."""
    text = show(SoakReport(5.0, 7, [told_nothing("trio", 7, "a caller was told 3")], {}))
    assert "BROKEN: trio: a caller was told 3\n" in text
    assert "Again: herdless soak --runtime trio --seconds 5 --seed 7\n" in text


def test_same_seed_plans_the_same() -> None:
    """A seed repeats what was tried: every policy, load and visit."""
    one, again, other = plan_round(1, 2, 0.5), plan_round(1, 2, 0.5), plan_round(2, 2, 0.5)
    assert one == again != other
    assert [plan_load(one, each) for each in range(50)] == [plan_load(again, each) for each in range(50)]
    assert plan_load(one, 1) != plan_load(other, 1)
    dice, same = one.dice("caller 1"), again.dice("caller 1")
    assert [next_visit(dice) for _ in range(50)] == [next_visit(same) for _ in range(50)]


def test_everything_is_planned_sooner_or_later() -> None:
    """A fault that never happens is not soaked."""
    plan = plan_round(1, 1, 0.5)
    dice = plan.dice("caller 1")
    assert {next_visit(dice).action for _ in range(5000)} == set(ACTIONS)
    assert {plan_load(plan, generation).fault for generation in range(2000)} == set(LOAD_FAULTS)
    plans = [plan_round(1, number, 0.5) for number in range(200)]
    assert len({each.closing for each in plans}) == 3
    assert {None, 0} <= {each.maxsize for each in plans}
    for name in plan.policy:
        assert len({each.policy.get(name) for each in plans}) > 1, name


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        ([1], 0),
        ([1, 9], 0),
        ([1, 5, 5, 5, 5, 5], 0),
        ([1, 2, 5, 9, 9, 5], 0),
        ([1, 2, 5, 9, 5, 9], 0),
        ([1, 2, 3, 4, 5, 6], 2),
        ([1, 2, 9, 8, 3, 3], -5),
    ],
)
def test_growth_is_what_only_comes(samples: list[int], grown: int) -> None:
    """Neither the warm-up nor a peak is a leak; what is more each time is."""
    assert growth(samples) == grown


def test_a_traceback_shown_for_the_first_time_is_no_growth() -> None:
    """It keeps all lines of the files it goes through: in the run's middle, 2,000 blocks that looked like a leak."""
    gauge = MemoryGauge()
    for shown in (False, False, False, True, True, True):
        if shown:
            assert len(linecache.getlines(argparse.__file__)) > BLOCKS_LIMIT
        gauge.sample()
    assert gauge.memory().blocks_growth < BLOCKS_LIMIT


def test_leak_is_judged_by_both_measures() -> None:
    """Pages for what the allocator does not count, blocks for what is too small to move a page."""
    assert leak(Memory("", RSS_LIMIT, BLOCKS_LIMIT, 0)) is None
    assert "the resident set grew by" in str(leak(Memory("", RSS_LIMIT + 1, 0, 0)))
    assert "blocks more than before" in str(leak(Memory("", None, BLOCKS_LIMIT + 1, None)))
