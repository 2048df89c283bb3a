"""Several processes with one file: nobody's lines are lost, whoever dies, forks or comes later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from herdless.threads import Cache
from herdless.trace import LINE_LIMIT, NotATrace, Recorded, TraceFile, TraceWriter, departure, read_trace
from herdless_core import Keyspace, Policy

WORKER = """\
import sys
from herdless.threads import Cache
from herdless.trace import TraceFile

with TraceFile("service.trace") as trace, Cache(str.upper, observe=trace) as cache:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(200):
        cache.get(f"{sys.argv[1]} {number}")
        cache.invalidate(f"{sys.argv[1]} {number}")
"""

FORKING = """\
import os
from herdless.threads import Cache
from herdless.trace import TraceFile

def fork(then):
    child = os.fork()
    if child == 0:
        then()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def load(key):
    if key == "forks":
        fork(grandchild)
    return key.upper()

def grandchild():
    cache.get("b")

def child():
    assert cache.peek("a") == "A"
    cache.invalidate("a")
    cache.get("a")
    cache.get("forks")

trace = TraceFile("service.trace")
cache = Cache(load, ttl=60, observe=trace)
cache.get("a")
fork(child)
cache.get("c")
cache.invalidate("a")
"""

FILLS_THE_DISK = """\
import resource
from herdless.threads import Cache
from herdless.trace import TraceFile

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
with TraceFile("service.trace") as trace:
    cache = Cache(str.upper, observe=trace)
    for key in "abcdef":
        cache.get(key)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    cache.get("there is room again")
"""

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")


def python(script: str, folder: Path) -> str:
    """Run it; returns its log."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def steps(path: Path) -> list[Recorded]:
    """The steps in the file, which are those of correct caches."""
    lines = [line for line in read_trace(path) if isinstance(line, Recorded)]
    assert departure(lines) is None
    return lines


def lines_of(*keys: str, owner: str | None = None) -> list[str]:
    """What a cache records that is asked to put these keys."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append, owner=owner))
    for key in keys:
        keyspace.put(key, key, 0)
    return lines


def test_workers_with_one_path_lose_nothing(tmp_path: Path) -> None:
    """A server starts two workers, which import the same module: both open the same trace, and write by turns."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, name],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.communicate("go\n", timeout=60)
        assert worker.returncode == 0
    recorded = steps(tmp_path / "service.trace")
    assert len(recorded) == 2 * 200 * 3
    assert len({line.section.owner for line in recorded}) == 2


@NEEDS_FORK
def test_forked_child_goes_on_under_a_name_of_its_own(tmp_path: Path) -> None:
    """A server that loads the application before it forks: the child has its parent's values, and not its flights."""
    python(FORKING, tmp_path)
    told = [
        (line.section.number, line.key, type(line.step.event).__name__) for line in steps(tmp_path / "service.trace")
    ]
    parent, child, grandchild = ([told[1:] for told in told if told[0] == number] for number in (1, 2, 3))
    assert parent == [
        ("'a'", "Get"),
        ("'a'", "LoadSucceeded"),
        ("'c'", "Get"),
        ("'c'", "LoadSucceeded"),
        ("'a'", "Invalidate"),
    ]
    assert child[:3] == [("'a'", "Invalidate"), ("'a'", "Get"), ("'a'", "LoadSucceeded")]
    assert child[3:] == [("'forks'", "Get"), ("'forks'", "LoadSucceeded")]
    assert grandchild == [("'forks'", "Restarted"), ("'b'", "Get"), ("'b'", "LoadSucceeded")]


@NEEDS_FORK
def test_forked_child_is_judged_from_its_first_step_of_a_key(tmp_path: Path) -> None:
    """What it has from its parent is not known; what it does itself is."""
    python(FORKING, tmp_path)
    path = tmp_path / "service.trace"
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    headers = [json.loads(line) for line in lines if "herdless_trace" in line]
    assert [header.get("is_forked", False) for header in headers] == [False, True, True]
    invalidated = next(at for at, line in enumerate(lines) if '"Invalidate"' in line)
    assert headers[1]["owner"] in lines[invalidated]
    again = [*lines[: invalidated + 1], lines[invalidated], *lines[invalidated + 1 :]]
    found = departure(read_trace(again))
    assert found is not None
    assert found.line == invalidated + 2, "what was invalidated is there once more"
    not_said = [line.replace(',"is_forked":true', "") for line in lines]
    found = departure(read_trace(not_said))
    assert found is not None
    assert found.line == invalidated + 1, "any other cache begins empty"


