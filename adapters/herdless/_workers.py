"""The threads on which loads run that no caller runs itself.

A `ThreadPoolExecutor` will not do: the interpreter waits for its threads at exit, and a bounded pool whose loads wait
for other loads can wait for itself for ever. Here threads are daemons; a load somebody waits for always gets a thread,
and only refreshes queue for one of a few.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final

from herdless import _primitives

Job: TypeAlias = Callable[[], object]

MAX_REFRESHERS: Final = 8
"""So many threads at most take up refreshes."""

IDLE_SECONDS: Final = 10.0
"""A thread that found nothing to do for so long ends."""


class Executor(Protocol):
    """What `executor=` must offer: `concurrent.futures.Executor` does."""

    def submit(self, job: Job, /) -> object: ...


@final
class Workers:
    """Daemon threads, made when needed and kept for a while."""

    def __init__(self, idle_seconds: float | None = None) -> None:
        self._idle_seconds: Final = IDLE_SECONDS if idle_seconds is None else idle_seconds
        self._condition: Final = _primitives.Condition()
        self._jobs: Final[deque[Job]] = deque()
        self._idle = 0
        self._threads = 0

    def submit(self, job: Job, *, urgent: bool) -> None:
        """Run the job soon on some thread; an urgent one on a thread of its own if all are busy."""
        with self._condition:
            if self._idle > len(self._jobs):
                self._condition.notify()
            elif urgent or self._threads < MAX_REFRESHERS:
                # Started first: where no thread can be had, the job must not stay behind in the queue.
                _primitives.Thread(target=self._work, name="herdless load", daemon=True).start()
                self._threads += 1
            if urgent:
                self._jobs.appendleft(job)
            else:
                self._jobs.append(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Job | None:
        with self._condition:
            self._idle += 1
            found = self._condition.wait_for(lambda: self._jobs, self._idle_seconds)
            self._idle -= 1
            if not found:
                self._threads -= 1
                return None
            return self._jobs.popleft()
