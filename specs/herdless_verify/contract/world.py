"""What a scenario sees: a world in which nothing moves but by its orders.

A scenario is a coroutine function whose first argument is the world. It starts callers, lets the runtime run until
nothing can move (`settle`), looks at who was answered, and ends loads one by one. Each call of the loader parks until
the scenario ends it with a value, an error or any action; one that is never ended hangs. Time moves by `advance` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from herdless._testing._clock import VirtualClock
from herdless._testing._trace import Observed, Trace, assert_trace_valid
from herdless_core import NANOSECONDS_PER_SECOND, Previous
from herdless_verify.contract.parts import Caller, Load, Spot

Story: TypeAlias = Callable[[Callable[[Any], Any]], Coroutine[Any, Any, Any]]
"""What a caller does, written with `await get(key)`."""

Scenario: TypeAlias = Callable[["World"], Coroutine[Any, Any, None]]

Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What `World.run` runs."""

FIRST_LEAVE_NS: Final = 1_000
"""Where nobody can be cancelled, a caller that is to leave has a timeout: its rank times this."""


class World(ABC):
    """A runtime under the orders of a scenario; a new one for each.

    A driver binds it to one runtime: it derives from `AsyncWorld`, where callers await, or from `BlockingWorld`, where
    their thread or greenlet waits. It sets `cache_class` and `cancellation`, and defines `make_spot`, `spawn`, `settle`
    and, where callers await, `run`. It overrides, where its runtime differs, `make_cache`, `cancel`, `move_clock`,
    `call_with_timeout` and `park`, and lists in `exempt` what cannot apply. All else is for the scenarios.
    """

    cache_class: ClassVar[Callable[..., Any]]
    """Called with a loader and the options of `Cache`."""

    cancellation: ClassVar[type[BaseException]]
    """What is raised in a caller that gives up, and in a load that is cancelled."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """Scenarios that cannot apply to this runtime, by name, with the reason: the only way not to run one."""

    first_caller_loads: ClassVar[bool] = False
    """Whether the caller that starts a flight runs the load itself, and so comes back no sooner than the load ends."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.loads: Final[list[Load]] = []
        self.callers: Final[list[Caller]] = []
        self.traces: Final[list[Trace]] = []
        """The steps of each cache."""
        self.ignores_cancellation = False
        """Whether loads go on when they are cancelled, as user code may."""
        self.caches: Final[list[Any]] = []
        self.at_load: Callable[[Any], None] = lambda key: None
        """Called with the key at the start of a load, before anything can be awaited."""
        self._timers: Final[list[tuple[int, Callable[[], object]]]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    # What a driver defines

    @abstractmethod
    def run(self, main: Main) -> None:
        """Run `main()` in this runtime, and clean up after it."""

    @abstractmethod
    def make_spot(self) -> Spot:
        """A new event of the runtime, for a load to wait at: something with `set()` and `wait()`."""

    @abstractmethod
    def spawn(self, body: Callable[[], Any]) -> Any:
        """Run the body, a coroutine function where callers await, in a task or thread of its own; returns its handle.

        The body raises nothing but its own cancellation.
        """

    @abstractmethod
    async def settle(self) -> None:
        """Let everything run until nothing can move without an order. Real time must not pass for it."""

    # What a driver may override

    async def make_cache(self, **options: Any) -> Any:
        """A new, opened cache that loads by `self.loader`: `cache_class`, or anything that has the words of `Cache`.

        options: those of the scenario, `load=None` for a cache without a loader, with this world's `clock` and
        `observe`. A runtime that sets real timers for `load_timeout` must be given `self.call_later` for it, or another
        way to see `move_clock`.
        """
        return self.cache_class(options.pop("load", self.loader), **options)

    def cancel(self, caller: Caller) -> None:
        """Make the caller give up."""
        caller.handle.cancel()

    def move_clock(self, nanoseconds: int) -> None:
        """Move the clock, the timers of the runtime included."""
        self.clock.advance_to(self.clock.now + nanoseconds)
        for timer in sorted(self._timers, key=lambda timer: timer[0]):
            if timer[0] <= self.clock.now:
                self._timers.remove(timer)
                timer[1]()

    def call_with_timeout(self, method: Callable[..., Any], key: object, _timeout_ns: int) -> Any:
        """Call a method that may be given up; a runtime that cancels needs nothing for it.

        method: of the cache; key: its first argument; the last: after how many nanoseconds it is given up.
        """
        return method(key)

    # What the two kinds of drivers differ in

    @abstractmethod
    def loader(self, key: Any, *given: Any) -> Any:
        """The cache's loader: parks at a new `Load`. given: the value before, where a scenario has `previous=True`."""

    @abstractmethod
    def act(self, story: Story) -> Callable[[], Any]:
        """The story as something that a caller, or a load that goes on, can call."""

    @abstractmethod
    def body_of(self, caller: Caller, call: Callable[[], Any]) -> Callable[[], Any]:
        """What `spawn` is given: makes the call and reports its end to the caller."""

    # Orders of the scenario

    async def open(self, **options: Any) -> Any:
        """A new cache with this world's loader, clock and observer; the first is `self.cache`."""
        trace = Trace()
        cache = await self.make_cache(**{"clock": self.clock, "observe": trace, **options})
        self.traces.append(trace)
        self.caches.append(cache)
        return cache

    @property
    def steps(self) -> list[Observed]:
        """Every step of every cache, with its key; none where the caches cannot be observed."""
        return [observed for trace in self.traces for observed in trace]

    @property
    def cache(self) -> Any:
        """The cache that was opened first."""
        return self.caches[0]

    @property
    def load(self) -> Load:
        """The load that was started last."""
        assert self.loads, "no load was started"
        return self.loads[-1]

    def get(self, key: object, *, leaves: int | None = None, cache: Any = None) -> Caller:
        """Start a caller of `get`.

        key: what it asks for; leaves: of one that is to leave, its rank among those that are; cache: the first one
        unless given.
        """
        method = (self.cache if cache is None else cache).get
        if leaves is None:
            return self.begin(lambda: method(key))
        timeout_ns = leaves * FIRST_LEAVE_NS
        return self.begin(lambda: self.call_with_timeout(method, key, timeout_ns), timeout_ns)

    def lookup(self, key: object) -> Caller:
        """Start a caller of `lookup`."""
        return self.begin(lambda: self.cache.lookup(key))

    def reload(self, key: object, *, leaves: int | None = None) -> Caller:
        """Start a caller of `reload`; `leaves` as for `get`."""
        method = self.cache.reload
        if leaves is None:
            return self.begin(lambda: method(key))
        timeout_ns = leaves * FIRST_LEAVE_NS
        return self.begin(lambda: self.call_with_timeout(method, key, timeout_ns), timeout_ns)

    def close(self, *, cancel: bool = False) -> Caller:
        """Start a caller of `close`."""
        return self.begin(lambda: self.cache.close(cancel=cancel))

    def tell(self, story: Story) -> Caller:
        """Start a caller that does more than one thing; it is given `get`."""
        return self.begin(self.act(story))

    def begin(self, call: Callable[[], Any], timeout_ns: int | None = None) -> Caller:
        """Start a caller of any method."""
        caller = Caller(self.clock.now, timeout_ns)
        self.callers.append(caller)
        caller.handle = self.spawn(self.body_of(caller, call))
        return caller

    async def leave(self, caller: Caller) -> None:
        """Make the caller give up: by cancellation, or by its timeout where there is no cancellation."""
        __tracebackhide__ = True  # the scenario's line says more
        assert caller.timeout_ns is not None, "a caller that is to leave is started with `leaves`"
        self.cancel(caller)
        await self.settle()
        if not caller.has_left:
            raise AssertionError(f"{caller} was to leave")

    async def advance(self, seconds: float) -> None:
        """When nothing moves any more, move the clock, and let everybody see it who waits for it."""
        await self.settle()
        self.move_clock(round(seconds * NANOSECONDS_PER_SECOND))
        await self.settle()

    async def fill(self, key: object, value: object) -> None:
        """Load the value into the cache."""
        caller = self.get(key)
        await self.settle()
        self.load.succeed(value)
        await self.settle()
        assert caller.value == value

    # Common to all

    def check(self, scenario: Scenario) -> None:
        """Run the scenario from beginning to end; raises what it raised, as it is."""
        errors: list[BaseException | None] = []

        async def main() -> None:
            errors.append(await self._play(scenario))

        self.run(main)
        assert errors, f"{type(self).__name__}.run returned before the scenario had ended"
        if errors[0] is not None:
            raise errors[0]

    async def _play(self, scenario: Scenario) -> BaseException | None:
        """Its error is returned, so that no runtime wraps a group around it."""
        error: BaseException | None = None
        for part in (scenario(self), self._end()):
            try:
                await part
            except BaseException as raised:  # noqa: BLE001  # raised again by `check`, once everything has ended
                error = error or raised
        return error

    async def _end(self) -> None:
        """End what the scenario left hanging, and judge every step that was taken."""
        for load in self.loads:
            if load.action is None:
                load.succeed(None)
        await self.settle()
        for cache in self.caches:
            caller = self.begin(lambda cache=cache: cache.close(cancel=True))  # type: ignore[misc]  # bound at once
            await self.settle()
            assert caller.is_done, "the cache could not be closed"
        for trace in self.traces:
            assert_trace_valid(trace, has_ended=True)

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> None:
        """A timer for the adapters: calls the function once the world's clock has moved on by so many seconds."""
        instant = self.clock.now + round(seconds * NANOSECONDS_PER_SECOND)
        self._timers.append((instant, lambda: function(*arguments)))

    def begin_load(self, key: object, previous: Previous[Any] | None = None) -> Load:
        """Note that the loader was called."""
        load = Load(key, self.make_spot())
        load.previous = previous
        self.loads.append(load)
        self.at_load(key)
        return load

    def end_call(self, caller: Caller, error: BaseException) -> None:
        """Note that the call raised: in a caller that was to leave its cancellation is no error."""
        if caller.timeout_ns is not None and isinstance(error, self.cancellation):
            caller.leave()
        else:
            caller.fail(error)


async def outcome_of(w: World, key: object) -> str:
    """How a lookup is answered at once, or that it waits."""
    caller = w.lookup(key)
    await w.settle()
    return str(caller.value.how) if caller.is_done else "waits"
