"""`per_instance=True`: each instance has a cache of its own, which is found by its identity and ends with it."""

from __future__ import annotations

import copy
import functools
import pickle
import weakref
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from herdless.threads import cached
from herdless_core import PolicyError
from tests.runtimes.decorated import Log
from tests.runtimes.decorating import Opened, Runtime, every_runtime, got
from tests.runtimes.instances import Client, Slotted, Value, client_in, no_collector


@dataclass(slots=True, weakref_slot=True, frozen=True)
class Record:
    """A class that `dataclass` makes anew, and equal to others."""

    number: int = 1

    @cached(per_instance=True)
    def fetch(self, article: str) -> Value:
        """Make a value."""
        return Value()


# Each has its own


@pytest.mark.parametrize("make", [Client, Slotted, Record])
def test_instances_share_nothing(make: Callable[[], Any]) -> None:
    """Whatever they are equal to, and whether they can be hashed."""
    one, other = make(), make()
    assert one.fetch("tea") is one.fetch("tea")
    assert one.fetch("tea") is not other.fetch("tea")
    assert one.fetch.cache is one.fetch.cache is not other.fetch.cache
    one.fetch.cache_clear()
    assert one.fetch.cache_info()[:2] == (0, 0)
    assert other.fetch.cache_info()[:2] == (0, 1)
    other.fetch.invalidate("tea")
    assert len(other.fetch.cache) == 0


@every_runtime
def test_an_instance_has_the_options_for_itself(runtime: Runtime, log: Log) -> None:
    """`maxsize` is of each; and a call is one call however it is written."""
    cls = client_in(runtime, log, maxsize=2)
    one, other = cls(), cls()

    async def scene() -> None:
        async with Opened(one.fetch.cache), Opened(other.fetch.cache):
            for number in range(5):
                await got(one.fetch(number))
            first = await got(other.fetch("tea"))
            assert first is await got(other.fetch(size=1, article="tea")) is await got(cls.fetch(other, "tea"))
            assert (len(one.fetch.cache), len(other.fetch.cache)) == (2, 1)

    runtime.play(scene)
    assert len(log.calls) == 6


def test_key_function_gets_the_instance_and_a_load_all_arguments(log: Log) -> None:
    """`key=` is a function of the same arguments; what is cached by has nothing of the instance but what it returns."""

    class Local:
        @cached(per_instance=True, key=lambda self, article, request: (article, type(self)))
        def fetch(self, article: str, request: object) -> Any:
            return log.note(article, request)

    one = Local()
    assert one.fetch("tea", ["unhashable"]) == one.fetch("tea", request=2) == ("tea", ["unhashable"])
    assert one.fetch.key("tea", 3) == (("tea", Local),)
    one.fetch.refresh("tea", 4)
    one.fetch.cache.settled()
    assert one.fetch("tea", 5) == ("tea", 4)


def test_an_inherited_method_an_overriding_one_and_its_super_are_three() -> None:
    """A cache belongs to an instance and the method that stands in the class."""

    class Base:
        @cached(per_instance=True)
        def fetch(self, article: str) -> list[str]:
            return ["base", article]

        @cached(per_instance=True)
        def other(self, article: str) -> list[str]:
            return ["other", article]

    class Derived(Base):
        @cached(per_instance=True)
        def fetch(self, article: str) -> list[str]:
            return ["derived", *super().fetch(article)]

    one = Derived()
    assert one.fetch("tea") is one.fetch("tea")
    assert one.fetch("tea") == ["derived", "base", "tea"]
    assert one.other("tea") == ["other", "tea"]
    assert Base.fetch(one, "tea") == ["base", "tea"]
    assert super(Derived, one).fetch.cache_info().misses == 1
    assert len({id(each.cache) for each in (one.fetch, one.other, super(Derived, one).fetch)}) == 3


def test_a_property_and_a_decorator_above_see_the_instance() -> None:
    """They call the function with it, and nobody told the function that it is a method."""

    def doubled(function: Any) -> Any:
        return lambda *args: [function(*args)] * 2

    class Local(Client):
        @doubled
        @cached(per_instance=True)
        def pair(self) -> Value:
            return Value()

        tea = functools.partialmethod(Client.other, "tea")

    one: Any = Local()
    assert one.size is one.size is not Local().size
    assert one.pair()[0] is one.pair()[1]
    assert one.tea() is one.other("tea")


def test_the_class_has_no_cache_and_says_so() -> None:
    """As an attribute that is not there, so that whoever looks about in a class is not disturbed."""
    for name in ("cache", "cache_info", "cache_clear"):
        with pytest.raises(AttributeError, match=rf"each instance has .* write instance\.fetch\.{name}, not Client"):
            getattr(Client.fetch, name)
    with pytest.raises(TypeError, match=r"Client\.fetch\.lookup\(\) takes the instance"):
        Client.fetch.lookup()  # type: ignore[call-arg]  # which is what is wrong
    with pytest.raises(TypeError, match=r"Client\.fetch\(\) is called without its instance"):
        Client.fetch()  # type: ignore[call-arg]  # as above


