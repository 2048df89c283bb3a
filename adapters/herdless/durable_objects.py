"""The cache for Cloudflare Durable Objects: one object for each key, its entry in the object's own storage.

    class UserCache(CacheObject):
        policy = Policy(ttl=60, stale_while_revalidate=300)

        async def load(self, key): ...

The object IS the entry: the platform routes every caller of a key to it, and it runs the same machine as the other
runtimes. It is restored when the platform has moved or restarted it. A load runs in a task of its own; that callers are
gone is not known here, so a load always runs to its end or to its deadline. Everything a step changes is written before
anybody is woken, and the platform holds the replies back until it is durable.

Workers call through `CacheClient`, or over RPC from any language: see docs/durable-objects.md.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import Any, ClassVar, Final

from herdless._cache import LOADING
from herdless._durable import wire
from herdless._durable.client import CALL_SECONDS, CacheClient, call
from herdless._durable.entry import DurableEntry
from herdless._durable.flights import Flights
from herdless._durable.runtime import DurableObject, object_storage
from herdless._durable.storage import EntryStorage
from herdless._durable.wire import Body, ObjectUnreachable, Reply, ValueTooLarge
from herdless._observers import Guarded
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    Failure,
    HerdlessError,
    Join,
    Loaded,
    Outcome,
    Policy,
    ReentrantLoad,
    Refuse,
    RemoteLoadError,
    Step,
    TooManyWaiters,
    Value,
    reply_of,
    shown,
)

__all__ = ["CacheClient", "CacheObject", "Loaded", "ObjectUnreachable", "Policy", "RemoteLoadError", "ValueTooLarge"]


class CacheObject(DurableObject):
    """One key's entry, as a Durable Object. Subclass it; give `load`, and `policy` where the default is not right.

    Its public methods are RPC: `get`, `lookup` and `peek` ask; `put`, `invalidate`, `expire` and `refresh` change;
    `stats` tells. They answer with plain data and raise nothing. The object's storage and alarm are the cache's own.
    """

    policy: ClassVar[Policy] = Policy()
    keeps_warm: ClassVar[bool] = False
    """Whether the value is refreshed, at its early point or at the end of its ttl, though nobody asks for it."""

    async def load(self, key: str) -> Any:
        """The key's value, or `Loaded(value, ttl=...)`: JSON or bytes, or whatever `encode` takes."""
        raise NotImplementedError(f"{type(self).__name__} has no `async def load(self, key)`")

    def encode(self, value: Any) -> Body:
        """The value as JSON text or as bytes; this is what is stored and sent."""
        return wire.encode(value)

    def clock(self) -> int:
        """The time in integer nanoseconds since 1970, so that it goes on where a former instance stopped."""
        return time.time_ns()

    def observe(self, key: str, step: Step) -> None:
        """Called at every step, before what it orders is written or carried out; it must not call the object.

        A hit takes no step. An instance's first step is Restarted. Costs nothing where it is not overridden.
        """

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        if not isinstance(ctx.id.name, str):
            raise TypeError(f"{type(self).__name__} needs an object with a name: get it by `getByName(key)`")
        self._key, self._is_reader = wire.key_of(ctx.id.name)
        storage = EntryStorage(object_storage(ctx))
        observe = None if type(self).observe is CacheObject.observe else Guarded(self.observe)
        self._entry: Final = DurableEntry(
            storage, self._key, self.policy, self.clock(), keeps_warm=self.keeps_warm, observe=observe
        )
        self._flights: Final = Flights(self._entry, self._load, self.clock, f"{type(self).__name__} {shown(self._key)}")

    # RPC

    async def get(self) -> Reply:
        """`{value}`, or `{error, message}`."""
        reply = await self.lookup()
        return {"value": reply["value"]} if "value" in reply else reply

    async def lookup(self) -> Reply:
        """`{value, outcome, age}`: how the value was come by, and its age in seconds; or `{error, message}`."""
        now = self.clock()
        hit = self._entry.hit(now)
        if hit is not None:
            return self._reply(hit, "hit", now)
        try:
            effects = self._entry.get(now, LOADING.get())
        except ReentrantLoad as error:
            return wire.reply_with_error(error)
        self._flights.carry_out(effects)
        match reply_of(effects):
            case Answer() as answer:
                return self._reply(answer.outcome, "hit", now)
            case Join() as join:
                outcome = await self._flights.join(join.generation)
                return self._reply(outcome, "loaded" if join.leads else "joined", self.clock())
            case Refuse() as refusal:
                waiting = f"max_waiters={refusal.max_waiters} callers wait for the load of {shown(self._key)} already"
                return wire.reply_with_error(TooManyWaiters(waiting))

    async def lend(self) -> Reply:
        """`{value, ttl, stale_while_revalidate}`: what a reader may keep, and for how long; or `{error, message}`."""
        reply = await self.lookup()
        if "error" in reply:
            return reply
        ttl, stale_while_revalidate = map(wire.seconds, self._entry.lendable(reply["value"], self.clock()))
        return {"value": reply["value"], "ttl": ttl, "stale_while_revalidate": stale_while_revalidate}

    async def peek(self) -> Reply:
        """`{value, outcome, age}` if a lookup would be answered with it at once, else `{}`."""
        now = self.clock()
        outcome = self._entry.peek(now)
        return self._reply(outcome, "hit", now) if isinstance(outcome, Value) else {}

    async def put(self, value: object, ttl: float | None = None, stale_while_revalidate: float | None = None) -> Reply:
        """Store a value, encoded; the durations, seconds, in place of the policy's. `{}`, or `{error, message}`."""
        try:
            loaded = Loaded(wire.checked(value), ttl=ttl, stale_while_revalidate=stale_while_revalidate)
        except HerdlessError as error:
            return wire.reply_with_error(error)
        self._flights.carry_out(self._entry.put(loaded, self.clock(), random.random()))
        return {}

    async def invalidate(self) -> Reply:
        """From now on nobody is served what was known, nor what a load in flight will say. `{}`."""
        self._flights.carry_out(self._entry.invalidate(self.clock()))
        return {}

    async def expire(self) -> Reply:
        """Make a fresh value stale: loaded again at the next lookup, served meanwhile as the policy says. `{}`."""
        self._flights.carry_out(self._entry.expire(self.clock()))
        return {}

    async def refresh(self) -> Reply:
        """Start loading without waiting for it, unless a load is in flight. `{}`."""
        self._flights.carry_out(self._entry.refresh(self.clock()))
        return {}

    async def stats(self) -> Reply:
        """The counters of this instance, as `herdless.Stats` names them."""
        return asdict(self._entry.stats())

    async def alarm(self, info: object = None) -> None:
        """Only says that the time has come; the platform may say so more than once. Waits for the load it starts."""
        self._flights.carry_out(self._entry.alarm(self.clock()))
        await self._flights.ended()

    # The rest

    async def _load(self) -> Body | Loaded[Body]:
        if self._is_reader:
            return await self._load_from_owner()
        loaded = await self.load(self._key)
        if not isinstance(loaded, Loaded):
            return wire.checked(self.encode(loaded))
        return wire.loaded(wire.checked(self.encode(loaded.value)), loaded.ttl, loaded.stale_while_revalidate)

    async def _load_from_owner(self) -> Loaded[Body]:
        """What the key's own object lends: a reader's load. The class reaches its own namespace by `ctx.exports`."""
        owners = getattr(self.ctx.exports, type(self).__name__)
        reply = await call(owners, self._key, "lend", retry_seconds=CALL_SECONDS)
        error = wire.error_in(reply)
        if error is not None:
            raise error
        return Loaded(wire.body_in(reply), ttl=reply["ttl"], stale_while_revalidate=reply["stale_while_revalidate"])

    def _reply(self, outcome: Outcome, how: str, now: int) -> Reply:
        if isinstance(outcome, Failure):
            return wire.reply_with_error(outcome.error)
        age = (now - outcome.loaded_at) / NANOSECONDS_PER_SECOND
        return {"value": outcome.value, "outcome": "stale" if outcome.is_stale else how, "age": age}
