"""The errors: what belongs to whom, that they can be sent, and that each caller has an exception of its own."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Final

import pytest

from herdless.threads import Lookup
from herdless_core import (
    CacheClosed,
    Failure,
    HerdlessError,
    LoadCancelled,
    Loaded,
    LoadError,
    LoadTimeout,
    MisuseError,
    Policy,
    PolicyError,
    ReentrantLoad,
    RemoteLoadError,
    TooManyWaiters,
)
from herdless_core._errors import is_memorable

MISUSES: Final = (CacheClosed, PolicyError, ReentrantLoad)
FAILED_LOADS: Final = (LoadCancelled, LoadTimeout, TooManyWaiters)


def test_misuse_and_failed_loads_have_different_roots() -> None:
    """Retrying helps against the ones and never against the others."""
    assert all(issubclass(error, MisuseError) and not issubclass(error, LoadError) for error in MISUSES)
    assert all(issubclass(error, LoadError) and not issubclass(error, MisuseError) for error in FAILED_LOADS)
    assert all(issubclass(error, HerdlessError) for error in (MisuseError, LoadError))
    assert issubclass(LoadTimeout, TimeoutError)


@pytest.mark.parametrize("error", [*MISUSES, *FAILED_LOADS, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_only_what_the_loader_says_of_the_key_is_remembered(error: type[BaseException]) -> None:
    """An interrupt or a time-out says nothing of the key; serving it for `negative_ttl` would be wrong."""
    assert not is_memorable(error("why"))


@pytest.mark.parametrize("error", [ValueError, KeyError, TimeoutError, StopIteration, ExceptionGroup])
def test_the_loaders_own_exceptions_are_remembered(error: type[Exception]) -> None:
    """Whatever kind they are."""
    assert is_memorable(error("why", [ValueError()]) if error is ExceptionGroup else error("why"))


def test_what_the_loader_said_in_another_process_is_remembered() -> None:
    """Its class could not be kept; it is the loader's all the same."""
    assert is_memorable(RemoteLoadError("no such user", kind="LookupError"))


class Refused(MisuseError):
    """A user's own, with a constructor of its own."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason


@pytest.mark.parametrize(
    "error",
    [
        *(kind("why") for kind in (*MISUSES, *FAILED_LOADS)),
        RemoteLoadError("no such row", kind="KeyError"),
        Refused(reason="today"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_can_be_sent_to_another_process(error: HerdlessError) -> None:
    """An exception that cannot be unpickled leaves those who wait for a process pool waiting for ever."""
    error.add_note("a note")
    twins = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301  # made here
    for twin in (*twins, copy.copy(error), copy.deepcopy(error)):
        assert twin is not error
        assert (type(twin), twin.args, vars(twin), str(twin)) == (type(error), error.args, vars(error), str(error))


@pytest.mark.parametrize("value", [Loaded([1], ttl=3), Policy(ttl=3, max_waiters=2), Policy(), Lookup(1, "hit", 0.5)])
def test_what_is_given_and_taken_can_be_sent_to_another_process(value: object) -> None:
    """A loader may run in a process pool, and return `Loaded`."""
    twin = pickle.loads(pickle.dumps(value))  # noqa: S301  # made here
    fields = [name for name in dir(value) if not name.startswith("__") and not callable(getattr(value, name))]
    assert fields
    assert type(twin) is type(value)
    assert all(getattr(twin, name) == getattr(value, name) for name in fields)


def test_each_caller_raises_an_exception_of_its_own() -> None:
    """Each raises it with the traceback that the loader gave it, however many raised one before, and sees nothing of
    what the others were handling, or added.
    """
    try:
        raise ValueError("once")
    except ValueError as caught:
        failure = Failure(caught, caught.__traceback__)
    seen: list[ValueError] = []
    for name in ("alice", "bob", "carol"):
        try:
            raise KeyError(name)
        except KeyError:
            with pytest.raises(ValueError, match="once") as raised:
                raise failure.exception()  # noqa: B904  # its context is what is looked at
        raised.value.add_note(name)
        seen.append(raised.value)
    assert len({len(traceback.extract_tb(error.__traceback__)) for error in seen}) == 1
    assert [error.__notes__ for error in seen] == [["alice"], ["bob"], ["carol"]]
    assert [str(error.__context__) for error in seen] == ["'alice'", "'bob'", "'carol'"]
    assert failure.error.__context__ is None
    assert not hasattr(failure.error, "__notes__")
