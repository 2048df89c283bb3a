"""Bad input to the command: one clear line on stderr, exit status 2."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from herdless.__main__ import main
from herdless._command.herd import runtimes


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command says to these arguments."""
    try:
        status: int | str | None = main(arguments)
    except SystemExit as end:  # argparse's own way out
        status = end.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize("argument", ["--callers", "--keys"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "", "1000000000"])
def test_counts_are_positive_integers(capsys: pytest.CaptureFixture[str], argument: str, value: str) -> None:
    """Zero callers would be a run that cannot fail, a billion one that cannot begin."""
    line = complaint(capsys, "herd", f"{argument}={value}")
    assert line == f"herdless herd: argument {argument}: {value!r} is not accepted: give an integer from 1 to 100,000"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["herd", "--runtime", "twisted"], "argument --runtime: invalid choice: 'twisted'"),
        (["herd", "--seed", "x"], "argument --seed: 'x' is not accepted: give an integer"),
        (["soak", "--runtime", "twisted"], "argument --runtime: invalid choice: 'twisted'"),
        (["soak", "--seconds", "0"], "argument --seconds: '0' is not accepted: give a number of seconds from 1 to"),
        (["soak", "--seconds", "nan"], "argument --seconds: 'nan' is not accepted"),
        (["soak", "--seconds", "soon"], "argument --seconds: 'soon' is not accepted"),
        (["soak", "--seed", "x"], "argument --seed: 'x' is not accepted: give an integer"),
        (["soak", "cache"], "unrecognized arguments: cache"),
        (["herd", "--colour"], "unrecognized arguments: --colour"),
        (["stampede"], "argument COMMAND: invalid choice: 'stampede'"),
        (
            ["herd", "--latency", "-1"],
            "argument --latency: '-1' is not accepted: give a number of seconds from 0 to 60",
        ),
        (["herd", "--load", "a:b", "--latency", "1"], "not allowed with argument"),
        (["herd", "--load", ""], "--load : give MODULE:CALLABLE"),
        (["herd", "--load", "json"], "--load json: give MODULE:CALLABLE, this is of type module"),
        (["herd", "--load", ":loads"], "--load :loads: give MODULE:CALLABLE"),
        (["herd", "--load", "no_such_module:load"], "give MODULE:CALLABLE that imports: ModuleNotFoundError"),
        (["herd", "--load", ".relative:load"], "--load .relative:load: give MODULE:CALLABLE"),
        (["herd", "--load", "json:load_all"], "AttributeError: module 'json' has no attribute 'load_all'"),
        (["herd", "--load", "json:__name__"], "--load json:__name__: give MODULE:CALLABLE, this is of type str"),
        (["trace"], "the following arguments are required: FILE"),
        (["trace", "no-such.trace"], "FILE no-such.trace: No such file or directory"),
        (["trace", "no-such.trace", "--limit", "0"], "argument --limit: '0' is not accepted: give an integer >= 1"),
        (["--callers", "none"], "argument --callers: 'none' is not accepted"),
    ],
)
def test_argument_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    """The line names the argument, its value and what is wrong with it."""
    assert says in complaint(capsys, *arguments)


def test_module_that_raises_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module may fail in any way while it is imported."""
    (tmp_path / "broken_shop.py").write_text("raise ValueError('no\\nshop')")
    monkeypatch.syspath_prepend(tmp_path)
    assert complaint(capsys, "--load", "broken_shop:load").endswith("that imports: ValueError: no")


def test_async_loader_is_not_for_threads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by name, it is an error and no empty report."""
    (tmp_path / "async_shop.py").write_text("async def load(key): return key")
    monkeypatch.syspath_prepend(tmp_path)
    line = complaint(capsys, "--load", "async_shop:load", "--runtime", "threads")
    assert line == "herdless herd: --runtime threads: an async --load cannot serve threads: give a sync one"


class ScarceThread(threading.Thread):
    """A thread of a machine that has only three."""

    started = 0

    def start(self) -> None:
        """Start it, if it is one of the three."""
        if ScarceThread.started == 3:
            raise RuntimeError("can't start new thread")
        ScarceThread.started += 1
        super().start()


def test_more_callers_than_threads_to_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads that wait for the others are let go, and the user is told how many there were."""
    before = threading.active_count()
    monkeypatch.setattr(ScarceThread, "started", 0)
    monkeypatch.setattr(runtimes, "Thread", ScarceThread)
    line = complaint(capsys, "--runtime", "threads", "--callers", "5")
    assert line == "herdless herd: --callers 5: this machine starts no more than 3 threads; ask for fewer"
    assert threading.active_count() == before
