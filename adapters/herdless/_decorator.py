"""The `cached` decorator, as far as it is the same in every runtime: calls into keys and back, and what hangs on the
function.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import (
    Any,
    Concatenate,
    Final,
    Generic,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    final,
    overload,
)

from herdless_core import Loaded, Stats

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

Call: TypeAlias = Any
"""What a call is cached by: `(positional, sorted keyword items)` after binding, or a `_KeyedCall`."""


class CacheInfo(NamedTuple):
    """The words of `functools.lru_cache`. A stale hit is a hit; a join is neither a hit nor a miss."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class _AnyCache(Protocol):
    def invalidate(self, key: Any) -> None: ...
    def clear(self) -> None: ...
    def stats(self) -> Stats: ...


class _AsyncCache(_AnyCache, Protocol):
    async def get(self, key: Any) -> Any: ...


class _SyncCache(_AnyCache, Protocol):
    def get(self, key: Any) -> Any: ...


@final
class _KeyedCall:
    """A call that is cached by what the user's `key` function made of it."""

    __slots__ = ("arguments", "key")

    def __init__(self, key: object, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self.key: Final = key
        self.arguments: Final = arguments

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _KeyedCall) and bool(self.key == other.key)

    def __repr__(self) -> str:
        return repr(self.key)


@final
class _Calls:
    """Turns the arguments of a call into a key, and a key into the call."""

    def __init__(self, function: Callable[..., Any], key: Callable[..., object] | None) -> None:
        if isinstance(function, classmethod | staticmethod):
            raise TypeError(f"cached is applied to {function!r}: @classmethod and @staticmethod stand above @cached")
        if not callable(function):
            raise TypeError(f"cached is applied to {function!r}, which is no function")
        self._function: Final = function
        self._key: Final = key
        self._signature: Final = inspect.signature(function)
        parameters = self._signature.parameters.values()
        self._is_positional: Final = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        self._defaults: Final = tuple(p.default for p in parameters if p.default is not p.empty)
        self._count: Final = len(self._signature.parameters)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The key of a call; raises TypeError where the arguments do not fit the signature."""
        if self._key is not None:
            return _KeyedCall(self._key(*args, **kwargs), (args, kwargs))
        missing = self._count - len(args)
        if self._is_positional and not kwargs and 0 <= missing <= len(self._defaults):
            return (args + self._defaults[len(self._defaults) - missing :] if missing else args, ())
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return (bound.args, tuple(sorted(bound.kwargs.items())))

    def __repr__(self) -> str:
        return repr(self._function)

    def run(self, call: Call) -> Any:
        """Call the function as the key says."""
        if isinstance(call, _KeyedCall):
            args, kwargs = call.arguments
            return self._function(*args, **kwargs)
        args, items = call
        return self._function(*args, **dict(items))


def require_parentheses(function: object) -> None:
    """Raise TypeError where the decorator itself was given the function."""
    if function is not None:
        raise TypeError(f"cached is given {function!r}: write @cached() with parentheses")


class _Cached(Generic[P, R]):
    """What `cached` makes of a function. On an instance, a method's `invalidate` needs no `self`, like the method
    itself.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], calls: _Calls, cache: _AnyCache) -> None:
        functools.update_wrapper(self, function)
        self._calls: Final = calls
        self._instance: tuple[Any, ...] = ()
        self.cache: Any = cache
        """The cache behind the function; its keys are the bound arguments."""

    def _call_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        return self._calls.key(self._instance + args if self._instance else args, kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Invalidate the result for these arguments."""
        self.cache.invalidate(self._call_key(args, kwargs))

    def cache_info(self) -> CacheInfo:
        """Hits, misses, maxsize and current size, as `functools.lru_cache` names them."""
        stats: Stats = self.cache.stats()
        return CacheInfo(stats.hits + stats.stale_hits, stats.misses, stats.maxsize, stats.size)

    def cache_clear(self) -> None:
        """Invalidate the results for all arguments, of all instances where it is a method."""
        self.cache.clear()

    def _bound_to(self, instance: Any) -> Self:
        bound = type(self).__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._instance = (instance,)
        return bound

    @abstractmethod
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...


@final
class AsyncCached(_Cached[P, R]):
    """An async function with a cache."""

    def __init__(
        self,
        function: Callable[P, Awaitable[R | Loaded[R]]],
        key: Callable[..., object] | None,
        make_cache: Callable[[Callable[[Call], Awaitable[R | Loaded[R]]]], _AsyncCache],
    ) -> None:
        calls = _Calls(function, key)
        super().__init__(function, calls, make_cache(calls.run))
        if hasattr(inspect, "markcoroutinefunction"):  # Python 3.12
            inspect.markcoroutinefunction(self)
        else:
            # Python 3.11's only way to say the same.
            self._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # private

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, cached."""
        return cast(R, await self.cache.get(self._call_key(args, kwargs)))

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: AsyncCached[Concatenate[S, Q], R], instance: S, owner: type) -> AsyncCached[Q, R]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self._bound_to(instance)


@final
class SyncCached(_Cached[P, R]):
    """A function with a cache."""

    def __init__(
        self,
        function: Callable[P, R | Loaded[R]],
        key: Callable[..., object] | None,
        make_cache: Callable[[Callable[[Call], R | Loaded[R]]], _SyncCache],
    ) -> None:
        calls = _Calls(function, key)
        super().__init__(function, calls, make_cache(calls.run))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, cached."""
        return cast(R, self.cache.get(self._call_key(args, kwargs)))

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: SyncCached[Concatenate[S, Q], R], instance: S, owner: type) -> SyncCached[Q, R]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self._bound_to(instance)
