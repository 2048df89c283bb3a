"""How a shared cache carries sessions out on threads: on the caller's own, but for loads that must be left behind."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import queue
from collections.abc import Callable
from typing import Final, Generic, assert_never

from herdless._call import copied, let_go
from herdless._shared.base import milliseconds
from herdless._shared.held import Held, Undecodable
from herdless._shared.links import POLL
from herdless._shared.prefetch import Prefetched
from herdless._shared.threads_links import Job, Lease, Link, Place, ThreadsLinks
from herdless.adapter import K, V, not_awaitable
from herdless.stores import StoreDown
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Failure,
    Flight,
    Loaded,
    LoadTimeout,
)
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Claim, Ended, Lead, Load, Park, Parked, Read, Request, Swap, claim_in
from herdless_core._fleet.session import Got, Session

LONGEST_WAIT: Final = 3_600.0
"""Seconds after which a thread that waits looks at the clock, whatever it waits for."""


class ThreadsSessions(ThreadsLinks[K, V], Generic[K, V]):
    """The part that asks the store, and loads."""

    # The near cache's loaders

    def _ask(self, key: K) -> Loaded[Held]:
        """Get the key's value from wherever it is."""
        return self._ask_for(key, sessions.ask)

    def _ask_anew(self, key: K) -> Loaded[Held]:
        """The value of a load that begins after this call."""
        return self._ask_for(key, sessions.reload)

    def _ask_for(self, key: K, begin: sessions.Asks) -> Loaded[Held]:
        began, was_blind = self._clock(), self._trust.is_blind
        prefetched = self._taken(key)
        try:
            text = self._text(key)
            self._remember(key, text)
            try:
                self._check_down()
                return self._fetch(self._open(), key, text, begin, began, prefetched, was_blind=was_blind)
            except StoreDown:
                self._counters.store_errors += 1
                if not self._fleet.loads_when_down:
                    raise
            return self._held_alone(self._load_alone(key), began)
        finally:
            let_go(key)

    def _fetch(
        self,
        link: Link,
        key: K,
        text: str,
        begin: sessions.Asks,
        began: int,
        prefetched: Prefetched | None,
        *,
        was_blind: bool,
    ) -> Loaded[Held]:
        if not self._store_clock.is_known:
            self._ask_time(link)
        unreadable = b""
        while True:
            place = link.attend(text)
            try:
                got = self._drive(link, key, text, begin(self._terms, unreadable), place, prefetched=prefetched)
            finally:
                link.leave(text, place)
            prefetched = None
            if got.leads is not None:
                own = copied(key)
                self._spawn(link, functools.partial(self._lead, link, own, text, got.record, got.leads))
            try:
                return self._held(got, began, was_blind=was_blind)
            except Undecodable as error:
                unreadable = self._unreadable(got, unreadable, error)

    def _lead(self, link: Link, key: K, text: str, record: Record, flight: Flight, *, drops: bool = False) -> Got:
        """Load behind an answer. drops: what is held here is older than what was asked for."""
        got = self._drive(link, key, text, sessions.lead(self._terms, record, flight))
        if drops and not got.fenced:
            self._drop(key)
        return got

    def _lead_behind(self, link: Link, key: K, text: str, request: Lead) -> Got | None:
        """The same behind a caller who waits for what it comes to, if that is soon enough."""
        ended: queue.SimpleQueue[Got] = queue.SimpleQueue()
        self._spawn(
            link, lambda: ended.put(self._lead(link, key, text, request.record, request.flight)), is_urgent=True
        )
        rest = (request.until - self._now()) / NANOSECONDS_PER_SECOND
        try:
            return ended.get(timeout=min(max(rest, 0.0), LONGEST_WAIT))
        except queue.Empty:
            return None

    def _load_alone(self, key: K) -> Loaded[bytes] | bytes:
        """Without the store, as each process does for itself."""
        self._counters.loads += 1
        load_timeout = self._fleet.policy.load_timeout
        if load_timeout == NEVER:
            result: Loaded[bytes] | bytes | Failure | None = self._call(key)
        else:
            result = self._call_aside(key, self._clock() + load_timeout, self._clock)
        if result is None:
            seconds = load_timeout / NANOSECONDS_PER_SECOND
            raise LoadTimeout(f"the load did not end within load_timeout={seconds:g} seconds")
        if isinstance(result, Failure):
            raise result.error
        return result

    # Sessions

    def _drive(
        self,
        link: Link,
        key: K,
        text: str,
        session: Session,
        place: Place | None = None,
        *,
        prefetched: Prefetched | None = None,
        leaves: bool = False,
    ) -> Got:
        """Carry out what the session asks for. Where that is broken off, what it has claimed is left to others.

        place: where it hears of the key, if it may have to wait; prefetched: what it is to read first; leaves: whether
        leaving a claim is what it does.
        """
        claimed: Claim | None = None
        is_over = False
        try:
            request = next(session)
            if prefetched is not None and prefetched.seen is not None and isinstance(request, Read):
                request = session.send(prefetched.seen)
            while True:
                claimed = claim_in(request, self._terms.owner, claimed)
                try:
                    if link.is_closed:
                        raise StoreDown("the cache was closed")
                    reply = self._carry_out(link, key, text, request, place)
                except StoreDown as down:
                    self._found_down()
                    request = session.throw(down)
                else:
                    request = session.send(reply)
        except StopIteration as end:
            is_over = True
            got: Got = end.value
            self._count(got)
            return got
        finally:
            if not is_over and claimed is not None and not leaves and not link.is_closed:
                leaving = sessions.leave(self._terms, claimed)
                self._spawn(link, functools.partial(self._drive, link, key, text, leaving, leaves=True))

    def _carry_out(self, link: Link, key: K, text: str, request: Request, place: Place | None) -> object:
        if place is not None and not isinstance(request, Park):
            place.look_anew()
        match request:
            case Read():
                return self._seen(link.connection.read(text))
            case Swap():
                raw = self._to_write(text, request)
                won, there = link.connection.swap(
                    text, request.before.token, raw, milliseconds(request.keep), drops=request.drops
                )
                return self._seen_after(request, raw, won, there)
            case Park():
                assert place is not None  # noqa: S101  # only `ask` parks
                return self._park_session(link, text, request, place)
            case Load():
                return self._run(link, key, text, request)
            case Lead():
                return self._lead_behind(link, copied(key), text, request)
        assert_never(request)

    def _park_session(self, link: Link, text: str, request: Park, place: Place) -> Parked:
        record = request.record
        link.park(place, record)
        try:
            kept = milliseconds(record.keep(self._now()))
            if place.is_sure_of(record) or link.connection.mark(text, record.version, kept):
                rest = max(request.until - self._now(), 0) / NANOSECONDS_PER_SECOND
                place.news.wait(min(rest, LONGEST_WAIT) if link.is_heard else min(rest, POLL))
            return place.parked
        finally:
            place.owner = ""

    def _run(self, link: Link, key: K, text: str, request: Load) -> Ended:
        """Call the loader, while the keeper renews its lease."""
        self._counters.loads += 1
        lease = Lease(text, request.record, self._clock() + self._fleet.lease // 3)
        link.hold(lease)
        try:
            if request.flight.due_at == NEVER:
                result: Loaded[bytes] | bytes | Failure | None = self._call(key)
            else:
                result = self._call_aside(key, request.flight.due_at, self._now)
        finally:
            record = link.release(lease)
        return self._ended(key, request, result, record)

    def _call(self, key: K) -> Loaded[bytes] | bytes | Failure:
        try:
            return self._encoded(not_awaitable(self._load, self._load(key)))
        except Exception as error:  # noqa: BLE001  # it is told to those who wait
            return Failure(error, error.__traceback__)

    def _call_aside(self, key: K, due_at: int, clock: Callable[[], int]) -> Loaded[bytes] | bytes | Failure | None:
        """The same on another thread, since it cannot be cancelled; None where it has not ended by then."""
        ended: queue.SimpleQueue[Loaded[bytes] | bytes | Failure] = queue.SimpleQueue()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                ended.put(context.run(self._call, key))
            except BaseException as error:  # noqa: BLE001  # an interrupt has no business on a worker's thread
                ended.put(Failure(error, None))

        self._open().workers.submit(run, Job(is_urgent=True))
        while True:
            rest = (due_at - clock()) / NANOSECONDS_PER_SECOND
            try:
                return ended.get(timeout=max(min(rest, LONGEST_WAIT), 0.0))
            except queue.Empty:
                if clock() >= due_at:
                    return None

    def _spawn(self, link: Link, work: Callable[[], object], *, is_urgent: bool = False) -> None:
        """Do it in the background. That the store is down is no news there.

        is_urgent: whether a caller waits for it.
        """

        def run() -> None:
            with contextlib.suppress(StoreDown):
                work()

        link.workers.submit(functools.partial(contextvars.copy_context().run, run), Job(is_urgent=is_urgent))
