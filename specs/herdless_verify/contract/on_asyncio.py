"""The driver for asyncio: of the project's own adapter, and of any other that runs on its event loop."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from herdless_core import NANOSECONDS_PER_SECOND
from herdless_verify.contract.kinds import AsyncWorld
from herdless_verify.contract.parts import Spot
from herdless_verify.contract.world import Main, World

_CANCELS: Final = "a load that nobody waits for is cancelled, so none is left to join"


class AsyncioWorld(AsyncWorld):
    """An event loop whose time is the world's: a driver that lacks nothing but `cache_class`."""

    cancellation = asyncio.CancelledError
    exempt: ClassVar[Mapping[str, str]] = {
        "test_04_left_load_that_goes_on_is_joined": _CANCELS,
        "test_load_that_nobody_waits_for_is_stored": _CANCELS,
    }

    def run(self, main: Main) -> None:
        """Run it in a loop whose time the scenario moves."""
        with asyncio.Runner(loop_factory=lambda: _VirtualTimeLoop(self)) as runner:
            runner.run(main())

    def make_spot(self) -> Spot:
        """An event of asyncio's."""
        return asyncio.Event()

    def spawn(self, body: Callable[[], Any]) -> Any:
        """A task."""
        return asyncio.get_running_loop().create_task(body())

    async def settle(self) -> None:
        """Let the loop run until it would wait."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _VirtualTimeLoop)
        await asyncio.sleep(0)
        while not loop.is_idle:  # noqa: ASYNC110  # no event announces that nothing is left to do
            await asyncio.sleep(0)


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, world: World) -> None:
        self._world: Final = world
        super().__init__(selectors.SelectSelector())

    def time(self) -> float:
        return self._world.clock.now / NANOSECONDS_PER_SECOND

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready but the task that asks; timers that are due become ready before it does."""
        return not self._ready  # type: ignore[attr-defined]  # private, and stable since Python 3.4
