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

import time
from typing import Any, ClassVar, Final, cast

from herdless._durable import wire
from herdless._durable.client import CALL_SECONDS, CacheClient, call
from herdless._durable.entry import DurableEntry
from herdless._durable.flights import Flights
from herdless._durable.foreign import Clock
from herdless._durable.requests import Requests
from herdless._durable.runtime import DurableObject, Exposed, object_storage
from herdless._durable.storage import EntryStorage
from herdless._durable.wire import Body, NotStored, ObjectUnreachable, Reply, ValueTooLarge
from herdless._previous import previous_in, take_kept, takes_previous
from herdless_core import NOT_MODIFIED, Loaded, Policy, Previous, RemoteLoadError, Step, shown
from herdless_core._previous import is_not_modified, nothing_before, resolved

__all__ = [
    "NOT_MODIFIED",
    "CacheClient",
    "CacheObject",
    "Loaded",
    "NotStored",
    "ObjectUnreachable",
    "Policy",
    "Previous",
    "RemoteLoadError",
    "ValueTooLarge",
]

_HOOKS: Final = frozenset({"clock", "decode", "encode", "load", "observe"})
"""What a subclass writes and the object calls; nobody else does."""


class CacheObject(DurableObject):
    """One key's entry, as a Durable Object. Subclass it; give `load`, and `policy` where the default is not right.

    Its public methods are RPC: `get`, `lookup`, `peek` and `reload` ask; `put`, `touch`, `invalidate`, `expire` and
    `refresh` change; `stats` tells. They answer with plain data and raise nothing. So are a subclass's own, unless
    their names begin with an underscore. The hooks `load`, `encode`, `decode`, `clock` and `observe` cannot be called
    from outside. The object's storage and alarm are the cache's own.
    """

    policy: ClassVar[Policy] = Policy()
    keeps_warm: ClassVar[bool] = False
    """Whether the value is refreshed, at its early point or at the end of its ttl, though nobody asks for it."""

    previous: ClassVar[bool | None] = None
    """Whether `load` is given the `Previous` that is kept, or None, beside the key. None: it is, if it takes two."""

    async def load(self, key: str) -> Any:
        """The key's value, or `Loaded(value, ttl=...)`: JSON or bytes, or whatever `encode` takes. Tags are refused.

        Defined as `load(self, key, previous)` it is given the `Previous` that is kept, or None, and may return
        `NOT_MODIFIED`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `async def load(self, key)`")

    def encode(self, value: Any) -> Body:
        """The value as JSON text or as bytes; this is what is stored and sent."""
        return wire.encode(value)

    def decode(self, body: Body) -> Any:
        """What `encode` was given: for the `Previous` of a `load` that takes it."""
        return wire.decode(body)

    def clock(self) -> int:
        """The time in integer nanoseconds since 1970, so that it goes on where a former instance stopped."""
        return time.time_ns()

    def observe(self, key: str, step: Step) -> None:
        """Called at every step, before what it orders is written or carried out; it must not call the object.

        A hit takes no step. An instance's first step is Restarted. Costs nothing where it is not overridden.
        """

    def __new__(cls, ctx: Any, env: Any) -> Any:
        """What the runtime is given in place of the object: its public methods."""
        made = super().__new__(cls)
        made.__init__(ctx, env)  # type: ignore[misc]  # Python does not, as it is not what is returned
        return Exposed(made, _HOOKS)

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._key, self._is_reader = wire.key_of(ctx.id.name)
        clock = Clock(self.clock)
        observe = None if type(self).observe is CacheObject.observe else self.observe
        name = f"{type(self).__name__} {shown(self._key)}"
        self._takes_previous: Final = not self._is_reader and takes_previous(self.load, self.previous)
        self._entry: Final = DurableEntry(
            EntryStorage(object_storage(ctx)),
            self._key,
            self.policy,
            clock(),
            keeps_warm=self.keeps_warm,
            observe=observe,
            gives_previous=self._takes_previous,
        )
        self._flights: Final = Flights(self._entry, self._load, clock, name)
        holds_json = type(self).encode is CacheObject.encode
        self._requests: Final = Requests(self._entry, self._flights, clock, name, holds_json=holds_json)

    # RPC

    async def get(self) -> Reply:
        """`{value}`, or `{error, message}`."""
        return await self._requests.get()

    async def lookup(self) -> Reply:
        """`{value, how, age, ttl}`: how the value was got, its age, for how long it is fresh (seconds; `null`: without
        end); or `{error, message}`.
        """
        return await self._requests.lookup()

    async def lend(self) -> Reply:
        """`{value, ttl, stale_while_revalidate}`: what a reader may keep, and for how long; or `{error, message}`."""
        return await self._requests.lend()

    async def reload(self) -> Reply:
        """`{value}` of a load that begins after this call, or `{error, message}`."""
        return await self._requests.reload()

    async def peek(self) -> Reply:
        """`{value, how, age, ttl}` if a lookup would be answered with it at once, otherwise `{}`."""
        return self._requests.peek()

    async def put(
        self,
        value: object = None,
        ttl: float | None = None,
        stale_while_revalidate: float | None = None,
        stale_if_error: float | None = None,
        age: float = 0,
    ) -> Reply:
        """Store a value, encoded. ttl, stale_while_revalidate, stale_if_error: seconds >= 0, in place of the policy's;
        age: how old the value is already, in seconds. Replies `{}`, or `{error, message}`.

        A text has to be JSON, unless the class has its own `encode`. NotStored: this instance serves the value, until
        it ends; what was stored before is deleted.
        """
        return self._requests.put(value, ttl, stale_while_revalidate, stale_if_error, age)

    async def touch(self, ttl: float | None = None) -> Reply:
        """Let the value that is held begin a new life, as if it were put again; ttl: seconds, in place of the policy's.
        `{touched}`, false where none is held; or `{error, message}`.
        """
        return self._requests.touch(ttl)

    async def invalidate(self) -> Reply:
        """From now on nobody is served what was known, nor what a load in flight will say. `{}`, or `{error, message}`.

        NotStored: it holds in this instance, but the next one may find what was known; call again.
        """
        return self._requests.invalidate()

    async def expire(self) -> Reply:
        """Make a fresh value stale: loaded again at the next lookup, served meanwhile as the policy says. `{}`, or
        `{error, message}`.
        """
        return self._requests.expire()

    async def refresh(self) -> Reply:
        """Start loading without waiting for it, unless a load is in flight. `{started}`, or `{error, message}`."""
        return self._requests.refresh()

    async def stats(self) -> Reply:
        """The counters of this instance, as `herdless.Stats` names them."""
        return self._requests.stats()

    async def alarm(self, info: object = None) -> None:
        """Only says that the time has come; the platform may say so more than once. Waits for the load it starts.

        Raises NotStored where the storage refused to write: the platform comes again then.
        """
        await self._requests.alarm()

    # The rest

    async def _load(self) -> Body | Loaded[Body]:
        if self._is_reader:
            return await self._load_from_owner()
        if not self._takes_previous:
            loaded = await self.load(self._key)
        else:
            kept = take_kept()
            previous = previous_in(kept)
            given = None if previous is None else Previous(self.decode(previous.value), previous.age)
            loaded = await self.load(self._key, given)  # type: ignore[call-arg]  # as was found out
            if is_not_modified(loaded):
                loaded.require_untagged()
                return cast(Loaded[Body], resolved(loaded, kept))  # it is encoded
        if is_not_modified(loaded):
            raise nothing_before()
        if not isinstance(loaded, Loaded):
            return wire.checked(self.encode(loaded))
        loaded.require_untagged()
        return loaded.with_value(wire.checked(self.encode(loaded.value)))

    async def _load_from_owner(self) -> Loaded[Body]:
        """What the key's own object lends: a reader's load. The class reaches its own namespace by `ctx.exports`."""
        owners = getattr(self.ctx.exports, type(self).__name__)
        reply = await call(owners, self._key, "lend", retry_seconds=CALL_SECONDS)
        error = wire.error_in(reply)
        if error is not None:
            raise error
        return Loaded(wire.body_in(reply), ttl=reply["ttl"], stale_while_revalidate=reply["stale_while_revalidate"])
