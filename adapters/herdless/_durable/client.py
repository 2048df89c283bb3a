"""The caller's side: from a key to its object, again if need be, and back to values and errors."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from time import monotonic
from typing import Any, Final, TypeVar, final

from herdless._durable import wire
from herdless._durable.runtime import to_js, to_python
from herdless._durable.wire import Body, ObjectUnreachable, Reply
from herdless._lookup import Lookup
from herdless_core import Duration, Loaded, PolicyError, Stats, shown

T = TypeVar("T")

CALL_SECONDS: Final = 2.0
"""For how long a call that the platform interrupted is tried again, unless the caller says otherwise."""

FIRST_BACKOFF_SECONDS: Final = 0.05
LONGEST_BACKOFF_SECONDS: Final = 1.0


@final
class CacheClient:
    """The cache as a Worker sees it: every method goes to the object of its key.

    namespace: the binding of the objects' class, `env.CACHE`.
    replicas: how many reader objects stand in front of each key's own object; 0: none.
    encode, decode: from a value to JSON text or bytes, and back; the CacheObject's `encode` must fit.
    retry_for: for how long a call that the platform interrupted is tried again; seconds or timedelta.

    A key is a text of at most 1,024 bytes in UTF-8; with readers, of a few less: their names hold the reader's number.

    Raises the errors of herdless; a loader's own exception as RemoteLoadError, which has its message and, as `kind`,
    the name of its class; ObjectUnreachable when the object could not be asked; NotStored when its storage refused to
    write. PolicyError for a bad argument, before anything is sent.
    """

    def __init__(
        self,
        namespace: Any,
        *,
        replicas: int = 0,
        encode: Callable[[Any], Body] = wire.encode,
        decode: Callable[[Body], Any] = wire.decode,
        retry_for: Duration = CALL_SECONDS,
    ) -> None:
        if type(replicas) is not int or replicas < 0:
            raise PolicyError(f"replicas={replicas!r} is not accepted: give an integer >= 0")
        self._namespace: Final = namespace
        self._replicas: Final = replicas
        self._encode: Final = encode
        self._decode: Final = decode
        self._retry_seconds: Final = _seconds("retry_for", retry_for)

    async def get(self, key: str) -> Any:
        """The key's value, loaded if need be."""
        return (await self.lookup(key)).value

    async def lookup(self, key: str) -> Lookup[Any]:
        """Like `get`, and says how the value was got, its age, and for how long it is fresh."""
        reply = await self._call(self._some_object(key), "lookup")
        left = reply.get("ttl", 0.0)  # an object of an earlier version says nothing of it
        ttl = math.inf if left is None else left
        return Lookup(self._decode(wire.body_in(reply)), reply.get("how") or reply["outcome"], reply["age"], ttl)

    async def peek(self, key: str, default: T | None = None) -> Any | T | None:
        """The value that a lookup would be answered with at once, a stale one included, or `default`."""
        reply = await self._call(self._some_object(key), "peek")
        return self._decode(wire.body_in(reply)) if "value" in reply else default

    async def put(self, key: str, value: Any) -> None:
        """Store a value, or `Loaded(value, ttl=...)`. Raises, before it is sent, ValueTooLarge for one over 2 MB, and
        PolicyError for `keep=False` and for tags.
        """
        durations: tuple[float | None, ...] = (None, None)
        if isinstance(value, Loaded):
            value.require_kept()
            value.require_untagged()
            durations = (wire.seconds(value.ttl), wire.seconds(value.stale_while_revalidate))
            more = (wire.seconds(value.stale_if_error), wire.seconds(value.age))
            durations += more if value.age else more[:1] if value.stale_if_error is not None else ()
            value = value.value
        body = wire.checked(self._encode(value))
        await self._call(self._owner(key), "put", body, *durations)
        await self._call_all(self._readers(key), "invalidate")

    async def touch(self, key: str, ttl: Duration | None = None) -> bool:
        """Let the value that the key's own object holds begin a new life, as if it were put again: whether one is held.
        ttl: seconds or timedelta, in place of the policy's; PolicyError, before it is sent, for another one.
        """
        seconds = wire.seconds(Loaded(None, ttl=ttl).ttl)
        reply = await self._call(self._owner(key), "touch", *(() if seconds is None else (seconds,)))
        await self._call_all(self._readers(key), "invalidate")
        return bool(reply["touched"])

    async def invalidate(self, key: str) -> None:
        """From now on nobody is served what was known of the key, nor what a load in flight will say of it."""
        await self._call(self._owner(key), "invalidate")
        await self._call_all(self._readers(key), "invalidate")  # after the owner, lest they load the old value again

    async def expire(self, key: str) -> None:
        """Make a fresh value stale: it is loaded again at the next lookup and served meanwhile as the policy says."""
        await self._call(self._owner(key), "expire")
        await self._call_all(self._readers(key), "expire")

    async def refresh(self, key: str) -> bool:
        """Start loading the key in its own object without waiting for it; readers follow when their ttl is over.

        Returns whether a load was started: none is while another one is in flight.
        """
        reply = await self._call(self._owner(key), "refresh")
        return bool(reply.get("started"))

    async def reload(self, key: str) -> Any:
        """The value of a load of the key's own object that begins after this call. Readers follow at their next lookup,
        for which what they have is stale.
        """
        reply = await self._call(self._owner(key), "reload")
        await self._call_all(self._readers(key), "expire")
        return self._decode(wire.body_in(reply))

    async def stats(self, key: str) -> Stats:
        """What the key's object and its readers have done since each of them last started, added up."""
        replies = await self._call_all((self._owner(key), *self._readers(key)), "stats")
        first = replies[0]  # what has no bound in one object has none in the others
        added: dict[str, Any] = {
            name: None if first[name] is None else sum(reply[name] for reply in replies) for name in first
        }
        return Stats(**added)

    def _owner(self, key: str) -> str:
        return wire.object_name(key, replicas=self._replicas)

    def _some_object(self, key: str) -> str:
        reader = random.randint(1, self._replicas) if self._replicas else 0
        return wire.object_name(key, reader, replicas=self._replicas)

    def _readers(self, key: str) -> list[str]:
        return [wire.object_name(key, reader, replicas=self._replicas) for reader in range(1, self._replicas + 1)]

    async def _call_all(self, names: Iterable[str], method: str) -> list[Reply]:
        """All of them are called, and waited for, before the error of one is raised."""
        calls = (self._call(name, method) for name in names)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return [reply for reply in replies if not isinstance(reply, BaseException)]

    async def _call(self, name: str, method: str, *arguments: Any) -> Reply:
        reply = await call(self._namespace, name, method, *arguments, retry_seconds=self._retry_seconds)
        error = wire.error_in(reply)
        if error is not None:
            raise error
        return reply


