"""The threads on which loads run that no caller runs itself.

A `ThreadPoolExecutor` will not do: the interpreter waits for its threads at exit, and a bounded pool whose loads wait
for other loads can wait for itself for ever. Here threads are daemons; a load somebody waits for always gets a thread,
and only refreshes queue for one of a few. A refresh that was given up does not count among them.

Any thread here may be interrupted between any two instructions. Then the condition is free again, and the job that a
worker had taken is done by another: a load that was begun is not begun again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, final

from herdless import _primitives
from herdless._daemons import Begun

Job: TypeAlias = Callable[[], object]

MAX_REFRESHERS: Final = 8
"""So many refreshes run at once at most, those not counted that were given up."""

IDLE_SECONDS: Final = 10.0
"""A thread that found nothing to do for so long ends."""


class Executor(Protocol):
    """What `executor=` must offer: `concurrent.futures.Executor` does."""

    def submit(self, job: Job, /) -> object: ...


class Load(Protocol):
    """What is known here of the load that a job runs."""

    due_at: int
    has_ended: bool
    is_urgent: bool


L = TypeVar("L", bound=Load)
T = TypeVar("T")


@final
class Workers(Generic[L]):
    """Daemon threads, made when needed and kept for a while."""

    def __init__(self, idle_seconds: float | None = None) -> None:
        self._idle_seconds: Final = IDLE_SECONDS if idle_seconds is None else idle_seconds
        self._condition: Final = _primitives.Condition()
        self._jobs: Final[deque[tuple[Job, L]]] = deque()
        self._taken: Final[dict[int, tuple[Job, L, bool]]] = {}
        """What each thread has taken up, and whether it was a refresh; those that were given up and hang included."""
        self._idle: Final[set[int]] = set()
        """The threads that wait for a job."""
        self._wanted: Final[deque[None]] = deque()
        """One for each thread that is to be started."""

    def submit(self, job: Job, load: L) -> None:
        """Run the job of this load soon on some thread; an urgent one on a thread of its own if all are busy."""
        try:
            self._locked(lambda: self._submit(job, load))
        except BaseException:  # no thread can be had: the job must not stay behind in the queue
            self._locked(lambda: self._take_back(job, load))
            raise

    def running(self) -> list[L]:
        """The refreshes that run now."""
        return self._locked(lambda: [load for _, load, is_refresh in self._taken.values() if is_refresh])

    def _locked(self, step: Callable[[], T]) -> T:
        """Take the step inside the condition, and leave that free in any case: `with` alone does not, where an
        interrupt comes between the end of its block and the release.
        """
        try:
            with self._condition:
                done = step()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # until it is not this thread's any more
                while True:
                    self._condition.release()
            raise
        if self._wanted and not self._condition._is_owned():  # type: ignore[attr-defined]  # as by foreign code inside
            self._start_wanted()
        return done

    def _start_wanted(self) -> None:
        """Outside of the condition: a thread that is just beginning may run a finalizer, which submits another load."""
        with contextlib.suppress(IndexError):  # another thread has started it
            while True:
                self._wanted.pop()
                try:
                    _primitives.start_daemon(self._work, "herdless load", self._died)
                except BaseException:
                    self._wanted.append(None)
                    raise

    def _submit(self, job: Job, load: L) -> None:
        if len(self._idle) > len(self._jobs):
            self._condition.notify()
        elif load.is_urgent or self._has_room():
            self._wanted.append(None)
        if load.is_urgent:
            self._jobs.appendleft((job, load))
        else:
            self._jobs.append((job, load))

    def _take_back(self, job: Job, load: L) -> None:
        with contextlib.suppress(ValueError):  # a thread has taken it up
            self._jobs.remove((job, load))

    def _has_room(self) -> bool:
        """Whether one more refresh may run: those that were given up do not count. Inside the condition."""
        return sum(is_refresh and not load.has_ended for _, load, is_refresh in self._taken.values()) < MAX_REFRESHERS

    def _died(self) -> None:
        """A thread was started and has ended before its first step."""
        self._locked(self._want_another)

    def _work(self, begun: Begun) -> None:
        try:
            begun.append(None)
            self._work_on()
        except BaseException:
            self._locked(self._give_back)
            raise

    def _work_on(self) -> None:
        while self._works():
            pass

    def _works(self) -> bool:
        """Do one job; False when there was none. In a frame of its own, so that an idle thread keeps nothing of it."""
        job = self._locked(self._next)
        if job is None:
            return False
        job()
        self._locked(self._done)
        return True

    def _next(self) -> Job | None:
        me = get_ident()
        self._idle.add(me)
        found = self._condition.wait_for(self._has_work, self._idle_seconds)
        self._idle.discard(me)
        if not found:
            return None
        job, load = self._jobs[0]
        self._taken[me] = job, load, not load.is_urgent
        self._jobs.popleft()
        return job

    def _done(self) -> None:
        self._taken.pop(get_ident(), None)

    def _give_back(self) -> None:
        """This thread was interrupted, and ends: another does what it had taken up, if it is not done."""
        me = get_ident()
        self._idle.discard(me)
        taken = self._taken.pop(me, None)
        if taken is not None:
            job, load, _ = taken
            self._submit(job, load)
        else:
            self._want_another()

    def _want_another(self) -> None:
        """In place of a thread that has ended, if one of the jobs was its own to take. Inside the condition."""
        if len(self._jobs) > len(self._idle):
            self._wanted.append(None)

    def _has_work(self) -> bool:
        return bool(self._jobs) and (self._jobs[0][1].is_urgent or self._has_room())
