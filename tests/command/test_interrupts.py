"""The tests of interrupts where those who started them had interrupts ignored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DEAF = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="what is ignored is inherited by POSIX alone")
def test_interrupts_are_heard_under_nohup() -> None:
    """A build server runs the tests in the background of a script, where a shell ignores interrupts for them."""
    tests = ("-q", "-p", "no:cacheprovider", "tests/command/test_herd.py", "-k", "interrupt and threads")
    done = subprocess.run(
        [sys.executable, "-c", DEAF, "-m", "pytest", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
