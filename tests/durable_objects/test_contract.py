"""The contract suite of all runtimes, in real workerd: real objects, callers over HTTP, loads at a real origin."""

from __future__ import annotations

import pytest

from herdless_verify.contract import ContractSuite
from tests.durable_objects.herd import Edge
from tests.durable_objects.world import WorkerdWorld


class TestDurableObjects(ContractSuite):
    """Durable Objects keep the contract."""

    world = WorkerdWorld

    @pytest.fixture(autouse=True)
    def _workerd(self, edge: Edge) -> None:
        """The scenarios play in the workerd that all tests share."""
        WorkerdWorld.edge = edge
