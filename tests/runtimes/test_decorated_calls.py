"""What the `cached` decorator takes for one call, and what it keeps of the arguments.

It is the same code in every runtime; the threads' is used where the runtime makes no difference.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.trio
from herdless.threads import Loaded, cached
from tests.runtimes.decorated import Log


def test_same_arguments_are_one_call(log: Log) -> None:
    """The function runs once for each set of arguments."""

    @cached(ttl=60)
    def function(a: int, b: int) -> Any:
        return log.note(a, b)

    assert function(1, 2) == function(1, 2) == (1, 2)
    assert function(2, 1) == (2, 1)
    assert log.calls == [(1, 2), (2, 1)]


def test_defaults_and_keywords_make_no_difference(log: Log) -> None:
    """A call is cached by what the function gets, not by how it was written."""

    @cached()
    def function(a: int, b: int = 2, *, c: int = 3) -> Any:
        return log.note(a, b, c)

    for result in (function(1), function(1, 2), function(a=1), function(b=2, a=1), function(1, c=3)):
        assert result == (1, 2, 3)
    assert log.calls == [(1, 2, 3)]


@pytest.mark.parametrize("style", ["positional", "keyword"])
def test_defaults_of_a_positional_function(log: Log, style: str) -> None:
    """The short way for functions without keyword-only arguments gives the same keys as binding does."""

    @cached()
    def function(a: int, b: int = 2, c: int = 3) -> Any:
        return log.note(a, b, c)

    function(1)
    function(1, 2) if style == "positional" else function(1, b=2)
    function(1, 2, 3) if style == "positional" else function(a=1, c=3)
    assert log.calls == [(1, 2, 3)]


def test_variable_arguments(log: Log) -> None:
    """`*args` and `**kwargs` are told apart by order and by name."""

    @cached()
    def function(*args: int, **kwargs: int) -> Any:
        return log.note(args, dict(kwargs))

    assert function(1, 2, x=3, y=4) == function(1, 2, y=4, x=3) == ((1, 2), {"x": 3, "y": 4})
    function(2, 1, x=3, y=4)
    function(1, 2, x=4, y=3)
    function()
    assert len(log.calls) == 4


def test_positional_only_arguments(log: Log) -> None:
    """They bind like the others."""

    @cached()
    def function(a: int, /, b: int = 2) -> Any:
        return log.note(a, b)

    assert function(1) == function(1, b=2) == (1, 2)
    assert len(log.calls) == 1


def test_key_function(log: Log) -> None:
    """`key=` says what makes calls the same; the first call's arguments are the ones that are loaded with."""

    @cached(key=lambda article, request: article)
    def price(article: str, request: object) -> Any:
        return log.note(article, request)

    assert price("tea", ["unhashable"]) == price("tea", request=2) == ("tea", ["unhashable"])
    price.invalidate("tea", None)
    assert price("tea", 3) == ("tea", 3)


def test_keys_of_a_key_function_are_compared_by_it_alone() -> None:
    """Calls whose keys are equal are the same call, whatever else they are given."""

    @cached(key=lambda number: number % 2)
    def parity(number: int) -> int:
        return number

    assert [parity(number) for number in (2, 3, 4, 5)] == [2, 3, 2, 3]


def test_keywords_arrive_in_the_order_in_which_they_were_given() -> None:
    """Some functions make something of it, a query string for instance; the key does not."""

    @cached()
    def function(**names: int) -> list[str]:
        return list(names)

    assert function(b=2, a=1) == ["b", "a"]
    assert function(a=1, b=2) == ["b", "a"]
    assert function.cache_info().misses == 1


def test_default_that_cannot_be_hashed() -> None:
    """It is no part of what the caller gave: the function gets the very object, and the call is cached."""

    def function(a: int, headers: dict[str, int] = {}, *, more: list[int] = []) -> Any:  # noqa: B006  # as people write
        return headers, more

    wrapped = cached()(function)
    assert function.__defaults__ is not None
    assert function.__kwdefaults__ is not None
    for result in (wrapped(1), wrapped(a=1)):
        assert result[0] is function.__defaults__[0]
        assert result[1] is function.__kwdefaults__["more"]
    assert wrapped.cache_info().misses == 1
    with pytest.raises(TypeError, match="unhashable type"):
        wrapped(1, {})


def test_argument_called_self_by_keyword() -> None:
    """No name of a parameter is taken."""

    @cached()
    def render(self: int, key: int, args: int, function: int) -> tuple[int, ...]:
        return self, key, args, function

    assert render(self=1, key=2, args=3, function=4) == (1, 2, 3, 4)
    render.invalidate(self=1, key=2, args=3, function=4)
    render(1, 2, 3, 4)
    assert render.cache_info().misses == 2


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [(max, (1, 2), {}), (int, ("7",), {}), (partial(int, base=2), ("11",), {}), (max, ([],), {"default": 0})],
    ids=str,
)
def test_builtin_without_a_signature(function: Callable[..., int], args: Any, kwargs: Any) -> None:
    """It is cached by its arguments as they are given, and names itself."""
    wrapped = cached()(function)
    if args == ([],):
        args = ((),)
    assert wrapped(*args, **kwargs) == wrapped(*args, **kwargs) == function(*args, **kwargs)
    assert wrapped.cache_info().misses == 1
    assert repr(getattr(function, "func", function).__name__)[1:-1] in repr(wrapped)


