"""The `cached` decorator: calls into keys and back, and what hangs on the function.

What `cached` makes is a real Python function, so that all who look at functions see one: it is bound, pickled, copied
and asked for its signature as any other, and it may call itself nearly as deep as before. One thing a function cannot
do: its attributes do not know the instance on which it was found. So in the body of a class there is a `_Method` around
it, and on an instance a `_BoundMethod`, whose `invalidate` needs no `self`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from types import MethodType
from typing import Any, NamedTuple, ParamSpec, Protocol, Self, TypeVar, cast, final, overload

from herdless._call import Call, Calls, carried, check_async, check_function, check_sync
from herdless.adapter import LOADING, not_awaitable
from herdless_core import NEVER, Fresh, Loaded, Stats

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class CacheInfo(NamedTuple):
    """The words of `functools.lru_cache`. A stale hit is a hit; a join is neither a hit nor a miss."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


# What type checkers see


class _Takes(Protocol[S_contra, Q, R_co]):
    """A function with a first argument. mypy would ignore a `Concatenate` in its place."""

    def __call__(self, first: S_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...


class _Cached(Protocol[P]):
    """What hangs on a cached function. On an instance, a method's `invalidate` needs no `self`, like the method."""

    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function that was decorated."""

    @property
    def cache(self) -> Any:
        """The cache behind the function."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Invalidate the result for these arguments."""

    def cache_info(self) -> CacheInfo:
        """Hits, misses, maxsize and current size, as `functools.lru_cache` names them."""

    def cache_clear(self) -> None:
        """Invalidate the results for all arguments, of all instances where it is a method, and count from 0 again."""


class AsyncCached(_Cached[P], Protocol[P, R_co]):
    """An async function with a cache."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The function's result, cached."""

    # In this order: a class method on its class; any other on its class; a method; a class, then a static method on an
    # instance.
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, R]], instance: None, owner: S) -> AsyncCached[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, R]], instance: S, owner: type) -> AsyncCached[Q, R]: ...
    @overload
    def __get__(self: _Takes[S, Q, Coroutine[Any, Any, R]], instance: object, owner: S) -> AsyncCached[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...


class SyncCached(_Cached[P], Protocol[P, R_co]):
    """A function with a cache."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The function's result, cached."""

    # As above.
    @overload
    def __get__(self: _Takes[S, Q, R], instance: None, owner: S) -> SyncCached[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: _Takes[S, Q, R], instance: S, owner: type) -> SyncCached[Q, R]: ...
    @overload
    def __get__(self: _Takes[S, Q, R], instance: object, owner: S) -> SyncCached[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...


# What `cached` makes


def require_parentheses(function: object) -> None:
    """Raise TypeError where the decorator itself was given the function."""
    if function is not None:
        raise TypeError(f"cached is given {function!r}: write @cached() with parentheses")


def decorate_sync(
    function: Callable[P, R | Loaded[R]],
    key: Callable[..., object] | None,
    make_cache: Callable[[Callable[[Any], R | Loaded[R]]], Any],
) -> SyncCached[P, R]:
    """The function with a cache made by `make_cache`; TypeError where it is not a function to be called plainly."""
    check_function(function)
    check_sync(function)
    calls = Calls(function, key)
    cache = make_cache(calls.run)
    return cast(SyncCached[P, R], _finished(_sync(calls, cache), calls, cache))


def decorate_async(
    function: Callable[P, Awaitable[R | Loaded[R]]],
    key: Callable[..., object] | None,
    make_cache: Callable[[Callable[[Any], Awaitable[R | Loaded[R]]]], Any],
    *,
    checkpoints: bool = False,
) -> AsyncCached[P, R]:
    """The async function with a cache made by `make_cache`; TypeError where it is not an async function.

    checkpoints: whether the cache says when a hit is to be a checkpoint of the runtime.
    """
    check_function(function)
    check_async(function)
    calls = Calls(function, key)
    cache = make_cache(calls.run)
    return cast(AsyncCached[P, R], _finished(_async(calls, cache, checkpoints), calls, cache))


def _sync(calls: Calls, cache: Any) -> Callable[..., Any]:
    function, count, described = calls.function, calls.count, calls.described
    entry_of, clock = cache._hot.get, cache._clock

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: PLR0912  # it is in one piece since it may be one frame only
        if len(args) == count and not kwargs:
            key, arguments = args, None
        else:
            key, arguments = described(args, kwargs)
        try:  # a hit, as in `Cache.get`, but with a key that is hashed only this once
            entry = entry_of(key)
            if type(entry) is Fresh and (entry.hit_until == NEVER or clock() < entry.hit_until):
                cache._hits += 1
                return entry.value
        except TypeError:
            pass
        if calls.is_unplaced:
            calls.place(args)
        key = carried(key, arguments)
        # From here on as in `Cache._answer` and `_run`, but that the function is called in this frame and not in one of
        # the cache's: how deep it may call itself depends on it. tests/runtimes/test_decorated_lookups.py compares.
        since = cache._keyspace.generation
        cache._require_outside()
        flight, outside, handled = None, LOADING.get(), sys.exception()
        is_mended = False
        try:
            try:  # both at once: an interrupt between the two would be seen by neither
                asked, boarded, wait, flight = cache._begin(key)
                if flight is not None:
                    LOADING.set(flight)  # until its end is reported: whoever asks for the key meanwhile is inside of it
                    flight.is_launched = True
                    if isinstance(key, Call):
                        key.arguments = ()
                    value = not_awaitable(function, function(*args, **kwargs))
            except Exception as error:
                if flight is None:  # what was asked for is refused, or foreign code raised
                    cache._mend(since=since)
                    is_mended = True
                    raise
                # It is told to the waiters, this caller among them.
                cache._failed(flight, _without_this_frame(error), handled)
                LOADING.set(outside)
            else:
                if flight is not None:
                    cache._succeeded(flight, value)
                    LOADING.set(outside)
        except BaseException as error:  # an interrupt, in the lines above too
            LOADING.set(outside)
            try:
                if flight is not None:
                    cache._broken_off(flight, error, handled)
            finally:
                if not is_mended and (flight is None or not isinstance(error, Exception)):
                    cache._mend()
            raise
        return cache._answered(key, asked, boarded, wait)[0].value

    return call


def _without_this_frame(error: Exception) -> Exception:
    """The exception without the first frame of its traceback: it is the caller's, and is not to be kept."""
    traceback = error.__traceback__
    return BaseException.with_traceback(error, None if traceback is None else traceback.tb_next)


def _async(calls: Calls, cache: Any, checkpoints: bool) -> Callable[..., Any]:
    count, described = calls.count, calls.described
    entry_of, clock = cache._hot.get, cache._clock

    async def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) == count and not kwargs:
            key, arguments = args, None
        else:
            key, arguments = described(args, kwargs)
        if checkpoints and clock() >= cache._checkpoint_at:
            await cache._checkpoint(clock())
        try:  # as above
            entry = entry_of(key)
            if type(entry) is Fresh and (entry.hit_until == NEVER or clock() < entry.hit_until):
                cache._hits += 1
                return entry.value
        except TypeError:
            pass
        if calls.is_unplaced:
            calls.place(args)
        return await cache.get(carried(key, arguments))

    return call


def _finished(call: Any, calls: Calls, cache: Any) -> Any:
    """The function with all that hangs on it, inside a `_Method` where it was defined in the body of a class."""

    def invalidate(*args: Any, **kwargs: Any) -> None:
        cache.invalidate(carried(*calls.described(args, kwargs)))

    def cache_info() -> CacheInfo:
        stats: Stats = cache.stats()
        return CacheInfo(stats.hits + stats.stale_hits, stats.misses, stats.maxsize, stats.size)

    def cache_clear() -> None:
        cache.clear()
        cache._count_anew()

    function = calls.function
    # A class's attributes are its instances' affair.
    functools.update_wrapper(call, function, updated=() if isinstance(function, type) else functools.WRAPPER_UPDATES)
    if not hasattr(function, "__name__"):
        call.__name__ = call.__qualname__ = calls.name
    call.cache = cache
    call.invalidate = invalidate
    call.cache_info = cache_info
    call.cache_clear = cache_clear
    return _Method(call, calls) if calls.is_unplaced else call


@final
class _Method(partial[Any]):
    """A cached function in the body of a class, until it is found on the class or on an instance. What is read and
    written of it is the function's own. It is a `partial`, of nothing, since these are called by C.
    """

    def __new__(cls, function: Callable[..., Any], calls: Calls) -> Self:
        method = super().__new__(cls, function)
        partial.__setattr__(method, "_calls", calls)
        calls.method = method
        return method

    def __set_name__(self, owner: type, name: str) -> None:
        self._calls.is_unplaced = False

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.func if instance is None else _BoundMethod(self.func, instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.func, name, value)

    def __repr__(self) -> str:
        return f"<cached {self.func.__qualname__} at {id(self):#x}>"

    def __reduce__(self) -> Any:
        return self.func.__qualname__  # what `pickle` and `copy` take for "found under this name"

    def invalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """Invalidate the result for these arguments; below `@classmethod`, of all classes that have the method.

        Since Python 3.13 `classmethod` binds by itself, so that nothing here is told the class.
        """
        cache, calls = self.func.cache, self._calls  # type: ignore[attr-defined]  # of the function, see `_finished`
        if calls.owner is not None:
            for owner in _family(calls.owner):
                self.func.invalidate(owner, *args, **kwargs)  # type: ignore[attr-defined]  # as above
        elif not calls.is_unplaced or len(cache) or cache.stats().in_flight:
            self.func.invalidate(*args, **kwargs)  # type: ignore[attr-defined]  # as above


@final
class _BoundMethod(partial[Any]):
    """A cached method of one instance. All but `invalidate` is as of a bound method of Python's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name!r} of {self!r} is not set: set it on the class's function")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BoundMethod) and self.func is other.func and self.args[0] is other.args[0]

    def __hash__(self) -> int:
        return hash((self.func, id(self.args[0])))

    def __repr__(self) -> str:
        return f"<bound method {self.func.__qualname__} of {self.args[0]!r}>"

    def __reduce__(self) -> Any:
        return getattr, (self.args[0], self.func.__name__)

    @property
    def __self__(self) -> Any:
        return self.args[0]

    @property
    def __func__(self) -> Callable[..., Any]:
        return self.func

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return MethodType(self.func.__wrapped__, self.args[0])  # type: ignore[attr-defined]  # by `update_wrapper`

    def invalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """Invalidate the instance's result for these arguments."""
        self.func.invalidate(self.args[0], *args, **kwargs)  # type: ignore[attr-defined]  # see `_finished`


def _family(owner: type) -> Iterator[type]:
    """The class and all that are derived from it now."""
    yield owner
    children: list[type] = type.__subclasses__(owner)
    for derived in children:
        yield from _family(derived)  # one with two bases comes twice, which does no harm


def _of_the_function(name: str) -> Any:
    return property(lambda self: getattr(self.func, name))


# Every class has these itself, so `__getattr__` is not asked for them.
for _name in ("__doc__", "__module__"):
    for _class in (_Method, _BoundMethod):
        setattr(_class, _name, _of_the_function(_name))
