"""The objects of the contract suite, under the orders of tests/durable_objects/world.py.

All objects of a process share its modules: so the desk can tell what all of them are about, and set their clock.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from contextvars import ContextVar
from itertools import count
from typing import Any
from urllib.parse import quote

from workers import DurableObject  # type: ignore[import-not-found]  # a module of the runtime

from herdless._durable.load import DurableLoad
from herdless._trace.plain import policy_from_plain
from herdless.durable_objects import NOT_MODIFIED, CacheObject, Loaded, Policy, Previous
from herdless.trace import TraceWriter
from herdless_core import Step

CALLER: ContextVar[int] = ContextVar("caller")


class Stage:
    """What one scenario orders, and what becomes of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.now = 0
        self.ignores_cancellation = False
        self.policies: dict[str, Policy] = {}
        self.given: set[str] = set()
        """The caches whose loaders are given the value before."""
        self.objects: dict[str, Contract] = {}
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        """The future of each caller who waits for a load."""
        self.loads = count(1)
        self.cancelled: dict[int, int] = {}
        """How often each load was cancelled."""
        self.lines: dict[str, list[str]] = {}


STAGE = [Stage(0)]
"""The one scenario that is on."""


class Contract(CacheObject):
    """One key of one cache of one scenario. Its name: `stage.cache.key`."""

    def __init__(self, ctx: Any, env: Any) -> None:
        self.stage = STAGE[0]
        _, cache, self.key = ctx.id.name.split(".", 2)
        vars(self).update(
            policy=self.stage.policies[cache], previous=cache in self.stage.given
        )  # as the scenario has it
        self.stage.objects[ctx.id.name] = self
        lines: list[str] = self.stage.lines.setdefault(ctx.id.name, [])
        self.recorder = TraceWriter(lines.append, value=str, by=str, is_durable=True)
        self.loading: dict[asyncio.Task[Any], int] = {}
        super().__init__(ctx, env)
        self.joined = self._flights.join
        self.timers: dict[DurableLoad, int] = {}
        """When each load is due: the scenario's time is not the event loop's."""
        self.soft_timers: list[tuple[int, DurableLoad, asyncio.Future[Any]]] = []
        """When each caller has waited for `soft_timeout`."""
        vars(self._flights).update(join=self.join, _arm=self.arm, _arm_softly=self.arm_softly)

    def join(self, generation: int, *, takes_kept: bool = False) -> tuple[DurableLoad, asyncio.Future[Any]]:
        """The load and the waiter's future, of which the desk is to know."""
        load, waiter = self.joined(generation, takes_kept=takes_kept)
        self.stage.waiting[CALLER.get()] = waiter
        return load, waiter

    def arm(self, load: DurableLoad) -> None:
        """Set a timer of the scenario's."""
        self.timers[load] = load.due_at

    def arm_softly(self, load: DurableLoad, waiter: asyncio.Future[Any]) -> None:
        """The same, of a caller."""
        self.soft_timers.append((self.clock() + self._entry.soft_timeout, load, waiter))

    def clock(self) -> int:
        """The scenario's time."""
        return self.stage.now

    def observe(self, key: str, step: Step) -> None:
        """Record the step."""
        self.recorder(key, step)

    async def lookup_as(self, caller: int) -> Any:
        """`lookup`, by a caller of whom the desk knows whether they wait."""
        CALLER.set(caller)
        return await self.lookup()

    async def reload_as(self, caller: int) -> Any:
        """`reload`, in the same way."""
        CALLER.set(caller)
        return await self.reload()

    async def load(self, key: str, previous: Previous[Any] | None = None) -> Any:
        """What the scenario says, when it says so."""
        number, task = next(self.stage.loads), asyncio.current_task()
        assert task is not None
        self.loading[task] = number
        given = "" if previous is None else f"?{quote(json.dumps([previous.value, previous.age]), safe='')}"
        request = self.env.ORIGIN.fetch(f"http://origin/scene/{self.stage.number}/{number}/{quote(key)}{given}")
        response = await self.parked(number, asyncio.ensure_future(request))
        told = json.loads(await response.text())
        if "error" in told:
            raise _class(told["error"], Exception if told["is_exception"] else BaseException)(*told["arguments"])
        value = NOT_MODIFIED if told.get("is_not_modified") else told["value"]
        return Loaded(value, **told["options"]) if "options" in told else value

    async def parked(self, number: int, response: asyncio.Future[Any]) -> Any:
        """The origin's answer; a cancellation is noted, and heeded or not, as the scenario wants it."""
        while True:
            try:
                return await asyncio.shield(response)
            except asyncio.CancelledError:
                self.stage.cancelled[number] = self.stage.cancelled.get(number, 0) + 1
                if not self.stage.ignores_cancellation:
                    raise

    async def look_at_clock(self) -> None:
        """Ring what is due: the timers of flights, and the alarm."""
        for load, due_at in list(self.timers.items()):
            if due_at <= self.clock():
                del self.timers[load]
                self._flights._deadline_passed(load)
        for timer in [timer for timer in self.soft_timers if timer[0] <= self.clock()]:
            self.soft_timers.remove(timer)
            self._flights._soft_timeout_passed(*timer[1:])
        at = await self.ctx.storage.getAlarm()
        if at is not None and at * 1_000_000 <= self.clock():
            await self.ctx.storage.deleteAlarm()
            self._flights.carry_out(self._entry.alarm(self.clock()))  # without waiting for the loads

    def moves(self) -> bool:
        """Whether a load was cancelled that does not know it yet, or one that was ordered has not begun."""
        tasks = list(self._flights._tasks.values())
        return any(
            task not in self.loading or (task.cancelling() and self.loading[task] not in self.stage.cancelled)
            for task in tasks
        )


