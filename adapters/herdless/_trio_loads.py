"""How trio runs loads and wakes those who wait: one task in the cache's nursery for each flight, and one event.

Loads belong to the cache, not to the caller who happened to be first, so they run in a nursery that `async with
Cache(...)` opens. A load that fails never takes it down: the error goes to the waiters.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable
from typing import Final, Generic, Unpack, final

import trio

from herdless.adapter import LOADING, LOOK_AGAIN, NOTHING, BaseCache, CacheOptions, K, V, awaitable
from herdless_core import NANOSECONDS_PER_SECOND, CacheClosed, Effects, LoadCancelled, Outcome, RunningLoad


@final
class Wait:
    """Where the waiters of a flight are parked, and what they are woken with."""

    __slots__ = ("done", "outcome")

    def __init__(self) -> None:
        self.done: Final = trio.Event()
        self.outcome: Outcome  # set before `done` is


@final
class TrioLoad(RunningLoad):
    """A load and what trio needs for it: its task and scope, and the event for its waiters."""

    task: trio.lowlevel.Task | None = None
    """The load, while it runs."""
    timer: trio.CancelScope | None = None

    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.wait: Wait | None = Wait()
        """Not longer than until it is settled: what a load starts keeps its context, and so this flight."""
        self.scope: Final = trio.CancelScope()

    def holds_up(self) -> bool:
        """Whether this load cannot end before the current task does: it is of a nursery inside the load."""
        if self.task is None or not trio.lowlevel.in_trio_task():
            return True  # a thread's own code, which tells nothing
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        while task is not None and task is not self.task:
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return task is not None


class TrioLoads(BaseCache[K, V, TrioLoad], Generic[K, V]):
    """The part of the cache that runs loads."""

    def __init__(self, load: Callable[..., object] | None, **options: Unpack[CacheOptions]) -> None:
        BaseCache.__init__(self, load, TrioLoad, **options)  # not super(): mypyc 2.4 passes ** wrongly through it
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        """The run that opened the cache."""
        self._loads: Final[set[TrioLoad]] = set()
        """Every load that still runs."""
        self._quiet: Final[list[trio.Event]] = []
        """Who wants to know that a load is over."""

    def _park(
        self, flight: TrioLoad, boarded: TrioLoad | None, place: object, loading: RunningLoad | None
    ) -> Wait | None:
        return flight.wait

    def _launch(self, flight: TrioLoad) -> None:
        self._in_run(contextvars.copy_context().run, self._start, flight)
        flight.is_launched = True

    def _start(self, flight: TrioLoad) -> None:
        if flight.has_ended or self._nursery is None:  # superseded before it was launched
            self._dropped(flight)
            return
        try:
            self._loads.add(flight)
            self._nursery.start_soon(self._run, flight, name="herdless load")
        except RuntimeError:  # the nursery is closed to new arrivals
            self._loads.discard(flight)
            self._dropped(flight)
        except BaseException:  # an interrupt: whoever launches it looks after its waiters
            self._loads.discard(flight)
            raise

    async def _run(self, flight: TrioLoad) -> None:
        try:
            with flight.scope:
                await self._load_in_scope(flight)
        except Exception as error:  # what a cancelled group leaves is reported already
            self._log.logger.debug("what a cancelled load left behind", exc_info=error)
        finally:
            self._over(flight)

    def _over(self, flight: TrioLoad) -> None:
        """The load's task ends, in whatever way."""
        try:
            self._clean_up(flight)
        except BaseException:
            self._clean_up(flight)  # it was broken off, and nothing of it may not be done twice
            raise

    def _clean_up(self, flight: TrioLoad) -> None:
        flight.task = None
        self._loads.discard(flight)
        self._ensure_reported(flight)
        while self._quiet:
            self._quiet[-1].set()
            self._quiet.pop()

    async def _load_in_scope(self, flight: TrioLoad) -> None:
        try:
            if flight.has_ended:
                raise LoadCancelled("the load was superseded before it began")
            LOADING.set(flight)
            flight.task = trio.lowlevel.current_task()
            load = self._loader_of(flight)
            value = await awaitable(load, load(flight.key))
        except trio.Cancelled:
            self._dropped(flight)  # where the cache has not ordered it, the nursery ends
            raise
        except BaseException as error:
            self._failed(flight, error)
            if not isinstance(error, Exception):
                raise  # to the scope that cancelled it, or, an interrupt, to the nursery
        else:
            self._succeeded(flight, value)

    async def _watch(self, flight: TrioLoad) -> None:
        with trio.CancelScope() as flight.timer:
            await self._wait_for_deadline(flight)

    async def _wait_for_deadline(self, flight: TrioLoad) -> None:
        while not flight.has_ended:
            await trio.sleep(max(0.0, (flight.due_at - self._clock()) / NANOSECONDS_PER_SECOND))
            self._deadline_passed(flight)

    async def _wait(self, flight: TrioLoad, wait: Wait, soft_at: int | None = None) -> Outcome:
        """What a caller is answered with, in the end or after `soft_timeout`.

        flight: what it waits for; wait: where; soft_at: from when on a value that is kept is the answer, in
        nanoseconds; None: `soft_timeout` from now.
        """
        if flight.is_covered:
            kept = await self._wait_softly(flight, wait, self._soft_at() if soft_at is None else soft_at)
            if kept is not None:
                return kept
        await wait.done.wait()
        return wait.outcome

    async def _wait_softly(self, flight: TrioLoad, wait: Wait, soft_at: int) -> Outcome | None:
        """Wait so long at most; what is kept, if that is the answer then."""
        while not wait.done.is_set() and self._clock() < soft_at:
            with trio.move_on_after((soft_at - self._clock()) / NANOSECONDS_PER_SECOND):
                await wait.done.wait()
        return None if wait.done.is_set() else self._soft_timeout_passed(flight)

    def _tell_apart(self, flight: TrioLoad, number: int, now: int) -> Effects:
        if flight.is_joined and flight.wait is not None:
            flight.places = (*flight.places, (number, flight.wait))
            flight.wait = Wait()
        return NOTHING

    def _settle(self, flight: TrioLoad, outcome: Outcome) -> None:
        wait = flight.wait
        if wait is not None:
            for number, place in flight.places:
                self._wake(place, LOOK_AGAIN if flight.is_too_old_for(number) else outcome)
            self._wake(wait, LOOK_AGAIN if flight.outdated_by else outcome)
            flight.wait = None
            if flight.places:
                flight.places = ()
        if flight.timer is not None:
            self._in_run(flight.timer.cancel)

    def _wake(self, wait: Wait, outcome: Outcome) -> None:
        if not wait.done.is_set():  # it is told again where it was broken off
            wait.outcome = outcome
            self._in_run(wait.done.set)

    def _cancel(self, flight: TrioLoad) -> None:
        if flight in self._loads:
            self._in_run(flight.scope.cancel)

    def _arm(self, flight: TrioLoad) -> None:
        if flight.timer is None:  # `_watch` sleeps again by itself
            self._in_run(self._start_watch, flight)

    def _start_watch(self, flight: TrioLoad) -> None:
        if self._nursery is not None and not flight.has_ended:
            self._nursery.start_soon(self._watch, flight, name="herdless load_timeout")

    def _in_run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function, which must not block, in the run that opened the cache: now, or from elsewhere soon."""
        if self._token is None:
            return
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            function(*arguments)
            return
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *arguments)

    def _abandon(self) -> None:
        self._loads.clear()
        self._quiet.clear()

    def _require_runtime(self) -> None:
        self._open_nursery()

    def _open_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise CacheClosed("a trio cache loads inside its own nursery: open it by `async with cache:`")
        return self._nursery
