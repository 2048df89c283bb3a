"""What the tests of asyncio share: a loop for a test, a gate for its loads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def ticks(count: int = 10) -> None:
    """Let the loop run for so many iterations: more than any chain of wake-ups in the cache is long."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gate:
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.keys: list[str] = []
        self.cancelled: list[str] = []

    async def load(self, key: str) -> str:
        """Wait for the gate."""
        self.keys.append(key)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        return key.upper()


def run(
    main: Callable[[], Awaitable[None]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run the test's main function in a loop of its own."""

    async def wrapped() -> None:
        await main()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(wrapped())


async def echo(key: str) -> str:
    """Load at once, without a suspension."""
    return key
