"""How a shared cache listens where waiting is awaited, on asyncio and trio alike; what differs are a few methods."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Final, Generic

from herdless._shared.base import Shared
from herdless._shared.links import (
    BEATS_UNTIL_LOST,
    LIVING_EVERY,
    TRIES_AGAIN,
    BaseLink,
    BasePlace,
    due_in,
    wake_orphans,
)
from herdless.adapter import LOGGER, K, V
from herdless.stores import AsyncConnection, AsyncListener, Heard, StoreDown
from herdless_core import NANOSECONDS_PER_SECOND

LEAVES: Final = "herdless leaves a claim"
"""The name of the tasks that `close` awaits, and does not cancel."""


class AwaitedPlace(BasePlace):
    """Where one session hears news of its key."""

    @abstractmethod
    async def wait(self, seconds: float) -> None:
        """Return when it was woken, or so many seconds are over."""


class AwaitedLink(BaseLink):
    """What a shared cache has where it is used: a connection, and tasks."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self.connection: Final = connection
        self.places: Final[dict[str, list[AwaitedPlace]]] = {}
        self.is_looking = False
        """Whether somebody looks for the living."""

    def attend(self, text: str, place: AwaitedPlace) -> AwaitedPlace:
        """What is told of this key from now on is heard there."""
        self.places.setdefault(text, []).append(place)
        return place

    def leave(self, text: str, place: AwaitedPlace) -> None:
        """Hear no more."""
        self.places[text].remove(place)
        if not self.places[text]:
            del self.places[text]

    def wake(self, key: str) -> None:
        """See `BaseLink`."""
        for place in self.places.get(key, ()):
            place.wake()

    def wake_all(self) -> None:
        """See `BaseLink`."""
        for key in list(self.places):
            self.wake(key)


class AwaitedLinks(Shared[K, V], Generic[K, V]):
    """The part that listens."""

    @abstractmethod
    async def _open(self) -> AwaitedLink:
        """The link of where this is called; the first caller begins it."""

    @abstractmethod
    def _spawn(self, link: AwaitedLink, work: Coroutine[Any, Any, Any], name: str = "herdless") -> None:
        """Do it in the background. That the store is down is no news there."""

    @abstractmethod
    async def _sleep(self, seconds: float) -> None:
        """As the runtime does."""

    # What is told

    async def _listen(self, link: AwaitedLink) -> None:
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
            await self._sleep(TRIES_AGAIN)

    async def _hear(self, link: AwaitedLink, listener: AsyncListener) -> None:
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

    async def _look_for_the_living(self, link: AwaitedLink) -> None:
        """Now and then, while anybody waits: whether those live for whose loads they do."""
        try:
            await self._wake_those_left(link)
        finally:
            link.is_looking = False

    async def _wake_those_left(self, link: AwaitedLink) -> None:
        while link.places:
            await self._sleep(LIVING_EVERY)
            looks = due_in(place for waiting in link.places.values() for place in waiting)
            if not looks:
                continue
            try:
                living = await link.connection.alive(set(looks.values()))
            except StoreDown:
                continue
            if living is None:
                link.knows_the_living = False
                return
            wake_orphans(looks, living)

    async def _ask_time(self, link: AwaitedLink) -> None:
        sent = self._clock()
        said = await link.connection.time()
        self._store_clock.sample(sent, said, self._clock())
