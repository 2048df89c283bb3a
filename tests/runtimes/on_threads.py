"""What the tests of threads share: calls in threads of their own, a gate for loads, a script in its own process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from herdless_core import Join, Step

PATIENCE = 30.0
"""Seconds after which a deadlock fails a test; none waits for so long otherwise."""


class Call:
    """A function call in a thread of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._result: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._result = function(*args)
        except BaseException as error:  # noqa: BLE001  # given to whoever asks for the result
            self.error = error

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call hangs"

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        self.join()
        if self.error is not None:
            raise self.error
        return self._result


class Gate:
    """A loader whose loads wait for the gate, and an observer that knows how many callers joined."""

    def __init__(self) -> None:
        self.open = Event()
        self.entered = threading.Semaphore(0)
        self.joined = threading.Semaphore(0)
        self.threads: list[str] = []

    def load(self, key: str) -> str:
        """Wait for the gate."""
        self.threads.append(threading.current_thread().name)
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return key.upper()

    def observe(self, _key: str, step: Step) -> None:
        """Note who joins."""
        for effect in step.effects:
            if isinstance(effect, Join):
                self.joined.release()

    def wait_for_load(self) -> None:
        """Wait until one more load has been entered."""
        assert self.entered.acquire(timeout=PATIENCE)

    def wait_for_joins(self, count: int) -> None:
        """Wait until so many more callers have joined, those who lead included."""
        for _ in range(count):
            assert self.joined.acquire(timeout=PATIENCE)


def run_script(script: str) -> str:
    """Run the script in an interpreter of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
