"""One workerd process: its start, its end, and what it is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Self, final
from urllib.parse import quote

from tests.durable_objects.build import SOCKETS, Build
from tests.durable_objects.packages import Runtime

PATIENCE_SECONDS: Final = 60
"""How long a test waits for anything before it fails."""


class StartFailed(Exception):
    """workerd did not come up; the message ends with what it wrote."""


@final
class Workerd:
    """A running workerd."""

    def __init__(self, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
        self._process: Final = process
        self._guard: Final = ended_with_this_process(process.pid)
        self.ports: Final = ports

    @property
    def pid(self) -> int:
        """The process whose CPU time the benchmark reads."""
        return self._process.pid

    def ask(
        self, objects: str, key: str, method: str, *arguments: object, front: str = "javascript", replicas: int = 0
    ) -> Any:
        """What an object's method answers, by way of one of the fronts. A front's failure is data as well."""
        connection = self.connect(front)
        try:
            return self.ask_over(connection, objects, key, f"{method}?replicas={replicas}", *arguments)
        finally:
            connection.close()

    def connect(self, front: str = "javascript") -> HTTPConnection:
        """A connection to one of the fronts."""
        return HTTPConnection("127.0.0.1", self.ports[front], timeout=PATIENCE_SECONDS)

    def ask_over(self, connection: HTTPConnection, objects: str, key: str, method: str, *arguments: object) -> Any:
        """As `ask`, over a connection that may be closed meanwhile."""
        connection.request("POST", f"/{objects}/{quote(key, safe='')}/{method}", body=json.dumps(arguments))
        return json.loads(connection.getresponse().read())

    def kill(self) -> None:
        """End it as a crash of its machine would: kill -9."""
        self._guard.kill()
        self._guard.communicate()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def start(runtime: Runtime, build: Build, disk: Path, origin: int) -> Workerd:
    """Start workerd with its durable storage in `disk` and the origin at this port, and wait until it listens."""
    disk.mkdir(parents=True, exist_ok=True)
    log = disk.with_suffix(".log")
    read, write = os.pipe()
    options = ["--experimental", f"--control-fd={write}", f"--directory-path=disk={disk}"]
    options += [f"--socket-addr={socket}=127.0.0.1:0" for socket in SOCKETS]
    options += [f"--external-addr=origin=127.0.0.1:{origin}"]
    options += [f"--pyodide-bundle-disk-cache-dir={runtime.bundle_directory}"]
    options += [f"--python-snapshot-dir={build.directory}", f"--python-load-snapshot={build.snapshot.name}"]
    command = [str(runtime.workerd), "serve", str(build.config), *options]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, pass_fds=[write], stdout=stream, stderr=stream)
    os.close(write)
    with os.fdopen(read) as control:
        ports = dict(_ports(control))
    if len(ports) < len(SOCKETS):
        process.kill()
        process.wait()
        raise StartFailed(f"workerd did not listen: {log.read_text()[-2000:]}")
    return Workerd(process, ports)


def ended_with_this_process(pid: int) -> subprocess.Popen[bytes]:
    """A process that kills that one when this one ends, however it ends. A killed test run leaves no workerd then."""
    command = ["sh", "-c", 'read -r _; kill -9 "$1"', "sh", str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)  # a pipe, which the system closes then


def _ports(control: Iterator[str]) -> Iterator[tuple[str, int]]:
    found = 0
    for line in control:
        event = json.loads(line)
        if event["event"] == "listen":
            yield event["socket"], event["port"]
            found += 1
            if found == len(SOCKETS):
                return