class Desk(DurableObject):  # type: ignore[misc]  # a class of the runtime
    """Where the scenario gives its orders, and asks."""

    async def begin(self, number: int, now: str) -> None:
        """A new scenario; what is left of the one before it is forgotten."""
        STAGE[0] = Stage(number)
        STAGE[0].now = int(now)

    async def open(self, cache: str, policy: str, answers: str, previous: bool) -> None:
        """A new cache. answers: the name of the exceptions that are answers, if any; previous: whether its loader is
        given the value before.
        """
        if previous:
            STAGE[0].given.add(cache)
        STAGE[0].policies[cache] = _with_answers(policy_from_plain(json.loads(policy)), answers)

    async def ignore_cancellation(self) -> None:
        """From now on loads go on when they are cancelled."""
        STAGE[0].ignores_cancellation = True

    async def set_clock(self, now: str) -> list[str]:
        """It is later; returns the objects that have to be told."""
        STAGE[0].now = int(now)
        return list(STAGE[0].objects)

    async def pulse(self) -> dict[str, Any]:
        """Who waits, how many loads run, which were cancelled, and whether anything moves without an order."""
        stage = STAGE[0]
        return {
            "waiting": [caller for caller, waiter in stage.waiting.items() if not waiter.done()],
            "running": sum(len(each._flights._tasks) for each in stage.objects.values()),
            "cancelled": list(stage.cancelled),
            "moves": any(each.moves() for each in stage.objects.values()),
        }

    async def traces(self) -> dict[str, list[str]]:
        """The lines of each object."""
        return STAGE[0].lines


def _with_answers(policy: Policy, name: str) -> Policy:
    reduced: Any = policy.__reduce__()
    (options,) = reduced[1]
    return Policy(**{**options, "answers": _class(name, Exception) if name else None})


def _class(name: str, base: type[BaseException]) -> type[BaseException]:
    known = getattr(builtins, name, None) or getattr(asyncio, name, None)
    return known if isinstance(known, type) and issubclass(known, base) else type(name, (base,), {})
