"""The load of a function that is called in the decorated function's own frame: how deep it may call itself, and that it
ends as the loads that a cache's own methods run.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from herdless import _call, _decorator
from herdless.testing import Injection, interrupt_everywhere
from herdless.threads import cached
from herdless_core import LoadCancelled, ReentrantLoad


def in_a_thread(call: Callable[[], Any]) -> Any:
    """What the call returns, made at the bottom of a stack."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def test_function_may_call_itself_400_deep() -> None:
    """Of the 1,000 frames that Python allows: two for each call, of which one is the function's own."""
    assert sys.getrecursionlimit() == 1000

    @cached()
    def depth(n: int, *, by: int = 1) -> int:
        return 0 if n == 0 else by + depth(n - by)

    assert in_a_thread(lambda: depth(400)) == 400


@pytest.mark.parametrize("per_instance", [False, True], ids=["shared", "per instance"])
def test_method_may_call_itself_300_deep(per_instance: bool) -> None:
    """On its instance it takes one more, where Python 3.11 counts the calls of C too."""

    class Stairs:
        @cached(per_instance=per_instance)
        def depth(self, n: int) -> Any:
            return 0 if n == 0 else 1 + self.depth(n - 1)

    assert in_a_thread(lambda: Stairs().depth(300)) == 300


def test_function_that_asks_for_its_own_result_is_told() -> None:
    """As every loader that waits for itself."""

    @cached()
    def function(a: int) -> int:
        return function(a)

    with pytest.raises(ReentrantLoad):
        function(1)
    assert function.cache.stats().in_flight == 0


def test_load_runs_in_the_context_of_no_other() -> None:
    """When it has ended, its caller is outside of it again, or its next lookup were taken for one inside."""

    @cached()
    def function(a: int) -> int:
        if a < 0:
            raise ValueError(a)
        return a

    @cached()
    def outer(a: int) -> int:
        with pytest.raises(ValueError, match="-1"):
            function(-1)
        return function(a) + function(a)

    assert outer(1) == outer(1) == 2
    with pytest.raises(ValueError, match="-1"):
        function(-1)
    assert function(2) == 2


def test_what_stops_the_caller_stops_the_load() -> None:
    """Those who joined it are told so, and those who come later load."""
    joined = threading.Event()
    calls = []

    @cached(observe=lambda _key, step: joined.set() if type(step.before).__name__ == "Pending" else None)
    def function(a: int) -> int:
        calls.append(a)
        if len(calls) == 1:
            thread.start()
            assert joined.wait(60)
            raise KeyboardInterrupt
        return a

    outcomes: list[object] = []

    def join() -> None:
        try:
            outcomes.append(function(1))
        except LoadCancelled as error:
            outcomes.append(type(error.__cause__))

    thread = threading.Thread(target=join)
    with pytest.raises(KeyboardInterrupt):
        function(1)
    thread.join()
    assert outcomes in ([KeyboardInterrupt], [1])
    assert function(1) == 1


def test_error_is_gone_with_its_last_reference() -> None:
    """Its traceback has no frame that leads back to it, so no collection is needed."""

    class Trouble(Exception):
        """What can be referred to weakly."""

    @cached()
    def function(a: object) -> None:
        raise Trouble

    def call() -> weakref.ref[Trouble]:
        try:
            function(object())
        except Trouble as error:
            return weakref.ref(error)
        raise AssertionError("it was not raised")

    gc.collect()
    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()


def test_error_that_is_remembered_keeps_no_argument() -> None:
    """Nor what its first caller was handling, which is no context of the next one's error."""

    class Request:
        """What can be referred to weakly."""

    @cached(negative_ttl=60, key=lambda request: 1)
    def function(request: Request) -> None:
        raise LookupError("not there")

    def call() -> weakref.ref[Request]:
        request = Request()
        try:
            raise ValueError(request)
        except ValueError:
            with pytest.raises(LookupError):
                function(request)
        return weakref.ref(request)

    kept = call()
    gc.collect()
    assert kept() is None
    with pytest.raises(LookupError) as remembered:
        function(Request())
    assert remembered.value.__context__ is None


@pytest.mark.parametrize("fails", [False, True], ids=["value", "error"])
@pytest.mark.parametrize("key", [None, lambda a, b: (a,)], ids=["arguments", "key"])
def test_call_may_be_interrupted_anywhere(fails: bool, key: Any) -> None:
    """An exception that a signal handler raises, at any instruction of the decorator's own code, leaves a function that
    can be called again, by everybody.
    """

    def scene(injection: Injection) -> None:
        is_disturbed = True

        @cached(key=key)
        def function(a: Any, b: int = 1) -> int:
            if fails and is_disturbed:
                raise ValueError(a)
            return b

        with injection:
            try:
                function(frozenset(), b=2)
            except ValueError:
                assert fails
        is_disturbed = False
        assert function.cache.stats().in_flight == 0
        assert in_a_thread(lambda: function(frozenset(), b=2)) == 2
        assert function(frozenset(), b=2) == 2

    points = interrupt_everywhere(scene, files=(_decorator.__file__, _call.__file__))
    assert points > 100
