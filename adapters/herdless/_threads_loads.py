"""How threads run loads: on the caller's own thread, on a daemon thread, or on an executor.

What cannot be done with threads is to cancel a load: one that nobody waits for any more is left to finish, and its
value is stored.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Final, Generic, Unpack, final

from herdless import _primitives
from herdless._workers import Executor, Job, Workers
from herdless.adapter import (
    LOADING,
    LOOK_AGAIN,
    NOTHING,
    WAITS_FOR_TURN,
    BaseCache,
    CacheOptions,
    K,
    Loader,
    V,
    called_with_previous,
    not_awaitable,
)
from herdless_core import (
    LONG_AGO,
    NEVER,
    Answer,
    Effects,
    Failure,
    LoadCancelled,
    Outcome,
    PolicyError,
    Refuse,
    RunningLoad,
    StartLoad,
)

MAX_LOADS: Final = 128
"""How many loads of a cache run at once, unless `max_loads` says something else."""

HERE: Final = object()
"""The place of a caller who may run the load on its own thread; one with a timeout may not."""

TOGETHER: Final = object()
"""The place of a caller who begins several loads before it runs them."""


@final
class Wait:
    """Where the waiters of a flight are parked, and what they are woken with."""

    __slots__ = ("done", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None  # not the class's: mypyc 2.4 drops a None that is one of three
        self.done: _primitives.Event | None = None
        """Made for the first who parks: the caller who runs the load itself needs none."""

    def park(self) -> _primitives.Event:
        """Where to wait for the outcome. Inside the lock, or the wake-up could come before."""
        if self.done is None:
            self.done = _primitives.Event()
        return self.done


NO_WAIT: Final = Wait()
"""Of callers who do not wait."""


@final
class ThreadsLoad(RunningLoad):
    """A load and what threads need for it: whether one has taken it up, and where its waiters are parked."""

    is_begun: bool = False
    """Whether a thread has taken the load up."""
    is_urgent: bool = False
    """Whether a caller has asked for it: then it does not queue behind refreshes."""

    def __init__(self, key: object, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.wait: Wait | None = Wait()
        """Not longer than until it is settled: what a load starts may keep its context, and so this flight."""

    def waits_for_this_thread(self) -> bool:
        """Whether this very thread has begun a lookup that is to launch it: who asks has come in between."""
        return not self.is_launched and self.boarder == get_ident()


class ThreadsLoads(BaseCache[K, V, ThreadsLoad], Generic[K, V]):
    """The part of the cache that runs loads."""

    def __init__(
        self,
        load: Callable[..., object] | None,
        executor: Executor | None,
        around_load: Callable[[], AbstractContextManager[object]] | None,
        **options: Unpack[CacheOptions],
    ) -> None:
        options.setdefault("max_loads", MAX_LOADS)
        BaseCache.__init__(self, load, ThreadsLoad, **options)  # super(): mypyc 2.4 is wrong
        if around_load is not None and not callable(around_load):
            raise PolicyError(
                f"around_load={around_load!r} is not accepted: give a function that returns a context manager"
            )
        self._home = HERE
        self._executor: Final = executor
        self._around_load: Final = around_load
        self._workers = Workers[ThreadsLoad]()

    def _with_previous(self, load: Callable[..., object]) -> Callable[[K], object]:
        return called_with_previous(load)

    # Inside of a lookup

    def _ask(
        self, key: K, loading: RunningLoad | None, load: Loader | None
    ) -> tuple[ThreadsLoad | Answer | Refuse, ThreadsLoad | None]:
        """As ever, but that a load for which nobody waited makes way for the caller: a refresh that waits for a thread
        is run for the caller at once, and one that has not begun gives up its turn.
        """
        asked, boarded = BaseCache._ask(self, key, loading, load)
        if isinstance(asked, ThreadsLoad) and asked is not boarded and self._is_queued(asked):
            self._overtaking.add(get_ident())
            self._carry_out(self._keyspace.supersede(asked))
            asked, boarded = BaseCache._ask(self, key, loading, load or asked.own_load)
            self._launch_later(self._carry_out(self._keyspace.next_turn(LONG_AGO)))  # where the caller did not take it
        if isinstance(asked, ThreadsLoad) and asked is not boarded and self._keyspace.waits_for_turn(asked):
            self._overtaking.add(get_ident())
            boarded = self._take_turn(asked)
        return asked, boarded

    def _take_turn(self, flight: ThreadsLoad) -> ThreadsLoad | None:
        """A caller waits for a load that has no turn: that of a refresh which has not begun, if there is one, goes to
        what callers wait for. The flight itself if it is this one. Inside the lock.
        """
        loads = (load for load in self._keyspace.turns() if isinstance(load, ThreadsLoad) and not load.has_ended)
        giving = next((load for load in loads if self._is_queued(load)), None)
        if giving is None:
            return None
        giving.boarder = WAITS_FOR_TURN
        boarded = self._carry_out(self._keyspace.yield_turn(giving))
        if boarded is flight:
            return flight
        self._launch_later(boarded)
        return None

    def _launch_later(self, flight: ThreadsLoad | None) -> None:
        """Launch the flight, if there is one, when the lock is left. Inside the lock."""
        if flight is not None:
            order = StartLoad(flight.generation, flight.due_at)
            self._postponed.append(lambda _: NOTHING if flight.has_ended else (order,))

    def _is_queued(self, flight: ThreadsLoad) -> bool:
        """Whether it is a refresh that waits for a thread, and nobody waits for it yet. Inside the lock."""
        return not (flight.is_begun or flight.is_urgent or flight.boarder == WAITS_FOR_TURN)

    def _park(
        self, flight: ThreadsLoad, boarded: ThreadsLoad | None, place: object, loading: RunningLoad | None
    ) -> Wait:
        """Where the caller waits; nothing is made for one who is to run the load."""
        if flight is not boarded and flight.waits_for_this_thread():
            self._carry_out(self._keyspace.waiter_left(flight.generation, LONG_AGO, can_cancel=False))
            return NO_WAIT
        wait = flight.wait or NO_WAIT
        flight.is_urgent = True
        if flight is boarded and (place is TOGETHER or runs_here(flight, place)):
            flight.is_begun = True
        if flight is not boarded or not runs_here(flight, place):
            wait.park()
        return wait

    # Running loads

    def _launch(self, flight: ThreadsLoad) -> None:
        if flight.is_begun:
            return  # by the caller, who runs it when the lookup has left the lock
        if not flight.is_urgent:
            self._give_up_overdue(self._clock())
        try:
            self._submit(flight, self._run_aside, functools.partial(self._job_over, flight))
        except Exception as error:  # noqa: BLE001  # no thread can be had, or the executor was shut down
            self._failed(flight, error)
        flight.is_launched = True

    def _submit(
        self, flight: ThreadsLoad, run: Callable[[ThreadsLoad], None], over: Callable[[Future[object]], None]
    ) -> None:
        """Have a load run on another thread. flight: the load; run: what is called with it, in a copy of the context
        here; over: called with the executor's future, where the executor is one of Python's own.
        """
        job: Job = functools.partial(contextvars.copy_context().run, run, flight)
        if self._executor is None:
            self._workers.submit(job, flight)
            return
        submitted = self._executor.submit(job)
        if isinstance(submitted, Future):
            submitted.add_done_callback(over)

    def _job_over(self, flight: ThreadsLoad, job: Future[object]) -> None:
        if not flight.is_begun and (job.cancelled() or job.exception() is not None):
            self._dropped(flight)  # the executor was shut down, or the job interrupted at its very first instruction

    def _give_up_overdue(self, now: int) -> None:
        """A refresh whose time is over may hang for ever: it does not keep others from being run."""
        for flight in self._workers.running():
            if now >= flight.due_at and not flight.has_ended:
                self._deadline_passed(flight)

    def _run(self, flight: ThreadsLoad) -> None:
        """Call the loader on this thread, and report how it ended. Raises what is no `Exception`."""
        outside, handled = LOADING.get(), sys.exception()
        try:
            try:
                # In here: an interrupt between the two `try` would not be seen by the outer one. And until the load is
                # reported: whoever asks for its key on this thread, a signal handler too, is inside of it.
                LOADING.set(flight)
                flight.is_launched = True
                load = self._loader_of(flight)
                value = not_awaitable(load, load(flight.key))
            except Exception as error:  # noqa: BLE001  # it is told to the waiters, this caller among them
                self._failed(flight, error, handled)
            else:
                self._succeeded(flight, value)
            LOADING.set(outside)
        except BaseException as error:
            LOADING.set(outside)
            self._broken_off(flight, error, handled)
            raise

    def _run_aside(self, flight: ThreadsLoad) -> None:
        try:
            if self._look(lambda: self._begins(flight)):
                with contextlib.nullcontext() if self._around_load is None else self._around_load():
                    self._run(flight)
            elif flight.has_ended:
                self._dropped(flight)  # superseded while it was queued: a closed cache must not go on loading
        except BaseException as error:  # noqa: BLE001  # an interrupt has no business on a worker's thread
            self._broken_off_aside((flight,), error)

    def _broken_off_aside(self, flights: Sequence[ThreadsLoad], error: BaseException) -> None:
        """On a thread of the cache's own, something raised this before, in or after the loads of these flights."""
        open_ones = [flight for flight in flights if not flight.has_ended]
        for flight in open_ones:
            self._failed(flight, error)
        if not open_ones and isinstance(error, Exception):
            self._log.tell("around_load_failed", "around_load failed after a load", error=error)

    def _begins(self, flight: ThreadsLoad) -> bool:
        """Whether this thread is the one to run the load. Inside the lock."""
        begins = not flight.is_begun and not flight.has_ended and not self._keyspace.waits_for_turn(flight)
        flight.is_begun = flight.is_begun or begins
        flight.is_launched = flight.is_launched or begins  # also where it is not said yet by whoever launches it
        return begins

    def _tell_apart(self, flight: ThreadsLoad, number: int, now: int) -> Effects:
        if flight.is_joined and flight.wait is not None:
            flight.places = (*flight.places, (number, flight.wait))
            flight.wait = Wait()
            flight.wait.park()  # so that `_settle` looks who waits
        return NOTHING

    def _settle(self, flight: ThreadsLoad, outcome: Outcome) -> None:
        wait = flight.wait
        if wait is not None:
            if wait.done is None:  # nobody waits but who runs the load itself
                wait.outcome = outcome
            else:
                for number, place in flight.places:
                    _wake(place, LOOK_AGAIN if flight.is_too_old_for(number) else outcome)
                _wake(wait, LOOK_AGAIN if flight.outdated_by else outcome)
            flight.wait = None
            flight.places = ()

    def _cancel(self, flight: ThreadsLoad) -> None:
        """Threads cannot cancel. But a load that has not begun never will, and its turn is another's now: the thread
        that is to take it up may be long in coming.
        """
        if not flight.is_begun:
            self._postponed.append(functools.partial(self._keyspace.load_over, flight))

    def _arm(self, flight: ThreadsLoad) -> None:
        """Waiters look at the time themselves; a flight without any is looked at by the next lookup."""

    def _abandon(self) -> None:
        """The events are left alone: the parent's threads may have held their locks."""
        forked = Failure(LoadCancelled("the process was forked during the load"), None)
        for flight in self._ended.values():
            for wait in (flight.wait, *(place for _, place in flight.places)):
                if wait is not None:
                    wait.outcome = forked
        self._workers = Workers[ThreadsLoad]()


def _wake(wait: Wait, outcome: Outcome) -> None:
    if wait.outcome is None:  # it is told again where it was broken off
        wait.outcome = outcome
    if wait.done is not None:
        wait.done.set()


def runs_here(flight: ThreadsLoad, place: object) -> bool:
    """Whether the caller whose lookup has boarded the flight runs it itself: nobody may have to leave it behind."""
    return place is HERE and flight.due_at == NEVER and not flight.is_covered
