"""What the tests of asyncio share: a loop for a test, a gate for its loads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.runtimes.async_gate import AsyncGate


async def ticks(count: int = 10) -> None:
    """Let the loop run for so many iterations: more than any chain of wake-ups in the cache is long."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gate(AsyncGate):
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        super().__init__(asyncio.Event(), asyncio.CancelledError)


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
