"""A remembered exception: its traceback is printed as the loader's, and nobody's variables live on in it."""

from __future__ import annotations

import gc
import linecache
import sys
import traceback
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

from herdless_core import ABSENT, Failure, Fresh, Get, LoadFailed, Policy, transition
from herdless_core._frames import _FRAMES, MOST_FRAMES, standing_in


class Body:
    """What a request has in its variables."""


def load(numbers: list[int]) -> float:
    """Fails, in the middle of an expression of two lines."""
    return (
        sum(numbers)
        + numbers[0] / 0
    )  # fmt: skip


def _failing(body: object, seen: list[weakref.ref[object]]) -> Exception:
    """What a load raises that runs on the stack of a request."""
    seen.append(weakref.ref(body))
    try:
        load([1])
    except ZeroDivisionError as error:
        try:
            raise ConnectionError("no answer") from error
        except ConnectionError as caught:
            return caught
    raise AssertionError


def _entries(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def test_it_is_printed_like_the_real_one() -> None:
    """File, line, function, source and the marks below it: all that is looked at when something fails at night."""
    error = _failing(Body(), [])
    failure = Failure(error, error.__traceback__)
    remembered = failure.without_frames()
    shown = "".join(traceback.format_exception(remembered.exception()))
    assert shown == "".join(traceback.format_exception(failure.exception()))
    assert "numbers[0] / 0\n" in shown
    assert "~~~^~~" in shown
    assert [frame.name for frame in traceback.extract_tb(remembered.traceback)] == ["_failing"]


def test_the_interpreter_itself_prints_it_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not caught is printed by other code than `traceback`'s."""
    error = _failing(Body(), [])
    failure = Failure(error, error.__traceback__)
    printed = []
    for one in (failure, failure.without_frames()):
        exception = one.exception()
        sys.__excepthook__(type(exception), exception, exception.__traceback__)
        printed.append(capsys.readouterr().err)
    assert printed[0] == printed[1] != ""


def test_nobodys_variables_live_on() -> None:
    """An error is remembered for minutes, and a request body may be of many megabytes."""
    seen: list[weakref.ref[object]] = []

    def request() -> Failure:
        error = _failing(Body(), seen)
        return Failure(error, error.__traceback__).without_frames()

    remembered = request()
    gc.collect()
    assert [body() for body in seen] == [None]
    cause = remembered.error.__cause__
    assert cause is not None
    for entry in (*_entries(remembered.traceback), *_entries(cause.__traceback__)):
        assert entry.tb_frame.f_back is None
        assert not entry.tb_frame.f_locals


def test_without_standing_in_they_would_live_on() -> None:
    """The test above is worth something only if a real traceback keeps the body."""
    seen: list[weakref.ref[object]] = []

    def request() -> Failure:
        error = _failing(Body(), seen)
        return Failure(error, error.__traceback__)

    kept = request()
    gc.collect()
    assert seen[0]() is not None
    assert kept.traceback is not None


def test_raising_it_again_keeps_nobodys_variables() -> None:
    """Every caller of the next minutes raises it, each with a traceback of its own."""
    error = _failing(Body(), [])
    remembered = Failure(error, error.__traceback__).without_frames()
    seen = []

    def request() -> None:
        body = Body()
        seen.append(weakref.ref(body))
        raise remembered.exception()

    for _ in range(2):
        with pytest.raises(ConnectionError):
            request()
    gc.collect()
    assert [body() for body in seen] == [None, None]


def test_the_entry_has_it_and_those_who_waited_have_the_real_frames() -> None:
    """A debugger or a reporter of errors shows the loader's variables to those whose load it was."""
    policy = Policy(negative_ttl=60)
    error = _failing(Body(), [])
    pending, _ = transition(ABSENT, Get(1), 0, policy)
    after, effects = transition(pending, LoadFailed(1, error), 1, policy)
    assert isinstance(after, Fresh)
    settled: Any = effects[-1]
    assert settled.outcome.traceback is error.__traceback__
    assert after.value.error is not error
    assert all(entry.tb_frame.f_back is None for entry in _entries(after.value.traceback))


def test_what_was_never_raised_is_kept_as_it_is() -> None:
    """There are no frames in it."""
    failure = Failure(ValueError("put together"), None)
    assert failure.without_frames() is failure


def test_source_that_lies_in_no_file_is_found() -> None:
    """In a notebook, or from a zip file, a module's loader has the source."""

    class Loader:
        """Has the source of one module."""

        def get_source(self, name: str) -> str:
            return "def load():\n    raise ValueError('in here')\n"

    names: dict[str, Any] = {"__name__": "kept_elsewhere", "__loader__": Loader()}
    exec(compile(Loader().get_source(""), "kept_elsewhere.py", "exec"), names)  # noqa: S102  # as an importer does
    with pytest.raises(ValueError, match="in here") as raised:
        names["load"]()
    tb = standing_in(raised.value.__traceback__)
    linecache.clearcache()
    assert "raise ValueError('in here')" in "".join(traceback.format_tb(tb))


def test_frames_are_shared_and_bounded() -> None:
    """Ten thousand remembered errors of one loader have the same few frames; many loaders do not add up for ever."""

    def frames_of(error: Exception) -> list[object]:
        return [entry.tb_frame for entry in _entries(standing_in(error.__traceback__))]

    assert frames_of(_failing(Body(), [])) == frames_of(_failing(Body(), []))
    for number in range(MOST_FRAMES + 10):
        names: dict[str, Any] = {}
        exec(compile("def load(): raise ValueError", f"<{number}>", "exec"), names)  # noqa: S102  # a new place
        with pytest.raises(ValueError) as raised:  # noqa: PT011  # of no importance
            names["load"]()
        standing_in(raised.value.__traceback__)
    assert len(_FRAMES) <= MOST_FRAMES
