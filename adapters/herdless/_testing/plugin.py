"""The pytest plugin. It does nothing until it is asked, by a setting or a fixture: docs/testing.md.

    [tool.pytest.ini_options]
    herdless_clear = true     # every test begins with empty caches
    herdless_clock = true     # caches without a clock of their own may be moved by the fixtures

`herdless_clear`, `herdless_disabled`, `herdless_clock` and `herdless_wall_clock` are fixtures.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

import pytest

from herdless._known import set_standard_clock
from herdless._testing._clock import VirtualClock
from herdless._testing._everywhere import SwitchedClock, clear_all, disabled, virtual_from_now, wall_clock

_SWITCH: Final = pytest.StashKey[SwitchedClock]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two settings."""
    parser.addini("herdless_clear", "herdless: every test begins with empty caches", "bool", False)
    parser.addini("herdless_clock", "herdless: the time of all caches may be moved by fixtures", "bool", False)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Before any module of the user's is imported, which may make caches."""
    if early_config.getini("herdless_clock"):
        early_config.stash[_SWITCH] = SwitchedClock()
        set_standard_clock(early_config.stash[_SWITCH])
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around each test, with its fixtures, where that is asked for."""
    if not item.config.getini("herdless_clear"):
        return (yield)
    clear_all()
    try:
        return (yield)
    finally:
        clear_all()


@pytest.fixture
def herdless_clear() -> Iterator[None]:
    """All caches of the process are empty when the test begins, and after it."""
    clear_all()
    yield
    clear_all()


@pytest.fixture
def herdless_disabled() -> Iterator[None]:
    """Every lookup loads: `herdless.testing.disabled()` during the test."""
    with disabled():
        yield


@pytest.fixture
def herdless_clock(request: pytest.FixtureRequest) -> Iterator[VirtualClock]:
    """The clock of all caches that were given none. It stands still until `advance(seconds)`."""
    clock = virtual_from_now()
    with _switch(request.config).by(clock):
        yield clock


@pytest.fixture
def herdless_wall_clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """All caches that were given no clock go by `time.time_ns`, which freezegun and time-machine move."""
    with _switch(request.config).by(wall_clock):
        yield


def _switch(config: pytest.Config) -> SwitchedClock:
    switch = config.stash.get(_SWITCH, None)
    if switch is None:
        raise pytest.UsageError(
            "the time of caches can only be moved where pytest's settings have `herdless_clock = true`: caches of "
            "modules have their clock since they were imported"
        )
    return switch
