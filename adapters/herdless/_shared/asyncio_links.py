"""How a shared cache listens on asyncio: a connection and a few tasks for the event loop in which it is used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, Generic, final

from herdless._shared.base import Shared
from herdless._shared.links import BEATS_UNTIL_LOST, LIVING_EVERY, TRIES_AGAIN, BaseLink, BasePlace, wake_orphans
from herdless.adapter import LOGGER, K, V
from herdless.stores import AsyncConnection, AsyncListener, Heard, StoreDown
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed, MisuseError
from herdless_core._fleet.session import Parked

LEAVES: Final = "herdless leaves a claim"
"""The name of the tasks that `close` awaits, and does not cancel."""


@final
class Place(BasePlace):
    """Where one session hears news of its key."""

    def __init__(self) -> None:
        super().__init__()
        self.news: asyncio.Future[Parked] = asyncio.get_running_loop().create_future()

    def look_anew(self) -> None:
        """See `BasePlace`."""
        super().look_anew()
        if self.news.done():
            self.news = asyncio.get_running_loop().create_future()

    def wake(self, *, owner_is_gone: bool = False) -> None:
        """See `BasePlace`."""
        if not self.news.done():
            self.news.set_result(Parked(owner_is_gone))


@final
class Link(BaseLink):
    """What a shared cache has in the loop in which it is used: a connection, and tasks."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self.loop: Final = asyncio.get_running_loop()
        self.connection: Final = connection
        self.begun: Final[asyncio.Future[None]] = self.loop.create_future()
        """Done when it listens, or cannot."""
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.places: Final[dict[str, list[Place]]] = {}
        self.listening: asyncio.Task[None] | None = None
        self.looking: asyncio.Task[None] | None = None

    def attend(self, text: str) -> Place:
        """Hear what is told of this key from now on."""
        place = Place()
        self.places.setdefault(text, []).append(place)
        return place

    def leave(self, text: str, place: Place) -> None:
        """Hear no more."""
        self.places[text].remove(place)
        if not self.places[text]:
            del self.places[text]

    def begin(self) -> None:
        """See `BaseLink`."""
        if not self.begun.done():
            self.begun.set_result(None)

    def wake(self, key: str) -> None:
        """See `BaseLink`."""
        for place in self.places.get(key, ()):
            place.wake()

    def wake_all(self) -> None:
        """See `BaseLink`."""
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
                    link.begin()
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
            self._is_deaf(link)
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
            if isinstance(news, Heard):
                unanswered = 0
            self._take(link, news, now)

    async def _look_for_the_living(self, link: Link) -> None:
        """Now and then, while anybody waits: whether those live for whose loads they do."""
        try:
            await self._wake_those_left(link)
        finally:
            link.looking = None

    async def _wake_those_left(self, link: Link) -> None:
        while link.places:
            await asyncio.sleep(LIVING_EVERY)
            places = [place for waiting in link.places.values() for place in waiting if place.is_due()]
            if not places:
                continue
            try:
                living = await link.connection.alive({place.owner for place in places})
            except StoreDown:
                continue
            if living is None:
                link.knows_the_living = False
                return
            wake_orphans(places, living)

    async def _ask_time(self, link: Link) -> None:
        sent = self._clock()
        said = await link.connection.time()
        self._store_clock.sample(sent, said, self._clock())

    def _abandon(self) -> None:
        self._link = None


async def _quiet(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(StoreDown):
        await work
