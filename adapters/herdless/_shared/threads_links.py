"""How a shared cache listens on threads: a connection, and two daemon threads for the process in which it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, Generic, final

from herdless import _primitives
from herdless._daemons import Begun
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
from herdless._workers import Workers
from herdless.adapter import LOGGER, K, V
from herdless.stores import Heard, StoreDown, SyncConnection, SyncListener
from herdless_core import NANOSECONDS_PER_SECOND, NEVER, CacheClosed
from herdless_core._fleet.record import Record

LOOKS_UP: Final = 0.25
"""Seconds after which a thread that listens looks whether the cache was closed."""
ENDS_IN: Final = 10.0
"""Seconds at most that `close` waits for the threads that listen: each ends when its next look is over."""


@final
class Place(BasePlace):
    """Where one session hears news of its key."""

    def __init__(self) -> None:
        super().__init__()
        self.news: Final = _primitives.Event()

    def look_anew(self) -> None:
        """See `BasePlace`."""
        super().look_anew()
        self.news.clear()

    def wake(self) -> None:
        """See `BasePlace`."""
        self.news.set()


@final
class Lease:
    """A load of this process, for whose lease the keeper cares."""

    def __init__(self, text: str, record: Record, renew_at: int) -> None:
        """renew_at: an instant of the process's clock."""
        self.text: Final = text
        self.record = record
        self.renew_at = renew_at


@final
class Job:
    """What a worker does in the background: see `_workers.Load`."""

    due_at: int = NEVER
    has_ended: bool = False

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent = is_urgent


@final
class Link(BaseLink):
    """What a shared cache has in one process."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__()
        self.connection: Final = connection
        self.begun: Final = _primitives.Event()
        """Set when it listens, or cannot."""
        self.workers: Final[Workers[Job]] = Workers()
        self.ended: Final = [_primitives.Event(), _primitives.Event()]
        """One for each of the threads that listen and keep."""
        self.is_wanted: Final = _primitives.Event()
        """Set while the keeper has anything to do."""
        self._lock: Final = _primitives.Lock()
        self._places: Final[dict[str, list[Place]]] = {}
        self._leases: Final[set[Lease]] = set()

    def attend(self, text: str) -> Place:
        """Hear what is told of this key from now on."""
        place = Place()
        with self._lock:
            self._places.setdefault(text, []).append(place)
        return place

    def park(self, place: Place, record: Record) -> None:
        """It waits for the load of this record, and so the keeper looks for its owner."""
        with self._lock:
            place.wait_for(record)
            self.is_wanted.set()

    def leave(self, text: str, place: Place) -> None:
        """Hear no more."""
        with self._lock:
            self._places[text].remove(place)
            if not self._places[text]:
                del self._places[text]

    def hold(self, lease: Lease) -> None:
        """Renew it from now on."""
        with self._lock:
            self._leases.add(lease)
            self.is_wanted.set()

    def release(self, lease: Lease) -> Record:
        """Renew it no more; the record with the lease that it has by now."""
        with self._lock:
            self._leases.discard(lease)
            return lease.record

    def begin(self) -> None:
        """See `BaseLink`."""
        self.begun.set()

    def wake(self, key: str) -> None:
        """See `BaseLink`."""
        with self._lock:
            for place in self._places.get(key, ()):
                place.wake()

    def wake_all(self) -> None:
        """See `BaseLink`."""
        for place in self.places():
            place.wake()

    def places(self) -> list[Place]:
        """All who wait."""
        with self._lock:
            return [place for waiting in self._places.values() for place in waiting]

    def leases(self) -> list[Lease]:
        """All that are to be renewed. Where nobody waits either, the keeper may rest until it is wanted."""
        with self._lock:
            if not self._leases and not self._places:
                self.is_wanted.clear()
            return list(self._leases)


class ThreadsLinks(Shared[K, V], Generic[K, V]):
    """The part that listens."""

    _link: Link | None = None
    _is_closed = False
    _link_lock = _primitives.RLock()

    def _open(self) -> Link:
        """The link of this process; the first caller begins it."""
        if self._is_closed:
            raise CacheClosed("the cache is closed")
        link = self._link
        if link is None:
            with self._link_lock:
                link = self._link
                if link is None:
                    link = self._link = Link(self._fleet.store.connect())
                    self._start(link, self._listen, link.ended[0])
                    self._start(link, self._keep, link.ended[1])
        if not link.begun.is_set():
            link.begun.wait()
        return link

    def _start(self, link: Link, work: Callable[[Link], None], ended: _primitives.Event) -> None:
        def run(begun: Begun) -> None:
            try:
                begun.append(None)
                work(link)
            finally:
                ended.set()
                link.begun.set()

        def died() -> None:
            ended.set()
            link.begun.set()

        _primitives.start_daemon(run, "herdless store", died)

    # What is told

    def _listen(self, link: Link) -> None:
        while not link.is_closed:
            try:
                self._ask_time(link)
                listener = link.connection.listen(self._terms.owner)
                if listener is None:
                    link.knows_the_living = False
                    return
                try:
                    self._hear(link, listener)
                finally:
                    listener.close()
            except StoreDown:
                pass
            except Exception:  # noqa: BLE001  # of a store that does not keep its word: nobody must hang of it
                with contextlib.suppress(Exception):
                    LOGGER.exception("the store raised an error other than StoreDown while it was listened to")
            self._is_deaf(link)
            if not link.is_closed:
                _pause(TRIES_AGAIN)

    def _hear(self, link: Link, listener: SyncListener) -> None:
        unanswered, ask_at = 0, self._clock()
        while not link.is_closed:
            now = self._clock()
            if now >= ask_at:
                if unanswered >= BEATS_UNTIL_LOST:
                    raise StoreDown("the store does not answer who listens")
                listener.ask(now)
                unanswered, ask_at = unanswered + 1, now + self._beat
                with contextlib.suppress(StoreDown):  # which this connection will show
                    self._ask_time(link)
            pause = max(ask_at - self._clock(), 0) / NANOSECONDS_PER_SECOND
            news = listener.next(min(pause, LOOKS_UP))
            if isinstance(news, Heard):
                unanswered = 0
            self._take(link, news, now)

    def _keep(self, link: Link) -> None:
        """Renew leases, and look whether those live for whose loads this process waits, while there is any."""
        while not link.is_closed:
            if not link.is_wanted.wait(LOOKS_UP):
                continue
            with contextlib.suppress(StoreDown):
                self._renew_all(link)
                self._look_for_the_living(link)
            _pause(LIVING_EVERY)

    def _renew_all(self, link: Link) -> None:
        for lease in link.leases():
            if self._clock() >= lease.renew_at:
                self._renew(link, lease)

    def _renew(self, link: Link, lease: Lease) -> None:
        lease.renew_at = self._clock() + self._fleet.lease // 3
        later, until, kept = self._renewal(lease.record)
        if link.connection.renew(lease.text, later.version, until, kept):
            lease.record = later

    def _look_for_the_living(self, link: Link) -> None:
        if not link.knows_the_living:
            return
        looks = due_in(link.places())
        if not looks:
            return
        living = link.connection.alive(set(looks.values()))
        if living is None:
            link.knows_the_living = False
            return
        wake_orphans(looks, living)

    def _ask_time(self, link: Link) -> None:
        sent = self._clock()
        said = link.connection.time()
        self._store_clock.sample(sent, said, self._clock())

    def _abandon(self) -> None:
        self._link_lock = _primitives.RLock()
        self._link = None


def _pause(seconds: float) -> None:
    _primitives.Event().wait(seconds)