# What others see


def test_a_bound_method_is_pickled_copied_and_compared_as_ever() -> None:
    """By its instance and its name; the method in the class by its name."""
    shop = Stall("here")
    bound: Any = shop.fetch
    assert bound == shop.fetch
    assert bound != Stall("here").fetch
    assert (bound.__self__, bound.__name__, bound.__doc__) == (shop, "fetch", "Give the article.")
    assert copy.copy(bound) == bound
    assert pickle.loads(pickle.dumps(bound))("tea") == "here: tea"  # noqa: S301  # our own
    assert pickle.loads(pickle.dumps(Stall.fetch)) is Stall.fetch  # noqa: S301  # our own
    assert weakref.WeakMethod(bound)() == bound


class Stall:
    """A class that is found by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached(per_instance=True)
    def fetch(self, article: str) -> str:
        """Give the article."""
        return f"{self.name}: {article}"

    @cached(per_instance=True)
    def thing(self) -> Value:
        """Make a value."""
        return Value()


COPIES: Final[dict[str, Callable[[Any], Any]]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda each: pickle.loads(pickle.dumps(each)),  # noqa: S301  # our own
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=list(COPIES))
def test_a_copy_begins_with_an_empty_cache(duplicate: Callable[[Any], Any]) -> None:
    """A copy of a copy too; and when one of them goes, the others keep what they have."""
    stall = Stall("first")
    stall.fetch("tea")
    twin = duplicate(stall)
    twin.name = "second"
    third = duplicate(twin)
    assert twin.fetch.cache_info()[:2] == third.fetch.cache_info()[:2] == (0, 0)
    assert (stall.fetch("tea"), twin.fetch("tea"), third.fetch("tea")) == ("first: tea", "second: tea", "second: tea")
    with no_collector():
        things = [weakref.ref(each.thing()) for each in (stall, twin, third)]
        assert None not in [each() for each in things]
        del stall
        assert [each() is None for each in things] == [True, False, False]
        assert twin.fetch.cache_info().hits == 0
        assert twin.fetch("tea") == "second: tea"
        assert twin.fetch.cache_info().hits == 1
        del twin
        assert [each() is None for each in things] == [True, True, False]


# Wrong use


class Unreferred:
    """No weak reference to it can be made."""

    __slots__ = ()

    @cached(per_instance=True)
    def fetch(self) -> None:
        """Never run."""


class Pair(namedtuple("Pair", ("one", "two"))):
    """A tuple, which has no room for them."""

    __slots__ = ()

    @cached(per_instance=True)
    def fetch(self) -> None:
        """Never run."""


class Referred(Unreferred):
    """A class that has what its base lacks."""

    __slots__ = ("__weakref__",)


def test_an_instance_without_weak_references_is_told_what_to_add() -> None:
    """At the first call: a derived class may have room for them."""
    for one in (Unreferred(), Pair(1, 2)):
        with pytest.raises(TypeError, match=r'needs weak references .* add "__weakref__" to its __slots__') as refused:
            one.fetch()
        assert refused.value.__suppress_context__
    Referred().fetch()


def test_a_plain_function_is_refused() -> None:
    """At the decoration: it has no instance."""
    functions: list[Any] = [compute, len, functools.partial(compute), lambda: None]
    for function in functions:
        with pytest.raises(TypeError, match=r"per_instance=True is for methods, and .* is not written in the body"):
            cached(per_instance=True)(function)


def compute(a: object) -> object:
    """Be no method."""
    return a


def test_static_and_class_methods_are_refused() -> None:
    """At the first call or word: nobody is told before what stands above."""

    class Local:
        @staticmethod
        @cached(per_instance=True)
        def static(article: object = None) -> None:
            """Never run."""

        @classmethod
        @cached(per_instance=True)
        def of_class(cls) -> None:
            """Never run."""

    static: Any = Local.static
    calls: list[Callable[[], object]] = [
        functools.partial(static, 1),
        functools.partial(static.peek, Value()),
        lambda: Local.of_class(),  # noqa: PLW0108  # looking it up may be what is refused
        lambda: Local().of_class(),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"is for methods of an instance, .* below @staticmethod and @classmethod"):
            call()


@every_runtime
def test_wrong_options_are_told_where_they_are_written(runtime: Runtime, log: Log) -> None:
    """At the decoration, though the caches are made later."""
    with pytest.raises(PolicyError, match="ttl=-1 is not accepted"):
        client_in(runtime, log, ttl=-1)
    with pytest.raises(PolicyError, match="per_instance=1 is not accepted: give True or False"):
        runtime.decorate(compute, per_instance=1)
