"""The errors: what belongs to whom, and that a shared exception does not grow."""

from __future__ import annotations

import traceback
from typing import Final

import pytest

from herdless_core import (
    CacheClosed,
    Failure,
    HerdlessError,
    LoadCancelled,
    LoadError,
    LoadTimeout,
    MisuseError,
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


def test_a_shared_exception_does_not_grow() -> None:
    """Each waiter raises it with the traceback that the loader gave it, however many raised it before."""
    try:
        raise ValueError("once")
    except ValueError as caught:
        failure = Failure(caught, caught.__traceback__)
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="once") as raised:
            raise failure.exception()
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1
