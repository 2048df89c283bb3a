"""Runs of trio whose order is a schedule and whose time is virtual."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, final
from unittest.mock import patch

from herdless._testing._asyncio import Deadlock
from herdless._testing._clock import VirtualClock
from herdless._testing._schedule import Schedule
from herdless_core import NANOSECONDS_PER_SECOND

T = TypeVar("T")

DOOMSDAY_SECONDS: Final = 1e7
"""Virtual time gets here only when everybody waits for what has no deadline."""


def run_trio(
    main: Callable[[], Awaitable[T]], schedule: Schedule | None = None, *, clock: VirtualClock | None = None
) -> T:
    """Run `main()` as `trio.run` does, but the schedule says in which order the tasks of a batch run.

    Time is virtual and jumps when all tasks wait. Give the same clock to the cache. Raises Deadlock when nothing could
    ever wake anybody, ImportError where trio is not installed.
    """
    try:
        import trio
        import trio.testing
    except ImportError as error:
        raise ImportError("run_trio needs trio: pip install 'herdless[trio]'") from error

    schedule = schedule or Schedule()
    mock: Final = trio.testing.MockClock(autojump_threshold=0)

    async def within_time() -> T:
        if clock is not None:
            clock.follow(
                lambda: round(mock.current_time() * NANOSECONDS_PER_SECOND),
                lambda by: mock.jump(by / NANOSECONDS_PER_SECOND),
            )
        with trio.move_on_at(DOOMSDAY_SECONDS) as until_doomsday:
            result = await main()
        if until_doomsday.cancelled_caught:
            raise Deadlock("every task waits, and none for something that has a deadline")
        return result

    # trio has no public switch for this; its Hypothesis plugin does the same (trio._core._run).
    with (
        patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        patch.object(trio._core._run, "_r", _Shuffler(schedule)),
    ):
        return trio.run(within_time, clock=mock)


@final
class _Shuffler:
    """Stands for trio's own `random.Random`."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule: Final = schedule
        self._names: Final[dict[Any, str]] = {}

    def _name(self, task: Any) -> str:
        """Its function and a number: many tasks run the same function."""
        name = task.name.rpartition(".")[2]
        if task.name.startswith("<"):  # of a compiled method trio takes the whole `repr`, which has an address in it
            name = task.name.partition(" of ")[0].rpartition(" ")[2]
        return self._names.setdefault(task, f"{name} {len(self._names) + 1}")

    def shuffle(self, batch: list[Any]) -> None:
        """Put the tasks of a batch in the order of the schedule."""
        rest = batch[:]
        batch.clear()
        while rest:
            names = [self._name(task) for task in rest]
            picked = self._schedule.pick(names)
            self._schedule.note(names[picked])
            batch.append(rest.pop(picked))

    def uniform(self, low: float, _high: float) -> float:
        """Where trio's own clock starts."""
        return low
