"""A cache as the contract suite knows it, made of a `CacheClient` whose objects are behind HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from herdless.asyncio import Lookup, Stats
from herdless.durable_objects import CacheClient, Loaded, RemoteLoadError
from herdless_core import Duration

T = TypeVar("T")

_MISSING: Final = object()


class Objects(Protocol):
    """Where the objects are."""

    def object_name(self, cache: str, key: object) -> str:
        """The object of a key."""

    def ask(self, name: str, method: str, *arguments: object) -> Any:
        """What an object answers at once."""

    def look_up(self, name: str, method: str) -> Any:
        """What an object answers to a lookup, when it can. method: `lookup` or `reload`."""

    def original(self, error: RemoteLoadError) -> BaseException:
        """The exception that a load raised at the origin."""

    def judge(self, cache: str) -> None:
        """The cache is done with."""


class RemoteCache:
    """`herdless.threads.Cache` in its words, a `CacheClient` in what it does."""

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects: Final = objects
        self._name: Final = name
        self._client: Final = CacheClient(_Namespace(objects))
        self._names: Final[set[str]] = set()
        self._is_closed = False

    def get(self, key: object) -> Any:
        """The key's value."""
        return self._run(self._client.get(self._of(key)))

    def lookup(self, key: object) -> Lookup[Any]:
        """The value, and how it was got."""
        return self._run(self._client.lookup(self._of(key)))

    def peek(self, key: object, default: T | None = None) -> Any:
        """What there is."""
        return self._run(self._client.peek(self._of(key), default))

    def put(self, key: object, value: object | Loaded[object]) -> None:
        """Store a value."""
        self._run(self._client.put(self._of(key), value))

    def touch(self, key: object, ttl: Duration | None = None) -> bool:
        """Let its life begin anew."""
        return self._run(self._client.touch(self._of(key), ttl))

    def invalidate(self, key: object) -> None:
        """Forget it."""
        self._run(self._client.invalidate(self._of(key)))

    def expire(self, key: object) -> None:
        """Make it stale."""
        self._run(self._client.expire(self._of(key)))

    def refresh(self, key: object) -> bool:
        """Load it in the background."""
        return bool(self._run(self._client.refresh(self._of(key))))

    def reload(self, key: object) -> Any:
        """Load it and wait for that."""
        return self._run(self._client.reload(self._of(key)))

    def stats(self) -> Stats:
        """Of all objects together."""
        every = [self._run(self._client.stats(name)) for name in self._names]
        numbers = {name: [getattr(each, name) for each in every] for name in Stats.__dataclass_fields__}
        added: dict[str, Any] = {name: None if None in some else sum(some) for name, some in numbers.items()}
        return Stats(**added)

    def __contains__(self, key: object) -> bool:
        return self.peek(key, _MISSING) is not _MISSING

    def __len__(self) -> int:
        return self.stats().size

    def close(self, *, cancel: bool = False) -> None:
        """The scenario is over."""
        if not self._is_closed:
            self._is_closed = True
            self._objects.judge(self._name)

    def _of(self, key: object) -> str:
        name = self._objects.object_name(self._name, key)
        self._names.add(name)
        return name

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run(call)
        except RemoteLoadError as error:
            raise self._objects.original(error) from None


class _Namespace:
    """As the binding of a Worker."""

    def __init__(self, objects: Objects) -> None:
        self._objects: Final = objects

    def getByName(self, name: str) -> Any:  # noqa: N802  # JavaScript's name
        """A stub."""
        return _Stub(self._objects, name)


class _Stub:
    def __init__(self, objects: Objects, name: str) -> None:
        self._objects: Final = objects
        self._name: Final = name

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*arguments: object) -> Any:
            if method in {"lookup", "reload"}:
                return self._objects.look_up(self._name, method)
            return self._objects.ask(self._name, method, *arguments)

        return call
