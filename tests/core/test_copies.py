"""Each caller's own exception: what a copy has of the original, and what it never shares with another."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import enum
import json
import sqlite3
import traceback
import urllib.error
from email.message import Message
from typing import Any, Final, NoReturn

import pytest

from herdless_core import Failure, LoadTimeout, RemoteLoadError, _copies, _frames
from herdless_core._copies import _PLANS, MOST_PLANS, base_of, copy_of, give_back_context


class KeywordOnly(Exception):
    """Its constructor takes nothing that `args` holds, as those of many clients of services."""

    made = 0

    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status
        KeywordOnly.made += 1


class OtherArguments(Exception):
    """Its `args` are not those of its constructor."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class Unwilling(Exception):
    """Cannot be copied by its own means, nor made without an argument."""

    def __new__(cls, text: str) -> Unwilling:
        """Takes one argument."""
        return super().__new__(cls, text)

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("not to be pickled")

    def __copy__(self) -> NoReturn:
        raise RuntimeError("not to be copied")


class Slotted(Exception):
    """One slot is filled, with a None that counts, and one is not."""

    __slots__ = ("empty", "filled")

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.filled = None


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be set in it."""

    code: int


class Mixed(LoadTimeout, LookupError):
    """Of several bases."""


class Held(Exception):
    """Has what must not be done twice for one load."""

    closed = 0

    def __del__(self) -> None:
        Held.closed += 1


def _unicode_error() -> UnicodeError:
    with contextlib.suppress(UnicodeDecodeError):
        b"\xff".decode()
    return UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "invalid start byte")


def _blocking() -> BlockingIOError:
    error = BlockingIOError(11, "busy")
    error.characters_written = 7
    return error


def _http() -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://origin", 503, "busy", Message(), None)


COPIED: Final[list[BaseException]] = [
    ValueError("x", {"a": 1}),
    KeyError("x"),
    KeywordOnly(status=404),
    OtherArguments("a", "b"),
    Unwilling("x"),
    Slotted("x"),
    Frozen(7),
    Mixed("late"),
    OSError(2, "no such file", "a.txt", None, "b.txt"),
    OSError("only a text"),
    _blocking(),
    _unicode_error(),
    UnicodeEncodeError("ascii", "é", 0, 1, "no"),
    StopIteration(3),
    SystemExit(4),
    ImportError("no", name="module", path="/there"),
    NameError("no", name="variable"),
    AttributeError("no", name="attribute", obj=7),
    SyntaxError("bad", ("f.py", 1, 2, "x y", 1, 3)),
    json.JSONDecodeError("bad", "doc", 1),
    sqlite3.OperationalError("locked"),
    asyncio.IncompleteReadError(b"part", 10),
    asyncio.CancelledError("why"),
    RemoteLoadError("no such row", kind="KeyError"),
    LoadTimeout("late"),
    _http(),
]


def _state(error: BaseException) -> dict[str, object]:
    """All that can be read of an exception, but who raised it."""
    left_out = {"__traceback__", "__context__", "__cause__", "with_traceback", "__dict__", "__weakref__"}
    names = {name for cls in type(error).__mro__ for name in vars(cls)} - left_out
    state: dict[str, object] = {"args": error.args, "attributes": dict(vars(error)), "text": str(error)}
    for name in names:
        with contextlib.suppress(AttributeError):
            value = getattr(error, name)
            if not callable(value):
                state[name] = value
    return state


@pytest.mark.parametrize("error", COPIED, ids=lambda error: type(error).__name__)
def test_a_copy_is_another_object_of_the_same_class_and_state(error: BaseException) -> None:
    """A handler that looks into the exception must not see which of two callers it serves."""
    copy = copy_of(error)
    assert copy is not error
    assert type(copy) is type(error)
    assert _state(copy) == _state(error)


def test_no_code_of_the_class_is_run() -> None:
    """A constructor may count, log or connect: a load that failed once must not do that once for each caller."""
    error = KeywordOnly(status=404)
    made = KeywordOnly.made
    copy_of(error)
    assert KeywordOnly.made == made


def test_what_python_could_not_copy_is_told_as_it_is() -> None:
    """A finalizer would run once for each copy."""
    error = Held("connection")
    assert copy_of(error) is error
    assert Held.closed == 0


def test_a_class_with_unknown_state_is_not_copied() -> None:
    """Objects that are larger than the fields that Python knows of have state that no copy would have."""
    assert base_of(type("Plain", (Exception,), {})) is Exception
    assert base_of(type("Plain", (OSError,), {"__slots__": ("a", "b")})) is OSError
    larger = type("Larger", (Exception,), {"__slots__": ("a",)})
    del larger.a  # type: ignore[attr-defined]  # made above; now its objects have a word that nothing explains
    assert base_of(larger) is None
    error = larger("x")
    assert copy_of(error) is error


def test_what_is_told_as_it_is_has_no_context() -> None:
    """It is the same object for all, and would show each what another was handling."""
    error = Held("connection")
    failure = Failure(error, None)
    try:
        raise KeyError("of one caller")
    except KeyError:
        with pytest.raises(Held):
            raise failure.exception()  # noqa: B904  # its context is what is looked at
    assert failure.exception() is error
    assert error.__context__ is None
    assert error.__traceback__ is None


def test_classes_that_are_made_on_the_fly_do_not_add_up() -> None:
    """How a class is copied is remembered, for a number of classes."""
    for number in range(MOST_PLANS + 10):
        kind: type[Exception] = type(f"Made{number}", (Exception,), {})
        assert type(copy_of(kind())) is kind
    assert len(_PLANS) <= MOST_PLANS


def test_notes_are_each_callers_own() -> None:
    """`add_note` is what a caller says of its own request."""
    error = ValueError("x")
    error.add_note("the loader's")
    first, second = copy_of(error), copy_of(error)
    first.add_note("the first caller's")
    second.add_note("the second caller's")
    assert (error.__notes__, second.__notes__) == (["the loader's"], ["the loader's", "the second caller's"])


def _raised(
    error: BaseException, *, cause: BaseException | None = None, in_place_of: BaseException | None = None
) -> Any:
    try:
        if in_place_of is None:
            raise error from cause
        try:
            raise in_place_of
        except Exception:  # noqa: BLE001  # whatever was given
            raise error  # noqa: B904  # its context is what is looked at
    except Exception as caught:  # noqa: BLE001  # whatever was given
        return caught


def test_the_chain_is_copied_with_its_tracebacks() -> None:
    """`raise error.__cause__` is common, and would write into what all callers share."""
    root = _raised(KeyError("row"))
    error = _raised(ConnectionError("down"), cause=root)
    copy = copy_of(error)
    assert isinstance(copy.__cause__, KeyError)
    assert copy.__cause__ is not root
    assert copy.__suppress_context__
    assert traceback.format_exception(copy) == traceback.format_exception(error)


def test_a_suppressed_context_stays_suppressed() -> None:
    """`raise ... from None` is a decision of the loader."""
    error = _raised(ValueError("x"), in_place_of=KeyError("y"))
    shown = traceback.format_exception(error)
    assert traceback.format_exception(copy_of(error)) == shown
    error.__suppress_context__ = True
    assert traceback.format_exception(copy_of(error)) == traceback.format_exception(error) != shown


def test_what_the_caller_was_handling_is_left_out() -> None:
    """Where a load runs on its caller's stack, Python makes what that caller handles the context of all that the loader
    raises.
    """
    outside = KeyError("of the request")
    try:
        raise outside
    except KeyError:
        error = _raised(ConnectionError("down"), in_place_of=TimeoutError("slow"))
    assert error.__context__.__context__ is outside
    copy = copy_of(error, outside=outside)
    assert isinstance(copy.__context__, TimeoutError)
    assert copy.__context__.__context__ is None
    assert error.__context__.__context__ is outside, "the loader's own exception is left alone"


def test_the_members_of_a_group_are_copied() -> None:
    """Each of them can be raised, and be added to, by whoever splits the group."""
    inner = ExceptionGroup("inner", [_raised(ValueError("a"), cause=OSError(5, "disk"))])
    group = _raised(ExceptionGroup("outer", [inner, KeyError("b")]))
    group.add_note("a note")
    copy = copy_of(group)
    assert type(copy) is ExceptionGroup
    assert traceback.format_exception(copy) == traceback.format_exception(group)
    assert copy.exceptions[0] is not inner
    assert copy.exceptions[0].exceptions[0] is not inner.exceptions[0]
    assert copy.args == ("outer", list(copy.exceptions))


def test_a_class_of_groups_is_kept() -> None:
    """Anyio and trio users subclass them."""

    class Failures(ExceptionGroup[Exception]):
        """With a state of its own."""

        def __new__(cls, text: str) -> Failures:
            return super().__new__(cls, text, [ValueError("made by the class")])

        def __init__(self, text: str) -> None:
            self.text = text

    copy: Any = copy_of(Failures("several"))
    assert (type(copy), copy.text, copy.message, len(copy.exceptions)) == (Failures, "several", "several", 1)


def test_an_exception_in_a_field_is_the_same_as_in_the_chain() -> None:
    """Database layers have the driver's exception as `orig` and as the cause; its frames are to go, too."""
    orig = _raised(sqlite3.OperationalError("locked"))
    error = _raised(KeywordOnly(status=500), cause=orig)
    error.orig, error.tries = orig, [orig, "text"]
    error.args = ("wrapped", orig)
    copy: Any = copy_of(error)
    assert copy.orig is copy.__cause__ is copy.tries[0] is copy.args[1]
    assert copy.orig is not orig


