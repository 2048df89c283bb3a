"""A shared cache of either colour in this process, with the same methods, which all wait."""

# ruff: noqa: D102  # the methods are documented where they are declared

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import herdless.asyncio
import herdless.threads
from herdless.stores import Store
from tests.fleet.server import PATIENCE


class Face:
    """One cache. `cache` is the real one, for what does not wait."""

    cache: Any

    def begin(self, method: str, *args: Any) -> Future[Any]:
        """Call a method; what comes of it later."""
        raise NotImplementedError

    def do(self, method: str, *args: Any) -> Any:
        """Call a method, and wait for its end."""
        return self.begin(method, *args).result(PATIENCE)

    def get(self, key: Any) -> Any:
        """Look up."""
        return self.do("get", key)

    def cancel(self, begun: Future[Any]) -> None:
        """The caller is not interested any more."""
        raise NotImplementedError

    def close(self) -> None:
        """The end of the test."""
        raise NotImplementedError


class AsyncioFace(Face):
    """In a loop of its own, on a thread."""

    def __init__(self, load: Callable[[Any], Any], store: Store, options: dict[str, Any]) -> None:
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._pool: Final = ThreadPoolExecutor(64)

        async def load_aside(key: Any) -> Any:
            return await self._loop.run_in_executor(self._pool, load, key)

        try:
            self.cache = herdless.asyncio.SharedCache(load_aside, store=store, **options)
            self.do("__aenter__")
        except BaseException:
            self._end()
            raise

    def begin(self, method: str, *args: Any) -> Future[Any]:
        async def call() -> Any:
            result = getattr(self.cache, method)(*args)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self._loop)

    def cancel(self, begun: Future[Any]) -> None:
        begun.cancel()

    def close(self) -> None:
        try:
            self.do("close")
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown(wait=False)


class ThreadsFace(Face):
    """Each call on a thread of its own."""

    def __init__(self, load: Callable[[Any], Any], store: Store, options: dict[str, Any]) -> None:
        self.cache = herdless.threads.SharedCache(load, store=store, **options)
        self.cache.__enter__()
        self._pool: Final = ThreadPoolExecutor(64)

    def begin(self, method: str, *args: Any) -> Future[Any]:
        return self._pool.submit(getattr(self.cache, method), *args)

    def close(self) -> None:
        self.cache.close()
        self._pool.shutdown()


FACES: Final = {"asyncio": AsyncioFace, "threads": ThreadsFace}


@contextlib.contextmanager
def made(colour: str, load: Callable[[Any], Any], store: Store, **options: Any) -> Iterator[Face]:
    """A cache that is open for as long as the block lasts."""
    face = FACES[colour](load, store, options)
    try:
        yield face
    finally:
        face.close()
