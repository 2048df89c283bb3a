"""Programs that a test starts, and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0
"""Seconds after which a test takes something to hang."""


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def started(
    command: list[str], folder: Path, environment: Mapping[str, str], *, is_killed: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """The program for as long as the block lasts; what it says is in the folder's `log.txt`.

    command: its words; folder: where it runs; environment: what it has beside this process's own; is_killed: whether
    it and its children end at once, and not when it is asked to.
    """
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if is_killed and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until_it_answers(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    """Until somebody listens on the port; the program can tell nobody that it has begun."""
    pause = threading.Event()
    for _ in range(round(PATIENCE / 0.05)):
        assert process.poll() is None, (folder / "log.txt").read_text(encoding="utf-8")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
            return
        pause.wait(0.05)
    raise AssertionError((folder / "log.txt").read_text(encoding="utf-8"))
