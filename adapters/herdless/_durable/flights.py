"""The loads that an object runs, and the callers who wait for them: one task a flight, one future a waiter.

A load runs in a task of its own, which is held here: the event loop holds tasks only weakly. However that task ends,
whoever made it - an event loop may have any task factory -, its flight is settled: by the load's report, or else by the
task's end. Nothing in here raises: a step that was taken is carried out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias, final

from herdless._answers import error_told
from herdless._durable.entry import DurableEntry
from herdless._durable.foreign import warn
from herdless._durable.load import DurableLoad, Waiter
from herdless._durable.wire import Body
from herdless._orders import Orders
from herdless.adapter import LOADING
from herdless_core import NANOSECONDS_PER_SECOND, Effects, Loaded, Outcome

Load: TypeAlias = Callable[[], Awaitable[Body | Loaded[Body]]]


@final
class Flights(Orders[DurableLoad]):
    """Carries out what the steps of one entry order, and reports to it what came of it.

    clock: one that does not raise.
    """

    def __init__(self, entry: DurableEntry, load: Load, clock: Callable[[], int], name: str) -> None:
        super().__init__(entry.flights, [], entry.ended)  # nothing is to be filled in where a flight was started
        self._entry: Final = entry
        self._load: Final = load
        self._clock: Final = clock
        self._name: Final = name
        self._tasks: Final[dict[int, asyncio.Task[None]]] = {}
        """Every load that still runs, by generation."""

    def join(self, generation: int, *, takes_kept: bool = False) -> tuple[DurableLoad, Waiter]:
        """Register one more waiter, BEFORE the effects of the step that says so are carried out.

        takes_kept: whether a value that is kept answers it after `soft_timeout`.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        load = self._flights.get(generation) or self._ended[generation]
        load.waiters.append(waiter)
        if takes_kept and load.is_covered:
            self._arm_softly(load, waiter)
        return load, waiter

    def carry_out(self, effects: Effects) -> None:
        """Carry the effects of a step out, in their order; what they store is stored.

        A load is started when all else is done: it may run at once.
        """
        started = self._carry_out(effects)
        if started is not None:
            self._launch(started)

    async def outcome(self, load: DurableLoad, waiter: Waiter) -> Outcome:
        """What the waiter is answered with. One who leaves, cancelled or closed, is counted off."""
        try:
            return await waiter
        except BaseException:
            if not load.is_settled and waiter in load.waiters:  # otherwise it did not leave, it was answered
                load.waiters.remove(waiter)
                self.carry_out(self._entry.waiter_left(load.generation, self._clock(), LOADING.get()))
            raise

    async def ended(self) -> None:
        """Wait for all loads that run now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # Running loads

    def _launch(self, flight: DurableLoad) -> None:
        run = self._run(flight)
        try:
            task = self._tasks[flight.generation] = asyncio.get_running_loop().create_task(run)
        except Exception as error:  # noqa: BLE001  # a task factory of whatever kind
            run.close()
            self._failed(flight, error)
        else:
            task.add_done_callback(partial(self._over, flight))

    async def _run(self, flight: DurableLoad) -> None:
        LOADING.set(flight)
        try:
            loaded = await self._load()
        except BaseException as error:  # noqa: BLE001  # it ends here: SystemExit would end the whole Worker
            self._failed(flight, error)
        else:
            now = self._clock()
            self.carry_out(self._entry.load_succeeded(flight.generation, loaded, now, random.random()))

    def _over(self, flight: DurableLoad, task: asyncio.Task[None]) -> None:
        """The load's task is done. If it has not reported, nobody else will: it may never have run."""
        self._tasks.pop(flight.generation, None)
        error = None if task.cancelled() else task.exception()
        if not flight.is_settled:
            self._failed(flight, error or asyncio.CancelledError())

    def _failed(self, flight: DurableLoad, error: BaseException) -> None:
        told = error_told(error, flight.key, lambda _: self._name)
        is_refresh = not flight.is_settled and not flight.waiters
        self.carry_out(self._entry.load_failed(flight.generation, told, self._clock(), random.random()))
        if is_refresh and not flight.is_answer:
            warn("the refresh of %s failed", self._name, error=told)

    # What a step orders

    def _settle(self, flight: DurableLoad, outcome: Outcome) -> None:
        if flight.timer is not None:
            flight.timer.cancel()
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    def _clear_ended(self) -> None:
        """What was superseded by another instance is kept: its waiters are answered when its report comes."""
        for flight in list(self._ended.values()):
            if flight.is_settled:
                del self._ended[flight.generation]

    def _cancel(self, flight: DurableLoad) -> None:
        task = self._tasks.get(flight.generation)
        if task is not None:
            task.cancel()

    def _arm(self, flight: DurableLoad) -> None:
        seconds = max(flight.due_at - self._clock(), 0) / NANOSECONDS_PER_SECOND
        flight.timer = asyncio.get_running_loop().call_later(seconds, self._deadline_passed, flight)

    def _arm_softly(self, flight: DurableLoad, waiter: Waiter) -> None:
        seconds = self._entry.soft_timeout / NANOSECONDS_PER_SECOND
        timer = asyncio.get_running_loop().call_later(seconds, self._soft_timeout_passed, flight, waiter)
        waiter.add_done_callback(lambda _: timer.cancel())

    def _soft_timeout_passed(self, flight: DurableLoad, waiter: Waiter) -> None:
        """Whatever the clock says: the waiter has waited for so long."""
        if waiter.done():
            return
        kept = self._entry.soft_timeout_passed(flight.generation, self._clock(), LOADING.get())
        if kept is not None:
            flight.waiters.remove(waiter)
            waiter.set_result(kept)

    def _deadline_passed(self, flight: DurableLoad) -> None:
        """The time is up, whatever the clock says now: it may have been set back since the load began."""
        if not flight.is_settled:
            now = max(self._clock(), flight.due_at)
            self.carry_out(self._entry.deadline_passed(flight.generation, now, random.random()))
