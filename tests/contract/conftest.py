"""Runs a scenario, a coroutine function with a world as its argument, in every runtime that it applies to."""

from __future__ import annotations

import functools
import inspect

import pytest

from tests.contract.drivers import WORLDS
from tests.contract.exemptions import EXEMPT
from tests.contract.world import World


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Multiply a scenario by the runtimes, less those to which the table of exemptions says it cannot apply."""
    if "w" in metafunc.fixturenames:
        exempt = EXEMPT.get(metafunc.function.__name__, {})
        worlds = [world for world in WORLDS if world.name not in exempt]
        metafunc.parametrize("w", worlds, ids=[world.name for world in worlds], indirect=True)


@pytest.fixture
def w(request: pytest.FixtureRequest) -> World:
    """The world of one runtime."""
    world: World = request.param()
    return world


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Give the scenario to its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    world = arguments.pop("w")
    assert isinstance(world, World)
    world.run(functools.partial(pyfuncitem.obj, **arguments))
    return True
