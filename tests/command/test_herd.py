"""`herdless herd` as its users run it."""

from __future__ import annotations

import json
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
    assert (document["parameters"]["callers"], document["parameters"]["keys"], document["parameters"]["seed"]) == (
        50,
        20,
        7,
    )
    assert len(document["rows"]) == 4
    for phase in document["parameters"]["ttl"]:
        plain, herdless = row_of(document, phase, "plain ttl"), row_of(document, phase, "herdless")
        assert plain["callers"] == herdless["callers"] == 50
        assert herdless["generations"] == herdless["queries"] <= plain["queries"]
        assert plain["generations"] is None
        assert 0 < herdless["p50"] <= herdless["p99"]


def test_plain_cache_lets_the_herd_through(run_here: Run, runtime: str) -> None:
    """Else the demonstration would show nothing. Here every caller comes before the first load ends."""
    done = run_here("herd", "--runtime", runtime, *SMALL, "--latency", "0.5", "--json")
    document = json.loads(done.stdout)
    assert [row_of(document, "cold", cache)["queries"] for cache in ("plain ttl", "herdless")] == [50, 1]


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
        "Checked:",
    ):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_herd_of_one(run_here: Run, runtime: str) -> None:
    """The smallest herd has a report too."""
    done = run_here("herd", "--runtime", runtime, "--callers", "1", "--keys", "1")
    assert (done.returncode, done.stderr) == (0, "")


def test_more_keys_than_rows(run_here: Run) -> None:
    """The database grows with the keys, so that each has a value."""
    done = run_here("herd", "--runtime", "threads", "--callers", "2", "--keys", "6000")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6,000 rows" in done.stdout


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
    assert line.startswith("herdless herd: shop:load failed for the key 'key-00': TypeError: it is no async function")


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


@pytest.mark.parametrize("without", ["", "rich"])
def test_ascii_terminal_gets_ascii(run: Run, without: str, tmp_path: Path) -> None:
    """A report that cannot be encoded would be a traceback, also where the loader's name is the user's."""
    (tmp_path / "müsli.py").write_text(SYNC_LOADER)
    arguments = ("herd", "--runtime", "threads", *SMALL, "--load", "müsli:load")
    done = run(*arguments, without=without, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "origin: m\\xfcsli:load" in done.stdout


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
