"""Those whom a scenario watches: the calls of the loader, and the callers of the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from herdless_core import Previous, shown


class Spot(Protocol):
    """Where a load parks: the runtime's event."""

    def set(self) -> object:
        """Let it go on."""

    def wait(self) -> Any:
        """Wait until it is set; to be awaited where the runtime has `await`."""


class Load:
    """One call of the loader."""

    def __init__(self, key: object, spot: Spot) -> None:
        self.key: Final = key
        self.spot: Final = spot
        self.previous: Previous[Any] | None = None
        """The second argument, where the loader is given one."""
        self.was_cancelled = False
        self.action: Callable[[], Any] | None = None

    def __repr__(self) -> str:
        state = "parked" if self.action is None else "released"
        return f"<load of {shown(self.key)}: {state}{', cancelled' if self.was_cancelled else ''}>"

    def release(self, action: Callable[[], Any]) -> None:
        """Let the loader go on: it returns what `action` returns, awaited if need be, or raises what that raises."""
        assert self.action is None, f"the load of {shown(self.key)} was released before"
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
    """One call of a method of the cache, in a task or thread of its own.

    started_at: the instant of the call, in nanoseconds of the world's clock.
    timeout_ns: for a caller that is to leave: its timeout, where the runtime knows no other way to give up.
    """

    def __init__(self, started_at: int, timeout_ns: int | None) -> None:
        self.started_at: Final = started_at
        self.timeout_ns: Final = timeout_ns
        self.is_done = False
        self.has_left = False
        self.handle: Any = None
        """What `World.spawn` returned: by it the runtime cancels the call."""
        self._value: Any = None
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        if not self.is_done:
            return "<a caller who waits>"
        if self.has_left:
            return "<a caller who left>"
        return f"<a caller who got {self._value!r}>" if self.error is None else f"<a caller who got {self.error!r}>"

    def answer(self, value: object) -> None:
        """The call returned."""
        assert not self.is_done, f"{self} was answered again, by {value!r}"
        self.is_done, self._value = True, value

    def fail(self, error: BaseException) -> None:
        """The call raised."""
        assert not self.is_done, f"{self} was answered again, by {error!r}"
        self.is_done, self.error = True, error

    def leave(self) -> None:
        """The call was given up by its caller."""
        assert not self.is_done, f"{self} left after that"
        self.is_done = self.has_left = True

    @property
    def value(self) -> Any:
        """What the call returned; raises what it raised."""
        __tracebackhide__ = True  # the scenario's line says more
        if not self.is_done or self.has_left:
            raise AssertionError(f"{self} has no value")
        if self.error is not None:
            raise self.error
        return self._value
