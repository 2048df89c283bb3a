"""What callers of a cache may be told: a model that knows of loads, of removals and of nothing else.

It holds no entry and no flight. Every value is made once, by a load or a put, and remembered with the moment at which
it was made; a caller may be told one of its own key, made no earlier than the last removal that was over when the
caller began, and not too old. So it is right for every order that a runtime may choose.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from herdless.adapter import LOADING
from herdless_core import CacheClosed, LoadCancelled, LoadTimeout, ReentrantLoad, StartLoad, Step, TooManyWaiters

ANY_TIME: Final = 2**62


class LoadBroke(Exception):
    """What a loader raises that fails."""


class Made:
    """A value, or an error, of which it is known who made it and when."""

    def __init__(self, key: str, name: str, made_at: int, instant: int) -> None:
        self.key: Final = key
        self.name: Final = name
        self.made_at: Final = made_at
        self.made_until = made_at
        """When it may still have been made: a put takes effect at some moment between its call and its end."""
        self.instant: Final = instant
        self.ended_at = ANY_TIME
        """When the load was at its end; who comes earlier may wait for it, however old it is then."""

    def __repr__(self) -> str:
        return self.name


class Caller:
    """One lookup."""

    def __init__(self, key: str, began_at: int, barrier: int, instant: int) -> None:
        self.key: Final = key
        self.began_at: Final = began_at
        self.barrier: Final = barrier
        self.instant: Final = instant
        self.is_done = False
        self.may_leave = False
        """Whether somebody cancelled it."""


class Oracle:
    """Records what happens to a cache, and judges what its callers are told.

    horizon: nanoseconds after which no value may be served to a caller who did not wait for it.
    allowed: the errors that herdless itself may raise, beside LoadCancelled and ReentrantLoad.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        horizon: int = ANY_TIME,
        allowed: Iterable[type[Exception]] = (LoadTimeout, TooManyWaiters),
    ) -> None:
        self._clock: Final = clock
        self._horizon: Final = horizon
        self._allowed: Final[tuple[type[Exception], ...]] = (LoadCancelled, ReentrantLoad, *allowed)
        self._count: Final = itertools.count(1)
        self._barriers: Final[dict[str, int]] = {}
        self._cleared_at = 0
        self._generations: Final[dict[int, str]] = {}
        self.is_closed = False
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
        made.ended_at = next(self._count)

    def put(self, key: str) -> Made:
        """A value to put."""
        made = self._make(key, f"put of {key}")
        made.ended_at = made.made_at
        return made

    @contextmanager
    def removing(self, key: str | None, by: Made | None = None) -> Iterator[None]:
        """Meanwhile the key, or every key, is invalidated or put; nobody who begins later may see what was before."""
        at = next(self._count) if by is None else by.made_at
        if by is not None:
            by.made_until = ANY_TIME
        yield
        if by is not None:
            by.made_until = next(self._count)
        if key is None:
            self._cleared_at = max(self._cleared_at, at)
        else:
            self._barriers[key] = max(self._barriers.get(key, 0), at)

    def begins(self, key: str) -> Caller:
        """A caller looks the key up."""
        barrier = max(self._barriers.get(key, 0), self._cleared_at)
        caller = Caller(key, next(self._count), barrier, self._clock())
        self.callers.append(caller)
        return caller

    def _make(self, key: str, name: str) -> Made:
        return Made(key, name, next(self._count), self._clock())

    # What callers are told

    def answered(self, caller: Caller, made: Any) -> None:
        """The lookup returned this value."""
        with self._remembering(caller):
            assert isinstance(made, Made), f"{made!r} was made by nobody"
            self._judge(caller, made)
            if made.ended_at < caller.began_at:
                assert caller.instant - made.instant < self._horizon, f"{made} is too old to be served"

    def failed(self, caller: Caller, error: BaseException) -> None:
        """The lookup raised this error."""
        with self._remembering(caller):
            if isinstance(error, LoadBroke):
                self._judge(caller, error.args[0])
            elif isinstance(error, CacheClosed):
                assert self.is_closed, "the cache says that it is closed, but it is not"
            else:
                assert isinstance(error, self._allowed), f"a caller was told {error!r}"

    def left(self, caller: Caller) -> None:
        """The lookup was given up."""
        with self._remembering(caller):
            assert caller.may_leave, f"a caller of {caller.key!r} was cancelled by nobody"

    @contextmanager
    def _remembering(self, caller: Caller) -> Iterator[None]:
        try:
            assert not caller.is_done, "a caller was answered twice"
            caller.is_done = True
            yield
        except AssertionError as complaint:
            self._complaints.append(complaint)
            raise

    def _judge(self, caller: Caller, made: Made) -> None:
        assert made.key == caller.key, f"a caller of {caller.key!r} was told {made}"
        assert made.made_until >= caller.barrier, (
            f"{made} was told to a caller who came after its removal (NoStaleRead)"
        )

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
