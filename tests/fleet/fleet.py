"""Several processes, a store and an origin, as a test drives them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from tests.fleet.origin import Origin
from tests.fleet.server import PATIENCE

ROOT: Final = Path(__file__).parents[2]
Ends = list[dict[str, Any]]
names = itertools.count()


class Worker:
    """One process; see `tests.fleet.worker`."""

    def __init__(self, config: dict[str, Any], shift: int = 0) -> None:
        """shift: by how many seconds its clocks are wrong."""
        program = ["tests.fleet.shifted", str(shift)] if shift else ["tests.fleet.worker"]
        self._process: Final = subprocess.Popen(
            [sys.executable, "-m", *program, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._ids: Final = itertools.count()
        self._waiting: Final[dict[int, Future[dict[str, Any]]]] = {}
        self._ready: Final = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_ready(self) -> None:
        """It listens to the store."""
        assert self._ready.wait(PATIENCE), "the process did not start"

    def begin(self, do: str, *args: object, times: int = 1) -> Future[dict[str, Any]]:
        """Give an order; what comes of it later."""
        future: Future[dict[str, Any]] = Future()
        number = next(self._ids)
        self._waiting[number] = future
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"id": number, "do": do, "args": args, "times": times}) + "\n")
        stdin.flush()
        return future

    def do(self, do: str, *args: object) -> dict[str, Any]:
        """Give an order, and wait for what comes of it."""
        return ends_of(self.begin(do, *args))[0]

    def value(self, key: object) -> Any:
        """What `get` gives."""
        end = self.do("get", key)
        assert "value" in end, end
        return end["value"]

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT."""
        os.kill(self._process.pid, number)
        if number == signal.SIGKILL:
            self._process.wait()

    def close(self) -> None:
        """The end of the test, for whatever state it is in."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            for line in stdout:
                if line == "ready\n":
                    self._ready.set()
                else:
                    reply = json.loads(line)
                    self._waiting.pop(reply["id"]).set_result(reply)
        except ValueError:
            pass  # the pipe was closed


BUSY: Final = 20
"""Unless a test says another `staleness`: who says nothing for less than half of it is busy, and not taken for dead."""


class Fleet:
    """Processes that share a cache."""

    def __init__(self, server: Any, origin: Origin) -> None:
        """server: a `Server`, a `Postgres`, or what else has a `url`."""
        self.server: Final = server
        self.origin: Final = origin
        self.name: Final = f"f{next(names)}"
        self.workers: Final[list[Worker]] = []
        self.diaries: Path | None = None
        """Where each process writes down what it asks the store to write, if it is to."""

    def start(
        self,
        *colours: str,
        store: str | None = None,
        timeout: float = PATIENCE,
        connecting: dict[str, Any] | None = None,
        shift: int = 0,
        **options: Any,
    ) -> list[Worker]:
        """One process for each colour, all of which listen when this returns.

        store, timeout, connecting: what the store is made of, which is not down because the machine is busy; shift: by
        how many seconds their clocks are wrong; options: those of the cache.
        """
        config = {
            "store": store or self.server.url,
            "origin": self.origin.url,
            "name": self.name,
            "timeout": timeout,
            "connecting": connecting or {},
            "options": {"staleness": BUSY, **options},
        }
        started = [Worker(config | self._of_one(colour), shift) for colour in colours]
        self.workers.extend(started)
        for worker in started:
            worker.wait_until_ready()
        return started

    def _of_one(self, colour: str) -> dict[str, str]:
        if self.diaries is None:
            return {"colour": colour}
        return {"colour": colour, "diary": str(self.diaries / f"{next(names)}.jsonl")}

    def close(self) -> None:
        """The end of the test."""
        for worker in self.workers:
            worker.close()


def ends_of(future: Future[dict[str, Any]]) -> Ends:
    """What came of the calls of one order."""
    ends: Ends = future.result(PATIENCE)["ends"]
    return ends


def values_of(future: Future[dict[str, Any]]) -> set[Any]:
    """The values; there must be no errors."""
    ends = ends_of(future)
    assert all("value" in end for end in ends), ends
    return {end["value"] for end in ends}
