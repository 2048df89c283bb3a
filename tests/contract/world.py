"""What a scenario sees: a world in which nothing moves but by its orders.

A scenario is a coroutine function with one argument, the world. It starts callers, lets the runtime run until nothing
can move (`settle`), looks at who was answered, and ends loads one by one. Each call of the loader parks until the
scenario ends it with a value, an error or any action; one that is never ended hangs. Time moves by `advance` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from herdless_core import NANOSECONDS_PER_SECOND, Step

Story: TypeAlias = Callable[[Callable[[Any], Any]], Coroutine[Any, Any, Any]]
"""What a caller does, written with `await get(key)`."""


class Scenario(Protocol):
    """A test function whose other arguments are bound already."""

    def __call__(self, *, w: World) -> Coroutine[Any, Any, None]:
        """Play it."""


FIRST_LEAVE_NS: Final = 1_000
"""In threads, where nobody can be cancelled, a caller that is to leave has a timeout: its rank times this."""


class Spot(Protocol):
    """Where a load parks: the runtime's event."""

    def set(self) -> object:
        """Let it go on."""


class Load:
    """One call of the loader."""

    def __init__(self, key: object, spot: Spot) -> None:
        self.key: Final = key
        self.spot: Final = spot
        self.was_cancelled = False
        self.has_ended = False
        self.action: Callable[[], Any] | None = None

    def release(self, action: Callable[[], Any]) -> None:
        """Let the loader go on: it returns what `action` returns, awaited if need be, or raises what that raises."""
        assert self.action is None, f"the load of {self.key!r} was released before"
        self.action = action
        self.spot.set()

    def succeed(self, value: object) -> None:
        """Let the loader return the value."""
        self.release(lambda: value)

    def fail(self, error: BaseException) -> None:
        """Let the loader raise the error."""

        def action() -> None:
            raise error

        self.release(action)


class Caller:
    """One call of a method of the cache, in a task or thread of its own."""

    def __init__(self, timeout_ns: int | None) -> None:
        self.timeout_ns: Final = timeout_ns
        self.is_done = False
        self.has_left = False
        self.handle: Any = None
        """By what the runtime cancels it."""
        self._value: Any = None
        self.error: BaseException | None = None

    def answer(self, value: object) -> None:
        """The call returned."""
        assert not self.is_done
        self.is_done, self._value = True, value

    def fail(self, error: BaseException) -> None:
        """The call raised."""
        assert not self.is_done
        self.is_done, self.error = True, error

    def leave(self) -> None:
        """The call was given up by its caller."""
        assert not self.is_done
        self.is_done = self.has_left = True

    @property
    def value(self) -> Any:
        """What the call returned; raises what it raised."""
        assert self.is_done, "the caller still waits"
        assert not self.has_left, "the caller left"
        if self.error is not None:
            raise self.error
        return self._value


