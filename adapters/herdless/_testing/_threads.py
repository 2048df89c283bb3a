"""Threads that run one at a time, and change over where a schedule says.

Within `run_threads` the adapters' locks, conditions, events and threads are those of this module. Before each operation
on one of them, at each reading of the clock and at each `pause` the schedule says which thread is next, so a run has no
other order than that of its schedule. A thread that cannot go on is not offered; when none can, and no timeout is left
to pass, that is a Deadlock.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any, Final, Generic, TypeVar, final
from unittest.mock import patch

from herdless import _primitives
from herdless._daemons import Begun
from herdless._testing._asyncio import Deadlock
from herdless._testing._clock import VirtualClock
from herdless._testing._schedule import TIME, Schedule
from herdless_core import NANOSECONDS_PER_SECOND

T = TypeVar("T")

STUCK_SECONDS: Final = 60.0
"""A run in which a thread waits outside of the scheduler's reach ends after so long."""


def run_threads(
    main: Callable[[Threads], T],
    schedule: Schedule | None = None,
    *,
    clock: VirtualClock | None = None,
    lines_of: Iterable[str] = (),
    around: Callable[[str], AbstractContextManager[object]] | None = None,
) -> T:
    """Run `main(threads)` in the first of the threads; it makes the cache and starts the others.

    Ends when all have ended but daemons, which are stopped. schedule: who decides, in the natural order unless given.
    clock: give it to the cache too. lines_of: the files (as
    in `module.__file__`) of which every line is a point of changing over as well. around: called with a thread's name,
    gives what its body runs inside of: by it an `Injection` gets into the threads that a cache starts itself.

    Raises what `main` or a thread whose result nobody asked for raised, and Deadlock.
    """
    threads = Threads(schedule or Schedule(), clock or VirtualClock(), frozenset(lines_of), around or _nothing_around)
    with threads.instead_of_the_real_ones():
        handle = threads.spawn(lambda: main(threads), name="main")
        threads.run()
    for each in threads.spawned:
        if each.error is not None and (each is handle or not each.is_known):
            raise each.error
    return handle.result()


class _Stopped(BaseException):
    """Raised in the threads that are left when the run is over."""


@final
class Spawned(Generic[T]):
    """A thread of a run."""

    def __init__(self, threads: Threads, name: str, body: Callable[[], T], *, is_daemon: bool) -> None:
        """threads: of whose run it is; name, body, is_daemon: as `Threads.spawn` was given them."""
        self.name: Final = name
        self.is_daemon: Final = is_daemon
        self.turn: Final = threading.Lock()
        self.turn.acquire()
        self.doing = "starts"
        self.is_ready: Callable[[], bool] = _always
        self.deadline: int | None = None
        self.has_ended = False
        self.error: BaseException | None = None
        self.is_known = False
        """Whether somebody was told of the error."""
        self._threads: Final = threads
        self._body = body
        self._value: T
        self.thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    def result(self) -> T:
        """Wait for its end; returns what it returned, or raises what it raised."""
        self._threads.pause(f"waits for {self.name}", lambda: self.has_ended)
        self.is_known = True
        if self.error is not None:
            raise self.error
        return self._value

    def can_go_on(self, now: int) -> bool:
        """Whether what it waits for is there, or its timeout has passed."""
        return not self.has_ended and (self.is_ready() or (self.deadline is not None and now >= self.deadline))

    def _run(self) -> None:
        self.turn.acquire()
        sys.settrace(self._threads.trace)
        try:
            if not self._threads.is_over:
                with self._threads.around(self.name):
                    self._value = self._body()
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again by `result` or `run_threads`
            self.error = error
        finally:
            sys.settrace(None)
            del self._body  # as `threading.Thread` does
            self._threads.end(self)


