"""The `cached` decorator: what hangs on the function, how wrong use is told, and what is async.

It is the same code in every runtime; the threads' is used where the runtime makes no difference.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.threads import Cache, cached
from herdless_core import PolicyError
from tests.runtimes.decorated import Log, Shop

# What hangs on the function


def test_function_keeps_its_name_and_itself() -> None:
    """Help, tracebacks and introspection see the function that was written."""

    def function(a: int) -> int:
        """Say it."""
        return a

    wrapped = cached()(function)
    assert wrapped.__name__ == "function"
    assert wrapped.__doc__ == "Say it."
    assert wrapped.__wrapped__ is function
    assert inspect.signature(wrapped) == inspect.signature(function)


def test_cache_info_speaks_as_lru_cache_does() -> None:
    """`cache_info()` and `cache_clear()` are what users and their dashboards know."""

    @cached(maxsize=10)
    def function(a: int) -> int:
        return a

    for a in (1, 1, 2, 1):
        function(a)
    assert function.cache_info()._asdict() == {"hits": 2, "misses": 2, "maxsize": 10, "currsize": 2}
    function.cache_clear()
    assert function.cache_info()._asdict() == {"hits": 0, "misses": 0, "maxsize": 10, "currsize": 0}
    assert function.cache.stats() == Cache(str.upper, maxsize=10).stats()
    function(1)
    assert function.cache_info().misses == 1


def test_invalidate_takes_the_arguments_of_the_call(log: Log) -> None:
    """One result goes, written in whatever way the call was; the others stay."""

    @cached()
    def function(a: int, b: int = 2) -> Any:
        return log.note(a, b)

    function(1)
    function(2)
    function.invalidate(b=2, a=1)
    function(1)
    function(2)
    assert log.calls == [(1, 2), (2, 2), (1, 2)]


def test_cache_is_the_cache_behind() -> None:
    """All that a cache can do is there."""

    @cached(ttl=60)
    def function(a: int) -> int:
        return a

    assert isinstance(function.cache, Cache)
    function(1)
    assert function.cache.stats().size == len(function.cache) == 1


@pytest.mark.parametrize("runtime", [herdless.threads, herdless.asyncio, herdless.trio], ids=["threads", "a", "t"])
def test_empty_cache_is_true(runtime: Any) -> None:
    """`cache or Cache(...)` is how people write defaults: it must not throw the cache away that was given."""
    assert runtime.Cache(fetch)
    assert len(runtime.Cache(fetch)) == 0


def test_stacked_decorators() -> None:
    """Two caches over each other are two caches: a short one in front of a long one, for instance."""
    loads = 0

    @cached(ttl=1)
    @cached(ttl=60)
    def function(a: int) -> int:
        nonlocal loads
        loads += 1
        return a

    assert function(1) == 1
    assert function.cache is not function.__wrapped__.cache  # type: ignore[attr-defined]  # of the inner one
    function.cache_clear()
    assert function(1) == 1
    assert loads == 1
    assert function.cache_info().misses == 1


# Wrong use


@pytest.mark.parametrize(
    "decorator", [cached, herdless.asyncio.cached, herdless.trio.cached], ids=["threads", "a", "t"]
)
def test_forgotten_parentheses_are_told(decorator: Any) -> None:
    """The likeliest slip says what to write."""
    with pytest.raises(TypeError, match=r"write @cached\(\) with parentheses"):
        decorator(len)


def test_decorated_object_that_is_no_function_is_told() -> None:
    """At the decoration, with what was decorated."""
    decorate: Any = cached()
    with pytest.raises(TypeError, match="cached is applied to 'k', which is no function"):
        decorate("k")


def test_decorated_class_method_is_told() -> None:
    """Below `@cached`, `@classmethod` is no function yet: the error says which one stands above."""
    with pytest.raises(TypeError, match="@classmethod and @staticmethod stand above @cached"):

        class Wrong:
            @cached()
            @classmethod
            def function(cls) -> None:
                """Never run."""


def test_decorated_static_method_is_told() -> None:
    """It could be called, and would be given the instance as an argument it has no use for."""
    with pytest.raises(TypeError, match="@classmethod and @staticmethod stand above @cached"):

        class Wrong:
            @cached()
            @staticmethod
            def function() -> None:
                """Never run."""


def test_bad_option_is_told_where_it_is_written() -> None:
    """At the decoration, not at the first call."""
    with pytest.raises(PolicyError, match="ttl=-1 is not accepted"):

        @cached(ttl=-1)
        def function() -> None:
            """Never run."""


class Calling:
    """What is called has the method of a class."""

    def __call__(self, a: int) -> int:
        """Plainly."""
        return a


class CallingAsync:
    """The same, async."""

    async def __call__(self, a: int) -> int:
        """As a coroutine."""
        return a


async def fetch(a: int) -> int:
    """Be async."""
    return a


def compute(a: int) -> int:
    """Be plain."""
    return a


def rows(a: int) -> Any:
    """Be a generator."""
    yield a


async def async_rows(a: int) -> Any:
    """Be an async generator."""
    yield a


@functools.wraps(fetch)
def begin(a: int) -> Any:
    """Give the coroutine of another function, as many decorators do."""
    return fetch(a)


@types.coroutine
def old_style(a: int) -> Any:
    """Be awaited although it is a generator."""
    yield from asyncio.sleep(0).__await__()
    return a


@pytest.mark.parametrize("function", [fetch, partial(fetch, 1), CallingAsync(), partial(partial(CallingAsync()), 1)])
def test_async_function_of_threads_is_told(function: Any) -> None:
    """At the decoration: a coroutine would be cached, and awaited by the first caller alone."""
    with pytest.raises(TypeError, match=r"which is async: use `cached` of herdless\.asyncio or herdless\.trio"):
        cached()(function)


@pytest.mark.parametrize("decorator", [herdless.asyncio.cached, herdless.trio.cached], ids=["asyncio", "trio"])
@pytest.mark.parametrize("function", [compute, partial(compute, 1), Calling(), Shop(1).price])
def test_sync_function_of_an_async_runtime_is_told(decorator: Any, function: Any) -> None:
    """At the decoration: else it were told when it is first called, in production."""
    with pytest.raises(TypeError, match=r"which is not async: write `async def`, or use `cached` of herdless\.threads"):
        decorator()(function)


@pytest.mark.parametrize(
    "decorator", [cached, herdless.asyncio.cached, herdless.trio.cached], ids=["threads", "asyncio", "trio"]
)
@pytest.mark.parametrize("function", [rows, async_rows, partial(rows, 1)])
def test_generator_function_is_told(decorator: Any, function: Any) -> None:
    """At the decoration: the second caller would get what the first has read to its end, and no error."""
    with pytest.raises(TypeError, match=r"makes generators.*return a list or a tuple"):
        decorator()(function)


@pytest.mark.parametrize("function", [fetch, partial(fetch), CallingAsync(), begin, old_style, CallingAsync().__call__])
def test_whatever_is_awaited_is_an_async_function(function: Any) -> None:
    """Nothing is refused of which it can be known that it is right."""
    wrapped = herdless.asyncio.cached()(function)
    assert asyncio.run(wrapped(1)) == 1
    assert inspect.iscoroutinefunction(wrapped)


@pytest.mark.parametrize("function", [compute, partial(compute), Calling(), Calling().__call__, Calling, len])
def test_whatever_is_called_is_a_function(function: Any) -> None:
    """The same for threads."""
    cached()(function)


def test_class_keeps_its_attributes() -> None:
    """They are its instances' affair, and no attributes of a function that makes these."""
    wrapped = cached()(Calling)
    assert wrapped(*()) is wrapped()
    assert wrapped.__name__ == "Calling"
    assert "__call__" not in vars(wrapped)


