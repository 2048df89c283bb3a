"""The contract suite against every runtime that herdless has an adapter for."""

from __future__ import annotations

from herdless_verify.contract import ContractSuite
from tests.contract.drivers import OurAsyncioWorld, ThreadsWorld, TrioWorld


class TestAsyncio(ContractSuite):
    """asyncio keeps the contract."""

    world = OurAsyncioWorld


class TestTrio(ContractSuite):
    """trio keeps the contract."""

    world = TrioWorld


class TestThreads(ContractSuite):
    """Threads keep the contract."""

    world = ThreadsWorld
