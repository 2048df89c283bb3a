"""The `cached` decorator: what it takes for one call, what hangs on the function, and how wrong use is told.

It is the same code in every runtime; the threads' is used where the runtime makes no difference.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import types
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.threads import Cache, Loaded, cached
from herdless_core import PolicyError


class Log:
    """A function that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def note(self, *call: Any) -> Any:
        """Note the call and return it."""
        self.calls.append(call)
        return call


@pytest.fixture
def log() -> Log:
    """The calls that were not answered by the cache."""
    return Log()


# What is one call


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


# Methods


class Shop:
    """A class with cached methods of all kinds."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.calls = 0

    @cached()
    def price(self, article: int, tax: int = 0) -> int:
        """Count and compute."""
        self.calls += 1
        return article * self.factor + tax

    @staticmethod
    @cached()
    def double(article: int) -> int:
        """Compute."""
        return 2 * article

    @classmethod
    @cached()
    def name(cls, article: int) -> str:
        """Say of which class it is."""
        return f"{cls.__name__} {article}"


class Stall(Shop):
    """A class that inherits cached methods."""


def test_method_is_cached_for_each_instance() -> None:
    """`self` is one of the arguments."""
    one, two = Shop(1), Shop(2)
    for _ in range(2):
        assert (one.price(5), two.price(5), two.price(5, tax=1)) == (5, 10, 11)
    assert (one.calls, two.calls) == (1, 2)


def test_method_is_invalidated_for_one_instance() -> None:
    """On an instance, `invalidate` needs no `self`, like the method itself; on the class it does."""
    one, two = Shop(1), Shop(2)
    one.price(5)
    two.price(5)
    one.price.invalidate(5)
    one.price(5)
    two.price(5)
    assert (one.calls, two.calls) == (2, 1)
    Shop.price.invalidate(two, 5)
    two.price(5)
    assert (one.calls, two.calls) == (2, 2)


def test_method_called_on_the_class() -> None:
    """The plain function is still there, with the same cache."""
    one = Shop(1)
    assert Shop.price(one, 5) == one.price(5) == 5
    assert one.calls == 1
    assert Shop.price.cache is one.price.cache


def test_static_method() -> None:
    """`@staticmethod` stands above `@cached`."""
    Shop.double.cache_clear()
    assert Shop.double(2) == Shop(1).double(2) == 4
    assert Shop.double.cache_info().misses == 1
    Shop(1).double.invalidate(2)
    Shop.double(2)
    assert Shop.double.cache_info().misses == 2


def test_class_method() -> None:
    """`@classmethod` stands above `@cached`, and the class is one of the arguments."""
    Shop.name.cache_clear()
    for _ in range(2):
        assert (Shop.name(1), Stall.name(1), Stall(1).name(1)) == ("Shop 1", "Stall 1", "Stall 1")
    assert Stall.name.cache_info().misses == 2


@pytest.mark.parametrize("times", [0, 1])
def test_class_method_is_invalidated_without_the_class(log: Log, times: int) -> None:
    """As a method is without `self`: by Python 3.13 nobody is told the class, and the wrong key would be invalidated.

    It is not an error to begin with it either, when nothing is cached yet.
    """

    class Base:
        @classmethod
        @cached()
        def name(cls, article: int = 5) -> Any:
            return log.note(cls, article)

    class Derived(Base):
        """Another first argument."""

    for _ in range(times):
        Base.name()
        Derived.name()
    Base.name.invalidate()
    Derived.name.invalidate()
    assert (Base.name(5), Derived().name()) == ((Base, 5), (Derived, 5))
    Derived().name.invalidate(5)
    assert (Base.name(6), Derived.name(5)) == ((Base, 6), (Derived, 5))
    assert log.calls.count((Derived, 5)) == times + 2


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


class Remote:
    """A class with a cached async method."""

    def __init__(self) -> None:
        self.calls = 0

    @herdless.asyncio.cached(ttl=60)
    async def fetch(self, name: str, *, upper: bool = False) -> str:
        """Count and compute."""
        self.calls += 1
        await asyncio.sleep(0)
        return name.upper() if upper else name


def test_async_method() -> None:
    """One load for callers together, and the method's `invalidate` without `self`."""

    async def main() -> None:
        remote = Remote()
        assert await asyncio.gather(*[remote.fetch("a", upper=True) for _ in range(5)]) == ["A"] * 5
        assert remote.calls == 1
        remote.fetch.invalidate("a", upper=True)
        await remote.fetch("a", upper=True)
        assert remote.calls == 2
        assert await Remote.fetch(remote, "a", upper=True) == "A"
        assert remote.calls == 2

    asyncio.run(main())


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
