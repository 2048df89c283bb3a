"""The `cached` decorator: a function around the user's own, which has a cache.

What `cached` makes is a real Python function, so that all who look at functions see one: it is bound, pickled, copied
and asked for its signature as any other, and it may call itself nearly as deep as before. What is found of it in the
body of a class, and on an instance, is in `_methods`; the words that hang on it, in `_words`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

from herdless._answers import without_this_frame
from herdless._call import (
    Call,
    Calls,
    carried,
    check_async,
    check_function,
    check_method,
    check_sync,
)
from herdless._decorated import AsyncCached, AsyncShared, CacheInfo, P, R, SyncCached
from herdless._instances import InstanceCalls
from herdless._methods import InstanceMethod, Method, clear, info_of
from herdless._words import hang_words
from herdless.adapter import LOADING, not_awaitable
from herdless_core import NEVER, Fresh, Loaded, PolicyError
from herdless_core._checks import check_boolean

__all__ = [
    "AsyncCached",
    "AsyncShared",
    "P",
    "R",
    "SyncCached",
    "decorate_async",
    "decorate_async_shared",
    "decorate_sync",
    "decorate_sync_shared",
    "require_parentheses",
]

MakeCache: TypeAlias = Callable[[Callable[[Any], Any]], Any]
"""From a loader to a cache with the options that were given."""


def require_parentheses(function: object, options: Mapping[str, object]) -> None:
    """Raise TypeError where the decorator itself was given the function, PolicyError for an option of caches alone."""
    if function is not None:
        raise TypeError(f"cached is given {function!r}: write @cached() with parentheses")
    if options.get("previous"):
        raise PolicyError("previous is not accepted by cached(), whose function has arguments of its own: make a Cache")


def decorate_sync(
    function: Callable[P, R | Loaded[R]],
    key: Callable[..., object] | None,
    make_cache: MakeCache,
    *,
    per_instance: object,
) -> SyncCached[P, R]:
    """The function with a cache made by `make_cache`; TypeError where it is not a function to be called plainly.

    function: the user's; key: None, or what a call is cached by; make_cache: from a loader to a cache; per_instance:
    whether each instance has one. PolicyError where that is no boolean.
    """
    check_function(function)
    check_sync(function)
    calls = Calls(function, key, is_async=False)
    return cast(SyncCached[P, R], _decorated(calls, make_cache, _sync, per_instance))


def decorate_async(
    function: Callable[P, Awaitable[R | Loaded[R]]],
    key: Callable[..., object] | None,
    make_cache: MakeCache,
    *,
    per_instance: object,
    checkpoints: bool = False,
) -> AsyncCached[P, R]:
    """The async function with a cache made by `make_cache`; TypeError where it is not an async function.

    The arguments are those of `decorate_sync`. checkpoints: whether the cache says when a hit is to be a checkpoint of
    the runtime.
    """
    check_function(function)
    check_async(function)
    calls = Calls(function, key, is_async=True)
    wrap = functools.partial(_async, checkpoints=checkpoints)
    return cast(AsyncCached[P, R], _decorated(calls, make_cache, wrap, per_instance))


def decorate_sync_shared(
    function: Callable[P, R | Loaded[R]],
    key: Callable[..., object] | None,
    make_cache: Callable[[Any, Any], Any],
    *,
    per_instance: object,
) -> SyncCached[P, R]:
    """The function with a shared cache.

    function, key, per_instance: as for `decorate_sync`; make_cache: from the function and a loader to a cache.
    """
    check_function(function)
    check_sync(function)
    return cast(SyncCached[P, R], _shared(Calls(function, key, is_async=False), make_cache, per_instance))


def decorate_async_shared(
    function: Callable[P, Awaitable[R | Loaded[R]]],
    key: Callable[..., object] | None,
    make_cache: Callable[[Any, Any], Any],
    *,
    per_instance: object,
) -> AsyncShared[P, R]:
    """The async function with a shared cache. The arguments are those of `decorate_sync_shared`."""
    check_function(function)
    check_async(function)
    return cast(AsyncShared[P, R], _shared(Calls(function, key, is_async=True), make_cache, per_instance))


def _shared(calls: Calls, make_cache: Callable[[Any, Any], Any], per_instance: object) -> Any:
    if check_boolean("per_instance", per_instance):
        raise PolicyError(
            "per_instance=True is not accepted beside store=: the store would not tell instances apart. "
            "Give key=, which says by what one of them is known"
        )
    cache = make_cache(calls.function, calls.run)
    if calls.is_async:

        async def call(*args: Any, **kwargs: Any) -> Any:
            key, arguments = calls.described(args, kwargs)
            if calls.is_unplaced:
                calls.place(args)
            return await cache.get(carried(key, arguments))
    else:

        def call(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # the same for functions that await nothing
            key, arguments = calls.described(args, kwargs)
            if calls.is_unplaced:
                calls.place(args)
            return cache.get(carried(key, arguments))

    def info() -> CacheInfo:
        stats = cache.stats()
        return CacheInfo(stats.hits + stats.fetched, stats.loads, stats.maxsize, stats.size)

    return _complete(_finished(call, calls, cache), calls, cache, info)


def _complete(call: Any, calls: Calls, cache: Any, info: Callable[[], CacheInfo]) -> Any:
    """With its words."""
    hang_words(call)
    call.cache_info = info
    call.cache_clear = lambda: clear(cache)
    return Method(call, calls) if calls.is_unplaced else call


def _decorated(calls: Calls, make_cache: MakeCache, wrap: Callable[[Any, Any], Any], per_instance: object) -> Any:
    if check_boolean("per_instance", per_instance):
        return _of_instances(calls, make_cache, wrap)
    cache = make_cache(calls.run)
    return _complete(_finished(wrap(calls, cache), calls, cache), calls, cache, lambda: info_of(cache))


def _of_instances(calls: Calls, make_cache: MakeCache, wrap: Callable[[Any, Any], Any]) -> InstanceMethod:
    check_method(calls)
    make_cache(calls.run)  # for what it says of the options: here they are written

    def make(instance: Any) -> Any:
        of_instance = InstanceCalls(calls, instance)
        cache = make_cache(of_instance.run)
        return _finished(wrap(of_instance, cache), of_instance, cache)

    if calls.is_async:

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await method.of_call(args)(*args, **kwargs)
    else:

        def call(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # the same for functions that await nothing
            return method.of_call(args)(*args, **kwargs)

    _named(call, calls)
    method = InstanceMethod(call, calls, make)
    return method


def _sync(calls: Calls | InstanceCalls, cache: Any) -> Callable[..., Any]:
    count, described = calls.count, calls.described
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
                    if isinstance(key, Call) and flight.key is key:
                        key.arguments = ()
                    value = not_awaitable(calls.function, calls.function(*args, **kwargs))
            except Exception as error:
                if flight is None:  # what was asked for is refused, or foreign code raised
                    cache._mend(since=since)
                    is_mended = True
                    raise
                # It is told to the waiters, this caller among them.
                cache._failed(flight, without_this_frame(error), handled)
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


def _async(calls: Calls | InstanceCalls, cache: Any, checkpoints: bool) -> Callable[..., Any]:
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


def _finished(call: Any, calls: Calls | InstanceCalls, cache: Any) -> Any:
    """The function with its names, and with its cache."""
    _named(call, calls)
    call.cache = cache
    call._calls = calls
    return call


def _named(call: Any, calls: Calls | InstanceCalls) -> None:
    function = calls.function
    # A class's attributes are its instances' affair.
    functools.update_wrapper(call, function, updated=() if isinstance(function, type) else functools.WRAPPER_UPDATES)
    if not hasattr(function, "__name__"):
        call.__name__ = call.__qualname__ = calls.name
