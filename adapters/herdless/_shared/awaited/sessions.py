"""How a shared cache carries sessions out where waiting is awaited, on asyncio and trio alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, assert_never

from herdless._call import copied, let_go
from herdless._shared.awaited.links import LEAVES, AwaitedLink, AwaitedLinks, AwaitedPlace
from herdless._shared.base import milliseconds
from herdless._shared.held import Held, Undecodable
from herdless._shared.links import POLL
from herdless._shared.prefetch import Prefetched
from herdless.adapter import K, V
from herdless.stores import StoreDown
from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Flight, Loaded
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import Record
from herdless_core._fleet.requests import Claim, Ended, Lead, Load, Park, Parked, Read, Request, Swap, claim_in
from herdless_core._fleet.session import Got, Session


class AwaitedSessions(AwaitedLinks[K, V], Generic[K, V]):
    """The part that asks the store, and loads."""

    @abstractmethod
    def _place(self) -> AwaitedPlace:
        """Where one session hears news of its key."""

    @abstractmethod
    async def _run(self, link: AwaitedLink, key: K, text: str, request: Load) -> Ended:
        """Call the loader, and renew its lease until it has ended or is overdue."""

    @abstractmethod
    async def _load_within(self, key: K, seconds: float | None) -> object:
        """Call the loader; LoadTimeout after so many seconds, if that is not None."""

    # The near cache's loaders

    async def _ask(self, key: K) -> Loaded[Held]:
        """Get the key's value from wherever it is."""
        return await self._ask_for(key, sessions.ask)

    async def _ask_anew(self, key: K) -> Loaded[Held]:
        """The value of a load that begins after this call."""
        return await self._ask_for(key, sessions.reload)

    async def _ask_for(self, key: K, begin: sessions.Asks) -> Loaded[Held]:
        began, was_blind = self._clock(), self._trust.is_blind
        prefetched = self._taken(key)
        try:
            text = self._text(key)
            self._remember(key, text)
            try:
                self._check_down()
                link = await self._open()
                return await self._fetch(link, key, text, begin, began, prefetched, was_blind=was_blind)
            except StoreDown:
                self._counters.store_errors += 1
                if not self._fleet.loads_when_down:
                    raise
            return self._held_alone(await self._load_alone(key), began)
        finally:
            let_go(key)

    async def _fetch(
        self,
        link: AwaitedLink,
        key: K,
        text: str,
        begin: sessions.Asks,
        began: int,
        prefetched: Prefetched | None,
        *,
        was_blind: bool,
    ) -> Loaded[Held]:
        if not self._store_clock.is_known:
            await self._ask_time(link)
        unreadable = b""
        while True:
            place = link.attend(text, self._place())
            try:
                got = await self._drive(link, key, text, begin(self._terms, unreadable), place, prefetched=prefetched)
            finally:
                link.leave(text, place)
            prefetched = None
            if got.leads is not None:
                self._spawn(link, self._lead(link, copied(key), text, got.record, got.leads))
            try:
                return self._held(got, began, was_blind=was_blind)
            except Undecodable as error:
                unreadable = self._unreadable(got, unreadable, error)

    async def _lead(
        self, link: AwaitedLink, key: K, text: str, record: Record, flight: Flight, *, drops: bool = False
    ) -> Got:
        """Load behind an answer. drops: what is held here is older than what was asked for."""
        got = await self._drive(link, key, text, sessions.lead(self._terms, record, flight))
        if drops and not got.fenced:
            self._drop(key)
        return got

    async def _lead_behind(self, link: AwaitedLink, key: K, text: str, request: Lead) -> Got | None:
        """The same behind a caller who waits for what it comes to, if that is soon enough."""
        place, ended = self._place(), list[Got]()

        async def lead() -> None:
            try:
                ended.append(await self._lead(link, key, text, request.record, request.flight))
            finally:
                place.wake()

        self._spawn(link, lead())
        await place.wait(max(request.until - self._now(), 0) / NANOSECONDS_PER_SECOND)
        return ended[0] if ended else None

    async def _load_alone(self, key: K) -> Loaded[bytes] | bytes:
        """Without the store, as each process does for itself."""
        self._counters.loads += 1
        load_timeout = self._fleet.policy.load_timeout
        return self._encoded(
            await self._load_within(key, None if load_timeout == NEVER else load_timeout / NANOSECONDS_PER_SECOND)
        )

    # Sessions

    async def _drive(
        self,
        link: AwaitedLink,
        key: K,
        text: str,
        session: Session,
        place: AwaitedPlace | None = None,
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
                    reply = await self._carry_out(link, key, text, request, place)
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
            if not is_over and claimed is not None and not leaves:
                leaving = self._drive(link, key, text, sessions.leave(self._terms, claimed), leaves=True)
                self._spawn(link, leaving, name=LEAVES)

    async def _carry_out(
        self, link: AwaitedLink, key: K, text: str, request: Request, place: AwaitedPlace | None
    ) -> object:
        if place is not None and not isinstance(request, Park):
            place.look_anew()
        match request:
            case Read():
                return self._seen(await link.connection.read(text))
            case Swap():
                raw = self._to_write(text, request)
                won, there = await link.connection.swap(
                    text, request.before.token, raw, milliseconds(request.keep), drops=request.drops
                )
                return self._seen_after(request, raw, won, there)
            case Park():
                assert place is not None  # noqa: S101  # only `ask` parks
                return await self._park(link, text, request, place)
            case Load():
                return await self._run(link, key, text, request)
            case Lead():
                return await self._lead_behind(link, copied(key), text, request)
        assert_never(request)

    async def _park(self, link: AwaitedLink, text: str, request: Park, place: AwaitedPlace) -> Parked:
        record = request.record
        place.wait_for(record)
        try:
            kept = milliseconds(record.keep(self._now()))
            if not place.is_sure_of(record) and not await link.connection.mark(text, record.version, kept):
                return Parked()
            if not link.is_looking and link.knows_the_living:
                link.is_looking = True
                self._spawn(link, self._look_for_the_living(link))
            rest = max(request.until - self._now(), 0) / NANOSECONDS_PER_SECOND
            await place.wait(rest if link.is_heard else min(rest, POLL))
            return place.parked
        finally:
            place.owner = ""

    async def _renewed(self, link: AwaitedLink, text: str, record: Record) -> Record:
        """The record with a later lease; as it is where it cannot be had, which is found out at the end."""
        later, until, kept = self._renewal(record)
        try:
            is_ours = await link.connection.renew(text, record.version, until, kept)
        except StoreDown:
            return record
        return later if is_ours else record
