"""A whole object but its runtime: its requests, its flights and its entry, in an event loop whose time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, final

from herdless._durable.entry import DurableEntry
from herdless._durable.flights import Flights
from herdless._durable.foreign import Clock
from herdless._durable.requests import Requests
from herdless._durable.storage import EntryStorage
from herdless_core import NANOSECONDS_PER_SECOND, Observer, Policy
from tests.durable_objects.disk import Disk

START_SECONDS: Final = 1_800_000_000
SETTLING_TURNS: Final = 8
"""So many turns of the loop are enough for whatever an order sets off."""


@final
class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        """Seconds since it was made."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """It is later."""
        self._seconds += seconds

    def call_at(  # type: ignore[override]  # of the types of a callback's arguments nothing is known here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Note the timer."""
        timer = super().call_at(when, callback, *args, context=context)
        self.timers.append(timer)
        return timer


@final
class Hosted:
    """An object over this disk. Its loads wait until the test ends them; each reads what `truth` says at its start."""

    def __init__(
        self,
        loop: VirtualLoop,
        disk: Disk,
        policy: Policy,
        *,
        keeps_warm: bool = False,
        observe: Observer | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.loop: Final = loop
        self.clock: Final = Clock(clock or self._now)
        self.truth: Callable[[], int] = int
        self.loads: Final[list[tuple[asyncio.Future[str], str]]] = []
        """The loads that are under way, the oldest first, each with what it has read."""
        self.entry: Final = DurableEntry(
            EntryStorage(disk), "key", policy, self.clock(), keeps_warm=keeps_warm, observe=observe
        )
        self.flights: Final = Flights(self.entry, self._load, self.clock, "Users 'key'")
        self.requests: Final = Requests(self.entry, self.flights, self.clock, "Users 'key'", holds_json=True)

    def end_load(self, error: BaseException | None = None) -> None:
        """The oldest load ends, by its value or by this error. Nothing, where there is none."""
        while self.loads:
            load, value = self.loads.pop(0)
            if load.done():
                continue  # it was cancelled
            if error is None:
                load.set_result(value)
            else:
                load.set_exception(error)
            return

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)

    def is_at_rest(self) -> bool:
        """Nothing is left of any load: no task, no flight, no timer, nothing that has left the entry."""
        return (
            not self.flights._tasks
            and self.entry.stats().in_flight == 0
            and not self.entry.ended
            and not self.entry._keyspace.leaving
            and all(timer.cancelled() or timer.when() <= self.loop.time() for timer in self.loop.timers)
        )

    async def close(self) -> None:
        """End what still runs, so that the next test finds nothing of it."""
        for task in list(self.flights._tasks.values()):
            task.cancel()
        await self.settle()
        for timer in self.loop.timers:
            timer.cancel()
        self.loop.timers.clear()

    def _now(self) -> int:
        return int((START_SECONDS + self.loop.time()) * NANOSECONDS_PER_SECOND)

    async def _load(self) -> str:
        load: asyncio.Future[str] = self.loop.create_future()
        self.loads.append((load, str(self.truth())))
        return await load
