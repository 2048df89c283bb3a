"""One workerd process: its configuration, its start, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, final

from tests.durable_objects.packages import COMPATIBILITY_DATE, PYODIDE, Runtime, sources_digest

PROJECT: Final = Path(__file__).parents[2]
APP: Final = Path(__file__).parent / "app"
EXAMPLE: Final = PROJECT / "docs" / "examples" / "edge"

_PACKAGES: Final = (PROJECT / "core" / "herdless_core", PROJECT / "adapters" / "herdless")
_WORKERS_ONLY: Final = ("herdless/threads.py", "herdless/trio.py", "herdless/__main__.py")


class StartFailed(Exception):
    """workerd did not come up; the message ends with what it wrote."""


@final
class Workerd:
    """A running workerd that serves `app`, its durable storage in `disk`."""

    def __init__(self, process: subprocess.Popen[bytes], ports: dict[str, int], log: Path) -> None:
        self._process: Final = process
        self.ports: Final = ports
        self.log: Final = log

    @property
    def pid(self) -> int:
        """The process whose CPU time the benchmark reads."""
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash of its machine would: kill -9."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def start(
    runtime: Runtime, config: Path, disk: Path, *, origin: int, sockets: tuple[str, ...], snapshot: Path | None
) -> Workerd:
    """Start workerd and wait until it listens."""
    disk.mkdir(parents=True, exist_ok=True)
    log = disk.with_suffix(".log")
    read, write = os.pipe()
    options = ["--experimental", f"--control-fd={write}", f"--directory-path=disk={disk}"]
    options += [f"--socket-addr={socket}=127.0.0.1:0" for socket in sockets]
    options += [f"--external-addr=origin=127.0.0.1:{origin}"]
    options += [f"--pyodide-bundle-disk-cache-dir={runtime.bundle_directory}"]
    if snapshot is not None:
        options += [f"--python-snapshot-dir={snapshot.parent}", f"--python-load-snapshot={snapshot.name}"]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [runtime.workerd, "serve", config, *options], pass_fds=[write], stdout=stream, stderr=stream
        )
    os.close(write)
    with os.fdopen(read) as control:
        ports = dict(_ports(control, len(sockets)))
    if len(ports) < len(sockets):
        process.kill()
        process.wait()
        raise StartFailed(f"workerd did not listen: {log.read_text()[-2000:]}")
    return Workerd(process, ports, log)


def _ports(control: Iterator[str], count: int) -> Iterator[tuple[str, int]]:
    for line in control:
        event = json.loads(line)
        if event["event"] == "listen":
            yield event["socket"], event["port"]
            count -= 1
            if count == 0:
                return
