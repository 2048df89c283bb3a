"""The origin that the objects load from: it counts, it can be made to wait, to refuse, and to be away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from time import sleep
from typing import Any, Final, Self, final

PATIENCE_SECONDS: Final = 60
"""How long a test waits for a request that should come before it fails."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    origin: Origin


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer with what the test has set for the path, when it lets go of it."""
        status, body = self.server.origin.answer(self.path.lstrip("/"))
        content = body.encode()
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked was killed, as the test wanted

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  # the base class's name
        """Nothing: the test tells what happened."""


@final
class Origin:
    """An HTTP server. Answers with `"value 1"`, `"value 2"` ... by path, counting, unless told otherwise.

    seconds: how long each answer takes, for benchmarks.
    """

    def __init__(self, seconds: float = 0) -> None:
        self._seconds: Final = seconds
        self._changed: Final = Condition()
        self._requests: Final[Counter[str]] = Counter()
        self._answers: Final[dict[str, tuple[int, str]]] = {}
        self._held: Final[set[str]] = set()
        self.scene: Callable[[str], str] | None = None
        """Answers, instead of the origin, for the paths below `scene/`, with JSON."""
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.origin = self
        self.port: Final[int] = self._server.server_address[1]
        self._thread: Final = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def requests(self, path: str) -> int:
        """How many requests have come for this path."""
        with self._changed:
            return self._requests[path]

    def answers(self, path: str, value: Any, status: int = 200) -> None:
        """From now on the path is answered with this JSON; an error's body is the text itself."""
        with self._changed:
            self._answers[path] = status, json.dumps(value) if status == 200 else str(value)

    def answers_text(self, path: str, text: str) -> None:
        """From now on the path is answered with this text, which need not be JSON."""
        with self._changed:
            self._answers[path] = 200, text

    @property
    def total(self) -> int:
        """How many requests have come for whatever path."""
        with self._changed:
            return self._requests.total()

    @contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Requests for the path are not answered before the end of the block."""
        with self._changed:
            self._held.add(path)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(path)
                self._changed.notify_all()

    def wait_for(self, path: str, count: int = 1) -> None:
        """Wait until so many requests have come. Raises TimeoutError if they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._requests[path] >= count, PATIENCE_SECONDS):
                raise TimeoutError(f"{self._requests[path]} of {count} requests for {path} have come")

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body for one request, as soon as the path is not held."""
        if self.scene is not None and path.startswith("scene/"):
            return 200, self.scene(path.removeprefix("scene/"))
        sleep(self._seconds)
        with self._changed:
            self._requests[path] += 1
            count = self._requests[path]
            self._changed.notify_all()
            self._changed.wait_for(lambda: path not in self._held)
            return self._answers.get(path, (200, json.dumps(f"value {count}")))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._held.clear()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
