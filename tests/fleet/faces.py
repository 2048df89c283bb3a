"""A shared cache of either colour in this process, with the same methods, which all wait."""

# ruff: noqa: D102  # the methods are documented where they are declared

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
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


class TrioFace(Face):
    """In a run of its own, on a thread. The cache is open for as long as the run lasts, or opened again by `reopen`."""

    def __init__(self, load: Callable[[Any], Any], store: Store, options: dict[str, Any]) -> None:
        self._limiter: Final = trio.CapacityLimiter(64)
        self._opened: Final[Future[None]] = Future()
        self._scopes: Final[dict[Future[Any], trio.CancelScope]] = {}

        async def load_aside(key: Any) -> Any:
            return await trio.to_thread.run_sync(load, key, limiter=self._limiter, abandon_on_cancel=True)

        self.cache = herdless.trio.SharedCache(load_aside, store=store, **options)
        self._is_wanted = True
        self._thread: Final = threading.Thread(target=trio.run, args=(self._live,))
        self._thread.start()
        self._opened.result(PATIENCE)

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as self._nursery:
                while self._is_wanted:
                    self._again = trio.Event()
                    async with self.cache:
                        if not self._opened.done():
                            self._opened.set_result(None)
                        await self._again.wait()
        except BaseException as error:
            if not self._opened.done():
                self._opened.set_exception(error)
                return
            raise

    def begin(self, method: str, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()

        async def call() -> None:
            with trio.CancelScope() as self._scopes[future]:
                try:
                    result = getattr(self.cache, method)(*args)
                    result = await result if inspect.iscoroutine(result) else result
                except Exception as error:  # noqa: BLE001  # it is the reply
                    future.set_exception(error)
                else:
                    future.set_result(result)

        if method == "__aenter__":
            self._token.run_sync_soon(self._again.set)
            future.set_result(None)
        else:
            self._token.run_sync_soon(self._nursery.start_soon, call)
        return future

    def cancel(self, begun: Future[Any]) -> None:
        self._token.run_sync_soon(self._scopes[begun].cancel)

    def close(self) -> None:
        self._is_wanted = False
        self._token.run_sync_soon(self._again.set)
        self._thread.join()


FACES: Final = {"asyncio": AsyncioFace, "threads": ThreadsFace, "trio": TrioFace}


@contextlib.contextmanager
def made(colour: str, load: Callable[[Any], Any], store: Store, **options: Any) -> Iterator[Face]:
    """A cache that is open for as long as the block lasts."""
    face = FACES[colour](load, store, options)
    try:
        yield face
    finally:
        face.close()
