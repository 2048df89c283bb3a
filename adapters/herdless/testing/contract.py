"""The contract suite: every promise and decision of herdless as pytest tests, for an adapter of your own.

    from herdless.testing.contract import BlockingWorld, ContractSuite

    class MyWorld(BlockingWorld):  # the driver: some twenty lines
        ...

    class TestMine(ContractSuite):
        world = MyWorld

docs/how-to/write-an-adapter.md writes such a driver, docs/testing.md lists what it defines. Needs pytest, and nothing
of it but what it does by itself: no plug-in, no conftest.
"""

from herdless._testing._contract._asyncio import AsyncioWorld
from herdless._testing._contract._kinds import AsyncWorld, BlockingWorld
from herdless._testing._contract._parts import Caller, Load, Spot
from herdless._testing._contract._suite import PARTS, ContractSuite
from herdless._testing._contract._world import Main, Scenario, Story, World

__all__ = [
    "PARTS",
    "AsyncWorld",
    "AsyncioWorld",
    "BlockingWorld",
    "Caller",
    "ContractSuite",
    "Load",
    "Main",
    "Scenario",
    "Spot",
    "Story",
    "World",
]
