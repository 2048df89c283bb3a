"""A remembered exception: its traceback is printed as the loader's, and nobody's variables live on in it."""

from __future__ import annotations

import gc
import linecache
import sys
import traceback
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

import pytest

from herdless_core import Failure, Policy
from herdless_core._copies import kept_of
from herdless_core._frames import _FRAMES, MOST_FRAMES, standing_in

REMEMBERING: Final = Policy(negative_ttl=60)


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
    remembered = kept_of(error, REMEMBERING)
    shown = "".join(traceback.format_exception(remembered))
    assert shown == "".join(traceback.format_exception(error))
    assert "numbers[0] / 0\n" in shown
    assert "~~~^~~" in shown
    assert [frame.name for frame in traceback.extract_tb(remembered.__traceback__)] == ["_failing"]


def test_the_interpreter_itself_prints_it_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not caught is printed by other code than `traceback`'s."""
    error = _failing(Body(), [])
    printed = []
    for one in (error, kept_of(error, REMEMBERING)):
        sys.__excepthook__(type(one), one, one.__traceback__)
        printed.append(capsys.readouterr().err)
    assert printed[0] == printed[1] != ""


def test_nobodys_variables_live_on() -> None:
    """An error is remembered for minutes, and a request body may be of many megabytes."""
    seen: list[weakref.ref[object]] = []

    def request() -> BaseException:
        return kept_of(_failing(Body(), seen), REMEMBERING)

    remembered = request()
    gc.collect()
    assert [body() for body in seen] == [None]
    cause = remembered.__cause__
    assert cause is not None
    for entry in (*_entries(remembered.__traceback__), *_entries(cause.__traceback__)):
        assert entry.tb_frame.f_back is None
        assert not entry.tb_frame.f_locals


def test_those_who_wait_have_the_real_frames() -> None:
    """Where nothing is remembered, reporters of errors show those who waited the loader's variables."""
    seen: list[weakref.ref[object]] = []

    def request() -> BaseException:
        return kept_of(_failing(Body(), seen), Policy())

    kept = request()
    gc.collect()
    assert seen[0]() is not None
    assert [entry.tb_frame.f_locals["body"] for entry in _entries(kept.__traceback__)] == [seen[0]()]


def test_raising_it_again_keeps_nobodys_variables() -> None:
    """Every caller of the next minutes raises it, each with a traceback of its own."""
    kept = kept_of(_failing(Body(), []), REMEMBERING)
    remembered = Failure(kept, kept.__traceback__)
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
