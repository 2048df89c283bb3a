"""What tests do with a running workerd: hold a load, ask in the background, ask all at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Final, final
from urllib.parse import quote

from herdless.trace import departure, read_trace
from tests.durable_objects.origin import Origin
from tests.durable_objects.workerd import PATIENCE_SECONDS, Workerd

_POLL_SECONDS: Final = 0.01


@final
class Edge:
    """A workerd and its origin."""

    def __init__(self, workerd: Workerd, origin: Origin) -> None:
        self.workerd: Final = workerd
        self.origin: Final = origin
        self.ask: Final = workerd.ask

    def trace(self) -> list[str]:
        """What was recorded of all objects so far."""
        lines: list[str] = self.ask("Plain", "taker", "trace")
        return lines

    def settled(self, objects: str, key: str) -> None:
        """Return when no load of the key is in flight."""
        until(lambda: self.ask(objects, key, "stats")["in_flight"] == 0)

    @contextmanager
    def held(self, objects: str, key: str) -> Iterator[HeldLoads]:
        """The origin answers no load of this key before the end of the block."""
        with ThreadPoolExecutor(16) as background, self.origin.holding(f"{objects}/{key}"):
            yield HeldLoads(self, objects, key, background)


@final
class HeldLoads:
    """Callers of one key whose loads the origin holds. What they are answered is in their futures, after the block."""

    def __init__(self, edge: Edge, objects: str, key: str, background: ThreadPoolExecutor) -> None:
        self._edge: Final = edge
        self._objects: Final = objects
        self._key: Final = key
        self._background: Final = background

    def lead(self) -> Future[Any]:
        """Look up, and return when the load that this started has reached the origin."""
        path = f"{self._objects}/{self._key}"
        before = self._edge.origin.requests(path)
        call = self._background.submit(self._edge.ask, self._objects, self._key, "lookup")
        self._edge.origin.wait_for(path, before + 1)
        return call

    def join(self) -> Future[Any]:
        """Look up, and return when the object has counted one waiter more."""
        before = self._joins()
        call = self._background.submit(self._edge.ask, self._objects, self._key, "lookup")
        until(lambda: self._joins() == before + 1)
        return call

    def _joins(self) -> int:
        joins: int = self._edge.ask(self._objects, self._key, "stats")["joins"]
        return joins


def by_object(trace: list[str]) -> dict[str, list[str]]:
    """The lines of each object, of whatever instance."""
    objects: dict[str, list[str]] = {}
    for line in trace:
        instance: str = json.loads(line)["owner"]
        objects.setdefault(instance.rpartition(" ")[0], []).append(line)
    return objects


def assert_right(trace: list[str]) -> None:
    """Fail unless every object's steps are such as the machine takes, across the deaths of its instances."""
    for lines in by_object(trace).values():
        departed = departure(read_trace(lines))
        assert departed is None, f"{departed}\n{''.join(lines)}"


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it holds. Raises TimeoutError if it does not."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not holds():
        if monotonic() > deadline:
            raise TimeoutError("what the test waits for does not come")
        sleep(_POLL_SECONDS)


async def ask_together(port: int, paths: list[str]) -> list[Any]:
    """What each path is answered with, all of them asked at the same time, each on a connection of its own."""
    return await asyncio.gather(*(_ask(port, path) for path in paths))


async def _ask(port: int, path: str) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST {quote(path)} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()
    )
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return json.loads(_unchunked(body) if b"chunked" in head.lower() else body)


def _unchunked(body: bytes) -> bytes:
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        content += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return content
