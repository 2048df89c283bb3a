"""What everybody else sees of a cached function or method: pickle, copy, inspect, abstract classes, web frameworks.

Each thing is asked of the function that it decorates too: nothing may tell the two apart but the speed.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import json
import pickle
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.threads import cached


@cached()
def plain(article: str) -> str:
    """Give the article."""
    return article


@herdless.asyncio.cached()
async def in_asyncio(article: str) -> str:
    """Give the article."""
    return article


@herdless.trio.cached()
async def in_trio(article: str) -> str:
    """Give the article."""
    return article


class Shop:
    """All kinds of methods."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, name: str = "shop") -> None:
        self.name = name

    @cached()
    def plain(self, article: str, /, size: int = 1) -> str:
        """Give the article."""
        return f"{self.name}: {article}"

    @herdless.asyncio.cached()
    async def in_asyncio(self, article: str) -> str:
        """Give the article."""
        return f"{self.name}: {article}"

    @classmethod
    @cached()
    def of_class(cls, article: str) -> str:
        """Give the article."""
        return f"{cls.__name__}: {article}"

    @staticmethod
    @cached()
    def static(article: str) -> str:
        """Give the article."""
        return article

    @property
    @cached()
    def size(self) -> object:
        """A new object whenever it is computed."""
        return object()

    def uncached(self, article: str, /, size: int = 1) -> str:
        """Give the article."""
        return article

    tea = functools.partialmethod(plain, "tea", size=2)


