"""The scene for trio. An interrupt takes the whole run along; what is left is a cache that can be opened again."""

from __future__ import annotations

import contextlib
import inspect
import threading
from typing import Any, Final, final

import trio

from herdless.testing import Injection, VirtualClock, run_trio
from herdless.trio import Cache
from tests.interrupts.cases import EXPECTED, OPERATIONS, LoadBroke, Operation, Situation, accepts
from tests.interrupts.tables import assert_tables_agree


class Interrupt(KeyboardInterrupt):
    """An interrupt that knows whom it struck."""

    def __init__(self) -> None:
        self.task: Final = current_task()


class TimeLimit(Exception):
    """A soft time limit that knows whom it struck."""

    def __init__(self) -> None:
        self.task: Final = current_task()


def current_task() -> trio.lowlevel.Task | None:
    """The task that runs in this thread; None outside of all."""
    with contextlib.suppress(RuntimeError):
        return trio.lowlevel.current_task()
    return None


@final
class House:
    """A cache, its loader, its callers."""

    def __init__(self, injection: Injection, situation: Situation, options: dict[str, Any]) -> None:
        self.injection: Final = injection
        self.situation: Final = situation
        self.clock: Final = VirtualClock()
        self.gate: trio.Event | None = None
        self.made: Final[list[tuple[str, int]]] = []
        self.answers: Final[list[tuple[str, object]]] = []
        self.asking: Final[list[object]] = []
        """The tasks of the callers."""
        self.waiting = 0
        """How many callers have no answer."""
        self.breaks = False
        self.is_judged = False
        self.cache: Final = Cache(self.load, checkpoint="never", clock=self.clock, **situation.options, **options)

    async def load(self, key: str) -> tuple[str, int]:
        """The loader: parks while the gate is closed."""
        if self.gate is not None:
            await self.gate.wait()
        if self.situation.asks is not None and key == "a" and not self.is_judged:
            await self.cache.get(self.situation.asks)
        if self.breaks:
            raise LoadBroke(key)
        self.made.append((key, len(self.made) + 1))
        return self.made[-1]

    async def ask(self, key: str) -> None:
        """Another caller. The one who is struck itself, or cancelled, needs no answer."""
        self.waiting += 1
        self.asking.append(trio.lowlevel.current_task())
        try:
            self.answers.append((key, await self.cache.get(key)))
        except Exception as error:  # noqa: BLE001  # judged below
            if getattr(error, "task", None) is not trio.lowlevel.current_task():
                self.answers.append((key, error))
        finally:
            self.waiting -= 1

    # The scene

    async def main(self, operation: Operation) -> None:
        """The whole run, which an interrupt ends."""
        async with self.cache, trio.open_nursery() as nursery:
            situation = self.situation
            for key in situation.filled:
                await self.cache.get(key)
            self.clock.advance(situation.seconds)
            self.breaks = situation.breaks
            if situation.is_closed:
                await self.cache.close()
            if situation.is_led:
                self.gate = trio.Event()
                for _ in range(1 + situation.waits):
                    nursery.start_soon(self.ask, situation.leads)
                    await trio.testing.wait_all_tasks_blocked()
                for key in situation.queued:
                    nursery.start_soon(self.ask, key)
                    await trio.testing.wait_all_tasks_blocked()
                self.clock.advance(situation.overdue)
            await self.disturb(operation, nursery)
            with trio.move_on_after(1_000):  # virtual ones: past every deadline
                while self.waiting:  # noqa: ASYNC110  # no event tells that all have ended
                    await trio.sleep(1)
            assert not self.waiting, f"{self.waiting} callers hang"

    async def disturb(self, operation: Operation, nursery: trio.Nursery) -> None:
        """Do what is to be disturbed, and all that follows from it."""

        async def body() -> None:
            with contextlib.suppress(*EXPECTED, TimeLimit):
                returned = operation(self.cache)
                if inspect.isawaitable(returned):
                    await returned

        with self.injection.using(self.cache):
            nursery.start_soon(body)
            await trio.testing.wait_all_tasks_blocked()
            if self.situation.eager:
                nursery.start_soon(self.ask, "a")
                await trio.testing.wait_all_tasks_blocked()
            if self.gate is not None:
                self.gate.set()
            await trio.testing.wait_all_tasks_blocked()

    def judge(self, operation: str) -> None:
        """All that must be true afterwards, whatever came in between."""
        for key, answer in self.answers:
            if isinstance(answer, TimeLimit) and getattr(answer, "task", None) not in self.asking:
                continue  # it struck the load's own task, as any exception of the loader's might
            assert accepts(answer, key, self.situation, operation), f"a caller of {key} was given {answer!r}"
        other = threading.Thread(target=self.take_the_lock)
        other.start()
        other.join()
        assert self.is_lock_free, "the lock is held"
        assert self.cache.stats().in_flight == 0, f"{self.cache.stats().in_flight} flights are left that nobody runs"
        assert_tables_agree(self.cache)
        assert not self.cache._loads, f"{self.cache._loads} are kept though they have ended"

    is_lock_free = False

    def take_the_lock(self) -> None:
        """See whether another thread can."""
        self.is_lock_free = self.cache._lock.acquire(blocking=False)
        if self.is_lock_free:
            self.cache._lock.release()


def play(injection: Injection, situation: Situation, operation: str, **options: Any) -> None:
    """One run: the operation, in the situation, is disturbed, and so is all that trio runs meanwhile."""
    house = House(injection, situation, options)
    try:
        run_trio(lambda: house.main(OPERATIONS[operation]), clock=house.clock)
    except BaseException as error:
        if injection.error is None or _leaves(error) != {type(injection.error)}:
            raise
    house.judge(operation)


def _leaves(error: BaseException) -> set[type[BaseException]]:
    """The kinds of errors in a group."""
    if isinstance(error, BaseExceptionGroup):
        return set().union(*map(_leaves, error.exceptions))
    return {type(error)}
