"""The hit rule, of which every adapter has a copy on its hot path: what needs no step is what the core's `read` says.

Compared over the whole product of entries and instants. The caches are closed, or have no event loop, so that whatever
is no hit is refused: an answer can only come from the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless_core import CacheClosed, read
from tests.core import _product

KEY: Final = "key"
REFUSED: Final = object()
"""What a lookup that is no hit comes to."""


class Clock:
    """Shows what it is told."""

    now = 0

    def __call__(self) -> int:
        """The time."""
        return self.now


def ended(lookup: Coroutine[Any, Any, object]) -> object:
    """What the lookup gives at once, without an event loop."""
    try:
        lookup.send(None)
    except StopIteration as answer:
        return answer.value
    except RuntimeError:
        return REFUSED
    raise AssertionError("the lookup waits, although nothing runs")


async def load(_key: str) -> str:
    """Never called."""
    raise AssertionError("a load was started")


def load_here(_key: str) -> str:
    """Never called."""
    raise AssertionError("a load was started")


def of_asyncio(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """`herdless.asyncio.Cache.get`."""
    cache = herdless.asyncio.Cache(load, clock=clock)
    return cache, lambda: ended(cache.get(KEY))


def of_trio(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """`herdless.trio.Cache.get`."""
    cache = herdless.trio.Cache(load, clock=clock, checkpoint="never")
    return cache, lambda: ended(cache.get(KEY))


def of_threads(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """`herdless.threads.Cache.get`."""
    cache = herdless.threads.Cache(load_here, clock=clock)
    cache.close()
    return cache, lambda: closed(lambda: cache.get(KEY))


def of_asyncio_function(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """A function decorated by `herdless.asyncio.cached`."""
    function = herdless.asyncio.cached(clock=clock)(load)
    return function.cache, lambda: ended(function(KEY))


def of_trio_function(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """A function decorated by `herdless.trio.cached`."""
    function = herdless.trio.cached(clock=clock, checkpoint="never")(load)
    return function.cache, lambda: ended(function(KEY))


def of_threads_function(clock: Clock) -> tuple[Any, Callable[[], object]]:
    """A function decorated by `herdless.threads.cached`."""
    function = herdless.threads.cached(clock=clock)(load_here)
    function.cache.close()
    return function.cache, lambda: closed(lambda: function(KEY))


def closed(lookup: Callable[[], object]) -> object:
    """What the lookup of a closed cache gives."""
    try:
        return lookup()
    except CacheClosed:
        return REFUSED


@pytest.mark.parametrize(
    "make", [of_asyncio, of_trio, of_threads, of_asyncio_function, of_trio_function, of_threads_function]
)
def test_a_hit_without_a_step_is_what_read_says(make: Callable[[Clock], tuple[Any, Callable[[], object]]]) -> None:
    """Nothing is served past its time, or instead of an error; and nothing that may be served takes the long way."""
    clock = Clock()
    cache, lookup = make(clock)
    hits = 0
    for entry in filter(lambda entry: entry.is_reachable, _product.entries()):
        for clock.now in _product.instants(entry):
            cache._keyspace.hot.clear()
            expected = read(entry, clock.now)
            cache._keyspace.hot.update({KEY: entry, (KEY,): entry})  # the latter is what a function looks up
            assert lookup() == (REFUSED if expected is None else expected.value)
            hits += expected is not None
            assert cache._hits == hits
    assert hits
