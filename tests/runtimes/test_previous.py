"""Which loaders are given the value before, and what they come to in every runtime."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import operator
import pickle
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import NOT_MODIFIED, Loaded, PolicyError, Previous
from herdless._previous import called_with_previous, takes_previous
from herdless.testing import VirtualClock
from tests.runtimes.scenes import RUNTIMES, Client, Get, Told, cache_of, play, play_in


class Callables:
    """Loaders that are no functions."""

    def __call__(self, key: str, previous: Previous[str] | None) -> str:
        """One of two arguments."""
        return key

    def of_two(self, key: str, previous: Previous[str] | None) -> str:
        """A method of two."""
        return key

    def of_one(self, key: str, retries: int = 3) -> str:
        """A method of one, with an option."""
        return key


def of_two(key: str, previous: Previous[str] | None, *, retries: int = 3) -> str:
    """A function of two arguments."""
    return key


def injected(function: Callable[..., str]) -> Callable[[str], str]:
    """Gives the function its second argument."""

    @functools.wraps(function)
    def call(key: str) -> str:
        return function(key, None)

    return call


class Made:
    """A class whose objects are the values."""

    def __init__(self, key: str, other: str) -> None:
        """Of two arguments, which cannot be told from the outside of every class."""


@pytest.mark.parametrize(
    ("load", "is_given"),
    [
        (of_two, True),
        (Callables(), True),
        (Callables().of_two, True),
        (functools.partial(of_two, retries=1), True),
        (functools.partial(lambda session, key, previous: key, "session"), True),
        (lambda key: key, False),
        (lambda key, retries=3: key, False),
        (lambda key, previous=None: key, False),
        (lambda *args: args, False),
        (lambda key, *args, **kwargs: key, False),
        (lambda key, session, more: key, False),
        (lambda key, *, session: key, False),
        (functools.partial(of_two, previous=None), False),
        (functools.partial(lambda session, key: key, "session"), False),
        (Callables().of_one, False),
        (injected(of_two), False),
        (str, False),
        (Made, False),
        (len, False),
        ({"k": 1}.__getitem__, False),
        (operator.itemgetter(0), False),
        (Mock(), False),
    ],
)
def test_a_loader_that_worked_with_one_argument_gets_one(load: Callable[..., Any], is_given: bool) -> None:
    """Only what could never have been called with a key alone is given more, unless the user says otherwise."""
    assert takes_previous(load, None) is is_given
    assert takes_previous(load, False) is False


@pytest.mark.parametrize("load", [lambda key, previous=None: key, lambda *args: args, len, Mock(), of_two])
def test_what_cannot_be_told_can_be_said(load: Callable[..., Any]) -> None:
    """A loader behind a decorator, or with a default."""
    assert takes_previous(load, True)


@pytest.mark.parametrize("cache", [herdless.asyncio.Cache, herdless.trio.Cache, herdless.threads.Cache])
def test_a_loader_without_room_for_the_value_is_refused(cache: Any) -> None:
    """At once, and not at the first load."""
    with pytest.raises(PolicyError, match=r"^previous=True is not accepted, load=.* has no second argument for it"):
        cache(lambda key: key, previous=True)
    with pytest.raises(PolicyError, match=r"^previous='yes' is not accepted: give True, False or None"):
        cache(of_two, previous="yes")


@pytest.mark.parametrize("module", [herdless.asyncio, herdless.trio, herdless.threads])
def test_the_decorator_refuses_it(module: Any) -> None:
    """A function has arguments of its own, which are its key."""
    with pytest.raises(PolicyError, match=r"^previous is not accepted by cached\(\)"):
        module.cached(previous=True)


def test_a_function_of_two_arguments_is_cached_by_both() -> None:
    """As ever: a decorated function is no loader of a key."""

    @herdless.threads.cached(ttl=60)
    def total(a: int, b: int) -> int:
        return a + b

    assert total(1, 2) == 3
    assert total(b=3, a=1) == 4


def test_a_signature_that_cannot_be_had_is_none() -> None:
    """Foreign code: the loader works as it did."""

    class Odd:
        __signature__ = "not a signature"

        def __call__(self, key: str) -> str:
            return key

    assert herdless.threads.Cache(Odd(), ttl=60).get("k") == "k"


def test_the_value_before_lives_no_longer_than_it_is_used() -> None:
    """A load that goes on, or a context that a load has left behind, keeps no value that was replaced."""

    class Value:
        pass

    clock, contexts = VirtualClock(), []

    def load(key: str, previous: Previous[Value] | None) -> Value:
        import contextvars

        contexts.append(contextvars.copy_context())  # it holds the record of the load
        return Value()

    cache = herdless.threads.Cache(load, ttl=1, stale_if_error=60, clock=clock)
    first = weakref.ref(cache.get("k"))
    clock.advance(2)
    cache.get("k")
    gc.collect()
    assert first() is None
    assert len(contexts) == 2


def test_an_async_loader_in_threads_is_told() -> None:
    """The likeliest mistake, with two arguments as with one; and nothing is left unawaited."""

    async def load(key: str, previous: Previous[str] | None) -> str:
        return key

    cache: Any = herdless.threads.Cache(load, ttl=60)  # type: ignore[arg-type, var-annotated, unused-ignore]
    with pytest.raises(TypeError, match=r"load=<function .*load.*> is not accepted: give a function that is not async"):
        cache.get("k")


def test_a_loader_that_is_not_async_is_told_in_asyncio() -> None:
    """The other way round."""

    async def main() -> None:
        cache: Any = herdless.asyncio.Cache(of_two, ttl=60)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"load=<function of_two.*> is not accepted: give an async function"):
            await cache.get("k")

    asyncio.run(main())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])  # noqa: S301
def test_not_modified_is_the_same_wherever_it_went(copied: Any) -> None:
    """A loader may get it from another process, and say more of it."""
    clock = VirtualClock()

    def load(key: str, previous: Previous[str] | None) -> Any:
        return "v" if previous is None else Loaded(copied(NOT_MODIFIED), ttl=100)

    cache: Any = herdless.threads.Cache(load, ttl=1, stale_if_error=60, clock=clock)
    assert cache.get("k") == "v"
    clock.advance(2)
    assert cache.get("k") == "v"
    clock.advance(99)
    assert cache.lookup("k").how == "hit"


def test_not_modified_cannot_be_put() -> None:
    """It is no value."""
    cache: Any = herdless.threads.Cache(of_two, ttl=60)
    for none in (NOT_MODIFIED, Loaded(NOT_MODIFIED, ttl=5)):
        with pytest.raises(PolicyError, match=r"^NOT_MODIFIED is not accepted by put\(\)"):
            cache.put("k", none)


def test_a_remembered_error_is_no_value_before() -> None:
    """There is nothing with which a loader could compare."""
    clock, given = VirtualClock(), []

    def load(key: str, previous: Previous[str] | None) -> str:
        given.append(previous)
        raise LookupError(key)

    cache = herdless.threads.Cache(load, ttl=60, negative_ttl=10, clock=clock)
    with pytest.raises(LookupError):
        cache.get("k")
    cache.refresh("k")
    cache.settled()
    assert given == [None, None]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_value_that_is_not_modified_has_not_left(runtime: str) -> None:
    """Who closes what a cache held is not told to close what it goes on holding; and it weighs what it weighed, though
    nobody says so again.
    """
    told: Told = []
    client = Client()
    said = iter(
        [Loaded(client, weight=5), NOT_MODIFIED, Loaded(NOT_MODIFIED, weight=3), Loaded(NOT_MODIFIED, keep=False)]
    )

    async def body(cache: Any, get: Get) -> None:
        weights = []
        for _ in range(4):
            assert await get("k") is client
            weights.append(cache.stats().weight)
            cache.expire("k")
        assert weights == [5, 5, 3, 3]
        assert told == []

    def load(_key: str, _previous: Previous[Any] | None) -> Any:
        return next(said)

    options = {"ttl": 10, "stale_if_error": 100, "previous": True, "maxweight": 100, "weigh": lambda _key, _value: 7}
    play(runtime, body, load, on_remove=lambda *removal: told.append(removal), **options)
    assert told == [("k", client, "closed")]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("change", ["invalidate", "put", "invalidate_tag"])
def test_a_value_that_left_during_its_comparison_is_told_of_once(runtime: str, change: str) -> None:
    """When it leaves. That a load says of it later that it is as it was brings nothing new: it is not closed twice."""
    told: Told = []
    client = Client()

    def load(_key: str, _previous: Previous[Any] | None) -> Any:
        if change == "put":
            cache.put("k", None)
        else:
            getattr(cache, change)({"invalidate": "k"}.get(change, "t"))
        return NOT_MODIFIED

    options = {"ttl": 10, "stale_if_error": 100, "previous": True}
    cache = cache_of(runtime, load, on_remove=lambda *removal: told.append(removal), **options)

    async def body(_: Any, get: Get) -> None:
        cache.put("k", client, tags=["t"])
        cache.expire("k")
        assert await get("k") is (None if change == "put" else client)
        assert told == [("k", client, "replaced" if change == "put" else "invalidated")]

    play_in(runtime, cache, body)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_not_modified_from_a_loader_of_one_argument_is_not_weighed(runtime: str) -> None:
    """It is no value: neither `weigh` nor `on_remove` is given it."""
    seen: list[object] = []

    async def body(_: Any, get: Get) -> None:
        with pytest.raises(PolicyError, match="NOT_MODIFIED is not accepted"):
            await get("k")

    def weigh(_key: str, value: object) -> int:
        seen.append(value)
        return 1

    told = {"on_remove": lambda *removal: seen.append(removal)}
    play(runtime, body, lambda _key: NOT_MODIFIED, maxweight=100, weigh=weigh, **told)
    assert seen == []


def test_loader_that_says_nothing_of_its_arguments_is_called_with_its_key() -> None:
    """Only what is certain never to have worked with one argument may be given a second."""
    cache = herdless.threads.Cache[str, str](functools.partial(max))
    assert cache.get("abc") == "c"


class Unnamed:
    """A loader whose name is none."""

    def __init__(self) -> None:
        self.__qualname__ = 5

    def __call__(self, key: str, previous: object) -> str:
        """Load."""
        assert previous is None
        return key.upper()


def test_loader_may_have_any_name_and_be_called_outside_of_a_load() -> None:
    """It is the user's object, and in a test the user's own call."""
    assert called_with_previous(Unnamed())("k") == "K"