FUNCTIONS = {
    "threads": plain,
    "asyncio": in_asyncio,
    "trio": in_trio,
    "of a class": Shop.plain,
    "static": Shop.static,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_function_is_pickled_and_copied_as_itself(function: Any) -> None:
    """By its name, so that process pools and deep copies of what holds it work, and no second cache comes to be."""
    assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301  # our own
    assert copy.copy(function) is function
    assert copy.deepcopy({"a": [function]})["a"][0] is function


def test_method_is_pickled_and_copied_with_its_instance() -> None:
    """As Python's own bound methods are."""
    shop = Shop("here")
    assert copy.copy(shop.plain) == shop.plain
    for twin in (copy.deepcopy(shop.plain), pickle.loads(pickle.dumps(shop.plain))):  # noqa: S301  # our own
        assert twin != shop.plain
        assert twin("tea") == "here: tea"
        assert twin.cache is shop.plain.cache
    of_class = pickle.loads(pickle.dumps(Shop.of_class))  # noqa: S301  # our own
    assert of_class == Shop.of_class


@pytest.mark.parametrize("name", ["plain", "in_asyncio", "of_class"])
def test_bound_method_equals_itself(name: str) -> None:
    """Whoever registers a method by it, and takes it away by it, finds it again."""
    one, other = Shop(), Shop()
    assert getattr(one, name) == getattr(one, name)
    assert len({getattr(one, name), getattr(one, name)}) == 1
    assert (getattr(one, name) == getattr(other, name)) is (name == "of_class")
    assert getattr(one, name) != Shop.uncached


def test_bound_method_knows_its_instance_and_function() -> None:
    """By Python's own names for them; so signals can hold it weakly."""
    shop = Shop()
    bound: Any = shop.plain
    assert bound.__self__ is shop
    assert bound.__func__ is Shop.plain
    held = weakref.WeakMethod(bound)
    assert held() == bound
    with pytest.raises(AttributeError, match="is not set: set it on the class's function"):
        bound.note = "lost with the method that is made at each access"


@pytest.mark.parametrize("bind", [lambda: Shop, Shop], ids=["class", "instance"])
def test_signature_is_that_of_the_function_as_it_is_found(bind: Callable[[], Any]) -> None:
    """On an instance without `self`, or a framework asks its clients for it."""
    found = bind()
    assert inspect.signature(found.plain) == inspect.signature(found.uncached)
    assert str(inspect.signature(found.of_class)) == "(article: 'str') -> 'str'"
    assert str(inspect.signature(found.static)) == "(article: 'str') -> 'str'"
    assert get_type_hints(found.plain) == get_type_hints(found.uncached)


@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__"])
def test_names_are_those_of_the_function(name: str) -> None:
    """However it is found."""
    for method, ending in ((Shop.plain, "plain"), (Shop().plain, "plain"), (vars(Shop)["plain"], "plain")):
        expected = getattr(Shop.uncached, name)
        if isinstance(expected, str):
            expected = expected.replace("uncached", ending)
        assert getattr(method, name) == expected


def test_representation_names_the_function() -> None:
    """Logs and debuggers show it."""
    assert repr(plain).startswith("<function plain at ")
    assert repr(Shop.plain).startswith("<function Shop.plain at ")
    assert repr(Shop.static).startswith("<cached Shop.static at ")
    shop = Shop()
    assert repr(shop.plain) == repr(shop.uncached).replace("uncached", "plain")


def test_coroutine_functions_are_known_as_such() -> None:
    """In every Python; and those that are none are not."""
    for function in (in_asyncio, in_trio, Shop.in_asyncio, Shop().in_asyncio, functools.partial(in_asyncio, "a")):
        assert inspect.iscoroutinefunction(function)
        assert asyncio.iscoroutinefunction(function)
    for other in (plain, Shop.plain, Shop().plain, Shop.static, Shop.of_class):
        assert not inspect.iscoroutinefunction(other)


def test_partial_and_partial_method() -> None:
    """They bind what a function binds."""
    shop = Shop()
    assert shop.tea() == "shop: tea"
    assert functools.partial(shop.plain, "tea")() == functools.partial(Shop.plain, shop)("tea") == "shop: tea"
    assert functools.partial(Shop.static, "tea")() == "tea"


def test_property_is_cached() -> None:
    """`@property` stands above `@cached` too."""
    shop = Shop()
    assert shop.size is shop.size
    assert shop.size is not Shop().size
    assert Shop.size.__doc__ == "A new object whenever it is computed."


def test_abstract_method_is_abstract_in_either_order() -> None:
    """A class without the method is not instantiated, nor is one derived from it."""

    class Base(ABC):
        @abstractmethod
        @cached()
        def above(self) -> None:
            """Be defined elsewhere."""

        @cached()
        @abstractmethod
        def below(self) -> None:
            """Be defined elsewhere."""

    class Half(Base):
        @cached()
        def below(self) -> None:
            """Be defined here."""

    assert Base.__abstractmethods__ == {"above", "below"}
    assert Half.__abstractmethods__ == {"above"}


def test_decorator_above_sees_what_hangs_on_the_function() -> None:
    """As of every function, `functools.wraps` takes it along."""

    @functools.wraps(plain)
    def above(article: str) -> str:
        return plain(article)

    wrapped: Any = above
    assert wrapped.cache_info() == plain.cache_info()
    assert wrapped.cache is plain.cache


def test_function_that_becomes_a_method_later() -> None:
    """Python binds it."""

    @cached()
    def name(self: object, article: str) -> tuple[object, str]:
        return self, article

    class Late:
        """A class with a method that was a function."""

    late: Any = Late()
    Late.name = name  # type: ignore[attr-defined]  # for this test
    assert late.name("tea") == (late, "tea")
    assert late.name("tea") is late.name("tea")


async def answer(app: Any, path: str, query: str) -> tuple[int, Any]:
    """What the application, in ASGI, answers to a request, without a server: its status, and its JSON."""
    said: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], json.loads(b"".join(part["body"] for part in said[1:]))


@pytest.mark.needs("fastapi")
@pytest.mark.parametrize("name", ["plain", "asyncio"])
def test_method_is_a_dependency_of_fastapi(name: str) -> None:
    """Which asks for the signature, and for how to call it: 422 if it thought that clients have to send `self`."""
    import fastapi

    class Rates:
        @cached()
        def plain(self, currency: str) -> str:
            return f"plain {currency}"

        @herdless.asyncio.cached()
        async def asyncio(self, currency: str) -> str:
            return f"asyncio {currency}"

    app = fastapi.FastAPI()
    rate = fastapi.Depends(getattr(Rates(), name))

    @app.get("/")
    async def show(found: str = rate) -> str:
        return found

    assert asyncio.run(answer(app, "/", "currency=EUR")) == (200, f"{name} EUR")
