"""The suite itself: a driver that is wrong is told so, and nothing is left out unsaid."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from herdless.testing import TraceInvalid
from herdless_verify.contract import PARTS, AsyncWorld, ContractSuite, World
from tests.conftest import is_exempt
from tests.contract.drivers import OurAsyncioWorld, ThreadsWorld


def suite_of(world: object, **members: Any) -> type[ContractSuite]:
    """What `class TestMine(ContractSuite): world = ...` makes."""
    return cast(type[ContractSuite], type("TestMine", (ContractSuite,), {"world": world, **members}))


def run_of(world: type[World], scenario: str) -> None:
    """The scenario, as pytest runs it."""
    getattr(suite_of(world)(), scenario)()


class Unfinished(AsyncWorld):
    """A driver whose author has just begun."""

    cancellation = OurAsyncioWorld.cancellation


class Renamed(OurAsyncioWorld):
    """A driver that exempts what there is not any more."""

    exempt: ClassVar[Mapping[str, str]] = {"test_of_old": "it was renamed"}


class Silent(OurAsyncioWorld):
    """A driver that does not say why."""

    exempt: ClassVar[Mapping[str, str]] = {"test_single_flight": ""}


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (None, "TestMine.world=None is not accepted: give a subclass of AsyncWorld or BlockingWorld"),
        (OurAsyncioWorld(), "TestMine.world=<OurAsyncioWorld> is not accepted: give a subclass"),
        (Unfinished, "TestMine.world=Unfinished is not accepted: it lacks make_spot, run, settle, spawn, cache_class"),
        (Renamed, "Renamed.exempt is not accepted: test_of_old: no scenario has that name"),
        (Silent, "Silent.exempt is not accepted: test_single_flight has no reason"),
    ],
    ids=["none", "instance", "unfinished", "renamed", "silent"],
)
def test_wrong_world_is_refused(world: object, message: str) -> None:
    """One clear error when the class is made, not a hundred failures that say the same less clearly."""
    with pytest.raises(TypeError) as raised:
        suite_of(world)
    assert message in str(raised.value)


def test_scenario_cannot_be_overridden() -> None:
    """A scenario that was replaced by an empty method would be green for ever; an exemption is seen."""
    with pytest.raises(TypeError, match=r"leave a scenario out by `OurAsyncioWorld\.exempt`"):
        suite_of(OurAsyncioWorld, test_single_flight=lambda self: None)


def test_every_scenario_becomes_a_test() -> None:
    """A scenario that the suite forgets runs nowhere."""
    names = [scenario.__name__ for part in PARTS.values() for scenario in part]
    assert len(names) == len(set(names)) > 100
    assert {name for name in vars(suite_of(ThreadsWorld)) if name.startswith("test_")} == set(names)


def test_exemption_is_a_skip_with_its_reason() -> None:
    """Who runs the suite sees what was not checked, and why."""
    exempted = suite_of(ThreadsWorld).__dict__["test_load_timeout_cancels_the_load"]
    (mark,) = exempted.pytestmark
    assert mark == pytest.mark.skip(reason=ThreadsWorld.exempt["test_load_timeout_cancels_the_load"]).mark


@pytest.mark.parametrize(
    ("suite", "scenario", "may_skip"),
    [
        (suite_of(ThreadsWorld), "test_load_timeout_cancels_the_load", True),
        (suite_of(ThreadsWorld), "test_single_flight", False),
        (None, "test_load_timeout_cancels_the_load", False),
    ],
    ids=["exempt", "not exempt", "no suite"],
)
def test_only_an_exempt_scenario_may_be_skipped(suite: object, scenario: str, *, may_skip: bool) -> None:
    """With HERDLESS_NO_SKIP=1 a scenario that skips itself is a failure, as any other test is."""
    item = SimpleNamespace(cls=suite, originalname=scenario)
    assert is_exempt(cast(pytest.Item, item)) is may_skip


def test_steps_of_every_scenario_are_judged() -> None:
    """What the callers see may be right by luck: an adapter whose steps are not those of the machine fails."""

    class Forgetful(OurAsyncioWorld):
        """Its adapter takes a step that nobody sees, the second one."""

        async def make_cache(self, **options: Any) -> Any:
            observe, numbers = options.pop("observe"), itertools.count(1)
            seen = lambda *step: next(numbers) != 2 and observe(*step)  # noqa: E731  # short
            return await super().make_cache(observe=seen, **options)

    run_of(Forgetful, "test_loader_must_be_callable")  # takes no step
    with pytest.raises(TraceInvalid, match="step 2"):
        run_of(Forgetful, "test_error_is_shared_and_forgotten")


@pytest.mark.pure("replaces methods of the adapter")
def test_error_of_the_scenario_is_the_one_that_is_raised() -> None:
    """A broken adapter often cannot be closed either; what its author has to see is the first thing that went wrong."""

    class Stuck(OurAsyncioWorld):
        """Its adapter answers nobody, not even who closes the cache."""

        async def make_cache(self, **options: Any) -> Any:
            cache = await super().make_cache(**options)
            cache._settle = cache._settle_here = lambda flight, outcome: None
            cache.close = lambda *, cancel: asyncio.Event().wait()
            return cache

    with pytest.raises(AssertionError, match="a caller who waits> has no value"):
        run_of(Stuck, "test_single_flight")
    with pytest.raises(AssertionError, match="the cache could not be closed"):
        run_of(Stuck, "test_false_and_empty_are_values")
