"""How the tests run the command: as a user does, in a process of its own, or in this one with the mix made short."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from herdless.__main__ import main
from herdless._command.herd import runs

Run: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

BLOCKED = """\
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from herdless.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `herdless ARGUMENTS` in an empty directory; `without`: modules that cannot be imported there."""

    def run(*arguments: str, without: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        start = ["-c", BLOCKED, without] if without else ["-m", "herdless"]
        return subprocess.run(
            [sys.executable, "-W", "error", *start, *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "80", "PYTHONPATH": "", **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def short_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mix within this process takes no longer than it must."""
    monkeypatch.setattr(runs, "MIX_SECONDS", 0.05)
    monkeypatch.setattr(runs, "MIX_TTL_SECONDS", 0.01)


@pytest.fixture
def run_here(
    tmp_path: Path, short_mix: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The same within this process, where the mix can be made short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delitem(sys.modules, "shop", raising=False)

    def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, out, err)

    return run_here