class World(ABC):
    """A runtime under the orders of a scenario. Subclasses bind it to one runtime; see `drivers.py`."""

    name: ClassVar[str]
    cache_class: ClassVar[Callable[..., Any]]

    def __init__(self) -> None:
        self.now = 0
        self.loads: Final[list[Load]] = []
        self.callers: Final[list[Caller]] = []
        self.steps: Final[list[tuple[Any, Step]]] = []
        """Every step of every cache, with its key."""
        self.ignores_cancellation = False
        """Whether loads go on when they are cancelled, as user code may."""
        self.caches: Final[list[Any]] = []
        self.at_load: Callable[[Any], None] = lambda key: None
        """Called with the key at the start of a load, before anything can be awaited."""

    # Orders of the scenario

    async def open(self, **options: Any) -> Any:
        """A new cache with this world's loader, clock and observer; the first is `self.cache`."""
        cache = self.cache_class(
            self.loader,
            clock=lambda: self.now,
            observe=lambda *seen: self.steps.append(seen),
            **self.own_options(options),
        )
        await self.enter(cache)
        self.caches.append(cache)
        return cache

    @property
    def cache(self) -> Any:
        """The cache that was opened first."""
        return self.caches[0]

    @property
    def load(self) -> Load:
        """The load that was started last."""
        return self.loads[-1]

    def get(self, key: object, *, leaves: int | None = None, cache: Any = None) -> Caller:
        """Start a caller of `get`. One that is to leave says so by its rank among those that are."""
        return self._call((cache or self.cache).get, key, leaves)

    def lookup(self, key: object) -> Caller:
        """Start a caller of `lookup`."""
        return self._call(self.cache.lookup, key, None)

    def close(self, *, cancel: bool = False) -> Caller:
        """Start a caller of `close`."""
        return self.begin(lambda: self.cache.close(cancel=cancel))

    def tell(self, story: Story) -> Caller:
        """Start a caller that does more than one thing; it is given `get`."""
        return self.begin(lambda: story(self.cache.get))

    async def leave(self, caller: Caller) -> None:
        """Make the caller give up: by cancellation, or by its timeout where there is no cancellation."""
        assert caller.timeout_ns is not None, "a caller that is to leave is started with `leaves`"
        self.cancel(caller)
        await self.settle()
        assert caller.has_left

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

    # What a runtime adds

    @abstractmethod
    def run(self, scenario: Scenario) -> None:
        """Run the scenario in this runtime, and clean up after it however it ends."""

    @abstractmethod
    def loader(self, key: object) -> Any:
        """The cache's loader: parks at a new `Load`."""

    @abstractmethod
    def start(self, caller: Caller, call: Callable[[], Any]) -> None:
        """Make the call in a task or thread of its own and report its end to the caller."""

    @abstractmethod
    async def settle(self) -> None:
        """Run the runtime until nothing can move."""

    @abstractmethod
    def cancel(self, caller: Caller) -> None:
        """Make the caller give up."""

    @abstractmethod
    def move_clock(self, nanoseconds: int) -> None:
        """Move the clock, the timers of the runtime included."""

    async def enter(self, cache: Any) -> None:  # noqa: B027  # only one runtime has something to do here
        """Open the cache, where the runtime asks for it."""

    def own_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with which the runtime opens a cache."""
        return options

    # Common to the drivers

    def begin_load(self, key: object, spot: Spot) -> Load:
        """Note that the loader was called."""
        load = Load(key, spot)
        self.loads.append(load)
        self.at_load(key)
        return load

    async def play(self, scenario: Scenario) -> BaseException | None:
        """Run the scenario, then end what it left hanging; returns its error, so that no group is wrapped around it."""
        error: BaseException | None = None
        async with AsyncExitStack() as stack:
            self.stack = stack
            try:
                await scenario(w=self)
            except BaseException as raised:  # noqa: BLE001  # raised again by `run`, once everything has ended
                error = raised
            for load in self.loads:
                if load.action is None:
                    load.succeed(None)
            await self.settle()
            for cache in self.caches:
                await self._shut(cache)
        return error

    async def _shut(self, cache: Any) -> None:
        caller = self.begin(lambda: cache.close(cancel=True))
        await self.settle()
        assert caller.is_done, "the cache could not be closed"

    def _call(self, method: Callable[..., Any], key: object, leaves: int | None) -> Caller:
        if leaves is None:
            return self.begin(lambda: method(key))
        timeout_ns = leaves * FIRST_LEAVE_NS
        return self.begin(lambda: self.call_with_timeout(method, key, timeout_ns), timeout_ns)

    def call_with_timeout(self, method: Callable[..., Any], key: object, _timeout_ns: int) -> Any:
        """Call a method that may be given up; runtimes that cancel need nothing for it."""
        return method(key)

    def begin(self, call: Callable[[], Any], timeout_ns: int | None = None) -> Caller:
        """Start a caller of any method."""
        caller = Caller(timeout_ns)
        self.callers.append(caller)
        self.start(caller, call)
        return caller
