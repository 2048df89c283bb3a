"""Code that is not the cache's own, and that it calls: whatever raises there, everybody is answered.

Between the moment at which a flight is there and the one at which it is settled a cache calls keys, the clock, the
observer and the log. None of them decides whether a step is carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from herdless_core import LoadCancelled
from herdless_verify.contract.world import World

MOST_CALLS: Final = 200
"""A cache that calls foreign code more often for one load is not judged to its end."""


class Fuse:
    """Raises at its n-th call, while it is armed."""

    def __init__(self, number: int) -> None:
        self._number: Final = number
        self._count = 0
        self.is_armed = False

    @property
    def has_blown(self) -> bool:
        """Whether it has raised."""
        return self._count >= self._number

    def __call__(self) -> None:
        """Foreign code is called."""
        if self.is_armed:
            self._count += 1
            if self._count == self._number:
                raise OSError("foreign code is broken")


class Key:
    """A key of the user's own class."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse: Final = fuse

    def __hash__(self) -> int:
        self._fuse()
        return 1

    def __eq__(self, other: object) -> bool:
        self._fuse()
        return isinstance(other, Key)

    def __repr__(self) -> str:
        raise OSError("a key that cannot be shown")


def _clock(w: World, fuse: Fuse) -> tuple[Any, dict[str, Any]]:
    def clock() -> int:
        fuse()
        return w.clock()

    return "k", {"clock": clock}


def _key(_: World, fuse: Fuse) -> tuple[Any, dict[str, Any]]:
    return Key(fuse), {}


def _observer(_: World, fuse: Fuse) -> tuple[Any, dict[str, Any]]:
    return "k", {"observe": lambda *_: fuse()}


@pytest.mark.parametrize("break_", [_clock, _key, _observer], ids=lambda break_: break_.__name__.lstrip("_"))
async def test_whatever_raises_everybody_is_answered(
    w: World, break_: Callable[[World, Fuse], tuple[Any, dict[str, Any]]]
) -> None:
    """Foreign code raises at its first call, at its second ..., from before the lookup to after the load's end."""
    for number in range(1, MOST_CALLS):
        fuse = Fuse(number)
        key, options = break_(w, fuse)
        cache = await w.open(**{"observe": None, **options})
        fuse.is_armed = True
        callers = [w.get(key, cache=cache), w.get(key, cache=cache)]
        await _end_loads(w)
        fuse.is_armed = False
        for caller in callers:
            assert caller.is_done, f"call {number}: {caller}"
            assert isinstance(caller.error, OSError | LoadCancelled) or caller.value == "value"
        again = w.get(key, cache=cache)
        await _end_loads(w)
        assert again.value == "value"
        assert cache.stats().in_flight == 0
        if not fuse.has_blown:
            return
    raise AssertionError(f"foreign code was called more than {MOST_CALLS} times for one load")


async def test_a_key_that_cannot_be_shown_is_loaded(w: World) -> None:
    """Its `repr` is for messages and names of tasks, and these must not be why nobody is answered."""
    cache = await w.open(stale_while_revalidate=10, ttl=1, load_timeout=5)
    key = Key(Fuse(0))
    callers = [w.get(key), w.get(key)]
    await _end_loads(w, OSError("the origin is down"))
    assert all(isinstance(caller.error, OSError) for caller in callers)
    await w.fill(key, "value")
    await w.advance(2)
    assert await _value(w, key) == "value"  # and a refresh is in flight, whose failure is logged
    await _end_loads(w, OSError("the origin is down"))
    assert cache.stats().in_flight == 0


async def test_a_log_handler_that_raises_stops_no_load(w: World) -> None:
    """A failed refresh is logged, by whatever handlers the user has."""
    cache = await w.open(ttl=1, stale_while_revalidate=10)
    await w.fill("k", "old")
    await w.advance(2)
    with _broken_log():
        assert await _value(w, "k") == "old"
        await _end_loads(w, OSError("the origin is down"))
    assert cache.stats().in_flight == 0
    await w.advance(2)
    assert await _value(w, "k") == "old"
    await _end_loads(w)
    assert await _value(w, "k") == "value"


async def _value(w: World, key: object) -> Any:
    caller = w.get(key)
    await w.settle()
    return caller.value


async def _end_loads(w: World, error: Exception | None = None) -> None:
    """End the loads that run, and those that are started because these ended."""
    await w.settle()
    for _ in range(3):
        for load in [load for load in w.loads if load.action is None]:
            if error is None:
                load.succeed("value")
            else:
                load.fail(error)
        await w.settle()


@contextmanager
def _broken_log() -> Iterator[None]:
    handler = logging.Handler()
    handler.emit = _raise  # type: ignore[method-assign, assignment]  # that is what is broken
    logger = logging.getLogger("herdless")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _raise(_record: logging.LogRecord) -> None:
    raise OSError("the log is broken")
