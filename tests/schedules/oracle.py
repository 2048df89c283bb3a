"""The model of what callers may be told, as the tests of schedules ask it: what is wrong is an AssertionError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from herdless.adapter import LOADING
from herdless_core import StartLoad, Step
from herdless_verify.soak.model import ANY_TIME, Caller, LoadBroke, Made, Model

__all__ = ["Caller", "LoadBroke", "Made", "Oracle", "watched"]


class Oracle(Model):
    """Records what happens to a cache, and judges what its callers are told.

    policy: the cache's fields by name. horizon: nanoseconds after which no value may be served to a caller who did not
    wait for it.
    """

    def __init__(
        self, clock: Callable[[], int], policy: Mapping[str, Any] | None = None, *, horizon: int = ANY_TIME
    ) -> None:
        super().__init__(clock, {} if policy is None else policy)
        self._horizon: Final = horizon
        self._generations: Final[dict[int, str]] = {}
        self.inside = 0
        """How many are inside of a lookup just now."""
        self.callers: Final[list[Caller]] = []
        self._complaints: Final[list[AssertionError]] = []
        """What was raised in a task, where it may be lost."""

    # What happens

    def load_begins(self, key: str) -> Made:
        """The loader was called. A generation is loaded once (SingleFlight)."""
        running = LOADING.get()
        assert running is not None, "a loader is called outside of its flight"
        assert running.key == key, f"the flight of {running.key!r} loads {key!r}"
        assert running.generation not in self._generations, f"flight {running.generation} called its loader twice"
        self._generations[running.generation] = key
        return self._make(key, f"load {running.generation} of {key}")

    def load_ends(self, made: Made) -> None:
        """The loader is about to return it."""
        made.settled_at = self.number()

    def put(self, key: str) -> Made:
        """A value to put."""
        made = self._make(key, f"put of {key}")
        made.settled_at = made.number
        return made

    def begins(self, key: str, *, is_inside_load: bool = False) -> Caller:
        """A caller looks the key up."""
        caller = super().begins(key)
        caller.is_inside_load = is_inside_load
        self.callers.append(caller)
        return caller

    def _make(self, key: str, name: str) -> Made:
        made = Made(key, name, self.number(), self._horizon, self._horizon)
        made.loaded_at = self._clock()
        return made

    # What callers are told

    def answered(self, caller: Caller, made: Any) -> None:
        """The lookup returned this value."""
        self._judge(caller, self.wrong_in_answer(caller, made))

    def failed(self, caller: Caller, error: BaseException) -> None:
        """The lookup raised this error."""
        self._judge(caller, self.wrong_in_error(caller, error))

    def left(self, caller: Caller) -> None:
        """The lookup was given up."""
        self._judge(caller, self.wrong_in_leaving(caller))

    def _judge(self, caller: Caller, wrong: Iterator[str]) -> None:
        complaints = [f"a caller of {caller.key} {what}" for what in wrong]
        if complaints:
            self._complaints.append(AssertionError("; ".join(complaints)))
            raise self._complaints[-1]

    def assert_waiters_are_counted(self, cache: Any) -> None:
        """When nothing can move, those inside of a lookup are those who are counted as waiters (WaiterCount)."""
        counted = sum(cache._keyspace.waiters(generation) for generation in cache._flights)
        assert counted == self.inside, f"{self.inside} callers wait, {counted} are counted"

    # At the end

    def assert_all_answered(self) -> None:
        """Nobody hangs (EveryGetAnswered), and nobody was told what is wrong."""
        if self._complaints:
            raise self._complaints[0]
        waiting = [caller.key for caller in self.callers if not caller.is_done]
        assert not waiting, f"callers still wait for {waiting}"

    def assert_loads_were_ordered(self, trace: Iterable[tuple[Any, Step]]) -> None:
        """The loader is called for the flights that the machine started, and for no others."""
        started = {
            effect.generation: key for key, step in trace for effect in step.effects if isinstance(effect, StartLoad)
        }
        assert self._generations.items() <= started.items()


async def watched(oracle: Oracle, caller: Caller, look_up: Callable[[], Awaitable[Any]]) -> None:
    """Await an asyncio lookup, and tell the oracle how it ended."""
    try:
        made = await look_up()
    except asyncio.CancelledError:
        oracle.left(caller)
        raise
    except Exception as error:  # noqa: BLE001  # the oracle judges it
        oracle.failed(caller, error)
    else:
        oracle.answered(caller, made)