@final
class Threads:
    """The threads of one run."""

    def __init__(
        self,
        schedule: Schedule,
        clock: VirtualClock,
        files: frozenset[str],
        around: Callable[[str], AbstractContextManager[object]],
    ) -> None:
        """schedule, clock, around: as in `run_threads`; files: its `lines_of`."""
        self.clock: Final = clock
        self.spawned: Final[list[Spawned[Any]]] = []
        self.is_over = False
        self.around: Final = around
        self._schedule: Final = schedule
        self._files: Final = files
        self._current: Spawned[Any] | None = None
        self._over: Final = threading.Lock()
        self._error: BaseException | None = None

    # For the test

    def spawn(self, body: Callable[[], T], *, name: str | None = None, is_daemon: bool = False) -> Spawned[T]:
        """Start a thread. body: what it runs; name: by which schedules know it, a number unless given; is_daemon:
        whether it is stopped when all others have ended.
        """
        spawned = Spawned(self, name or f"thread {len(self.spawned)}", body, is_daemon=is_daemon)
        self.spawned.append(spawned)
        spawned.thread.start()
        return spawned

    def pause(self, doing: str = "pauses", is_ready: Callable[[], bool] | None = None) -> None:
        """A point of changing over, where the thread goes on once `is_ready()`."""
        self.park(doing, is_ready or _always)

    # For the primitives

    def park(self, doing: str, is_ready: Callable[[], bool], timeout: float | None = None) -> None:
        """Let the schedule say who is next.

        doing: what the caller does, in words; is_ready: asked whether it may go on; timeout: seconds of the run's clock
        after which it goes on all the same, None for never.
        """
        me = self._current
        if me is None or threading.get_ident() != me.thread.ident:
            if self.is_over and any(each.thread.ident == threading.get_ident() for each in self.spawned):
                raise _Stopped
            return  # somebody outside of the run looks at what it left
        me.doing, me.is_ready = doing, is_ready
        me.deadline = None if timeout is None else self.clock.now + round(timeout * NANOSECONDS_PER_SECOND)
        self._change_over(me)
        if self.is_over:
            raise _Stopped
        self._schedule.note(f"{me.name} {doing}")

    def trace(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        """Make every line of the files a point of changing over: what `sys.settrace` calls with a frame."""
        return self._trace_line if frame.f_code.co_filename in self._files else None

    def _trace_line(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "line":
            self.pause(f"reaches line {frame.f_lineno} of {frame.f_code.co_qualname}")
        return self._trace_line

    # Running

    def instead_of_the_real_ones(self) -> Any:
        """Meanwhile the adapters make locks, conditions, events and threads of this run."""
        return patch.multiple(
            _primitives,
            Lock=lambda: Lock(self),
            RLock=lambda: RLock(self),
            Condition=lambda: Condition(self),
            Event=lambda: Event(self),
            start_daemon=self._start_daemon,
        )

    def _start_daemon(self, work: Callable[[Begun], None], name: str, died: Callable[[], None]) -> None:
        def body() -> None:
            begun: Begun = []
            try:
                work(begun)
            finally:
                if not begun and not self.is_over:
                    died()

        self.spawn(body, name=f"{name} {len(self.spawned)}", is_daemon=True)

    def run(self) -> None:
        """Run until all threads have ended that are no daemons; then stop those that are left."""
        self.clock.on_read = lambda: self.pause("reads the clock")
        self._over.acquire()
        self._go_on_with(self._next(None))
        if not self._over.acquire(timeout=STUCK_SECONDS):
            raise Deadlock(f"a thread waits for something that is not the run's: {self._doings()}")
        self.clock.on_read = None
        for each in self.spawned:
            if not each.has_ended:
                each.turn.release()
            each.thread.join()
        if self._error is not None:
            raise self._error

    def end(self, me: Spawned[Any]) -> None:
        """A thread is at its end."""
        me.has_ended = True
        if not self.is_over:
            self._schedule.note(f"{me.name} ends")
            self._go_on_with(self._next(None))

    def _change_over(self, me: Spawned[Any]) -> None:
        target = self._next(me)
        if target is not me:
            self._go_on_with(target)
            me.turn.acquire()

    def _go_on_with(self, target: Spawned[Any] | None) -> None:
        self._current = target
        if target is None:
            self.is_over = True
            self._over.release()
        else:
            target.turn.release()

    def _next(self, me: Spawned[Any] | None) -> Spawned[Any] | None:
        """The thread to go on with; None when the run is over."""
        try:
            while not all(each.has_ended or each.is_daemon for each in self.spawned):
                chosen = self._choose(me)
                if chosen is not None:
                    return chosen
        except BaseException as error:  # noqa: BLE001  # raised again by `run`, in the thread of the test
            self._error = error
        return None

    def _choose(self, me: Spawned[Any] | None) -> Spawned[Any] | None:
        """The thread that the schedule says; None when it let time pass instead."""
        now = self.clock.now
        ready = [each for each in self.spawned if each.can_go_on(now)]
        preempts = me in ready
        if me is not None and preempts:
            ready.remove(me)
            ready.insert(0, me)
        deadlines = [each.deadline for each in self.spawned if each.deadline is not None and each.deadline > now]
        options = [each.name for each in ready] + [TIME] * bool(deadlines)
        if not options:
            raise Deadlock(f"no thread can go on: {self._doings()}")
        costs = [int(index > 0 and preempts) for index in range(len(ready))] + [int(bool(ready))]
        picked = self._schedule.pick(options, running=me.name if me is not None and preempts else None, costs=costs)
        if picked < len(ready):
            return ready[picked]
        self._schedule.note(TIME)
        self.clock.advance_to(min(deadlines))
        return None

    def _doings(self) -> str:
        return "; ".join(f"{each.name} {each.doing}" for each in self.spawned if not each.has_ended)


class Lock:
    """A `threading.Lock` of a run."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads
        self._is_held = False

    def acquire(self, blocking: bool = True) -> bool:  # as `threading.Lock` has it
        """Take it; waits until it is free, unless `blocking` is False."""
        self._threads.park("acquires a lock", lambda: not (self._is_held and blocking))
        was_held, self._is_held = self._is_held and not self._threads.is_over, True
        return not was_held

    def release(self) -> None:
        """Give it back."""
        self._is_held = False
        if not self._threads.is_over:
            self._threads.park("released a lock", _always)

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._is_held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock:
    """A `threading.RLock` of a run: whoever holds it may take it again, and gives it back as often."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads
        self._owner: int | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True) -> bool:  # as `threading.RLock` has it
        """Take it; waits until no other thread holds it, unless `blocking` is False."""
        me = threading.get_ident()
        self._threads.park("acquires a lock", lambda: not blocking or self._owner in {None, me})
        if self._owner not in {None, me}:
            if not self._threads.is_over:
                return False
            self._depth = 0  # whoever held it was stopped at the end of the run
        self._owner = me
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back. Raises RuntimeError where the caller does not hold it."""
        self._check_owner("release")
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        if not self._threads.is_over:
            self._threads.park("released a lock", _always)

    def _is_owned(self) -> bool:
        """Whether the calling thread holds it: `threading.Condition` asks its lock for that too."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _check_owner(self, doing: str) -> None:
        if self._owner != threading.get_ident():
            raise RuntimeError(f"cannot {doing} un-acquired lock")


@final
class Event:
    """A `threading.Event` of a run."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it was set."""
        self._threads.park("looks at an event", _always)
        return self._is_set

    def set(self) -> None:
        """Wake all that wait."""
        self._threads.park("sets an event", _always)
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or `timeout` seconds have passed; returns whether it is set."""
        self._threads.park("waits for an event", lambda: self._is_set, timeout)
        return self._is_set


@final
class Condition(RLock):
    """A `threading.Condition` of a run, with its lock, which is re-entrant as the real one's is."""

    def __init__(self, threads: Threads) -> None:
        super().__init__(threads)
        self._waiters: Final[list[object]] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back and wait to be notified, at most for so many seconds; then take it again."""
        self._check_owner("wait on")
        token = object()
        self._waiters.append(token)
        depth, self._depth, self._owner = self._depth, 0, None
        self._threads.park("waits for a condition", lambda: token not in self._waiters, timeout)
        self.acquire()
        self._depth = depth
        if token not in self._waiters:
            return True
        self._waiters.remove(token)
        return False

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until the predicate holds, at most for so many seconds; returns what it gave last."""
        now = self._threads.clock.now
        end = None if timeout is None else now + round(timeout * NANOSECONDS_PER_SECOND)
        while not (result := predicate()):
            left = None if end is None else (end - self._threads.clock.now) / NANOSECONDS_PER_SECOND
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake so many of those that wait, the first first."""
        self._check_owner("notify on")
        self._threads.park("notifies a condition", _always)
        del self._waiters[:n]

    def notify_all(self) -> None:
        """Wake all that wait."""
        self.notify(len(self._waiters))


def _always() -> bool:
    return True


def _nothing_around(_name: str) -> AbstractContextManager[object]:
    return nullcontext()
