"""What the tests of trio share: loaders, and the time of a run."""

from __future__ import annotations

import trio

from tests.runtimes.async_gate import AsyncGate


async def echo(key: str) -> str:
    """Load at once, with a checkpoint as any load has."""
    await trio.lowlevel.checkpoint()
    return key


class Gate(AsyncGate):
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        super().__init__(trio.Event(), trio.Cancelled)


def virtual_clock() -> int:
    """The time of the trio run, which MockClock makes."""
    return round(trio.current_time() * 1_000_000_000)
