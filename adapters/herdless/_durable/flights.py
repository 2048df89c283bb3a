"""The loads that an object runs, and the callers who wait for them: one task a flight, one future a waiter.

A load runs in a task of its own, which is held here: the event loop holds tasks only weakly.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, final

from herdless._cache import LOADING
from herdless._durable.entry import DurableEntry
from herdless._durable.wire import Body
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    CancelLoad,
    Effects,
    LoadCancelled,
    Loaded,
    Outcome,
    Rearm,
    RunningLoad,
    Settle,
    StartLoad,
)

LOGGER: Final = logging.getLogger("herdless")

Load: TypeAlias = Callable[[], Awaitable[Body | Loaded[Body]]]


@final
class _Flight:
    __slots__ = ("timer", "waiters")

    def __init__(self) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self.waiters: Final[list[asyncio.Future[Outcome]]] = []


@final
class Flights:
    """Carries out what the steps of one entry order, and reports to it what came of it."""

    def __init__(self, entry: DurableEntry, load: Load, clock: Callable[[], int], name: str) -> None:
        self._entry: Final = entry
        self._load: Final = load
        self._clock: Final = clock
        self._name: Final = name
        self._flights: Final[dict[int, _Flight]] = {}
        """Those that are not settled, by generation."""
        self._tasks: Final[dict[int, asyncio.Task[None]]] = {}
        """Every load that still runs, by generation."""

    def carry_out(self, effects: Effects) -> None:
        """Carry the effects of a step out, in their order; what they store is stored."""
        for effect in effects:
            match effect:
                case StartLoad():
                    self._start(effect)
                case Settle():
                    self._settle(effect)
                case CancelLoad():
                    self._cancel(effect.generation)
                case Rearm():
                    self._arm(effect.generation, effect.due_at)
                case _:
                    pass  # the caller's reply, or stored by the step itself

    def join(self, generation: int) -> asyncio.Future[Outcome]:
        """Register one more waiter. Nothing may be awaited between the step that says so and this."""
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._flights[generation].waiters.append(waiter)
        return waiter

    async def ended(self) -> None:
        """Wait for all loads that run now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _start(self, order: StartLoad) -> None:
        generation = order.generation
        self._flights[generation] = _Flight()
        self._arm(generation, order.due_at)
        running = self._entry.running_load(generation)
        task = self._tasks[generation] = asyncio.get_running_loop().create_task(self._run(generation, running))
        task.add_done_callback(lambda _: self._tasks.pop(generation))  # one that is cancelled at once never runs

    async def _run(self, generation: int, running: RunningLoad) -> None:
        LOADING.set(running)
        try:
            loaded = await self._load()
        except BaseException as error:  # noqa: BLE001  # it ends here: SystemExit would end the whole Worker
            self._failed(generation, error)
        else:
            self.carry_out(self._entry.load_succeeded(generation, loaded, self._clock(), random.random()))

    def _failed(self, generation: int, error: BaseException) -> None:
        """The load ended by this; its waiters get LoadCancelled in place of what is no `Exception`."""
        if not isinstance(error, Exception):
            cancelled = LoadCancelled(f"the load of {self._name} ended by {type(error).__name__}")
            cancelled.__cause__ = error
            error = cancelled
        if generation in self._flights and not self._flights[generation].waiters:
            LOGGER.warning("the refresh of %s failed", self._name, exc_info=error)
        self.carry_out(self._entry.load_failed(generation, error, self._clock()))

    def _settle(self, order: Settle) -> None:
        for waiter in self._removed(order.generation):
            if not waiter.done():
                waiter.set_result(order.outcome)

    def _cancel(self, generation: int) -> None:
        self._removed(generation)  # nobody waits for it
        task = self._tasks.get(generation)
        if task is not None:
            task.cancel()

    def _removed(self, generation: int) -> list[asyncio.Future[Outcome]]:
        """Who waited for the flight, which is over."""
        flight = self._flights.pop(generation, None)
        if flight is None:
            return []
        if flight.timer is not None:
            flight.timer.cancel()
        return flight.waiters

    def _arm(self, generation: int, due_at: int) -> None:
        if due_at < NEVER:
            seconds = (due_at - self._clock()) / NANOSECONDS_PER_SECOND
            timer = asyncio.get_running_loop().call_later(max(seconds, 0), self._deadline_passed, generation)
            self._flights[generation].timer = timer

    def _deadline_passed(self, generation: int) -> None:
        if generation in self._flights:
            self.carry_out(self._entry.deadline_passed(generation, self._clock()))
