"""The contract suite: every promise and decision of herdless as pytest tests, for an adapter of your own.

    from herdless_verify.contract import BlockingWorld, ContractSuite

    class MyWorld(BlockingWorld):  # the driver: some twenty lines
        ...

    class TestMine(ContractSuite):
        world = MyWorld

docs/how-to/write-an-adapter.md writes such a driver, docs/testing.md lists what it defines. Needs pytest, and nothing
of it but what it does by itself: no plug-in, no conftest.
"""

from __future__ import annotations

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("herdless_verify.contract needs pytest: pip install pytest", name="pytest") from error

# Before they are imported: failures in them then show the values, as in a user's own tests.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "parts",
            "world",
            "kinds",
            "on_asyncio",
            "promises",
            "decisions_on_loads",
            "decisions_on_values",
            "interleavings_of_flights",
            "interleavings_of_keys",
            "loaders",
            "bulk",
            "tags",
            "foreign",
        )
    )
)

from herdless_verify.contract.kinds import AsyncWorld, BlockingWorld  # noqa: E402 - see above
from herdless_verify.contract.on_asyncio import AsyncioWorld  # noqa: E402
from herdless_verify.contract.parts import Caller, Load, Spot  # noqa: E402
from herdless_verify.contract.suite import PARTS, ContractSuite  # noqa: E402
from herdless_verify.contract.world import Main, Scenario, Story, World  # noqa: E402

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
