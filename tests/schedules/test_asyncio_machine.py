"""The asyncio adapter under everything at once: Hypothesis does anything at any moment, one callback at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from herdless.asyncio import Cache, Loaded, Policy
from herdless.testing import Schedule, SeededEventLoop, Trace, VirtualClock, assert_trace_valid
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed
from tests.schedules.oracle import LoadBroke, Made, Oracle, watched

Ending: TypeAlias = Callable[[Made], Awaitable[Any]]

KEYS = st.sampled_from(["a", "b", "c"])
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


class ParkedLoad:
    """A load that waits to be told how to end."""

    def __init__(self, made: Made, gate: asyncio.Future[Ending], *, is_stubborn: bool) -> None:
        self.made: Final = made
        self.gate: Final = gate
        self.is_stubborn: Final = is_stubborn


class AsyncioCache(RuleBasedStateMachine):
    """One cache, three keys, a loop that moves by one callback when a rule says so."""

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
            lambda: self.clock.now, horizon=horizon * NANOSECONDS_PER_SECOND if "ttl" in policy else 2**62
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

    def start(self, key: str, how: Callable[[], Awaitable[Any]], *, may_leave: bool = False) -> None:
        """Start a caller in a task of its own."""
        caller = self.oracle.begins(key)
        caller.may_leave = may_leave
        self.tasks.append((self.loop.call(self.loop.create_task, watched(self.oracle, caller, how)), caller))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        """A caller."""
        self.start(key, lambda: self.cache.get(key))

    @rule(key=KEYS, seconds=st.sampled_from([0, 1, 3]))
    def get_within(self, key: str, seconds: int) -> None:
        """A caller who waits only so long."""

        async def within() -> Any:
            try:
                return await asyncio.wait_for(self.cache.get(key), seconds)
            except TimeoutError as error:
                if type(error) is TimeoutError:
                    raise asyncio.CancelledError from error  # it left
                raise

        self.start(key, within, may_leave=True)

    @rule(key=KEYS)
    def get_shielded(self, key: str) -> None:
        """A caller whose cancellation does not reach the cache."""

        async def look_up() -> Any:
            self.oracle.inside += 1
            try:
                return await self.cache.get(key)
            finally:
                self.oracle.inside -= 1

        async def shielded() -> Any:
            self.oracle.inside -= 1  # it is the task behind the shield that looks up
            try:
                return await asyncio.shield(look_up())
            finally:
                self.oracle.inside += 1

        self.start(key, shielded)

    @precondition(lambda self: self.tasks)
    @rule(index=INDEX)
    def cancel_caller(self, index: int) -> None:
        """A caller is cancelled, wherever it is: not begun, waiting, or woken already."""
        task, caller = self.tasks[index % len(self.tasks)]
        caller.may_leave = True
        self.loop.call(task.cancel)

    # Changes

    @rule(key=KEYS, from_thread=st.booleans())
    def put(self, key: str, from_thread: bool) -> None:  # Hypothesis gives it by name
        """A value is put, in the loop or as from another thread."""
        made = self.oracle.put(key)
        with self.oracle.removing(key, made):
            self.act(lambda: self.cache.put(key, made), from_thread=from_thread)

    @rule(key=KEYS, from_thread=st.booleans())
    def invalidate(self, key: str, from_thread: bool) -> None:  # as above
        """A key is invalidated."""
        with self.oracle.removing(key):
            self.act(lambda: self.cache.invalidate(key), from_thread=from_thread)

    @rule()
    def clear(self) -> None:
        """All keys are."""
        with self.oracle.removing(None):
            self.act(self.cache.clear)

    @rule(key=KEYS)
    def expire(self, key: str) -> None:
        """A value is made stale."""
        self.act(lambda: self.cache.expire(key))

    @rule(key=KEYS)
    def refresh(self, key: str) -> None:
        """A load is started behind the callers' backs."""
        self.act(lambda: self.cache.refresh(key))

    def act(self, action: Callable[[], None], *, from_thread: bool = False) -> None:
        """Do it in the loop, or outside of it."""
        try:
            if from_thread:
                action()
            else:
                self.loop.call(action)
        except CacheClosed:
            assert self.oracle.is_closed

    # Loads

    def end_load(self, index: int, ending: Ending) -> None:
        """Tell a load how to end."""
        load = self.loads.pop(index % len(self.loads))
        if not load.gate.done():
            self.loop.call(load.gate.set_result, ending)

    @precondition(lambda self: self.loads)
    @rule(index=INDEX, ttl=st.sampled_from([None, 0, 2]))
    def load_succeeds(self, index: int, ttl: int | None) -> None:
        """A load gives its value."""

        async def value(made: Made) -> Any:
            return made if ttl is None else Loaded(made, ttl=ttl)

        self.end_load(index, value)

    @precondition(lambda self: self.loads)
    @rule(index=INDEX, kind=st.sampled_from([LoadBroke, Interrupt, asyncio.CancelledError, GeneratorExit]))
    def load_fails(self, index: int, kind: type[BaseException]) -> None:
        """A load raises: an error, an interrupt, a cancellation of its own making."""

        async def error(made: Made) -> Any:
            raise kind(made)

        self.end_load(index, error)

    @precondition(lambda self: self.loads)
    @rule(index=INDEX, key=KEYS)
    def load_asks_the_cache(self, index: int, key: str) -> None:
        """A load looks up another key, or its own, and passes on what it raises."""

        async def ask(made: Made) -> Any:
            caller = self.oracle.begins(key)
            caller.may_leave = True
            await watched(self.oracle, caller, lambda: self.cache.get(key))
            return made

        self.end_load(index, ask)

    @precondition(lambda self: self.loads)
    @rule(index=INDEX, key=KEYS)
    def load_removes_a_key(self, index: int, key: str) -> None:
        """A load invalidates a key, perhaps its own."""

        async def remove(made: Made) -> Any:
            with self.oracle.removing(key):
                self.act(lambda: self.cache.invalidate(key))
            return made

        self.end_load(index, remove)

    @rule(is_stubborn=st.booleans())
    def loads_swallow_cancellation(self, is_stubborn: bool) -> None:  # as above
        """From now on loads that are cancelled go on, as user code may."""
        self.stubborn = is_stubborn

    # Time and order

    @precondition(lambda self: not self.loop.is_idle())
    @rule(indices=st.lists(INDEX, min_size=1, max_size=6))
    def callbacks(self, indices: list[int]) -> None:
        """Some callbacks run, in any order."""
        for self.drawn.index in indices:
            if not self.loop.is_idle():
                self.loop.step()

    @rule(seconds=st.sampled_from([0.5, 1, 2, 4]))
    def time_passes(self, seconds: float) -> None:
        """The clock moves."""
        self.clock.advance(seconds)

    @precondition(lambda self: len(self.trace) > 15)
    @rule(cancels=st.booleans())
    def close(self, cancels: bool) -> None:
        """The cache is closed, not too soon; everybody goes on as if they did not know."""
        self.oracle.is_closed = True
        self.loop.call(self.loop.create_task, self.cache.close(cancel=cancels))

    # The calm after the storm: everything must come to an end

    def teardown(self) -> None:
        """All loads end; then nobody may wait any more, and the trace must be right."""
        if not hasattr(self, "loop"):
            return
        self.drawn.index = 0
        while not self.loop.is_idle():
            self.loop.step()
        self.oracle.assert_waiters_are_counted(self.cache)
        self.calm()
        for task, caller in self.tasks:
            if task.cancelled() and not caller.is_done:
                self.oracle.left(caller)  # cancelled before its first step
        self.oracle.assert_all_answered()
        self.oracle.is_closed = True
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
                self.load_succeeds(0, None)
            if not self.loop.is_idle():
                self.loop.step()


TestAsyncioCache = AsyncioCache.TestCase