async def call(namespace: Any, name: str, method: str, *arguments: Any, retry_seconds: float) -> Reply:
    """Call a method of the object of this name, again where the platform says that this may help.

    Raises ObjectUnreachable, at the latest when the next attempt would begin more than `retry_seconds` after the first.
    """
    deadline = monotonic() + retry_seconds
    longest = FIRST_BACKOFF_SECONDS
    while True:
        try:
            # A new stub for each attempt: one that has thrown stays broken.
            stub = namespace.getByName(name)
            reply: Reply = to_python(await getattr(stub, method)(*(_argument(argument) for argument in arguments)))
            return reply
        except Exception as error:
            delay = random.uniform(0, longest)
            if not _may_help_to_retry(error) or monotonic() + delay > deadline:
                raise ObjectUnreachable(
                    f"the object {shown(name)} did not answer {method}(): {_first_line(error)}"
                ) from error
        await asyncio.sleep(delay)
        longest = min(2 * longest, LONGEST_BACKOFF_SECONDS)


def _may_help_to_retry(error: Exception) -> bool:
    """What the runtime says of its own error. An overloaded object is not asked again: that would make it worse."""
    if getattr(error, "overloaded", False):
        return False
    return bool(getattr(error, "retryable", False) or getattr(error, "durableObjectReset", False))


def _first_line(error: Exception) -> str:
    """The error without a traceback's text: the last line is the one that says what it was."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1]


def _argument(value: Any) -> Any:
    return to_js(value) if isinstance(value, bytes) else value


def _seconds(argument: str, duration: object) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise PolicyError(f"{argument}={duration!r} is not accepted: give a number of seconds >= 0 or a timedelta >= 0")
    return seconds
