"""AWS's own runtime client calls a handler again and again; a server of the test's own stands for AWS."""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

import pytest

from tests.frameworks.processes import PATIENCE, ROOT, started

pytestmark = pytest.mark.needs("awslambdaric")


HEADERS: Final = ("Aws-Request-Id", "Invoked-Function-Arn", "Trace-Id", "Deadline-Ms")


class Cloud:
    """AWS's Runtime API, and the origin that the function asks. Both are one server."""

    def __init__(self) -> None:
        self.events: Final[queue.SimpleQueue[dict[str, Any]]] = queue.SimpleQueue()
        self.answers: Final[queue.SimpleQueue[dict[str, Any]]] = queue.SimpleQueue()
        self.asked: Final[queue.SimpleQueue[str]] = queue.SimpleQueue()
        self.gate: Final = threading.Event()
        """While it is not set, the origin lets its callers wait."""
        self.gate.set()
        self.numbers: Final[dict[str, int]] = {}
        self.process: Popen[bytes] | None = None

    def invoke(self, kind: str, key: str, frozen: float = 0) -> tuple[str, str]:
        """Send an event: the value, and how the cache got it. frozen: for how many seconds the process had been."""
        self.events.put({"kind": kind, "key": key, "frozen": frozen})
        answer = self.answers.get(timeout=PATIENCE)
        assert "errorMessage" not in answer, answer
        assert self.process is not None
        assert answer["pid"] == self.process.pid
        return answer["value"], answer["how"]

    def send_signal(self, number: int) -> None:
        """Freeze the process, or let it go on."""
        assert self.process is not None
        self.process.send_signal(number)


def handler_of(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    """The server's side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.path.endswith("/invocation/next"):
                key = self.path.rpartition("/")[2]
                cloud.numbers[key] = number = cloud.numbers.get(key, 0) + 1
                cloud.asked.put(key)
                cloud.gate.wait(PATIENCE)
                self._answer(200, f"{key} {number}".encode())
                return
            event = cloud.events.get()
            headers = {f"Lambda-Runtime-{name}": "1" for name in HEADERS} | {"Content-Type": "application/json"}
            self._answer(200, json.dumps(event).encode(), headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._answer(202, b"{}")
            cloud.answers.put(json.loads(body))

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
            pass

    return Handler


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A function that waits for events."""
    cloud = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(cloud))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    address = f"127.0.0.1:{server.server_port}"
    environment = {"AWS_LAMBDA_RUNTIME_API": address, "ORIGIN": f"http://{address}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "awslambdaric", "tests.frameworks.lambda_handler.handler"]
    try:
        with started(command, tmp_path, environment, is_killed=True) as cloud.process:
            yield cloud
    finally:
        cloud.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_values_outlive_an_invocation(cloud: Cloud, kind: str) -> None:
    """Though an async one has an event loop of its own, and the clock stands still or leaps between two of them."""
    assert cloud.invoke(kind, "tea") == ("tea 1", "loaded")
    assert cloud.invoke(kind, "tea", frozen=59) == ("tea 1", "hit")
    assert cloud.invoke(kind, "tea", frozen=3_600) == ("tea 2", "loaded")
    assert cloud.invoke(kind, "tea") == ("tea 2", "hit")


def test_refresh_that_is_waited_for_is_done_before_the_freeze(cloud: Cloud) -> None:
    """Otherwise it would be cancelled with the event loop."""
    assert cloud.invoke("async", "tea") == ("tea 1", "loaded")
    assert cloud.invoke("async", "tea", frozen=61) == ("tea 1", "stale")
    assert cloud.invoke("async", "tea") == ("tea 2", "hit")


def test_load_that_was_frozen_is_overdue_when_the_process_goes_on(cloud: Cloud) -> None:
    """It may have lost its connection, and what it brings is an hour old: nobody waits for it, and it is not kept."""
    assert cloud.invoke("sync", "tea") == ("tea 1", "loaded")
    assert cloud.asked.get(timeout=PATIENCE) == "tea"
    cloud.gate.clear()
    assert cloud.invoke("sync", "tea", frozen=61) == ("tea 1", "stale")
    assert cloud.asked.get(timeout=PATIENCE) == "tea", "the refresh is in the air"
    cloud.send_signal(signal.SIGSTOP)
    cloud.events.put({"kind": "sync", "key": "tea", "frozen": 3_600})
    cloud.send_signal(signal.SIGCONT)
    answer = cloud.answers.get(timeout=PATIENCE)
    assert (answer["value"], answer["how"]) == ("tea 1", "stale"), "as after any load that fails"
    cloud.gate.set()
    assert cloud.invoke("sync", "tea", frozen=60) == ("tea 3", "loaded"), "what was frozen is not kept"
    assert cloud.invoke("sync", "tea") == ("tea 3", "hit")
