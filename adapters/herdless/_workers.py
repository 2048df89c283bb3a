"""The threads on which loads run that no caller runs itself.

A `ThreadPoolExecutor` will not do: the interpreter waits for its threads at exit, and a bounded pool whose loads wait
for other loads can wait for itself for ever. Here threads are daemons; a load somebody waits for always gets a thread,
and only refreshes queue for one of a few. A refresh that was given up does not count among them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, final

from herdless import _primitives

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


@final
class Workers(Generic[L]):
    """Daemon threads, made when needed and kept for a while."""

    def __init__(self, idle_seconds: float | None = None) -> None:
        self._idle_seconds: Final = IDLE_SECONDS if idle_seconds is None else idle_seconds
        self._condition: Final = _primitives.Condition()
        self._jobs: Final[deque[tuple[Job, L]]] = deque()
        self._running: Final[set[L]] = set()
        """The refreshes that threads have taken up, those that were given up and hang included."""
        self._idle = 0

    def submit(self, job: Job, load: L) -> None:
        """Run the job of this load soon on some thread; an urgent one on a thread of its own if all are busy."""
        with self._condition:
            if self._idle > len(self._jobs):
                self._condition.notify()
            elif load.is_urgent or self._has_room():
                # Started first: where no thread can be had, the job must not stay behind in the queue.
                _primitives.Thread(target=self._work, name="herdless load", daemon=True).start()
            if load.is_urgent:
                self._jobs.appendleft((job, load))
            else:
                self._jobs.append((job, load))

    def running(self) -> list[L]:
        """The refreshes that run now."""
        with self._condition:
            return list(self._running)

    def _has_room(self) -> bool:
        """Whether one more refresh may run: those that were given up do not count. Inside the condition."""
        return sum(not load.has_ended for load in self._running) < MAX_REFRESHERS

    def _work(self) -> None:
        while self._works():
            pass

    def _works(self) -> bool:
        """Do one job; False when there was none. In a frame of its own, so that an idle thread keeps nothing of it."""
        found = self._next()
        if found is None:
            return False
        job, load = found
        try:
            job()
        finally:
            with self._condition:
                self._running.discard(load)
        return True

    def _next(self) -> tuple[Job, L] | None:
        with self._condition:
            self._idle += 1
            found = self._condition.wait_for(self._has_work, self._idle_seconds)
            self._idle -= 1
            if not found:
                return None
            job, load = self._jobs.popleft()
            if not load.is_urgent:
                self._running.add(load)
            return job, load

    def _has_work(self) -> bool:
        return bool(self._jobs) and (self._jobs[0][1].is_urgent or self._has_room())
