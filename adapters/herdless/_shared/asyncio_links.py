"""How a shared cache listens on asyncio: a connection and a few tasks for the event loop in which it is used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, Generic, final

from herdless._shared.base import (
    BEATS_UNTIL_LOST,
    LIVING_EVERY,
    LOOKS_UNTIL_DEAD,
    TRIES_AGAIN,
    Shared,
)
from herdless.adapter import LOGGER, K, V
from herdless.stores import AsyncConnection, AsyncListener, Heard, StoreDown, Told
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed, MisuseError
from herdless_core._fleet.session import Parked

LEAVES: Final = "herdless leaves a claim"
"""The name of the tasks that `close` awaits, and does not cancel."""


@final
class Place:
    """Where one session waits for news of its key."""

    def __init__(self, owner: str) -> None:
        self.owner: Final = owner
        self.news: Final[asyncio.Future[Parked]] = asyncio.get_running_loop().create_future()
        self.missed = 0
        """How many looks in a row did not find the owner alive."""

    def wake(self, *, owner_is_gone: bool = False) -> None:
        """Look again."""
        if not self.news.done():
            self.news.set_result(Parked(owner_is_gone))


@final
class Link:
    """What a shared cache has in the loop in which it is used: a connection, and tasks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.loop: Final = asyncio.get_running_loop()
        self.connection: Final = connection
        self.begun: Final[asyncio.Future[None]] = self.loop.create_future()
        """Done when it listens, or cannot."""
        self.is_heard = False
        """Whether what is told arrives just now."""
        self.knows_the_living = True
        self.is_closed = False
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.places: Final[dict[str, list[Place]]] = {}
        self.listening: asyncio.Task[None] | None = None
        self.looking: asyncio.Task[None] | None = None

    def wake(self, key: str) -> None:
        """Who waits for this key looks again."""
        for place in self.places.get(key, ()):
            place.wake()

    def wake_all(self) -> None:
        """Something may be lost."""
        for key in list(self.places):
            self.wake(key)


class AsyncioLinks(Shared[K, V], Generic[K, V]):
    """The part that listens."""

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
            link.listening = self._spawn(link, self._listen(link))
        if link.loop is not loop:
            raise MisuseError(
                "a shared cache belongs to the event loop in which it was first used: make one for each loop, or close "
                "it before the next one begins"
            )
        if not link.begun.done():
            await asyncio.wait((link.begun,))
        return link

    def _spawn(self, link: Link, work: Coroutine[Any, Any, Any], name: str = "herdless") -> asyncio.Task[Any]:
        """Do it in the background. That the store is down is no news there."""
        task = link.loop.create_task(_quiet(work), name=name)
        link.tasks.add(task)
        task.add_done_callback(link.tasks.discard)
        return task

    # What is told

    async def _listen(self, link: Link) -> None:
        while not link.is_closed:
            try:
                await self._ask_time(link)
                listener = await link.connection.listen(self._terms.owner)
                if listener is None:
                    link.knows_the_living = False
                    _is_begun(link)
                    return
                try:
                    await self._hear(link, listener)
                finally:
                    await listener.close()
            except StoreDown:
                pass
            except Exception:  # noqa: BLE001  # of a store that does not keep its word: who waits for the beginning must not hang
                with contextlib.suppress(Exception):
                    LOGGER.exception("the store raised an error other than StoreDown while it was listened to")
            _is_begun(link)
            link.is_heard = False
            self._trust.lost()
            link.wake_all()
            await asyncio.sleep(TRIES_AGAIN)

    async def _hear(self, link: Link, listener: AsyncListener) -> None:
        unanswered, ask_at = 0, self._clock()
        while not link.is_closed:
            now = self._clock()
            if now >= ask_at:
                if unanswered >= BEATS_UNTIL_LOST:
                    raise StoreDown("the store does not answer who listens")
                await listener.ask(now)
                unanswered, ask_at = unanswered + 1, now + self._beat
                with contextlib.suppress(StoreDown):  # which this connection will show
                    await self._ask_time(link)
            news = await listener.next(max(ask_at - self._clock(), 0) / NANOSECONDS_PER_SECOND)
            match news:
                case Heard():
                    unanswered = 0
                    self._trust.heard(news.mark)
                    if not link.is_heard:
                        link.is_heard = True
                        self._down_until = now
                        link.wake_all()
                        _is_begun(link)
                case Told():
                    self._told(news)
                    link.wake(news.key)
                case None:
                    pass

    async def _look_for_the_living(self, link: Link) -> None:
        """Now and then, while anybody waits: whether those live for whose loads they do."""
        try:
            while link.places:
                await asyncio.sleep(LIVING_EVERY)
                places = [place for waiting in link.places.values() for place in waiting if place.owner]
                try:
                    living = await link.connection.alive({place.owner for place in places}) if places else set()
                except StoreDown:
                    continue
                if living is None:
                    link.knows_the_living = False
                    return
                for place in places:
                    place.missed = 0 if place.owner in living else place.missed + 1
                    if place.missed >= LOOKS_UNTIL_DEAD:
                        place.wake(owner_is_gone=True)
        finally:
            link.looking = None

    async def _ask_time(self, link: Link) -> None:
        sent = self._clock()
        said = await link.connection.time()
        self._store_clock.sample(sent, said, self._clock())

    def _abandon(self) -> None:
        self._link = None


def _is_begun(link: Link) -> None:
    if not link.begun.done():
        link.begun.set_result(None)


async def _quiet(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(StoreDown):
        await work
