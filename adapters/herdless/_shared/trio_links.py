"""What a shared cache has on trio: a connection, and a nursery of its own while it is open."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Coroutine
from typing import Any, Final, Generic, final

import trio

from herdless._shared.awaited.links import LEAVES, AwaitedLink, AwaitedPlace
from herdless._shared.awaited.words import AwaitedWords
from herdless.adapter import LOGGER, K, V, awaitable
from herdless.stores import AsyncConnection, StoreDown
from herdless_core import NANOSECONDS_PER_SECOND, NEVER, CacheClosed, Failure, Loaded, LoadTimeout
from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Ended, Load

LEAVES_IN: Final = 5.0
"""Seconds that leaving a claim to others may take, where all else is cancelled already."""


@final
class Place(AwaitedPlace):
    """Where one session hears news of its key."""

    def __init__(self) -> None:
        super().__init__()
        self._woken = trio.Event()

    def look_anew(self) -> None:
        """See `BasePlace`."""
        super().look_anew()
        if self._woken.is_set():
            self._woken = trio.Event()

    def wake(self) -> None:
        """See `BasePlace`."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """See `AwaitedPlace`."""
        with trio.move_on_after(seconds):
            await self._woken.wait()


@final
class Link(AwaitedLink):
    """What a shared cache has while it is open."""

    def __init__(self, connection: AsyncConnection, leaving: trio.Nursery) -> None:
        """leaving: where claims are left to others."""
        super().__init__(connection)
        self.leaving: Final = leaving
        self.background: trio.Nursery
        """Of all other tasks, which end by being cancelled. Its task is its own: whoever opened the cache is not."""
        self.begun: Final = trio.Event()
        """Set when it listens, or cannot."""

    def begin(self) -> None:
        """See `BaseLink`."""
        self.begun.set()

    async def host(self, task_status: trio.TaskStatus[None]) -> None:
        """Be there for the background."""
        async with trio.open_nursery() as self.background:
            task_status.started()
            await trio.sleep_forever()


@final
class Lease:
    """A load of this process, and the task that renews its lease."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.scope: Final = trio.CancelScope()


class TrioLinks(AwaitedWords[K, V], Generic[K, V]):
    """What only trio does so."""

    _link: Link | None = None

    async def _open(self) -> Link:
        link = self._link
        if link is None:
            raise CacheClosed("a trio cache loads inside its own nursery: open it by `async with cache:`")
        self._cache._require_own_run()
        if not link.begun.is_set():
            await link.begun.wait()
        return link

    def _is_open(self) -> bool:
        return self._link is not None and self._link.begun.is_set()

    def _spawn(self, link: AwaitedLink, work: Coroutine[Any, Any, Any], name: str = "herdless") -> None:
        assert isinstance(link, Link)  # noqa: S101  # it is the one that was opened
        try:
            if name == LEAVES:
                link.leaving.start_soon(_shielded, work, name=name)
            else:
                link.background.start_soon(_quiet, work, name=name)
        except RuntimeError:  # the nursery is closed already
            work.close()

    async def _sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def _place(self) -> Place:
        return Place()

    # Loads, each in the task that asked for it

    async def _run(self, link: AwaitedLink, key: K, text: str, request: Load) -> Ended:
        """Call the loader, while another task renews its lease; it is cancelled when it is overdue."""
        self._counters.loads += 1
        due_at, lease = request.flight.due_at, Lease(request.record)
        rest = math.inf if due_at == NEVER else max(due_at - self._now(), 0) / NANOSECONDS_PER_SECOND
        self._spawn(link, self._keep(link, text, lease))
        result: Loaded[bytes] | bytes | Failure | None = None
        try:
            with trio.move_on_after(rest):
                result = await self._call(key)
        finally:
            lease.scope.cancel()
        return self._ended(key, request, result, lease.record)

    async def _keep(self, link: AwaitedLink, text: str, lease: Lease) -> None:
        with lease.scope:
            while True:
                await trio.sleep(self._fleet.lease / 3 / NANOSECONDS_PER_SECOND)
                lease.record = await self._renewed(link, text, lease.record)

    async def _call(self, key: K) -> Loaded[bytes] | bytes | Failure:
        try:
            return self._encoded(await awaitable(self._load, self._load(key)))
        except Exception as error:  # noqa: BLE001  # it is told to those who wait
            return Failure(error, error.__traceback__)

    async def _load_within(self, key: K, seconds: float | None) -> object:
        with trio.move_on_after(math.inf if seconds is None else seconds):
            return await awaitable(self._load, self._load(key))
        raise LoadTimeout(f"the load did not end within load_timeout={seconds} seconds")

    def _abandon(self) -> None:
        self._link = None


async def _quiet(work: Coroutine[Any, Any, Any]) -> None:
    """What fails in the background is logged, and takes no nursery down."""
    try:
        await work
    except StoreDown:
        pass
    except Exception:  # noqa: BLE001  # of a store that does not keep its word
        with contextlib.suppress(Exception):
            LOGGER.exception("what a shared cache does in the background has failed")


async def _shielded(work: Coroutine[Any, Any, Any]) -> None:
    with trio.move_on_after(LEAVES_IN, shield=True):
        await _quiet(work)
