"""The scenarios as the tests of a class, so that any pytest can run them, without a plug-in or a conftest."""

from __future__ import annotations

import functools
import inspect
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import pytest

from herdless_verify.contract import (
    bulk,
    decisions_on_contents,
    decisions_on_failures,
    decisions_on_loads,
    decisions_on_previous,
    decisions_on_reloads,
    decisions_on_soft_timeouts,
    decisions_on_values,
    foreign,
    interleavings_of_flights,
    interleavings_of_keys,
    loaders,
    promises,
    tags,
)
from herdless_verify.contract.world import Scenario, World


def _scenarios(*modules: ModuleType) -> tuple[Scenario, ...]:
    return tuple(
        item
        for module in modules
        for name, item in vars(module).items()
        if name.startswith("test_") and inspect.iscoroutinefunction(item)
    )


PARTS: Final[dict[str, tuple[Scenario, ...]]] = {
    "Promises": _scenarios(promises),
    "Decisions": _scenarios(
        decisions_on_loads,
        decisions_on_failures,
        decisions_on_previous,
        decisions_on_reloads,
        decisions_on_soft_timeouts,
        decisions_on_values,
        decisions_on_contents,
    ),
    "Loaders that callers bring": _scenarios(loaders),
    "Many keys at once": _scenarios(bulk),
    "Interleavings in which other caches broke": _scenarios(interleavings_of_flights, interleavings_of_keys),
    "Tags": _scenarios(tags),
    "Foreign code that raises": _scenarios(foreign),
}
"""All scenarios, under the titles of docs/runtimes.md."""

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.__name__: scenario for scenarios in PARTS.values() for scenario in scenarios
}


class ContractSuite:
    """All scenarios that an adapter must pass, as tests of the subclass that names its world.

        class TestMine(ContractSuite):
            world = MyWorld

    Each scenario is one of its tests: `TestMine::test_single_flight`. One that the world exempts is skipped, with the
    world's reason; there is no other way to leave one out. Raises TypeError where the world is none, is not finished
    or exempts what is no scenario, and where the subclass defines a scenario itself.
    """

    world: ClassVar[type[World]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        world = _checked(cls.__name__, getattr(cls, "world", None))
        for name, scenario in SCENARIOS.items():
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}.{name} is not accepted: leave a scenario out by `{world.__name__}.exempt`"
                )
            setattr(cls, name, _test_of(scenario, world.exempt.get(name)))


def _checked(name: str, world: Any) -> type[World]:
    if not isinstance(world, type) or not issubclass(world, World):
        raise TypeError(f"{name}.world={world!r} is not accepted: give a subclass of AsyncWorld or BlockingWorld")
    missing = sorted(getattr(world, "__abstractmethods__", ()))
    missing += [attribute for attribute in ("cache_class", "cancellation") if not hasattr(world, attribute)]
    if missing:
        raise TypeError(f"{name}.world={world.__name__} is not accepted: it lacks {', '.join(missing)}")
    unknown = sorted(world.exempt.keys() - SCENARIOS.keys())
    if unknown:
        raise TypeError(f"{world.__name__}.exempt is not accepted: {', '.join(unknown)}: no scenario has that name")
    unexplained = sorted(scenario for scenario, reason in world.exempt.items() if not reason)
    if unexplained:
        raise TypeError(f"{world.__name__}.exempt is not accepted: {', '.join(unexplained)} has no reason")
    return world


def _test_of(scenario: Scenario, exemption: str | None) -> Any:
    """The scenario as a method: its first argument, the world, is made here; pytest gives the others."""

    @functools.wraps(cast(Any, scenario))  # by which pytest shows a failure from the scenario's first line on
    def test(self: ContractSuite, **arguments: Any) -> None:
        self.world().check(functools.partial(scenario, **arguments))

    _, *others = inspect.signature(scenario).parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    cast(Any, test).__signature__ = inspect.Signature([itself, *others])
    return test if exemption is None else pytest.mark.skip(reason=exemption)(test)
