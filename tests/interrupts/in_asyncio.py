"""The scene for asyncio, on a loop with virtual time: everything that runs in the loop's thread is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from typing import Any, Final, final

from herdless.asyncio import Cache
from herdless.testing import Injection, SeededEventLoop, VirtualClock
from tests.interrupts.cases import EXPECTED, OPERATIONS, LoadBroke, Operation, Situation, accepts
from tests.interrupts.tables import assert_tables_agree


def current_task() -> asyncio.Task[Any] | None:
    """The task that runs in this thread; None outside of all."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Interrupt(KeyboardInterrupt):
    """An interrupt that knows whom it struck. It stops the loop."""

    def __init__(self) -> None:
        self.task: Final = current_task()


class TimeLimit(Exception):
    """A soft time limit, which is an ordinary Exception to asyncio. It knows whom it struck."""

    def __init__(self) -> None:
        self.task: Final = current_task()


@final
class House:
    """A cache, its loader, its callers."""

    def __init__(self, injection: Injection, situation: Situation, options: dict[str, Any]) -> None:
        self.injection: Final = injection
        self.situation: Final = situation
        self.clock: Final = VirtualClock()
        self.loop: Final = SeededEventLoop(clock=self.clock)
        self.gate: asyncio.Event | None = None
        self.made: Final[list[tuple[str, int]]] = []
        self.callers: Final[list[tuple[str, asyncio.Task[Any]]]] = []
        self.breaks = False
        self.is_judged = False
        self.is_lock_free = False
        self.cache: Final = Cache(self.load, clock=self.clock, **situation.options, **options)

    async def load(self, key: str) -> tuple[str, int]:
        """The loader: parks while the gate is closed."""
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.situation.asks is not None and key == "a" and not self.is_judged:
            await self.cache.get(self.situation.asks)
        if self.breaks:
            raise LoadBroke(key)
        self.made.append((key, len(self.made) + 1))
        return self.made[-1]

    def ask(self, key: str) -> None:
        """Another caller."""
        self.callers.append((key, self.loop.create_task(self.cache.get(key))))

    def run(self) -> None:
        """Until nothing is left to do; timers are not waited for."""
        while not self.loop.is_idle():
            self.loop.step()

    # The scene

    def prepare(self) -> None:
        """Bring about the situation."""
        situation = self.situation
        for key in situation.filled:
            self.loop.run_until_complete(self.cache.get(key))
        self.clock.advance(situation.seconds)
        self.breaks = situation.breaks
        if situation.is_closed:
            self.loop.run_until_complete(self.cache.close())
        if situation.is_led:
            self.gate = asyncio.Event()
            for _ in range(1 + situation.waits):
                self.ask(situation.leads)
            for key in situation.queued:
                self.ask(key)
            self.run()
            self.clock.advance(situation.overdue)

    def disturb(self, operation: Operation) -> None:
        """Do what is to be disturbed, and all that follows from it."""

        async def body() -> None:
            with contextlib.suppress(*EXPECTED):
                returned = operation(self.cache)
                if inspect.isawaitable(returned):
                    await returned

        self.loop.create_task(body(), name="disturbed")
        if self.situation.eager:
            self.ask("a")
        with self.injection.using(self.cache):
            self.play_on()
        self.play_on()

    def play_on(self) -> None:
        """Until nothing is left to do, then without the gate."""
        self.run()
        if self.gate is not None:
            self.loop.call(self.gate.set)
        self.run()

    def judge(self, operation: str) -> None:
        """All that must be true afterwards, whatever came in between."""
        for key, caller in self.callers:
            self.judge_answer(key, caller, operation)
        other = threading.Thread(target=self.take_the_lock)
        other.start()
        other.join()
        assert self.is_lock_free, "the lock is held"
        self.judge_tables()
        self.breaks = False
        self.is_judged = True
        if self.cache._keyspace._closed:
            return
        for key in "abcdef":
            self.judge_key(key, self.loop)
        self.judge_tables()
        self.loop.end()
        another = SeededEventLoop(clock=self.clock)
        self.judge_key("g", another)
        another.end()
        maxsize = self.situation.options.get("maxsize")
        assert maxsize is None or len(self.cache) <= maxsize

    def take_the_lock(self) -> None:
        """See whether another thread can."""
        self.is_lock_free = self.cache._lock.acquire(blocking=False)
        if self.is_lock_free:
            self.cache._lock.release()

    def judge_tables(self) -> None:
        """Nothing is left over."""
        self.run()
        assert self.cache.stats().in_flight == 0, f"{self.cache.stats().in_flight} flights are left that nobody runs"
        assert_tables_agree(self.cache)
        assert all(task.done() for task in self.cache._tasks), f"{self.cache._tasks} still run"

    def judge_answer(self, key: str, caller: asyncio.Task[Any], operation: str) -> None:
        """Whoever was not struck has an answer."""
        assert caller.done(), f"a caller of {key} hangs"
        struck = getattr(self.injection.error, "task", None)
        answer: Any = caller.exception() or caller.result()
        if isinstance(answer, TimeLimit) and struck not in [each for _, each in self.callers]:
            return  # it struck the load's own task, as any exception of the loader's might
        if struck is not caller or answer is not self.injection.error:
            assert accepts(answer, key, self.situation, operation), f"a caller of {key} was given {answer!r}"

    def judge_key(self, key: str, loop: SeededEventLoop) -> None:
        """It can be looked up at once, with a value of its own, and is then a hit."""
        try:
            value = loop.run_until_complete(self.cache.get(key))
        except (LoadBroke, TimeLimit):
            assert "negative_ttl" in self.situation.options, "an error is remembered that was not to be"
            assert key == "a"
            return
        assert value in self.made or value == (key, 0)
        assert value[0] == key
        if self.situation.options.get("maxsize") != 0:
            assert loop.run_until_complete(self.cache.lookup(key)).how in {"hit", "stale"}
            assert loop.run_until_complete(self.cache.get(key))[0] == key


def play(injection: Injection, situation: Situation, operation: str, **options: Any) -> None:
    """One run: the operation, in the situation, is disturbed, and so is all that runs in the loop meanwhile."""
    house = House(injection, situation, options)
    try:
        house.prepare()
        house.disturb(OPERATIONS[operation])
        house.judge(operation)
    finally:
        house.loop.close()
