"""The tests' own workerd: what becomes of it when they do not end as they should."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from tests.durable_objects.workerd import PATIENCE_SECONDS

RUN = """\
import subprocess
from tests.durable_objects.workerd import ended_with_this_process

process = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
guard = ended_with_this_process(process.pid)
print(process.pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a file descriptor of a process is Linux's")
def test_killed_run_leaves_no_process() -> None:
    """It would go on for ever, and has grown to gigabytes."""
    with subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        left = os.pidfd_open(int(run.stdout.readline()))
        run.kill()
    try:
        ended, _, _ = select.select([left], [], [], PATIENCE_SECONDS)
    finally:
        os.close(left)
    assert ended
