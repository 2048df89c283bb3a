"""Stores under trio: their connections for threads, used on trio's worker threads; and what only trio can hear.

A question to a store costs a change of threads in addition, some tens of microseconds. For that every store works
under trio that works for threads, by the same client: docs/fleet.md says what was measured.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, final

import trio

from herdless.stores._libpq import Runtime, Wait
from herdless.stores._protocol import AsyncConnection, AsyncListener, News, Swapped, SyncConnection, SyncListener

T = TypeVar("T")

THREADS: Final = 40
"""So many calls of one connection are under way at most; the store bounds its connections by itself."""
LOOKS_UP: Final = 0.25
"""Seconds after which a thread that listens returns, so that none is left behind for long."""
CLOSES_IN: Final = 5.0
"""Seconds that giving back may take, also where the caller is cancelled."""


@final
class BridgedConnection(AsyncConnection):
    """See `AsyncConnection` for every method. A call that is cancelled is left behind to end on its thread."""

    def __init__(self, inner: SyncConnection) -> None:
        self._inner: Final = inner
        self._limiter: Final = trio.CapacityLimiter(THREADS)

    async def read(self, key: str) -> bytes | None:
        return await self._call(self._inner.read, key)

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._call(self._inner.read_many, keys)

    async def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        return await self._call(lambda: self._inner.swap(key, expected, record, keep, drops=drops))

    async def forget(self, key: str) -> None:
        await self._call(self._inner.forget, key)

    async def forget_many(self, keys: Sequence[str]) -> None:
        await self._call(self._inner.forget_many, keys)

    async def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        return await self._call(self._inner.renew, key, version, lease, keep)

    async def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        return await self._call(self._inner.mark, key, version, keep)

    async def listen(self, owner: str) -> AsyncListener | None:
        made: list[SyncListener | None] = []

        def listen() -> None:
            made.append(self._inner.listen(owner))

        try:
            # Not left behind where it is cancelled: nobody would close the listener.
            await trio.to_thread.run_sync(listen, limiter=self._limiter)
        except trio.Cancelled:
            if made and made[0] is not None:
                made[0].close()
            raise
        return None if made[0] is None else _BridgedListener(made[0])

    async def alive(self, owners: Iterable[str]) -> set[str] | None:
        return await self._call(self._inner.alive, owners)

    async def time(self) -> int:
        return await self._call(self._inner.time)

    async def close(self) -> None:
        await _give_back(self._inner.close)

    async def _call(self, method: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(method, *args, limiter=self._limiter, abandon_on_cancel=True)


@final
class _BridgedListener(AsyncListener):
    def __init__(self, inner: SyncListener) -> None:
        self._inner: Final = inner
        self._limiter: Final = trio.CapacityLimiter(1)  # one at a time, also where the last one was left behind

    async def ask(self, mark: int) -> None:
        await trio.to_thread.run_sync(self._inner.ask, mark, limiter=self._limiter)

    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # as in `AsyncListener`
        return await trio.to_thread.run_sync(
            self._inner.next, min(timeout, LOOKS_UP), limiter=self._limiter, abandon_on_cancel=True
        )

    async def close(self) -> None:
        await _give_back(self._inner.close)


async def _give_back(close: Callable[[], None]) -> None:
    """Also where the caller is cancelled; it may be that the thread cannot be had, or does not end."""
    with trio.move_on_after(CLOSES_IN, shield=True):
        await trio.to_thread.run_sync(close, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True)


@final
class TrioInbox:
    """What is told by whatever thread, for one trio run to take, in its order."""

    def __init__(self) -> None:
        self._token: Final = trio.lowlevel.current_trio_token()
        self._send, self._receive = trio.open_memory_channel[News](math.inf)

    def put(self, news: News) -> None:
        """From any thread. A run that has ended hears nothing more."""
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._send.send_nowait, news)

    async def get(self, seconds: float) -> News | None:
        """What comes next; None where nothing does within so many seconds."""
        with trio.move_on_after(seconds):
            return await self._receive.receive()
        return None


@final
class TrioRuntime(Runtime):
    """How trio waits for PostgreSQL, without threads but for connecting."""

    async def wait(self, wait: Wait, seconds: float) -> bool:
        """See `Runtime`."""
        with trio.move_on_after(max(seconds, 0.0)):
            if wait.for_writing:
                await trio.lowlevel.wait_writable(wait.socket)
            else:
                await trio.lowlevel.wait_readable(wait.socket)
            return True
        return False

    async def in_thread(self, function: Callable[[], T]) -> T:
        """See `Runtime`."""
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)

    def semaphore(self, count: int) -> trio.Semaphore:
        """See `Runtime`."""
        return trio.Semaphore(count)

    async def acquire(self, semaphore: trio.Semaphore, seconds: float) -> bool:
        """See `Runtime`."""
        with trio.move_on_after(seconds):
            await semaphore.acquire()
            return True
        return False
