"""What type checkers see of a decorated function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, ParamSpec, Protocol, Self, TypeVar, overload

from herdless._lookup import Lookup
from herdless_core import Loaded

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
T = TypeVar("T")


class CacheInfo(NamedTuple):
    """The words of `functools.lru_cache`. A stale hit is a hit; a join is neither a hit nor a miss."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class _Takes(Protocol[S_contra, Q, R_co]):
    """A function with a first argument. mypy would ignore a `Concatenate` in its place."""

    def __call__(self, first: S_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...


class _Hung(Protocol[P, R_co]):
    """What hangs on a cached function. On an instance, a method's words need no `self`, like the method."""

    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function that was decorated."""

    @property
    def cache(self) -> Any:
        """The cache behind the function; of a method with `per_instance=True`, on an instance, that of the instance."""

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None:
        """The result that a call would be given at once, a stale one included, or None."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """What to ask `cache` by for these arguments. With `key=` it keeps them, and so does what is loaded by it."""

    def cache_info(self) -> CacheInfo:
        """Hits, misses, maxsize and current size, as `functools.lru_cache` names them."""

    def cache_clear(self) -> None:
        """Invalidate the results for all arguments, of all instances that share the cache, and count from 0 again."""


class _Cached(_Hung[P, T], Protocol[P, T]):
    """What is changed at once."""

    def put(self, value: T | Loaded[T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store a value as the result for these arguments. Callers who wait for it get it."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Invalidate the result for these arguments."""

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make the result for these arguments stale."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Start loading the result for these arguments without waiting for it: whether a load was started. None is
        while another one is in flight.
        """


class AsyncCached(_Cached[P, R], Protocol[P, R]):
    """An async function with a cache."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, cached."""

    async def lookup(self, *args: P.args, **kwargs: P.kwargs) -> Lookup[R]:
        """Like the call, and says how the result was got, and its age."""

    async def reload(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a load for these arguments that begins after this call."""

    async def get_many(self, calls: Iterable[tuple[Any, ...]], /, *, return_exceptions: bool = False) -> list[R]:
        """The results of many calls, each a tuple of arguments, in their order; errors as by the cache's `get_many`."""

    # In this order: a class method on its class; any other on its class; a method; a class, then a static method on an
    # instance.
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: None, owner: S) -> AsyncCached[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: S, owner: type) -> AsyncCached[Q, T]: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: object, owner: S) -> AsyncCached[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...


class AsyncShared(_Hung[P, R], Protocol[P, R]):
    """An async function with a shared cache, whose changes are awaited too, and may raise StoreDown."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, cached."""

    async def lookup(self, *args: P.args, **kwargs: P.kwargs) -> Lookup[R]:
        """Like the call, and says how the result was got, and its age."""

    async def reload(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a load for these arguments that begins after this call."""

    async def get_many(self, calls: Iterable[tuple[Any, ...]], /, *, return_exceptions: bool = False) -> list[R]:
        """The results of many calls, each a tuple of arguments, in their order; errors as by the cache's `get_many`."""

    async def put(self, value: R | Loaded[R], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store a value as the result for these arguments. Callers who wait for it get it."""

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Invalidate the result for these arguments."""

    async def expire(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make the result for these arguments stale."""

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Start loading the result for these arguments without waiting for it: whether a load was started. None is
        while another one is in flight.
        """

    # As above.
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: None, owner: S) -> AsyncShared[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: S, owner: type) -> AsyncShared[Q, T]: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, T]], instance: object, owner: S) -> AsyncShared[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...


class SyncCached(_Cached[P, R], Protocol[P, R]):
    """A function with a cache."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, cached."""

    def lookup(self, *args: P.args, **kwargs: P.kwargs) -> Lookup[R]:
        """Like the call, and says how the result was got, and its age."""

    def reload(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a load for these arguments that begins after this call."""

    def get_many(
        self, calls: Iterable[tuple[Any, ...]], /, timeout: float | None = None, *, return_exceptions: bool = False
    ) -> list[R]:
        """The results of many calls, each a tuple of arguments, in their order; errors as by the cache's `get_many`."""

    # As above.
    @overload
    def __get__(self: _Takes[S, Q, T], instance: None, owner: S) -> SyncCached[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: _Takes[S, Q, T], instance: S, owner: type) -> SyncCached[Q, T]: ...
    @overload
    def __get__(self: _Takes[S, Q, T], instance: object, owner: S) -> SyncCached[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...
