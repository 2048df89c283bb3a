"""A store of one record, and sessions that are carried on one request at a time, in any order.

Nothing runs by itself: a test says which session goes on, when a load ends, and what the time is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from herdless_core import Failure, Loaded, Policy, Step, StoreDown, Value
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import TOKEN_BYTES, Record, parse
from herdless_core._fleet.requests import Ended, Load, Park, Parked, Read, Request, Seen, Swap
from herdless_core._fleet.session import Got, Session, Terms

SECOND: Final = 1_000_000_000
BEGINNING: Final = 1_000_000 * SECOND
LEASE: Final = 10 * SECOND


class World:
    """What lies in the store, what time it is there, and all that was written."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.raw: bytes | None = None
        self.now = BEGINNING
        self.drawn = itertools.count(1)
        self.written: list[Step] = []
        """The steps of all swaps that were won, in their order."""
        self.told: list[str] = []
        self.loads = 0

    def terms(self, owner: str) -> Terms:
        """What holds for one process."""
        return Terms(self.policy, LEASE, owner, lambda bits: next(self.drawn) % 2**bits)

    @property
    def record(self) -> Record:
        """What lies in the store."""
        return parse(self.raw)

    def process(self, owner: str, begin: Callable[[Terms], Session] = sessions.ask) -> Process:
        """A session of this process, before its first request."""
        return Process(self, owner, begin(self.terms(owner)))

    def swap(self, swap: Swap) -> Seen:
        """Compare and set."""
        if (self.raw or b"")[:TOKEN_BYTES] != swap.before.token:
            return Seen(self.record, self.now)
        if swap.drops or (self.raw is not None and self.record.is_awaited):
            self.told.append("dropped" if swap.drops else "woken")
        self.raw = swap.after.dump()
        self.written.extend(swap.steps)
        return Seen(self.record, self.now, won=True)

    def forget(self) -> None:
        """Invalidate."""
        self.raw = None
        self.told.append("dropped")


class Process:
    """One session, and the request at which it is."""

    def __init__(self, world: World, owner: str, session: Session) -> None:
        self.world = world
        self.owner = owner
        self.session = session
        self.request: Request | None = None
        self.got: Got | None = None
        self._advance(lambda: next(session))

    def step(self) -> Process:
        """Carry the request out, if it is one for the store alone."""
        match self.request:
            case Read():
                self.reply(Seen(self.world.record, self.world.now))
            case Swap():
                self.reply(self.world.swap(self.request))
            case _:
                raise AssertionError(f"nothing for the store: {self.request!r}")
        return self

    def run(self) -> Process:
        """Go on until it parks, loads, or has come to its end."""
        while isinstance(self.request, (Read, Swap)):
            self.step()
        if isinstance(self.request, Load):
            self.world.loads += 1
        if isinstance(self.request, Park) and self.world.raw and self.request.record.token == self.world.record.token:
            self.world.raw = replace(self.world.record, is_awaited=True).dump()
        return self

    def end_load(self, result: Loaded[bytes] | bytes | BaseException | None, *, is_answer: bool = False) -> Process:
        """The load gave this; None: it is overdue."""
        request = self.request
        assert isinstance(request, Load)
        outcome = Failure(result, None) if isinstance(result, BaseException) else result
        self.reply(Ended(outcome, request.record, self.world.now, 0.0, is_answer))
        return self.run()

    def wake(self, *, owner_is_gone: bool = False) -> Process:
        """Something was told of the key, or the time is up."""
        assert isinstance(self.request, Park)
        self.reply(Parked(owner_is_gone))
        return self.run()

    def fail(self) -> Process:
        """The store cannot be asked."""
        self._advance(lambda: self.session.throw(StoreDown("it is down")))
        return self

    def reply(self, reply: object) -> None:
        """Send a reply to the request."""
        self._advance(lambda: self.session.send(reply))

    @property
    def result(self) -> Got:
        """What it came to."""
        assert self.got is not None
        return self.got

    def _advance(self, go: Callable[[], Request]) -> None:
        try:
            self.request = go()
        except StopIteration as end:
            self.request, self.got = None, end.value


def value_of(got: Got) -> object:
    """The value to which a session came."""
    assert isinstance(got.outcome, Value)
    return got.outcome.value


def error_of(got: Got) -> BaseException:
    """The error to which a session came."""
    assert isinstance(got.outcome, Failure)
    return got.outcome.error
