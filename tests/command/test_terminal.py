"""What the command does at a terminal and in a pipe: help, version, progress, a reader that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from herdless.__main__ import main
from tests.command.conftest import Run

SMALL = ("herd", "--runtime", "threads", "--callers", "5", "--keys", "3")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when it ends while it reads its arguments."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_names_the_subcommands_and_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page that a new user reads, in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    text = said(capsys, "--help")
    assert "herd      send a herd of callers at a slow origin" in text
    assert "130 interrupted" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("subcommand", ["herd", "trace", "verify", "soak"])
def test_help_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, subcommand: str
) -> None:
    """And says what the exit status means, for scripts."""
    monkeypatch.setenv("COLUMNS", "80")
    text = said(capsys, subcommand, "--help")
    assert "Exit status:" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_of_herd_says_what_load_expects(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody should have to read the code to try a loader of their own."""
    monkeypatch.setenv("COLUMNS", "80")
    assert "It is called\nwith a key" in said(capsys, "herd", "--help")


def test_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report begins with it."""
    assert said(capsys, "--version") == f"herdless {version('herdless')}\n"


def test_module_and_script_are_the_same_command(run: Run) -> None:
    """`python -m herdless` where the script is not on the path."""
    assert run("--version").stdout == f"herdless {version('herdless')}\n"


@pytest.mark.parametrize("form", ["--json", "--seed=1"])
def test_closed_stdout_is_no_traceback(tmp_path: Path, form: str) -> None:
    """`herdless | head` closes the pipe whenever it likes."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "herdless", *SMALL, form],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX facility")
def test_progress_is_shown_at_a_terminal_only(tmp_path: Path) -> None:
    """On stderr, so that a redirected report stays clean."""
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "herdless", *SMALL],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=120,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "cold: threads, plain ttl" in shown
    assert "cold: threads, plain ttl" not in done.stdout.decode()
