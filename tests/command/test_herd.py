"""`herdless herd` as its users run it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from herdless.__main__ import _with_subcommand
from tests.command.conftest import Run

SMALL = ("--callers", "50", "--keys", "20")

SYNC_LOADER = "def load(key):\n    return key\n"
ASYNC_LOADER = "async def load(key):\n    return key\n"
FAILING_LOADER = "def load(key):\n    raise OSError('the shop is closed\\nfor today')\n"
EXITING_LOADER = "def load(key):\n    raise SystemExit(3)\n"
DISGUISED_LOADER = "async def query(key):\n    return key\ndef load(key):\n    return query(key)\n"
INTERRUPTED_LOADER = """\
import os, signal

def load(key):
    os.kill(os.getpid(), signal.SIGINT)
    return key
"""


@pytest.fixture(params=["asyncio", "trio", "threads"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime by its name."""
    name: str = request.param
    return name


def row_of(document: dict[str, Any], phase: str, cache: str) -> dict[str, Any]:
    """The one row of a document of one runtime."""
    rows: list[dict[str, Any]] = document["rows"]
    (row,) = [row for row in rows if row["phase"] == phase and row["cache"] == cache]
    return row


def test_cold_herd_is_one_origin_query(run: Run, runtime: str) -> None:
    """The promise of the whole project, as the command shows it; and no progress bar where nobody looks."""
    done = run("herd", "--runtime", runtime, *SMALL, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    cold = row_of(json.loads(done.stdout), "cold", "herdless")
    assert (cold["runtime"], cold["callers"], cold["queries"], cold["generations"]) == (runtime, 50, 1, 1)


def test_json_has_what_its_readers_need(run_here: Run, runtime: str) -> None:
    """Machines read it: names and meanings must stay."""
    document = json.loads(run_here("herd", "--runtime", runtime, *SMALL, "--seed", "7", "--json").stdout)
    assert document["violations"] == []
    assert document["left_out"] == {}
    assert document["origin"]["query_seconds"] > 0
    assert document["parameters"]["seed"] == 7
    assert len(document["rows"]) == 4
    for phase, lookups in document["parameters"]["lookups"].items():
        plain, herdless = row_of(document, phase, "plain ttl"), row_of(document, phase, "herdless")
        assert plain["lookups"] == herdless["lookups"] == lookups
        assert herdless["saved"] == plain["queries"] - herdless["queries"]
        assert herdless["generations"] == herdless["queries"]
        assert (plain["saved"], plain["generations"], plain["time_line"]) == (None, None, [])
        assert 0 < herdless["p50"] <= herdless["p99"] <= herdless["elapsed"]


def test_time_line_is_told_as_it_happened(run_here: Run, runtime: str) -> None:
    """It is the observer's record: in order, without gaps, from the absent key over the load to the fresh value."""
    document = json.loads(run_here("herd", "--runtime", runtime, *SMALL, "--json").stdout)
    cold = row_of(document, "cold", "herdless")
    line = cold["time_line"]
    assert [segment["state"] for segment in line] == ["absent", "pending", "fresh"]
    assert 1 <= line[1]["waiters"] <= 50
    assert line[0]["began"] == 0
    assert line[-1]["ended"] == pytest.approx(cold["elapsed"])
    assert all(one["ended"] == other["began"] for one, other in pairwise(line))


def test_values_expire_within_the_mix(run: Run) -> None:
    """Without expiry the mix would say nothing about generations."""
    document = json.loads(run("herd", "--runtime", "asyncio", "--callers", "50", "--keys", "2", "--json").stdout)
    mix = row_of(document, "mix", "herdless")
    assert mix["generations"] > 2


def test_all_runtimes_are_in_one_report(run: Run) -> None:
    """What a user sees who only types the name: every runtime, both phases, the seed and the verdict, in 80 columns."""
    done = run("herd", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "asyncio",
        "trio",
        "threads",
        "Cold herd: 50 callers",
        "seed 1",
        "ttl 0.4 s",
        "▒ pending",
        "Checked:",
    ):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_herd_of_one_that_never_meets_the_hottest_key(run_here: Run, runtime: str) -> None:
    """The smallest herd has a report too, though the watched key's time line may be empty."""
    done = run_here("herd", "--runtime", runtime, "--callers", "1", "--keys", "3000", "--seed", "1")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_subcommand_is_herd() -> None:
    """`herdless` and `herdless --json` are the first things that people type."""
    assert _with_subcommand([]) == ["herd"]
    assert _with_subcommand(["--json"]) == ["herd", "--json"]
    assert _with_subcommand(["--help"]) == ["--help"]
    assert _with_subcommand(["--version"]) == ["--version"]
    assert _with_subcommand(["herd", "--json"]) == ["herd", "--json"]


def test_database_of_the_run_is_removed(run: Run, tmp_path: Path) -> None:
    """A command that leaves its data behind fills disks."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    assert run("herd", "--runtime", "threads", *SMALL, TMPDIR=str(directory)).returncode == 0
    assert list(directory.iterdir()) == []


def test_own_origin_is_read_and_not_written(run_here: Run, tmp_path: Path) -> None:
    """The user's database decides the keys, and stays as it is."""
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE entries (key, value)")
        connection.executemany("INSERT INTO entries VALUES (?, ?)", [("a", 1), ("b", 2), ("b", 3), (7, 4), (None, 5)])
    before = path.read_bytes()
    done = run_here("herd", "--runtime", "threads", *SMALL, "--origin", "shop.sqlite3", "--json")
    assert done.returncode == 0, done.stderr
    parameters = json.loads(done.stdout)["parameters"]
    assert (parameters["keys"], parameters["watched_key"]) == (3, "b")
    assert path.read_bytes() == before


def test_own_sync_loader_serves_every_runtime(run_here: Run, runtime: str, tmp_path: Path) -> None:
    """The loader of a real program is tried as it is."""
    (tmp_path / "shop.py").write_text(SYNC_LOADER)
    done = run_here("herd", "--runtime", runtime, *SMALL, "--load", "shop:load")
    assert done.returncode == 0, done.stderr
    assert "origin: shop:load" in done.stdout


def test_own_async_loader_leaves_threads_out(run_here: Run, tmp_path: Path) -> None:
    """What cannot run is said, not skipped in silence."""
    (tmp_path / "shop.py").write_text(ASYNC_LOADER)
    done = run_here("herd", *SMALL, "--load", "shop:load", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {row["runtime"] for row in document["rows"]} == {"asyncio", "trio"}
    assert list(document["left_out"]) == ["threads"]


def test_failing_loader_is_one_line(run_here: Run, runtime: str, tmp_path: Path) -> None:
    """A herd of tracebacks would hide what went wrong."""
    (tmp_path / "shop.py").write_text(FAILING_LOADER)
    done = run_here("herd", "--runtime", runtime, *SMALL, "--load", "shop:load")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "herdless herd: shop:load failed for the key 'key-00': OSError: the shop is closed\n"


def test_loader_that_exits_is_one_line(run_here: Run, runtime: str, tmp_path: Path) -> None:
    """A script's `sys.exit` inside a load ends neither the herd without a word nor the command with its own status."""
    (tmp_path / "shop.py").write_text(EXITING_LOADER)
    done = run_here("herd", "--runtime", runtime, *SMALL, "--load", "shop:load")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "herdless herd: shop:load failed for the key 'key-00': SystemExit: 3\n"


def test_loader_that_returns_a_coroutine_is_one_line(run_here: Run, runtime: str, tmp_path: Path) -> None:
    """A wrapper hides that a loader is async: nobody would await what it returns."""
    (tmp_path / "shop.py").write_text(DISGUISED_LOADER)
    done = run_here("herd", "--runtime", runtime, *SMALL, "--load", "shop:load")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line == "herdless herd: shop:load is no async function, but returned a coroutine: name the async function"


def test_interrupt_is_130_without_a_traceback(run: Run, runtime: str, tmp_path: Path) -> None:
    """Ctrl-C during a load, whichever thread or task is at work then."""
    (tmp_path / "shop.py").write_text(INTERRUPTED_LOADER)
    done = run("herd", "--runtime", runtime, *SMALL, "--load", "shop:load")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "herdless: interrupted\n")


def test_without_rich_the_report_is_plain_text(run: Run) -> None:
    """The library rich is an extra; the report is not."""
    done = run("herd", "--runtime", "threads", *SMALL, without="rich")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Cold herd: 50 callers" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_ascii_terminal_gets_ascii(run: Run) -> None:
    """A report that cannot be encoded would be a traceback."""
    done = run("herd", "--runtime", "threads", *SMALL, without="rich", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "? pending" in done.stdout


def test_all_without_trio_says_so(run: Run) -> None:
    """A runtime that is left out must not look like one that passed."""
    done = run("herd", *SMALL, without="trio")
    assert (done.returncode, done.stderr) == (0, "")
    assert "left out: trio is not installed: pip install 'herdless[trio]'" in done.stdout
    assert "threads" in done.stdout


def test_trio_by_name_without_trio_is_bad_input(run: Run) -> None:
    """Who asks for it by name gets it or the way to it."""
    done = run("herd", "--runtime", "trio", without="trio")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "herdless herd: --runtime trio: trio is not installed: pip install 'herdless[trio]'\n"
