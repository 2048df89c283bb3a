"""The words of a cache on a decorated function, by its own arguments: lookup, peek, put, expire, refresh, reload ..."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

import pytest

from herdless.testing import VirtualClock
from herdless.threads import Loaded, cached
from tests.runtimes.decorated import Log
from tests.runtimes.decorating import Opened, Runtime, every_runtime, got
from tests.runtimes.on_threads import Call as InThread
from tests.runtimes.on_threads import Gate

WORDS: Final = ("lookup", "peek", "put", "invalidate", "expire", "refresh", "reload", "key")


class Thing:
    """What can be referred to weakly."""


def shop(runtime: Runtime, log: Log, **options: Any) -> Any:
    """A class with a cached method, whose calls are noted."""

    class Shop:
        def price(self, article: str, size: int = 1) -> str:
            log.note(article, size)
            return f"{article} {size}: {len(log.calls)}"

        price = runtime.decorate(price, **options)

    return Shop


@every_runtime
def test_words_take_the_arguments_of_the_call(runtime: Runtime, log: Log) -> None:
    """However they are written: by position, by keyword, with a default left out."""
    clock = VirtualClock()

    def price(article: str, size: int = 1) -> str:
        log.note(article, size)
        return f"{article} {size}: {len(log.calls)}"

    function = runtime.decorate(price, ttl=10, stale_while_revalidate=10, clock=clock)

    async def scene() -> None:
        async with Opened(function.cache):
            assert function.peek("tea") is None
            first = await got(function.lookup("tea"))
            clock.advance(2)
            again = await got(function.lookup(size=1, article="tea"))
            assert (first.value, first.how) == ("tea 1: 1", "loaded")
            assert (again.value, again.how, again.age) == ("tea 1: 1", "hit", 2.0)
            assert await got(function("tea", 1)) == function.peek("tea", size=1) == "tea 1: 1"

            function.put("given", "tea", size=2)
            assert await got(function("tea", 2)) == "given"
            function.put(Loaded("for a second", ttl=1), "tea", 3)
            assert function.peek("tea", 3) == "for a second"

            function.expire("tea", size=2)
            assert (await got(function.lookup("tea", 2))).how == "stale"
            assert (await got(function.lookup("tea"))).how == "hit"
            await got(function.cache.settled())
            assert function.peek("tea", 2) == "tea 2: 2"

            assert function.refresh("tea", 1)
            await got(function.cache.settled())
            assert function.peek("tea") == "tea 1: 3"

            assert await got(function.reload("tea", size=1)) == "tea 1: 4"
            assert function.peek("tea") == "tea 1: 4"

            function.invalidate("tea")
            assert function.peek("tea") is None
            assert function.peek("tea", 2) is not None

    runtime.play(scene)
    assert log.calls == [("tea", 1), ("tea", 2), ("tea", 1), ("tea", 1)]


@every_runtime
@pytest.mark.parametrize("per_instance", [False, True], ids=["shared", "per instance"])
def test_words_of_a_method_need_no_instance(runtime: Runtime, log: Log, per_instance: bool) -> None:
    """On the instance, as its `invalidate`; on the class it is the first argument, after the value that is put."""
    cls = shop(runtime, log, ttl=10, **{"per_instance": True} if per_instance else {})
    one, other = cls(), cls()

    async def scene() -> None:
        async with Opened(one.price.cache):
            assert (await got(one.price.lookup("tea"))).how == "loaded"
            assert (await got(cls.price.lookup(one, "tea", size=1))).how == "hit"
            assert one.price.peek("tea") == cls.price.peek(one, "tea") == "tea 1: 1"
            assert other.price.peek("tea") is None
            one.price.put("given", "tea", 2)
            assert await got(one.price("tea", 2)) == "given"
            cls.price.put("by the class", one, "tea", 2)
            assert one.price.peek("tea", 2) == "by the class"
            assert other.price.peek("tea", 2) is None
            assert one.price.refresh("tea")
            await got(one.price.cache.settled())
            assert one.price.peek("tea") == "tea 1: 2"
            assert await got(one.price.reload("tea")) == "tea 1: 3"
            assert await got(cls.price.reload(one, "tea")) == "tea 1: 4"
            assert other.price.peek("tea") is None
            one.price.expire("tea")
            assert one.price.peek("tea") is None
            cls.price.invalidate(one, "tea", 2)
            assert one.price.peek("tea", 2) is None
            assert await got(one.price.cache.get(one.price.key("tea"))) == "tea 1: 5"
            assert one.price.peek("tea") == "tea 1: 5"

    runtime.play(scene)


class Desk:
    """Methods that get no instance."""

    @staticmethod
    @cached(ttl=10)
    def double(number: int) -> int:
        """Compute."""
        return 2 * number

    @classmethod
    @cached(ttl=10)
    def name(cls, number: int = 0) -> str:
        """Say of which class it is."""
        return f"{cls.__name__} {number}"


class Counter(Desk):
    """A class that inherits them."""


@pytest.fixture
def _nothing_held() -> None:
    Desk.double.cache_clear()
    Desk.name.cache_clear()


@pytest.mark.usefixtures("_nothing_held")
@pytest.mark.parametrize("bind", [lambda: Desk, Desk, Counter], ids=["class", "instance", "derived"])
def test_words_of_a_static_method(bind: Callable[[], Any]) -> None:
    """They take what it takes, before its first call too."""
    found = bind()
    assert found.double.lookup(2).value == 4
    found.double.put(5, 2)
    assert Desk.double(2) == found.double.peek(number=2) == 5
    found.double.expire(2)
    assert found.double.peek(2) is None
    assert found.double.cache.get(found.double.key(2)) == 4


@pytest.mark.usefixtures("_nothing_held")
def test_static_method_of_a_local_class_has_the_words_before_its_first_call() -> None:
    """Nobody can look that class up by its name."""

    class Local:
        @staticmethod
        @cached()
        def double(number: int) -> int:
            return 2 * number

    assert Local.double.lookup(2).value == 4


class Alone:
    """A class from which none is derived."""

    @classmethod
    @cached()
    def name(cls, number: int = 0) -> str:
        """Say of which class it is."""
        return f"{cls.__name__} {number}"


def test_words_of_a_class_method_need_no_class() -> None:
    """Before its first call too: the first of its arguments must not be taken for the class."""
    assert Alone.name.lookup(7).value == Alone.name(7) == "Alone 7"
    Alone.name.put("given", 7)
    assert Alone().name(7) == Alone.name.peek(7) == "given"
    Alone.name.expire(7)
    assert Alone.name.peek(7) is None
    assert Alone.name.cache.get(Alone.name.key()) == Alone.name.peek() == "Alone 0"


@pytest.mark.usefixtures("_nothing_held")
def test_words_of_a_class_method_that_several_classes_have() -> None:
    """They are of the class that is named. Python 3.13 tells nobody which that is: what only takes away is done to all
    of them, and all else is refused, for it might be said of another class.
    """
    assert (Desk.name(), Counter.name()) == ("Desk 0", "Counter 0")
    if sys.version_info >= (3, 13):
        for call in (Counter.name.lookup, Counter.name.peek, Counter.name.refresh, Counter.name.key):
            with pytest.raises(TypeError, match=r"is not told of which class, since Python 3\.13, and 2 have"):
                call()
        with pytest.raises(TypeError, match=r"write Desk\.name\.func\.put\(cls, \.\.\.\)"):
            Counter.name.put("given")
        found: Any = Counter.name
        assert found.func.lookup(Counter).value == "Counter 0"
        Counter.name.expire()
        assert found.func.peek(Desk) is found.func.peek(Counter) is None
    else:
        assert Counter.name.lookup().value == "Counter 0"
        Counter.name.expire()
        assert (Desk.name.peek(), Counter.name.peek()) == ("Desk 0", None)


def test_class_method_of_a_local_class_is_not_taken_for_a_static_one() -> None:
    """The call would have been made with an argument in the place of the class."""

    class Local:
        @classmethod
        @cached()
        def name(cls, number: int = 0) -> str:
            return f"{cls.__name__} {number}"

    if sys.version_info >= (3, 13):  # before, the class is told
        with pytest.raises(TypeError, match=r"it is not known of which class .*name is: call it once before"):
            Local.name.lookup(7)
    Local.name.invalidate(7)
    Local.name()
    assert Local.name.lookup(7).value == "Local 7"


@every_runtime
def test_words_under_a_key_function(runtime: Runtime, log: Log) -> None:
    """They take all the arguments, and those are what a load gets."""

    def price(article: str, request: object) -> Any:
        return log.note(article, request)

    function = runtime.decorate(price, key=lambda article, request: article, ttl=10)

    async def scene() -> None:
        async with Opened(function.cache):
            assert (await got(function.lookup("tea", ["unhashable"]))).how == "loaded"
            assert (await got(function.lookup("tea", request=2))).how == "hit"
            assert function.peek("tea", None) == ("tea", ["unhashable"])
            assert await got(function.reload("tea", 2)) == ("tea", 2)
            function.refresh("tea", 3)
            await got(function.cache.settled())
            assert function.peek("tea", None) == ("tea", 3)
            function.put("given", "tea", 4)
            assert await got(function("tea", 5)) == "given"
            function.invalidate("tea", 6)
            assert await got(function("tea", 7)) == ("tea", 7)

    runtime.play(scene)
    assert log.calls == [("tea", ["unhashable"]), ("tea", 2), ("tea", 3), ("tea", 7)]


@every_runtime
@pytest.mark.parametrize("options", [{}, {"key": lambda article, size=1: article}], ids=["arguments", "key"])
def test_key_may_be_used_many_times(runtime: Runtime, log: Log, options: Any) -> None:
    """It loads with the arguments that it was made of, whatever was done by it before."""

    def price(article: str, size: int = 1) -> Any:
        return log.note(article, size)

    function = runtime.decorate(price, **options)

    async def scene() -> None:
        async with Opened(function.cache):
            key = function.key("tea", size=2)
            for _ in range(2):
                assert await got(function.cache.get(key)) == function.cache.peek(key) == ("tea", 2)
                assert function.peek("tea", 2) == ("tea", 2)
                function.cache.invalidate(key)
            assert key in {function.key("tea", 2)}

    runtime.play(scene)
    assert log.calls == [("tea", 2)] * 2


def test_what_is_put_or_looked_up_keeps_no_argument_that_the_key_leaves_out() -> None:
    """`key=` leaves a request out; what the cache holds must not keep it for as long as the entry."""

    @cached(key=lambda request, article: article)
    def price(request: Thing, article: str) -> str:
        return article

    kept = []
    for article, word in (("a", price.lookup), ("b", price.refresh), ("c", price.peek), ("d", price.reload)):
        request = Thing()
        word(request, article)
        kept.append(weakref.ref(request))
    request = Thing()
    price.put("given", request, "e")
    kept.append(weakref.ref(request))
    del request
    price.cache.settled()
    gc.collect()  # the worker's own
    assert [each() for each in kept] == [None] * 5
    assert len(price.cache) == 4


def test_lookup_says_that_it_joined() -> None:
    """A word waits for the load of a call, and a call for that of a word."""
    gate = Gate()
    function: Any = cached(observe=gate.observe)(gate.load)
    first = InThread(function, "a")
    gate.wait_for_load()
    second = InThread(function.lookup, "a")
    gate.wait_for_joins(2)
    gate.open.set()
    assert first.result() == second.result().value
    assert second.result().how == "joined"


@pytest.mark.parametrize("word", WORDS)
def test_wrong_arguments_are_told_as_by_a_call(word: str) -> None:
    """And nothing is looked up or stored."""

    @cached()
    def function(a: int, b: int = 2) -> int:
        return a + b

    value = ("given",) if word == "put" else ()
    with pytest.raises(TypeError, match="argument"):
        getattr(function, word)(*value, 1, 2, 3)
    assert len(function.cache) == function.cache.stats().misses == 0


def test_put_without_a_value_is_told() -> None:
    """It comes before the arguments, and is forgotten where there are none."""

    @cached()
    def function() -> int:
        return 1

    put: Any = function.put
    with pytest.raises(TypeError, match=r"put\(\) takes the value first, and then the arguments of the function"):
        put()


@pytest.mark.parametrize("word", WORDS)
def test_words_have_names_and_say_what_they_do(word: str) -> None:
    """For `help` and for tracebacks, on the function and on a method of an instance."""

    class Shop:
        @cached()
        def price(self) -> None:
            """Never run."""

    for found in (Shop.price, Shop().price):
        said = getattr(found, word)
        assert said.__name__ == word
        assert said.__doc__.endswith(".")


def test_a_function_with_words_goes_with_its_last_reference() -> None:
    """What hangs on it does not refer to it, so it does not wait for the garbage collector."""

    def make() -> weakref.ref[Any]:
        @cached()
        def function(a: int) -> int:
            return a

        function.lookup(1)
        return weakref.ref(function)

    gc.collect()
    gc.disable()
    try:
        assert make()() is None
    finally:
        gc.enable()


@every_runtime
def test_many_calls_are_one_question(runtime: Runtime, log: Log) -> None:
    """Results come in the order of the calls, on a function and on an instance; each call is a tuple of arguments."""
    shops = shop(runtime, log)
    one = shops()

    async def scene() -> None:
        async with Opened(one.price.cache):
            calls = [("tea",), ("milk", 2), ("tea", 1)]
            results = await got(one.price.get_many(calls))
            assert [result.split(":")[0] for result in results] == ["tea 1", "milk 2", "tea 1"]
            assert sorted(log.calls) == [("milk", 2), ("tea", 1)]
            assert await got(shops.price.get_many(calls, one)) == results
            assert one.price.peek("milk", 2) == results[1]
            for wrong in ("tea", 5):
                with pytest.raises(TypeError, match=r"get_many\(\) takes a collection of calls"):
                    await got(one.price.get_many(wrong))
            with pytest.raises(TypeError, match=r"a tuple of arguments for each call, as \(1,\): it was given 'tea'"):
                await got(one.price.get_many(["tea"]))

    runtime.play(scene)
