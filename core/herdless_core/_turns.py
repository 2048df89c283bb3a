"""`max_loads`: which loads run, and which wait for their turn.

A load keeps its turn until its loader comes to its end, also where its flight has ended before: what hangs in a thread
is a load that runs. One that is asked for inside a load takes its turn at once, for the outer one could never end
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

from herdless_core._effects import Effects, StartLoad
from herdless_core._running import RunningLoad


@final
class Turns:
    """The loads that have a turn, and in their order those that wait for one."""

    __slots__ = ("_running", "_waiting", "max_loads")

    def __init__(self, max_loads: int) -> None:
        """max_loads: how many loads run at once, at least 1."""
        self.max_loads: Final = max_loads
        self._running: Final[set[RunningLoad]] = set()
        """The loads that run, those included whose flight has ended."""
        self._waiting: Final[dict[int, RunningLoad]] = {}
        """The flights that wait, by generation."""

    def is_free(self) -> bool:
        """Whether one more load may run."""
        return len(self._running) < self.max_loads

    def begin(self, load: RunningLoad) -> None:
        """This load runs, whether there was a turn for it or not."""
        self._waiting.pop(load.generation, None)
        self._running.add(load)

    def end(self, load: RunningLoad) -> None:
        """This load does not run any more."""
        self._running.discard(load)

    def put_back(self, load: RunningLoad) -> None:
        """This load has not begun, and gives its turn to another one: it waits again."""
        self._running.discard(load)
        self._waiting[load.generation] = load

    def running(self) -> list[RunningLoad]:
        """The loads that have a turn."""
        return list(self._running)

    def nothing_runs(self) -> None:
        """Whoever ran loads is gone: every turn is free."""
        self._running.clear()

    def give_up(self, generation: int) -> None:
        """This flight has ended; it does not wait for a turn any more."""
        self._waiting.pop(generation, None)

    def waiting(self, generation: int) -> RunningLoad | None:
        """The load of this flight, if it waits for its turn."""
        return self._waiting.get(generation)

    def following(self, waiters: Callable[[int], int | None]) -> RunningLoad | None:
        """Whose turn it is: a load that callers wait for before all others. None where there is no turn to be had, or
        nobody wants one. waiters: how many callers wait for a flight, by its generation.
        """
        if not self._waiting or not self.is_free():
            return None
        awaited = (generation for generation in self._waiting if waiters(generation))
        return self._waiting[next(awaited, next(iter(self._waiting)))]

    def admitted(self, effects: Effects, flights: Mapping[int, RunningLoad], *, is_nested: bool) -> Effects:
        """The effects of a step, without the StartLoad of a load that has to wait for its turn.

        flights: those in flight, by generation; is_nested: whether the load was asked for inside of another one.
        """
        return tuple(
            effect
            for effect in effects
            if not isinstance(effect, StartLoad) or self._admits(flights[effect.generation], is_nested)
        )

    def _admits(self, load: RunningLoad, is_nested: bool) -> bool:
        if is_nested or self.is_free():
            self.begin(load)
            return True
        self._waiting[load.generation] = load
        return False
