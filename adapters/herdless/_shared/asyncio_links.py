"""What a shared cache has on asyncio: a connection and a few tasks for the event loop in which it is used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, Generic, final

from herdless._shared.awaited.links import AwaitedLink, AwaitedPlace
from herdless._shared.awaited.words import AwaitedWords
from herdless.adapter import K, V, awaitable
from herdless.stores import AsyncConnection, StoreDown
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed, Failure, LoadCancelled, Loaded, LoadTimeout, MisuseError
from herdless_core._fleet.requests import Ended, Load


@final
class Place(AwaitedPlace):
    """Where one session hears news of its key."""

    def __init__(self) -> None:
        super().__init__()
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look_anew(self) -> None:
        """See `BasePlace`."""
        super().look_anew()
        if self._news.done():
            self._news = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """See `BasePlace`."""
        if not self._news.done():
            self._news.set_result(None)

    async def wait(self, seconds: float) -> None:
        """See `AwaitedPlace`."""
        await asyncio.wait((self._news,), timeout=seconds)


@final
class Link(AwaitedLink):
    """What a shared cache has in the loop in which it is used."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.loop: Final = asyncio.get_running_loop()
        self.begun: Final[asyncio.Future[None]] = self.loop.create_future()
        """Done when it listens, or cannot."""
        self.tasks: Final[set[asyncio.Task[Any]]] = set()

    def begin(self) -> None:
        """See `BaseLink`."""
        if not self.begun.done():
            self.begun.set_result(None)


class AsyncioLinks(AwaitedWords[K, V], Generic[K, V]):
    """What only asyncio does so."""

    _link: Link | None = None
    _is_closed = False

    async def _open(self) -> Link:
        """The link of the running loop; the first one begins it."""
        loop = asyncio.get_running_loop()
        link = self._link
        if self._is_closed:
            raise CacheClosed("the cache is closed")
        if link is None:
            link = self._link = Link(self._fleet.store.connect_async())
            self._spawn(link, self._listen(link))
        if link.loop is not loop:
            raise MisuseError(
                "a shared cache belongs to the event loop in which it was first used: make one for each loop, or close "
                "it before the next one begins"
            )
        if not link.begun.done():
            await asyncio.wait((link.begun,))
        return link

    def _is_open(self) -> bool:
        link = self._link
        return link is not None and link.begun.done() and link.loop is asyncio.get_running_loop()

    def _spawn(self, link: AwaitedLink, work: Coroutine[Any, Any, Any], name: str = "herdless") -> None:
        assert isinstance(link, Link)  # noqa: S101  # it is the one that `_open` made
        task = link.loop.create_task(_quiet(work), name=name)
        link.tasks.add(task)
        task.add_done_callback(link.tasks.discard)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _place(self) -> Place:
        return Place()

    # Loads, each a task of its own

    async def _run(self, link: AwaitedLink, key: K, text: str, request: Load) -> Ended:
        """Call the loader, and renew its lease until it has ended or is overdue."""
        self._counters.loads += 1
        record, flight = request.record, request.flight
        task = asyncio.get_running_loop().create_task(self._call(key))
        try:
            renew_at = self._now() + self._fleet.lease // 3
            while True:
                rest = min(renew_at, flight.due_at) - self._now()
                await asyncio.wait((task,), timeout=max(rest, 0) / NANOSECONDS_PER_SECOND)
                now = self._now()
                if task.done() or now >= flight.due_at:
                    break
                if now >= renew_at:
                    record, renew_at = await self._renewed(link, text, record), now + self._fleet.lease // 3
        finally:
            if not task.done():
                task.cancel()
        return self._ended(key, request, task.result() if task.done() else None, record)

    async def _call(self, key: K) -> Loaded[bytes] | bytes | Failure:
        try:
            return self._encoded(await awaitable(self._load, self._load(key)))
        except Exception as error:  # noqa: BLE001  # it is told to those who wait
            return Failure(error, error.__traceback__)
        except asyncio.CancelledError as error:
            cancelled = LoadCancelled("the load was cancelled")
            cancelled.__cause__ = error
            return Failure(cancelled, None)

    async def _load_within(self, key: K, seconds: float | None) -> object:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await awaitable(self._load, self._load(key))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LoadTimeout(f"the load did not end within load_timeout={seconds} seconds") from error

    def _abandon(self) -> None:
        self._link = None


async def _quiet(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(StoreDown):
        await work