# Async functions


@pytest.mark.parametrize("decorator", [herdless.asyncio.cached, herdless.trio.cached], ids=["asyncio", "trio"])
@pytest.mark.parametrize("bind", [lambda cls: cls.method, lambda cls: cls().method], ids=["function", "method"])
def test_async_function_is_known_as_one(decorator: Any, bind: Callable[[Any], Any]) -> None:
    """Frameworks ask before they call."""

    class Holder:
        async def method(self) -> None:
            """Never run."""

        method = decorator()(method)

    assert inspect.iscoroutinefunction(bind(Holder))
    assert asyncio.iscoroutinefunction(bind(Holder))


def test_sync_function_is_not_known_as_async() -> None:
    """The threads' decorator makes no claim that is not true."""

    @cached()
    def function() -> None:
        """Never run."""

    assert not inspect.iscoroutinefunction(function)


def test_trio_function() -> None:
    """The same decorator in trio, with its cache opened."""

    @herdless.trio.cached(key=lambda word, _noise: word)
    async def shout(word: str, _noise: int) -> str:
        await trio.lowlevel.checkpoint()
        return word.upper()

    async def main() -> None:
        async with shout.cache:
            assert await shout("a", 1) == await shout("a", 2) == "A"

    trio.run(main)
    assert shout.cache_info().misses == 1


def test_hit_is_a_checkpoint_of_trio_where_that_is_asked_for() -> None:
    """As of the cache itself: a loop of hits must not keep the other tasks from running."""

    async def main(wrapped: Any) -> None:
        async with wrapped.cache:
            await wrapped(1)
            with trio.testing.assert_checkpoints():
                await wrapped(1)

    trio.run(main, herdless.trio.cached(checkpoint="always")(fetch))
    with pytest.raises(AssertionError, match="checkpoint"):
        trio.run(main, herdless.trio.cached(checkpoint="never")(fetch))
