"""Whoever watches a cache: one or several, and never at the cache's expense."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.testing import Trace
from herdless_core import PolicyError, Step

KINDS = [herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache]


def load(key: str) -> str:
    """Load."""
    return key.upper()


def broken(_key: object, _step: Step) -> None:
    """Observe nothing."""
    raise OSError("the observer is broken")


async def not_called(_key: object, _step: Step) -> None:
    """Would have to be awaited, inside the lock."""


@pytest.mark.parametrize("many", [list, tuple, iter])
def test_several_observers_are_told_the_same(many: Callable[[Iterable[Any]], Any]) -> None:
    """Who records a trace wants to count and to log at the same time."""
    first, second = Trace(), Trace()
    cache = herdless.threads.Cache(load, observe=many([first, second]))
    cache.get("a")
    cache.get("b")
    assert len(list(first)) == 4
    assert list(first) == list(second)


def test_observer_that_can_be_iterated_is_one_observer() -> None:
    """A recorder in memory is both callable and a collection of what it has seen."""
    trace = Trace()
    herdless.threads.Cache(load, observe=trace).get("a")
    assert len(trace) == 2


def test_broken_observer_is_logged_and_the_next_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the caller nor who watches beside it pays for it."""
    trace = Trace()
    cache = herdless.threads.Cache(load, observe=[broken, trace, broken])
    assert cache.get("a") == "A"
    assert len(trace) == 2
    assert [record.getMessage().partition(" at 0x")[0] for record in caplog.records] == [
        "the observer <function broken"
    ] * 4


@pytest.fixture
def _log_breaks() -> Iterator[None]:
    """Whoever reads the log raises."""

    class Breaks(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            raise OSError("the log is broken")

    logger, handler = logging.getLogger("herdless"), Breaks()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("_log_breaks")
def test_broken_log_of_a_broken_observer_breaks_nothing() -> None:
    """The step is half done by then: what raised here would leave its caller waiting for ever."""
    trace = Trace()
    assert herdless.threads.Cache(load, observe=[broken, trace]).get("a") == "A"
    assert len(trace) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("observe", [1, "print", [print, None], {"print": print}, not_called, [print, not_called]])
def test_what_cannot_observe_is_refused_by_name(kind: Any, observe: Any) -> None:
    """At once, and not by a log of errors at each step."""
    with pytest.raises(PolicyError, match=r"observe=.* is not accepted: give a function of a key and a Step"):
        kind(load, observe=observe)


def test_nobody_watches_where_none_is_named() -> None:
    """An empty list, from a configuration, costs what no observer costs."""
    nobody: list[Any] = []
    for observe in (None, nobody):
        assert herdless.threads.Cache(load, observe=observe)._keyspace.observe is None
