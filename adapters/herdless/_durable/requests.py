"""What the RPC methods of an object do: a step, what it orders, and a reply that is plain data."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, cast, final

from herdless._durable import wire
from herdless._durable.entry import DurableEntry
from herdless._durable.flights import Flights
from herdless._durable.wire import Reply
from herdless.adapter import LOADING
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Effects,
    Failure,
    HerdlessError,
    Join,
    Loaded,
    Outcome,
    ReentrantLoad,
    Refuse,
    Settle,
    Value,
    reply_of,
)


@final
class Requests:
    """The methods of `herdless.durable_objects.CacheObject`, which says what each of them is for.

    clock: one that does not raise. holds_json: whether a text that is put has to be JSON.
    """

    def __init__(
        self, entry: DurableEntry, flights: Flights, clock: Callable[[], int], name: str, *, holds_json: bool
    ) -> None:
        self._entry: Final = entry
        self._flights: Final = flights
        self._clock: Final = clock
        self._name: Final = name
        self._holds_json: Final = holds_json

    async def get(self) -> Reply:
        """`{value}`, or `{error, message}`."""
        reply = await self.lookup()
        return {"value": reply["value"]} if "value" in reply else reply

    async def lookup(self) -> Reply:
        """`{value, how, age, ttl}`, or `{error, message}`."""
        now = self._clock()
        hit = self._entry.hit(now)
        if hit is not None:
            return self._reply(hit, "hit", now)
        try:
            effects = self._entry.get(now, LOADING.get())
        except ReentrantLoad as error:
            return wire.reply_with_error(error)
        match reply_of(effects):
            case Answer() as answer:
                self._flights.carry_out(effects)
                return self._reply(answer.outcome, "hit", now)
            case Join() as join:
                load, waiter = self._flights.join(join.generation, takes_kept=True)
                self._flights.carry_out(effects)
                outcome = await self._flights.outcome(load, waiter)
                return self._reply(outcome, "loaded" if join.leads else "joined", self._clock())
            case Refuse() as refusal:
                self._flights.carry_out(effects)
                return wire.reply_with_error(refusal.error(self._name))

    async def reload(self) -> Reply:
        """`{value}`, or `{error, message}`."""
        since = self._entry.generation
        while True:
            try:
                effects = self._entry.get(self._clock(), LOADING.get(), reloads=True)
            except ReentrantLoad as error:
                return wire.reply_with_error(error)
            reply = reply_of(effects)
            if not isinstance(reply, Join):
                self._flights.carry_out(effects)
                return wire.reply_with_error(cast(Refuse, reply).error(self._name))
            load, waiter = self._flights.join(reply.generation)
            self._flights.carry_out(effects)
            outcome = await self._flights.outcome(load, waiter)
            if load.generation > since:
                told = outcome if isinstance(outcome, Failure) or load.failure is None else load.failure
                answered = self._reply(told, "loaded", self._clock())
                return {"value": answered["value"]} if "value" in answered else answered

    async def lend(self) -> Reply:
        """`{value, ttl, stale_while_revalidate}`, or `{error, message}`."""
        reply = await self.lookup()
        if "error" in reply:
            return reply
        ttl, stale_while_revalidate = map(wire.seconds, self._entry.lendable(reply["value"], self._clock()))
        return {"value": reply["value"], "ttl": ttl, "stale_while_revalidate": stale_while_revalidate}

    def peek(self) -> Reply:
        """`{value, how, age, ttl}`, or `{}`."""
        now = self._clock()
        outcome = self._entry.peek(now)
        return self._reply(outcome, "hit", now) if isinstance(outcome, Value) else {}

    def put(
        self,
        value: object,
        ttl: float | None,
        stale_while_revalidate: float | None,
        stale_if_error: float | None = None,
        age: float = 0,
    ) -> Reply:
        """`{}`, or `{error, message}`."""
        try:
            body = wire.checked(value)
            if self._holds_json:
                wire.checked_json(body)
            loaded = Loaded(
                body,
                ttl=ttl,
                stale_while_revalidate=stale_while_revalidate,
                stale_if_error=stale_if_error,
                age=age,
            )
        except HerdlessError as error:
            return wire.reply_with_error(error)
        return self._change(lambda now: self._entry.put(loaded, now, random.random()))

    def touch(self, ttl: float | None) -> Reply:
        """`{touched}`, or `{error, message}`."""
        try:
            given = None if ttl is None else Loaded(None, ttl=ttl)
        except HerdlessError as error:
            return wire.reply_with_error(error)
        found: list[bool] = []

        def touch(now: int) -> Effects:
            effects = self._entry.touch(given, now, random.random())
            found.append(effects is not None)
            return effects or ()

        return self._change(touch) or {"touched": found[0]}

    def invalidate(self) -> Reply:
        """`{}`, or `{error, message}`."""
        return self._change(self._entry.invalidate)

    def expire(self) -> Reply:
        """`{}`, or `{error, message}`."""
        return self._change(self._entry.expire)

    def refresh(self) -> Reply:
        """`{started}`, or `{error, message}`."""
        since = len(self._entry.flights)
        reply = self._change(self._entry.refresh)
        return reply or {"started": len(self._entry.flights) > since}

    def stats(self) -> Reply:
        """The counters."""
        return asdict(self._entry.stats())

    async def alarm(self) -> None:
        """Do what is due, and wait for the load that this starts. Raises NotStored, for the platform to come again."""
        now = self._clock()
        effects = self._entry.alarm(now)
        refusal = self._entry.refusal
        self._flights.carry_out(effects)
        await self._flights.ended()
        if refusal is not None:
            raise refusal

    def _change(self, step: Callable[[int], Effects]) -> Reply:
        now = self._clock()
        effects = step(now)
        error: BaseException | None = self._entry.refusal
        self._flights.carry_out(effects)
        for effect in effects:
            if error is None and isinstance(effect, Settle) and isinstance(effect.outcome, Failure):
                error = effect.outcome.error  # a refresh that could not begin
        return {} if error is None else wire.reply_with_error(error)

    def _reply(self, outcome: Outcome, how: str, now: int) -> Reply:
        if isinstance(outcome, Failure):
            return wire.reply_with_error(outcome.error)
        age = max(now - outcome.loaded_at, 0) / NANOSECONDS_PER_SECOND  # the clock may have been set back
        left = self._entry.fresh_for(outcome, now)
        how = "stale" if outcome.is_stale else how
        reply = {"value": outcome.value, "how": how, "outcome": how}  # "outcome": for clients of herdless 0.1
        return reply | {"age": age, "ttl": None if left >= NEVER else wire.seconds(left)}
