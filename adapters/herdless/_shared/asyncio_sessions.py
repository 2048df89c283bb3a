"""How a shared cache carries sessions out on asyncio: what they ask of the store is awaited, and loads are tasks."""

from __future__ import annotations

import asyncio
from typing import Generic, assert_never

from herdless._shared.asyncio_links import LEAVES, AsyncioLinks, Link, Place
from herdless._shared.base import Held, Undecodable, milliseconds
from herdless._shared.links import POLL
from herdless.adapter import K, V, awaitable
from herdless.stores import StoreDown
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Failure,
    Flight,
    LoadCancelled,
    Loaded,
    LoadTimeout,
)
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import Record
from herdless_core._fleet.session import Ended, Got, Load, Park, Parked, Read, Request, Session, Swap, claim_in


class AsyncioSessions(AsyncioLinks[K, V], Generic[K, V]):
    """The part that asks the store, and loads."""

    # The near cache's loader

    async def _ask(self, key: K) -> Loaded[Held]:
        began, was_blind = self._clock(), self._trust.is_blind
        text = self._text(key)
        self._remember(key, text)
        try:
            self._check_down()
            return await self._fetch(await self._open(), key, text, began, was_blind=was_blind)
        except StoreDown:
            self._counters.store_errors += 1
            if not self._fleet.loads_when_down:
                raise
        return self._held_alone(await self._load_alone(key), began)

    async def _fetch(self, link: Link, key: K, text: str, began: int, *, was_blind: bool) -> Loaded[Held]:
        if not self._store_clock.is_known:
            await self._ask_time(link)
        unreadable = b""
        while True:
            place = link.attend(text)
            try:
                got = await self._drive(link, key, text, sessions.ask(self._terms, unreadable), place)
            finally:
                link.leave(text, place)
            if got.leads is not None:
                self._spawn(link, self._lead(link, key, text, got.record, got.leads))
            try:
                return self._held(got, began, was_blind=was_blind)
            except Undecodable as error:
                unreadable = self._unreadable(got, unreadable, error)

    async def _lead(
        self, link: Link, key: K, text: str, record: Record, flight: Flight, *, drops: bool = False
    ) -> None:
        """Load behind an answer. drops: what is held here is older than what was asked for."""
        got = await self._drive(link, key, text, sessions.lead(self._terms, record, flight))
        if drops and not got.fenced:
            self._drop(key)

    async def _load_alone(self, key: K) -> Loaded[bytes] | bytes:
        """Without the store, as each process does for itself."""
        self._counters.loads += 1
        load_timeout = self._fleet.policy.load_timeout
        timeout = None if load_timeout == NEVER else load_timeout / NANOSECONDS_PER_SECOND
        try:
            async with asyncio.timeout(timeout) as limit:
                value = await awaitable(self._load, self._load(key))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LoadTimeout(f"the load did not end within load_timeout={timeout} seconds") from error
        return self._encoded(value)

    # Sessions

    async def _drive(
        self, link: Link, key: K, text: str, session: Session, place: Place | None = None, *, leaves: bool = False
    ) -> Got:
        """Carry out what the session asks for. place: where it hears of the key, if it may have to wait. Where that is
        broken off, what it has claimed is left to others; leaves: unless that is what it does.
        """
        claimed: tuple[Record, Flight] | None = None
        is_over = False
        try:
            request = next(session)
            while True:
                claimed = claim_in(request, self._terms.owner) or claimed
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
                leaving = self._drive(link, key, text, sessions.leave(self._terms, *claimed), leaves=True)
                self._spawn(link, leaving, name=LEAVES)

    async def _carry_out(self, link: Link, key: K, text: str, request: Request, place: Place | None) -> object:
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
        assert_never(request)

    async def _park(self, link: Link, text: str, request: Park, place: Place) -> Parked:
        record = request.record
        place.wait_for(record)
        try:
            kept = milliseconds(record.keep(self._now()))
            if not place.is_sure_of(record) and not await link.connection.mark(text, record.version, kept):
                return Parked()
            if link.looking is None and link.knows_the_living:
                link.looking = self._spawn(link, self._look_for_the_living(link))
            rest = max(request.until - self._now(), 0) / NANOSECONDS_PER_SECOND
            await asyncio.wait((place.news,), timeout=rest if link.is_heard else min(rest, POLL))
            return place.news.result() if place.news.done() else Parked()
        finally:
            place.owner = ""

    async def _run(self, link: Link, key: K, text: str, request: Load) -> Ended:
        """Call the loader, and renew its lease until it has ended or is overdue."""
        self._counters.loads += 1
        record, flight = request.record, request.flight
        task = link.loop.create_task(self._call(key))
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

    async def _renewed(self, link: Link, text: str, record: Record) -> Record:
        """The record with a later lease; as it is where it cannot be had, which is found out at the end."""
        later, until, kept = self._renewal(record)
        try:
            is_ours = await link.connection.renew(text, record.version, until, kept)
        except StoreDown:
            return record
        return later if is_ours else record