def test_line_that_was_cut_short_anywhere_hides_no_other_line() -> None:
    """One process is killed while it writes; what the others append stands directly behind."""
    one, other = lines_of("a", "b", owner="one"), lines_of("c", owner="other")
    last = one[-1].rstrip("\n")
    for length in range(1, len(last)):
        read = list(read_trace([*one[:-1], last[:length] + other[0], *other[1:]]))
        assert [line.key for line in read if isinstance(line, Recorded)] == ["'a'", "'c'"], last[:length]
        assert len(list(read_trace([*one[:-1], *other, last[:length]]))) == 2, "the file ends there"
    whole = [line.key for line in read_trace([*one[:-1], last + other[0], *other[1:]]) if isinstance(line, Recorded)]
    assert whole == ["'a'", "'b'", "'c'"], "only the end of the line was cut off"
    header = one[0].rstrip("\n")
    for length in range(1, len(header)):
        assert len(list(read_trace([header[:length] + other[0], *other[1:]]))) == 1


def test_owner_that_goes_on_after_a_cut_line_is_refused() -> None:
    """A step is missing then, and the next one would be taken for a mistake of the cache."""
    one, other = lines_of("a", "b", "c", owner="one"), lines_of("d", owner="other")
    cut = [*one[:2], one[2][:40] + other[0], *other[1:], one[3]]
    with pytest.raises(NotATrace, match="line 5 goes on after line 3, which was cut short"):
        list(read_trace(cut))
    assert len(list(read_trace([*cut[:-1], *one[:2]]))) == 3, "with a header it begins anew"


def test_damage_is_not_taken_for_a_cut() -> None:
    """Only what another line's beginning has cut is left out."""
    one = lines_of("a", "b", owner="one")
    for damaged in (one[2][:40] + "\n", "x" + one[2], one[2].rstrip("\n") + "x\n", one[2][:40] + one[2][1:]):
        with pytest.raises(NotATrace, match="line 3 is not JSON"):
            list(read_trace([*one[:2], damaged, *one]))


@NEEDS_FORK
def test_full_disk_ends_the_recording_and_not_the_truth(tmp_path: Path) -> None:
    """A trace with a hole would accuse the cache: so there is no line after the one that did not fit."""
    log = python(FILLS_THE_DISK, tmp_path)
    assert "the recording of the trace has ended" in log
    path = tmp_path / "service.trace"
    assert path.stat().st_size == 2_000
    before = len(steps(path))
    assert 2 < before < 12
    with TraceFile(path) as trace:
        Cache(str.upper, observe=trace).get("later")
    assert len(steps(path)) == before + 2


def test_recorder_that_failed_once_records_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever failed: the text of a key, or the place to write to."""
    lines: list[str] = []

    def text(key: str) -> str:
        if key == "bad":
            raise OSError("no text for it")
        return key

    cache = Cache(str.upper, observe=TraceWriter(lines.append, key=text))
    for key in ("a", "bad", "b"):
        assert cache.get(key) == key.upper()
    assert len(lines) == 3
    assert departure(read_trace(lines)) is None
    assert len(caplog.records) == 1
    assert "the recording of the trace has ended" in caplog.text


@pytest.mark.parametrize("content", ["# Diary\n", "{}\n", "[1]"])
def test_file_that_is_no_trace_is_left_alone(tmp_path: Path, content: str) -> None:
    """A mistaken name does not cost a file."""
    path = tmp_path / "diary.md"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds something that is no trace.*diary\.md"):
        TraceFile(path)
    assert path.read_text(encoding="utf-8") == content


def test_long_texts_are_shortened_and_told_apart() -> None:
    """A line stays within what a reader accepts, whatever is a key, a name of a task, or a message."""
    keys = ["\N{SNOWMAN}" * 2_000_000, "\N{SNOWMAN}" * 2_000_000 + "!", "\ud800" * 4_001]
    lines: list[str] = []
    recorder = TraceWriter(lines.append, key=str, by=lambda: "x" * 10_000_000, value=lambda value: str(value) * 5_000)
    cache = Cache(str.upper, observe=recorder)
    for key in keys:
        cache.put(key, "value")
    assert max(map(len, lines)) < LINE_LIMIT
    read = [line for line in read_trace(lines) if isinstance(line, Recorded)]
    assert len({line.key for line in read}) == 3
    assert departure(read) is None


def test_long_message_of_a_remembered_error_is_the_same_everywhere() -> None:
    """In the report, in the entry and in the answer: or the replay would find another error."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(negative_ttl=60), observe=TraceWriter(lines.append))
    keyspace.get("a", 0)
    keyspace.load_failed(1, ValueError("long " * 2_000_000), 1)
    keyspace.put("a", "b", 2)
    assert max(map(len, lines)) < 20_000
    assert departure(read_trace(lines)) is None