def test_chains_that_are_long_or_closed_are_copied() -> None:
    """A loop of retries makes a long one; a field can make a closed one."""
    error: Any = ValueError("first")
    for attempt in range(5_000):
        error, error.__context__ = ValueError(attempt), error
    error.itself = error
    copy: Any = copy_of(error)
    assert copy.itself is copy
    length = 0
    while copy is not None:
        copy, length = copy.__context__, length + 1
    assert length == 5_001


def test_a_field_may_hold_what_pretends_to_be_anything() -> None:
    """Lazy proxies and mocks answer `isinstance` with whatever they stand for."""

    class Proxy:
        """Stands for an exception, and breaks when asked for its class."""

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("not now")

    error: Any = ValueError(Proxy())
    error.mode, error.seen = enum.Enum("Mode", "A").A, collections.deque([1])  # type: ignore[attr-defined]
    copy: Any = copy_of(error)
    assert copy.args[0] is error.args[0]
    assert (copy.mode, copy.seen) == (error.mode, error.seen)


@pytest.mark.pure("replaces parts of the module")
def test_error_that_cannot_be_copied_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its class does: a load's end is told."""
    error = ValueError("told")

    def fails(*_: object) -> None:
        raise TypeError("not such an object")

    group = ExceptionGroup("several", [error])
    monkeypatch.setattr(_copies, "_NEW_GROUP", fails)
    assert copy_of(group) is group
    monkeypatch.setattr(_copies._Copying, "copy", fails)
    assert copy_of(error) is error


def test_context_of_the_caller_comes_behind_the_loaders_own() -> None:
    """Both are shown, the loader's first, however long its chain is."""
    first, second = ValueError("first"), ValueError("second")
    callers: BaseException = KeyError("the caller's")
    first.__context__ = second
    error = ValueError("error")
    error.__context__ = callers
    give_back_context(error, first)
    assert error.__context__ is first
    assert second.__context__ is callers
    give_back_context(error, first)
    assert error.__context__ is first


def test_stand_in_frame_is_of_a_generator_that_does_nothing() -> None:
    """It is never begun where it stands in for another."""
    assert list(_frames._blank()) == [None]


def test_context_that_others_have_too_is_left_as_it_is() -> None:
    """An error that cannot be copied is everybody's: nothing of one caller is hung on it."""

    class Shared(Exception):
        def __del__(self) -> None:
            """So it is not copied."""

    shared, error, callers = Shared(), ValueError("error"), KeyError("the caller's")
    error.__context__ = callers
    give_back_context(error, shared)
    assert error.__context__ is shared  # type: ignore[comparison-overlap]
    assert shared.__context__ is None
