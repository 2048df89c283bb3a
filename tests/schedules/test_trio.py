"""The trio adapter in virtual time: actors that do anything, cancel scopes everywhere, nurseries that fall."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from herdless.testing import Schedule, Trace, VirtualClock, assert_trace_valid, explore, run_trio, sample
from herdless.trio import Cache
from herdless_core import CacheClosed
from tests.schedules.depth import times
from tests.schedules.oracle import LoadBroke, Made, Oracle

KEYS = ("a", "b")
POLICIES: list[dict[str, Any]] = [
    {},
    {"ttl": 3, "stale_while_revalidate": 2, "stale_if_error": 4},
    {"load_timeout": 2, "max_waiters": 2},
    {"maxsize": 1, "ttl": 2, "early_refresh": 0.5, "negative_ttl": 1},
]


class Interrupt(BaseException):
    """Like KeyboardInterrupt: it takes the nursery down."""


class Actors:
    """A cache, and tasks that do random things with it; what they do is drawn from one seed."""

    def __init__(self, seed: int, policy: dict[str, Any], *, interrupts: bool = False) -> None:
        self.dice = random.Random(seed)
        self.clock = VirtualClock()
        self.oracle = Oracle(lambda: self.clock.now, policy)
        self.trace = Trace()
        self.interrupts = interrupts
        self.around = trio.CancelScope()
        """The scope around the cache."""
        self.cache = Cache(
            self.load,
            checkpoint=self.dice.choice(("fair", "always", "never")),
            clock=self.clock,
            observe=self.trace,
            **policy,
        )

    async def load(self, key: str) -> Made:
        """A load that takes its time, may not hear that it is cancelled, may fail, and may ask for another key."""
        made = self.oracle.load_begins(key)
        with trio.CancelScope(shield=self.dice.random() < 0.2):
            await trio.sleep(self.dice.choice((0, 0.5, 1, 3)))
        ending = self.dice.randrange(8)
        if ending == 0:
            raise LoadBroke(made)
        if ending == 1:
            await self.get(self.dice.choice(KEYS), is_inside_load=True)
        if ending == 2:  # one face of the die
            self.invalidate(self.dice.choice(KEYS))
        if ending == 3 and self.interrupts:  # as above
            self.oracle.is_interrupted = True
            raise Interrupt
        self.oracle.load_ends(made)
        return made

    async def get(self, key: str, *, is_inside_load: bool = False) -> None:
        """Look up, and tell the oracle what came of it."""
        caller = self.oracle.begins(key, is_inside_load=is_inside_load)
        caller.may_leave = True  # trio cancels nobody by itself; who cancels is looked at by the actors
        self.oracle.inside += 1
        try:
            made = await self.cache.get(key)
        except trio.Cancelled:
            self.oracle.left(caller)
            raise
        except Exception as error:  # noqa: BLE001  # the oracle judges it
            # With the scope around the cache its loads are cancelled, while a shielded caller still waits for them.
            self.oracle.is_interrupted |= self.around.cancel_called
            self.oracle.failed(caller, error)
        except BaseException:
            caller.is_done = True
            raise
        else:
            self.oracle.answered(caller, made)
        finally:
            self.oracle.inside -= 1

    async def get_in_a_scope(self, key: str) -> None:
        """Look up within a deadline, shielded or not from what is around."""
        within = self.dice.choice((0, 0.25, 1, math.inf))
        with trio.CancelScope(deadline=trio.current_time() + within, shield=self.dice.random() < 0.2):
            await self.get(key)

    def invalidate(self, key: str) -> None:
        """A removal."""
        with self.oracle.removing(key):
            self.cache.invalidate(key)

    def put(self, key: str) -> None:
        """Another."""
        made = self.oracle.put(key)
        with self.oracle.removing(key, made):
            self.cache.put(key, made)

    def clear(self, _key: str) -> None:
        """And of all."""
        with self.oracle.removing(None):
            self.cache.clear()

    async def act(self) -> None:
        """Do some things, each at any moment."""
        changes: tuple[Callable[[str], object], ...] = (
            self.put,
            self.invalidate,
            self.clear,
            self.cache.expire,
            self.cache.refresh,
        )
        try:
            for _ in range(4):
                key = self.dice.choice(KEYS)
                if self.dice.random() < 0.6:
                    await self.get_in_a_scope(key)
                else:
                    self.dice.choice(changes)(key)
                await trio.sleep(self.dice.choice((0, 0, 0.25, 1)))
        except CacheClosed:
            assert self.oracle.is_closing

    async def watch(self) -> None:
        """Now and then, when all tasks wait, count them."""
        for _ in range(4):
            await trio.sleep(0.3)
            await trio.testing.wait_all_tasks_blocked()
            self.oracle.assert_waiters_are_counted(self.cache)

    async def play(self) -> None:
        """Four actors; afterwards the cache is closed, perhaps while they are at it."""
        ends_after = self.dice.choice((0.5, 2, math.inf))
        with trio.move_on_after(ends_after) as self.around:
            async with self.cache:
                try:
                    async with trio.open_nursery() as nursery:
                        for each in (self.watch, self.act, self.act, self.act, self.act):
                            nursery.start_soon(each)
                finally:
                    self.oracle.is_closing = True

    def run(self, schedule: Schedule) -> None:
        """One run, judged."""
        try:
            run_trio(self.play, schedule, clock=self.clock)
        except BaseException as error:
            if not (self.interrupts and _is_interrupt(error)):
                raise
        self.oracle.assert_all_answered()
        assert_trace_valid(self.trace, has_ended=True, maxsize=self.cache.stats().maxsize)
        self.oracle.assert_loads_were_ordered(self.trace)
        assert self.cache.stats().in_flight == 0


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_interrupt, error.exceptions))
    return isinstance(error, Interrupt)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: "-".join(policy) or "plain")
def test_actors_under_random_schedules(policy: dict[str, Any]) -> None:
    """Every seed is another play in another order; whatever happens, the promises hold."""
    for seed in range(times(60)):
        sample(Actors(seed, policy).run, seeds=[seed])


def test_nursery_that_falls_answers_everybody() -> None:
    """An interrupt in a load takes the cache's nursery down: nobody may wait for ever for the other loads."""
    for seed in range(times(60)):
        sample(Actors(seed, {}, interrupts=True).run, seeds=[seed])


async def _two_callers_and_a_cancellation(clock: VirtualClock, trace: Trace) -> None:
    oracle = Oracle(lambda: clock.now)

    async def load(key: str) -> Made:
        made = oracle.load_begins(key)
        await trio.lowlevel.checkpoint()
        return made

    async with Cache(load, checkpoint="never", clock=clock, observe=trace) as cache, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def cancelled() -> None:
            with first:
                await cache.get("a")

        async def cancel() -> None:
            first.cancel()

        async def waiting() -> None:
            assert (await cache.get("a")).key == "a"

        for each in (cancelled, cancel, waiting):
            nursery.start_soon(each)


def test_every_order_of_a_cancellation_is_right() -> None:
    """All orders of the tasks in all batches: a caller who was cancelled takes only itself away."""

    def run(schedule: Schedule) -> None:
        clock, trace = VirtualClock(), Trace()
        run_trio(partial(_two_callers_and_a_cancellation, clock, trace), schedule, clock=clock)
        assert_trace_valid(trace, has_ended=True)

    assert explore(run) >= 6
