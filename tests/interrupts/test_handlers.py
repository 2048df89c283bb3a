"""A call that comes in between, at any bytecode of any method, freezes nothing, and the cache does what was asked.

A signal's handler, a finalizer, a weak reference's callback and a log handler run wherever the program happens to be,
inside the cache too, and may use the very same cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.trio
from herdless import threads
from herdless.testing import Injection, call_everywhere
from herdless_core import CacheClosed, HerdlessError, MisuseError
from tests.interrupts import in_asyncio, in_threads
from tests.interrupts.cases import CHANGES, OPERATIONS, SITUATIONS, Situation
from tests.schedules.depth import IS_DEEP

pytestmark = [
    pytest.mark.pure("a compiled library has no bytecodes: the contract suite is for it"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SOME = [
    each
    for each in SITUATIONS
    if each.name
    in {
        "absent, a caller joins",
        "fresh, in a bounded cache",
        "remembered as a ghost",
        "stale",
        "loaded by another, in a full cache",
        "loaded by another, overdue",
    }
]

every_operation = pytest.mark.parametrize("operation", OPERATIONS)
every_change = pytest.mark.parametrize("change", CHANGES)


def handler(change: str) -> Callable[[Any], object]:
    """What comes in between; a closed cache says that it is."""

    def handle(cache: Any) -> None:
        with contextlib.suppress(CacheClosed):
            CHANGES[change](cache)

    return handle


def scene(play: Callable[..., None], situation: Situation, operation: str) -> Callable[..., None]:
    """The scene, in which `a` may have been changed by the handler."""
    return partial(play, situation=situation, operation=operation)


def call(play: Callable[..., None], operation: str, change: str) -> None:
    """Make the call at every so manieth point of every situation, each time beginning at another one."""
    every = 1 if IS_DEEP else 601
    for number, situation in enumerate(SOME):
        first = 1 + (7 * number + 5 * list(OPERATIONS).index(operation) + list(CHANGES).index(change)) % every
        call_everywhere(scene(play, situation, operation), handler(change), every=every, first=first)


@every_change
@every_operation
def test_a_change_that_comes_in_between_is_carried_out_in_threads(operation: str, change: str) -> None:
    """Nothing freezes, everybody is answered, and the tables agree."""
    call(in_threads.play, operation, change)


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        (operation, change)
        for at, operation in enumerate(OPERATIONS)
        for place, change in enumerate(CHANGES)
        if IS_DEEP or (at + place) % 2 == 0
    ],
)
def test_a_change_that_comes_in_between_is_carried_out_in_asyncio(operation: str, change: str) -> None:
    """Nothing freezes, everybody is answered, and the tables agree."""
    call(in_asyncio.play, operation, change)


@pytest.mark.parametrize("key", ["b", "a"])
@pytest.mark.parametrize("operation", ["get", "put", "invalidate", "clear", "close"])
def test_a_lookup_that_comes_in_between_is_answered_or_refused(operation: str, key: str) -> None:
    """Inside the lock a lookup cannot wait, and says so; it never waits for its own thread."""

    def handle(cache: Any) -> None:
        with contextlib.suppress(HerdlessError):
            assert cache.get(key)[0] == key

    every = 1 if IS_DEEP else 31
    for situation in SOME:
        call_everywhere(scene(in_threads.play, situation, operation), handle, every=every)


CALLS = ["get", "put", "invalidate", "refresh", "peek", "stats", "clear"]
EXHAUSTIVE = {"get", "put"}
"""These are disturbed at every point in the default run too, the others at every fifth."""


def invalidate_everywhere(scene: Callable[[Injection], None], operation: str) -> None:
    """Let the handler invalidate `b`, which was loaded before."""
    every = 1 if IS_DEEP or operation in EXHAUSTIVE else 5
    call_everywhere(scene, lambda cache: cache.invalidate("b"), every=every, first=1 + CALLS.index(operation) % every)


@pytest.mark.parametrize("operation", CALLS)
def test_a_change_that_came_in_between_is_done_when_the_call_returns_in_threads(operation: str) -> None:
    """It must not wait for the next call that needs the lock: a hit needs none, and would be of an invalid value."""

    def once(injection: Injection) -> None:
        loaded: list[str] = []

        def load(key: str) -> tuple[str, int]:
            loaded.append(key)
            return key, len(loaded)

        with ThreadPoolExecutor(1) as executor:
            cache = threads.Cache(load, executor=executor)
            cache.get("b")
            with injection.using(cache):
                OPERATIONS[operation](cache)
            told = cache.get("b")
        if injection.point is not None:
            assert told != ("b", 1)

    invalidate_everywhere(once, operation)


async def look_up_after(make: Callable[[Any], Any], injection: Injection, operation: str) -> None:
    """The same for callers who await. make: from a loader to the cache."""
    loaded: list[str] = []

    async def load(key: str) -> tuple[str, int]:
        loaded.append(key)
        return key, len(loaded)

    async with make(load) as cache:
        await cache.get("b")
        with injection.using(cache):
            returned = OPERATIONS[operation](cache)
            if inspect.isawaitable(returned):
                await returned
        told = await cache.get("b")
    if injection.point is not None:
        assert told != ("b", 1)


@pytest.mark.parametrize("operation", CALLS)
def test_a_change_that_came_in_between_is_done_when_the_call_returns_in_asyncio(operation: str) -> None:
    """The same, of everything that runs in the loop until the call has returned, the load's own report included."""
    make = herdless.asyncio.Cache[str, tuple[str, int]]
    invalidate_everywhere(lambda injection: asyncio.run(look_up_after(make, injection, operation)), operation)


