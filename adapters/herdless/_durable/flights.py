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

from herdless._cache import LOADING
from herdless._durable.entry import DurableEntry
from herdless._durable.foreign import warn
from herdless._durable.load import DurableLoad, Waiter
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
    Settle,
    StartLoad,
)

Load: TypeAlias = Callable[[], Awaitable[Body | Loaded[Body]]]


@final
class Flights:
    """Carries out what the steps of one entry order, and reports to it what came of it.

    clock: one that does not raise.
    """

    def __init__(self, entry: DurableEntry, load: Load, clock: Callable[[], int], name: str) -> None:
        self._entry: Final = entry
        self._load: Final = load
        self._clock: Final = clock
        self._name: Final = name
        self._tasks: Final[dict[int, asyncio.Task[None]]] = {}
        """Every load that still runs, by generation."""

    def join(self, generation: int) -> Waiter:
        """Register one more waiter, BEFORE the effects of the step that says so are carried out."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._entry.running_load(generation).waiters.append(waiter)
        return waiter

    def carry_out(self, effects: Effects, now: int) -> None:
        """Carry the effects of a step at `now` out, in their order; what they store is stored.

        A load is started when all else is done: it may run at once.
        """
        started: StartLoad | None = None
        for effect in effects:
            match effect:
                case StartLoad():
                    started = effect
                    self._arm(effect.generation, effect.due_at, now)
                case Settle():
                    self._settle(effect)
                case CancelLoad():
                    self._cancel(effect.generation)
                case Rearm():
                    self._arm(effect.generation, effect.due_at, now)
                case _:
                    pass  # the caller's reply, or stored by the step itself
        if started is not None:
            self._start(started.generation)

    async def outcome(self, generation: int, waiter: Waiter) -> Outcome:
        """What the waiter is answered with. One who leaves, cancelled or closed, is counted off."""
        try:
            return await waiter
        except BaseException:
            load = self._entry.load(generation)
            if load is not None:  # one whose flight was settled meanwhile did not leave, it was answered
                load.waiters.remove(waiter)
                now = self._clock()
                self.carry_out(self._entry.waiter_left(generation, now, LOADING.get()), now)
            raise

    async def ended(self) -> None:
        """Wait for all loads that run now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _start(self, generation: int) -> None:
        run = self._run(generation, self._entry.running_load(generation))
        try:
            task = self._tasks[generation] = asyncio.get_running_loop().create_task(run)
        except Exception as error:  # noqa: BLE001  # a task factory of whatever kind
            run.close()
            self._failed(generation, error)
        else:
            task.add_done_callback(partial(self._ended, generation))

    async def _run(self, generation: int, load: DurableLoad) -> None:
        LOADING.set(load)
        try:
            loaded = await self._load()
        except BaseException as error:  # noqa: BLE001  # it ends here: SystemExit would end the whole Worker
            self._failed(generation, error)
        else:
            now = self._clock()
            self.carry_out(self._entry.load_succeeded(generation, loaded, now, random.random()), now)

    def _ended(self, generation: int, task: asyncio.Task[None]) -> None:
        """The load's task is done. If it has not reported, nobody else will: it may never have run."""
        self._tasks.pop(generation, None)
        error = None if task.cancelled() else task.exception()
        if self._entry.load(generation) is not None:
            self._failed(generation, error or asyncio.CancelledError())

    def _failed(self, generation: int, error: BaseException) -> None:
        """The load ended by this; its waiters get LoadCancelled in place of what is no `Exception`."""
        if not isinstance(error, Exception):
            cancelled = LoadCancelled(f"the load of {self._name} ended by {type(error).__name__}")
            cancelled.__cause__ = error
            error = cancelled
        load = self._entry.load(generation)
        is_refresh = load is not None and not load.waiters
        now = self._clock()
        self.carry_out(self._entry.load_failed(generation, error, now), now)
        if is_refresh:
            warn("the refresh of %s failed", self._name, error=error)

    def _settle(self, order: Settle) -> None:
        for waiter in self._removed(order.generation):
            if not waiter.done():
                waiter.set_result(order.outcome)

    def _cancel(self, generation: int) -> None:
        self._removed(generation)  # nobody waits for it
        task = self._tasks.get(generation)
        if task is not None:
            task.cancel()

    def _removed(self, generation: int) -> list[Waiter]:
        """Who waited for the flight, which is over."""
        load = self._entry.remove_load(generation)
        if load is None:
            return []
        if load.timer is not None:
            load.timer.cancel()
        return load.waiters

    def _arm(self, generation: int, due_at: int, now: int) -> None:
        load = self._entry.load(generation)
        if due_at < NEVER and load is not None:
            seconds = max(due_at - now, 0) / NANOSECONDS_PER_SECOND
            load.timer = asyncio.get_running_loop().call_later(seconds, self._deadline_passed, generation, due_at)

    def _deadline_passed(self, generation: int, due_at: int) -> None:
        """The time is up, whatever the clock says now: it may have been set back since the load began."""
        if self._entry.load(generation) is not None:
            now = max(self._clock(), due_at)
            self.carry_out(self._entry.deadline_passed(generation, now), now)
