"""A decorated function of threads does what `Cache.get` does: it has a copy of it, which calls the function itself.

The copy is there for the depth of the stack: a recursive function gets along with one frame a call. Here both are put
through the same scenes, and everything that can be told from outside is compared; tests/interrupts interrupts both.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final

import pytest

from herdless.adapter import LOADING
from herdless.testing import VirtualClock
from herdless.threads import Cache, cached
from herdless_core import HerdlessError, Loaded, Step

PATIENCE: Final = 30


class Broken(Exception):
    """The loader's own error."""


def _raises(error: BaseException) -> object:
    raise error


async def _coroutine() -> object:
    return "awaited"


ENDS: Final[dict[str, Callable[[int], object]]] = {
    "a value": lambda number: f"value {number}",
    "None": lambda _: None,
    "a value with a ttl of its own": lambda number: Loaded(f"value {number}", ttl=1),
    "an error": lambda number: _raises(Broken(number)),
    "an interrupt": lambda number: _raises(KeyboardInterrupt(number)),
    "an exit": lambda number: _raises(SystemExit(number)),
    "a coroutine": lambda _: _coroutine(),
}
"""What the loader does when it is called for the so manieth time."""

OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "by default": {},
    "with a ttl": {"ttl": 10},
    "stale while revalidating": {"ttl": 10, "stale_while_revalidate": 100},
    "stale for errors": {"ttl": 10, "stale_if_error": 100},
    "errors remembered": {"ttl": 10, "negative_ttl": 10},
    "without room": {"maxsize": 0},
    "with room for one": {"maxsize": 1},
    "one load at once": {"max_loads": 1},
    "with a deadline": {"load_timeout": 10},
}


@final
@dataclass
class Told:
    """What one of the two did, as it is seen from outside."""

    answers: list[object] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    loadings: list[object] = field(default_factory=list)
    """The load inside which the caller was, after each call."""
    stats: object = None


def _told_of(error: BaseException) -> object:
    """An error by all that a caller sees, but for the frames and the name of the loader, which differ."""
    return [
        None if each is None else (type(each), re.sub("load=<.*> is", "load=... is", str(each)))
        for each in (error, error.__cause__, error.__context__)
    ]


def _played(end: str, options: dict[str, Any], *, by_decorator: bool, within: bool) -> Told:
    """The same calls, by the decorated function or by a cache with the same keys.

    within: whether every other call is made while an error is handled: what is told to the next has nothing of it.
    """
    told, clock, calls = Told(), VirtualClock(), iter(range(1, 100))

    def load(name: str) -> object:
        assert name in {"a", "b"}
        loading: Any = LOADING.get()
        assert loading is not None, "the load is known while it runs"
        assert loading.is_launched
        return ENDS[end](next(calls))

    def observe(_key: object, step: Step) -> None:
        told.steps.append(step)

    options = {"clock": clock, "observe": observe, **options}
    if by_decorator:
        function: Any = cached(**options)(load)
        cache, ask = function.cache, function
    else:
        cache = Cache[Any, Any](lambda key: load(*key), **options)
        ask = lambda name: cache.get((name,))  # noqa: E731  # as the decorator's keys are

    def call(name: str) -> None:
        try:
            told.answers.append(ask(name))
        except BaseException as error:  # noqa: BLE001  # it is compared
            told.answers.append(_told_of(error))
        told.loadings.append(LOADING.get())
        cache.settled(PATIENCE)  # a refresh is run elsewhere, in its own time

    for number, (name, seconds) in enumerate([("a", 0), ("a", 5), ("b", 0), ("a", 6), ("a", 0), ("b", 20), ("a", 200)]):
        clock.advance(seconds)
        if within and number % 2 == 0:
            try:
                raise ZeroDivisionError("the caller's own")
            except ZeroDivisionError:
                call(name)
        else:
            call(name)
    cache.close()
    call("a")
    told.stats = cache.stats()
    return told


def _comparable(steps: list[Step]) -> Iterator[object]:
    """Steps as text: two errors are never equal."""
    for step in steps:
        yield type(step.before), type(step.event), step.now, type(step.after), [type(each) for each in step.effects]


@pytest.mark.parametrize("within", [False, True], ids=["", "within a handler"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("end", ENDS)
def test_a_decorated_function_does_what_get_does(end: str, options: dict[str, Any], within: bool) -> None:
    """The same answers, errors with the same causes and contexts, the same steps of the machine, the same counters."""
    ours = _played(end, options, by_decorator=True, within=within)
    theirs = _played(end, options, by_decorator=False, within=within)
    assert ours.answers == theirs.answers
    assert list(_comparable(ours.steps)) == list(_comparable(theirs.steps))
    assert ours.loadings == theirs.loadings == [None] * len(theirs.loadings)
    assert ours.stats == theirs.stats


@pytest.mark.parametrize("end", [end for end in ENDS if "exit" not in end and "interrupt" not in end])
@pytest.mark.parametrize("max_waiters", [None, 1])
def test_who_joins_a_decorated_function_is_told_what_who_joins_get_is(end: str, max_waiters: int | None) -> None:
    """Two callers of one key, the second of whom joins the load that the first one runs, or is refused."""

    def play(by_decorator: bool) -> tuple[list[object], object]:
        begun, go_on = threading.Event(), threading.Event()
        answers: dict[str, object] = {}

        def load(_name: str) -> object:
            begun.set()
            assert go_on.wait(PATIENCE)
            return ENDS[end](1)

        def observe(_key: object, _step: Step) -> None:
            if begun.is_set():
                go_on.set()  # the second one has made its step

        options: Any = {"observe": observe, "max_waiters": max_waiters}
        function: Any = cached(**options)(load)
        plain = Cache[Any, Any](lambda key: load(*key), **options)
        ask = function if by_decorator else lambda name: plain.get((name,))

        def call(caller: str) -> None:
            try:
                answers[caller] = ask("a")
            except (HerdlessError, Broken, TypeError) as error:
                answers[caller] = _told_of(error)
            go_on.set()  # who was refused makes no step that others wait for

        first = threading.Thread(target=call, args=("first",), daemon=True)
        first.start()
        assert begun.wait(PATIENCE)
        second = threading.Thread(target=call, args=("second",), daemon=True)
        second.start()
        for each in (first, second):
            each.join(PATIENCE)
            assert not each.is_alive()
        cache = function.cache if by_decorator else plain
        return [answers["first"], answers["second"]], cache.stats()

    assert play(by_decorator=True) == play(by_decorator=False)