@pytest.mark.parametrize("operation", CALLS)
def test_a_change_that_came_in_between_is_done_when_the_call_returns_in_trio(operation: str) -> None:
    """The same, on trio."""
    make = partial(herdless.trio.Cache, checkpoint="never")
    invalidate_everywhere(lambda injection: trio.run(look_up_after, make, injection, operation), operation)


REFUSED: dict[str, Callable[[Any], object]] = {
    "put": lambda cache: cache.put([], 1),
    "get": lambda cache: cache.get([]),
    "peek": lambda cache: cache.peek([]),
}


def refused(call: str) -> Callable[[Any], None]:
    """A handler whose call is refused; inside the lock a change is put off, and logged when it fails."""

    def handle(cache: Any) -> None:
        with contextlib.suppress(TypeError, MisuseError):
            returned = REFUSED[call](cache)
            if inspect.isawaitable(returned):
                returned.__await__().send(None)  # as far as it goes

    return handle


@pytest.mark.parametrize("call", REFUSED)
def test_a_call_that_is_refused_does_no_harm_to_the_call_that_it_came_into(call: str) -> None:
    """The load that the call is about to run is not the handler's, and is not given up for it."""

    def once(injection: Injection) -> None:
        cache = threads.Cache(str.upper)
        with injection.using(cache):
            assert cache.get("a") == "A"
        assert cache.stats().load_cancellations == 0

    call_everywhere(once, refused(call), every=1)


def test_a_decorated_call_that_is_refused_does_no_harm_to_the_call_that_it_came_into() -> None:
    """The same of a function that may call itself in a signal's handler."""

    def once(injection: Injection) -> None:
        calls = 0

        @threads.cached()
        def upper(text: str) -> str:
            nonlocal calls
            calls += 1
            return text.upper()

        with injection.using(upper):
            assert upper("a") == "A"
        assert calls == 1
        assert upper.cache.stats().load_cancellations == 0

    def handle(upper: Any) -> None:
        with contextlib.suppress(TypeError, MisuseError):
            upper([])

    call_everywhere(once, handle, every=1)


@pytest.mark.parametrize("call", REFUSED)
def test_a_call_that_is_refused_does_no_harm_in_asyncio(call: str) -> None:
    """The same, of everything that runs in the loop until the call has returned."""

    async def once(injection: Injection) -> None:
        async def load(key: str) -> str:
            return key.upper()

        cache = herdless.asyncio.Cache(load)
        with injection.using(cache):
            assert await cache.get("a") == "A"
        assert cache.stats().load_cancellations == 0

    call_everywhere(lambda injection: asyncio.run(once(injection)), refused(call), every=1)


@pytest.mark.parametrize("call", REFUSED)
def test_a_call_that_is_refused_does_no_harm_in_trio(call: str) -> None:
    """The same, on trio."""

    async def once(injection: Injection) -> None:
        async def load(key: str) -> str:
            return key.upper()

        async with herdless.trio.Cache(load, checkpoint="never") as cache:
            with injection.using(cache):
                assert await cache.get("a") == "A"
            assert cache.stats().load_cancellations == 0

    call_everywhere(lambda injection: trio.run(once, injection), refused(call), every=1)
