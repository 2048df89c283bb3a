"""Time that moves when told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from herdless_core import NANOSECONDS_PER_SECOND


@final
class VirtualClock:
    """A clock for `Cache(clock=...)`: integer nanoseconds that only `advance`, or a run of the kit, moves.

    now: where it starts, in nanoseconds.
    """

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._read: Callable[[], int] | None = None
        self._jump: Callable[[int], None] | None = None
        self.on_read: Callable[[], None] | None = None
        """Called before each reading: a scheduler makes a point of switching of it."""

    def __call__(self) -> int:
        """The instant in nanoseconds."""
        if self.on_read is not None:
            self.on_read()
        return self.now

    @property
    def now(self) -> int:
        """The instant in nanoseconds, read without anybody noticing."""
        return self._now if self._read is None else self._read()

    def advance(self, seconds: float) -> None:
        """Move on; ValueError for a negative number of seconds."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds!r} is not accepted: a clock does not go back")
        self.advance_to(self.now + round(seconds * NANOSECONDS_PER_SECOND))

    def advance_to(self, instant: int) -> None:
        """Move on to an instant in nanoseconds; one that is past changes nothing."""
        by: Final = max(0, instant - self.now)
        if self._jump is None:
            self._now += by
        else:
            self._jump(by)

    def follow(self, read: Callable[[], int], jump: Callable[[int], None]) -> None:
        """Show the time of a runtime that has its own: `read` gives it, `jump` moves it on; nanoseconds both."""
        self._read, self._jump = read, jump
