"""What the tests of trio share: loaders, and the time of a run."""

from __future__ import annotations

import trio


async def echo(key: str) -> str:
    """Load at once, with a checkpoint as any load has."""
    await trio.lowlevel.checkpoint()
    return key


class Gate:
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self.keys: list[str] = []
        self.cancelled: list[str] = []

    async def load(self, key: str) -> str:
        """Wait for the gate."""
        self.keys.append(key)
        try:
            await self.open.wait()
        except trio.Cancelled:
            self.cancelled.append(key)
            raise
        return key.upper()


def virtual_clock() -> int:
    """The time of the trio run, which MockClock makes."""
    return round(trio.current_time() * 1_000_000_000)
