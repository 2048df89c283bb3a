"""The asyncio adapter under everything at once: Hypothesis does anything at any moment, one callback at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from herdless.asyncio import Cache, Loaded, Policy
from herdless.testing import Schedule, SeededEventLoop, Trace, VirtualClock, assert_trace_valid
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed
from tests.schedules.depth import times
from tests.schedules.oracle import LoadBroke, Made, Oracle, watched

Ending: TypeAlias = Callable[[Made], Awaitable[Any]]

KEYS = st.sampled_from(["a", "b"])
INDEX = st.integers(0, 7)

POLICIES: Final = [
    {},
    {"ttl": 4},
    {"ttl": 4, "stale_while_revalidate": 4, "stale_if_error": 8, "refresh_backoff": 2},
    {"ttl": 4, "early_refresh": 0.5, "negative_ttl": 2, "load_timeout": 3},
    {"ttl": 4, "load_timeout": 2, "stale_if_error": 4, "max_waiters": 2},
    {"ttl": 0, "stale_while_revalidate": 2},
]


class Interrupt(BaseException):
    """Like KeyboardInterrupt, for one task."""


class Drawn:
    """Takes the option that the rule names."""

    index = 0

    def choose(self, options: Sequence[str], _running: str | None) -> int:
        """The option; the natural order is what Hypothesis shrinks to."""
        return self.index % len(options)


ENDINGS: Final = [
    "value",
    "asks",
    "invalidates",
    0,  # a ttl of its own
    2,
    LoadBroke,
    Interrupt,
    asyncio.CancelledError,
    GeneratorExit,
]


class ParkedLoad:
    """A load that waits to be told how to end."""

    def __init__(self, made: Made, gate: asyncio.Future[Ending], *, is_stubborn: bool) -> None:
        self.made: Final = made
        self.gate: Final = gate
        self.is_stubborn: Final = is_stubborn


class AsyncioCache(RuleBasedStateMachine):
    """One cache, two keys, a loop that moves by one callback when a rule says so."""

    @initialize(policy=st.sampled_from(POLICIES), maxsize=st.sampled_from([None, 1, 2]))
    def open(self, policy: dict[str, Any], maxsize: int | None) -> None:
        """Make the cache."""
        self.clock = VirtualClock()
        self.drawn = Drawn()
        self.loop = SeededEventLoop(Schedule(chooser=self.drawn), self.clock)
        self.trace = Trace()
        self.maxsize = maxsize
        horizon = sum(policy.get(name, 0) for name in ("ttl", "stale_while_revalidate", "stale_if_error"))
        self.oracle = Oracle(
            lambda: self.clock.now, policy, horizon=horizon * NANOSECONDS_PER_SECOND if "ttl" in policy else 2**62
        )
        self.loads: list[ParkedLoad] = []
        self.stubborn = False
        self.tasks: list[tuple[asyncio.Task[None], Any]] = []
        self.cache = self.loop.call(self.make, policy, maxsize)

    def make(self, policy: dict[str, Any], maxsize: int | None) -> Cache[str, Made]:
        """The cache with its loader."""

        async def load(key: str) -> Any:
            parked = ParkedLoad(self.oracle.load_begins(key), self.loop.create_future(), is_stubborn=self.stubborn)
            self.loads.append(parked)
            while not parked.gate.done():
                try:
                    await asyncio.shield(parked.gate)
                except asyncio.CancelledError:
                    if not parked.is_stubborn:
                        raise
            return await parked.gate.result()(parked.made)

        return Cache(load, maxsize=maxsize, clock=self.clock, observe=self.trace, policy=Policy(**policy))

    # Callers

    @rule(
        key=KEYS, how=st.sampled_from(["plain", "shielded", "within 0", "within 1", "within 3"]), settles=st.booleans()
    )
    def get(self, key: str, how: str, settles: bool) -> None:
        """A caller: plain, behind a shield, or one who waits only so long."""
        caller = self.oracle.begins(key)
        caller.may_leave = how.startswith("within")
        look_up = {"plain": self.plain, "shielded": self.shielded}.get(how) or self.within(int(how[-1]))
        task = self.loop.call(self.loop.create_task, watched(self.oracle, caller, lambda: look_up(key)))
        self.tasks.append((task, caller))
        if settles:
            self.settle()

    async def plain(self, key: str) -> Any:
        """Look up."""
        self.oracle.inside += 1
        try:
            return await self.cache.get(key)
        finally:
            self.oracle.inside -= 1

    async def shielded(self, key: str) -> Any:
        """Look up in a task that the caller's cancellation does not reach."""
        return await asyncio.shield(self.plain(key))

    def within(self, seconds: int) -> Callable[[str], Awaitable[Any]]:
        """Look up for so many seconds at most."""

        async def look_up(key: str) -> Any:
            try:
                return await asyncio.wait_for(self.plain(key), seconds)
            except TimeoutError as error:
                if type(error) is TimeoutError:
                    raise asyncio.CancelledError from error  # it left
                raise

        return look_up

    @precondition(lambda self: self.tasks)
    @rule(index=INDEX)
    def cancel_caller(self, index: int) -> None:
        """A caller is cancelled, wherever it is: not begun, waiting, or woken already."""
        task, caller = self.tasks[-1 - index % len(self.tasks)]
        caller.may_leave = True
        self.loop.call(task.cancel)

    # Changes

    @rule(
        key=KEYS,
        change=st.sampled_from(["put", "invalidate", "expire", "refresh", "clear"]),
        from_thread=st.booleans(),
    )
    def change(self, key: str, change: str, from_thread: bool) -> None:
        """Something is changed, in the loop or as from another thread; a refresh needs the loop."""
        match change:
            case "put":
                made = self.oracle.put(key)
                with self.oracle.removing(key, made):
                    self.act(lambda: self.cache.put(key, made), from_thread=from_thread)
            case "invalidate":
                with self.oracle.removing(key):
                    self.act(lambda: self.cache.invalidate(key), from_thread=from_thread)
            case "clear":
                with self.oracle.removing(None):
                    self.act(self.cache.clear, from_thread=from_thread)
            case "expire":
                self.act(lambda: self.cache.expire(key), from_thread=from_thread)
            case _:
                self.act(lambda: self.cache.refresh(key), from_thread=False)

    def act(self, action: Callable[[], object], *, from_thread: bool) -> None:
        """Do it in the loop, or outside of it."""
        try:
            if from_thread:
                action()
            else:
                self.loop.call(action)
        except CacheClosed:
            assert self.oracle.is_closing

    # Loads

    @precondition(lambda self: self.loads)
    @rule(index=INDEX, ending=st.sampled_from(ENDINGS), key=KEYS, settles=st.booleans())
    def end_load(self, index: int, ending: object, key: str, settles: bool) -> None:
        """A load gives its value, raises, or does something with the cache first."""
        load = self.loads.pop(index % len(self.loads))
        if not load.gate.done():
            self.loop.call(load.gate.set_result, lambda made: self.end(made, ending, key))
        if settles:
            self.settle()

    async def end(self, made: Made, ending: object, key: str) -> Any:
        """What the load does in the end."""
        if isinstance(ending, type):
            raise ending(made)
        if ending == "asks":
            caller = self.oracle.begins(key, is_inside_load=True)
            caller.may_leave = True
            await watched(self.oracle, caller, lambda: self.plain(key))
        if ending == "invalidates":
            with self.oracle.removing(key):
                self.act(lambda: self.cache.invalidate(key), from_thread=False)
        self.oracle.load_ends(made)
        return Loaded(made, ttl=ending) if isinstance(ending, int) else made

    @rule(is_stubborn=st.booleans())
    def loads_swallow_cancellation(self, is_stubborn: bool) -> None:
        """From now on loads that are cancelled go on, as user code may."""
        self.stubborn = is_stubborn

    # Time and order

    @precondition(lambda self: not self.loop.is_idle())
    @rule(indices=st.lists(INDEX, min_size=1, max_size=12))
    def callbacks(self, indices: list[int]) -> None:
        """Some callbacks run, in any order."""
        for self.drawn.index in indices:
            if not self.loop.is_idle():
                self.loop.step()

    @precondition(lambda self: not self.loop.is_idle())
    @rule()
    def all_callbacks(self) -> None:
        """All callbacks run, in their order; then those who wait are those who are counted."""
        self.settle()

    def settle(self) -> None:
        """Run the loop until it is idle."""
        self.drawn.index = 0
        while not self.loop.is_idle():
            self.loop.step()
        self.oracle.assert_waiters_are_counted(self.cache)

    @rule(seconds=st.sampled_from([0.5, 1, 2, 4]))
    def time_passes(self, seconds: float) -> None:
        """The clock moves."""
        self.clock.advance(seconds)

    @precondition(lambda self: len(self.trace) > 15)
    @rule(cancels=st.booleans())
    def close(self, cancels: bool) -> None:
        """The cache is closed, not too soon; everybody goes on as if they did not know."""
        self.oracle.is_closing = True
        self.loop.call(self.loop.create_task, self.cache.close(cancel=cancels))

    # The calm after the storm: everything must come to an end

    def teardown(self) -> None:
        """All loads end; then nobody may wait any more, and the trace must be right."""
        if not hasattr(self, "loop"):
            return
        self.settle()
        self.calm()
        for task, caller in self.tasks:
            if task.cancelled() and not caller.is_done:
                self.oracle.left(caller)  # cancelled before its first step
        self.oracle.assert_all_answered()
        self.oracle.is_closing = True
        self.loop.run_until_complete(self.cache.close())
        self.calm()
        assert_trace_valid(self.trace, has_ended=True, maxsize=self.maxsize)
        self.oracle.assert_loads_were_ordered(self.trace)
        assert self.cache.stats().in_flight == 0
        self.loop.end()

    def calm(self) -> None:
        """Let every load succeed, and all callbacks run."""
        while self.loads or not self.loop.is_idle():
            while self.loads:
                self.end_load(0, "value", "a", settles=False)
            if not self.loop.is_idle():
                self.loop.step()


TestAsyncioCache = AsyncioCache.TestCase
TestAsyncioCache.settings = settings(max_examples=times(300), stateful_step_count=100)