class Request:
    """What is worth a key's while, but not a place in the memory."""


def test_key_function_keeps_no_argument() -> None:
    """`key=` leaves the request out of the key; the cache must not keep it for as long as the entry."""
    used = []

    @cached(key=lambda request, article: article)
    def price(request: Request, article: str) -> str:
        used.append(id(request))
        return article

    request = Request()
    kept = weakref.ref(request)
    price(request, "tea")
    assert used == [id(request)]
    del request
    assert kept() is None
    assert len(price.cache) == 1


def test_key_function_keeps_no_argument_of_an_async_call() -> None:
    """The same where the load does not run in the frame of its caller."""

    @herdless.asyncio.cached(key=lambda request, article: article)
    async def price(request: Request, article: str) -> str:
        return article

    async def main() -> weakref.ref[Request]:
        request = Request()
        await price(request, "tea")
        return weakref.ref(request)

    kept = asyncio.run(main())
    gc.collect()  # what is left of the task is asyncio's affair
    assert kept() is None
    assert len(price.cache) == 1


def test_call_that_is_over_is_kept_by_its_entry_alone() -> None:
    """And not by the thread that made it, which may do something else for hours."""

    @cached()
    def price(request: Request, *, fails: bool = False) -> None:
        if fails:
            raise LookupError

    request = Request()
    kept = weakref.ref(request)
    price(request)
    with pytest.raises(LookupError):
        price(request, fails=True)
    price.cache_clear()
    del request
    gc.collect()  # the error and its traceback
    assert kept() is None


def test_refresh_is_done_with_the_arguments_of_the_call_that_asks_for_it() -> None:
    """So none need be kept; and a request that was answered long ago is not asked again."""
    now = 0
    used = []

    class Here:
        def submit(self, job: Callable[[], object]) -> None:
            job()

    @cached(ttl=1, stale_while_revalidate=9, clock=lambda: now, key=lambda request, article: article, executor=Here())
    def price(request: int, article: str) -> int:
        used.append(request)
        return request

    assert price(1, "tea") == 1
    now = 2_000_000_000
    assert price(2, "tea") == 1
    assert price(3, "tea") == 2
    assert used == [1, 2]


class Counted:
    """Counts how often it is hashed."""

    hashes = 0

    def __hash__(self) -> int:
        self.hashes += 1
        return 1


def test_key_is_hashed_twice_for_a_miss_and_once_for_a_hit() -> None:
    """To hash may be the dearest part of a call: an array's content, a query's text."""

    @cached()
    def function(a: Counted) -> None:
        """Do nothing."""

    counted = Counted()
    function(counted)
    assert counted.hashes == 2
    function(counted)
    assert counted.hashes == 3


@pytest.mark.parametrize("checkpoint", ["fair", "always"])
def test_key_is_hashed_as_seldom_by_async_functions(checkpoint: Any) -> None:
    """The same, where a hit may be a checkpoint of trio's."""

    async def function(a: Counted) -> None:
        """Do nothing."""

    async def calls(wrapped: Any) -> list[int]:
        counted, hashes = Counted(), []
        for _ in range(2):
            await wrapped(counted)
            hashes.append(counted.hashes)
        return hashes

    async def in_trio() -> list[int]:
        wrapped = herdless.trio.cached(checkpoint=checkpoint)(function)
        async with wrapped.cache:
            return await calls(wrapped)

    assert asyncio.run(calls(herdless.asyncio.cached()(function))) == [2, 3]
    assert trio.run(in_trio) == [2, 3]


def test_unhashable_argument_is_told() -> None:
    """As `functools.lru_cache` does, with the argument named."""

    @cached()
    def function(a: Any) -> Any:
        return a

    with pytest.raises(TypeError, match=r"\[1\].*cannot be looked up: unhashable type"):
        function([1])


def test_wrong_arguments_are_told_before_anything_is_cached() -> None:
    """The error is the one that calling the function would give."""

    @cached()
    def function(a: int, b: int = 2) -> int:
        return a + b

    call: Any = function
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"c": 3})):
        with pytest.raises(TypeError, match="argument"):
            call(*args, **kwargs)
    assert function.cache.stats().misses == 0


def test_loaded_gives_the_result_a_lifetime() -> None:
    """A function may return `Loaded`, as a loader may; its caller gets the value."""
    now = 0

    @cached(ttl=60, clock=lambda: now)
    def token(name: str) -> str | Loaded[str]:
        return Loaded(f"{name} at {now}", ttl=5)

    assert token("a") == "a at 0"
    now = 5_000_000_000
    assert token("a") == "a at 5000000000"
