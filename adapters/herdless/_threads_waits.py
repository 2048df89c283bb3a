"""How callers on threads are answered: who runs the load itself, who waits for it, and for how long.

A caller looks up, runs the load where that falls to it, and else is parked until the flight is settled, or until it has
to look at the clock: at the flight's deadline, at the end of its own timeout, and at that of `soft_timeout`.
"""

from __future__ import annotations

from contextlib import nullcontext
from threading import TIMEOUT_MAX, get_ident
from typing import Final, Generic

from herdless._room import FRAMES, require_room
from herdless._threads_bulk import run_together
from herdless._threads_loads import HERE, NO_WAIT, ThreadsLoad, ThreadsLoads, Wait, runs_here
from herdless.adapter import LOADING, LOOK_AGAIN, Answered, K, Loader, V, value_of, value_of_reply
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Outcome,
    PolicyError,
    ReentrantLoad,
    Refuse,
    after,
)

TWICE_THE_FRAMES: Final = 2 * FRAMES
"""The end of a load is a change, which asks for its room again."""


class ThreadsWaits(ThreadsLoads[K, V], Generic[K, V]):
    """The part of the cache that answers callers."""

    # A lookup

    def _expires_at(self, timeout: float | None) -> int:
        timeout_ns = nanoseconds_of(timeout)
        return NEVER if timeout_ns == NEVER else after(self._clock(), timeout_ns)

    def _answer(self, key: K, timeout: float | None, load: Loader | None) -> Answered:
        return self._answer_by(key, self._expires_at(timeout), load)

    def _answer_by(self, key: K, expires_at: int, load: Loader | None) -> Answered:
        since = self._keyspace.generation
        self._require_outside()  # out here: what follows would mend, and give back the lock of whoever is inside
        is_mended = False
        try:
            try:
                asked, boarded, wait, flight = self._begin(key, HERE if expires_at == NEVER else None, load)
                if flight is not None:
                    self._run(flight)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        return self._answered(key, asked, boarded, wait, expires_at, load)

    def _begin(
        self, key: K, place: object = HERE, load: Loader | None = None
    ) -> tuple[ThreadsLoad | Answer | Refuse, ThreadsLoad | None, Wait, ThreadsLoad | None]:
        """Look the key up: as `_enter`, and the flight whose load this caller has to run, if any.

        key: what is looked up; place: `HERE` where the caller may run the load, `TOGETHER` where it runs several, else
        None; load: the caller's own loader, if any.
        """
        require_room(TWICE_THE_FRAMES)
        asked, boarded, parked = self._enter_from(key, place, load)
        if self._overtaking:
            self._overtaking.discard(get_ident())
        is_own = boarded is not None and asked is boarded and runs_here(boarded, place)
        return asked, boarded, parked or NO_WAIT, boarded if is_own else None

    def _run_elsewhere(self, flights: list[ThreadsLoad]) -> None:
        """Load the keys of these flights by one call of the bulk loader on another thread."""

        def run(_: ThreadsLoad) -> None:
            try:
                with nullcontext() if self._around_load is None else self._around_load():
                    run_together(self, flights)
            except BaseException as error:  # noqa: BLE001  # an interrupt has no business on a worker's thread
                self._broken_off_aside(flights, error)

        def over(_: object) -> None:
            for flight in flights:
                self._ensure_reported(flight)

        try:
            self._submit(flights[0], run, over)
        except Exception as error:  # noqa: BLE001  # no thread can be had, or the executor was shut down
            for flight in flights:
                self._failed(flight, error)
        for flight in flights:
            flight.is_launched = True

    def _answered(
        self,
        key: K,
        asked: ThreadsLoad | Answer | Refuse,
        boarded: ThreadsLoad | None,
        wait: Wait,
        expires_at: int = NEVER,
        load: Loader | None = None,
    ) -> Answered:
        """What a lookup gives that was begun, and whose load was run where it is run by the caller.

        key, load: as of the lookup; asked, boarded, wait: what `_begin` returned; expires_at: the end of its timeout.
        """
        if not isinstance(asked, ThreadsLoad):
            return value_of_reply(key, asked, self._shown), "hit"
        outcome = self._finish(asked, wait, expires_at, self._soft_at() if asked.is_covered else NEVER)
        if outcome is LOOK_AGAIN:
            return self._answer_by(key, expires_at, load)
        return value_of(outcome), "loaded" if asked is boarded else "joined"

    def _require_outside(self) -> None:
        """Refuse a lookup by foreign code that came in while this thread has the lock, just after it was taken and
        before it is given back too: a caller who is parked, or runs a load, must not have it.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as in `_is_inside`
            self._refuse_inside()

    def _finish(self, flight: ThreadsLoad, wait: Wait, expires_at: int, soft_at: int = NEVER) -> Outcome:
        """What the flight's waiters are answered with, or this one alone.

        flight: what it waits for; wait: where; expires_at: the end of its timeout; soft_at: from when on a value that
        is kept is the answer; both in nanoseconds.
        """
        if wait is NO_WAIT:
            raise ReentrantLoad("a signal handler or a finalizer asks for the key that its own thread is about to load")
        try:
            return self._wait(flight, wait, expires_at, soft_at)
        except BaseException:
            if not flight.has_ended:
                self._left(flight, can_cancel=False)
            raise

    # Waiting

    def _wait(self, flight: ThreadsLoad, wait: Wait, expires_at: int, soft_at: int = NEVER) -> Outcome:
        while wait.outcome is None:
            if wait.done is None or wait.done.wait(self._pause(min(flight.due_at, expires_at, soft_at))):
                continue
            if self._clock() >= soft_at:
                kept = self._soft_timeout_passed(flight)
                if kept is not None:
                    return kept
                soft_at = NEVER
            self._look_at_clock(flight, expires_at)
        return wait.outcome

    def _look_at_clock(self, flight: ThreadsLoad, expires_at: int) -> None:
        now = self._clock()
        if now >= flight.due_at:
            self._deadline_passed(flight)
        elif now >= expires_at:
            raise TimeoutError("the caller's timeout passed before the load ended; the load goes on")

    def _pause(self, instant: int) -> float | None:
        """Seconds until the waiter has to look at the clock; None: no need to."""
        if instant >= NEVER:
            return None
        return min(max(0.0, (instant - self._clock()) / NANOSECONDS_PER_SECOND), TIMEOUT_MAX)

    def _parked(self) -> list[tuple[ThreadsLoad, Wait]]:
        own, parked = LOADING.get(), []
        for flight in self._flights.values():
            if flight is not own and own not in flight.waits_for and flight.wait is not None:
                flight.wait.park()
                parked.append((flight, flight.wait))
        return parked


def nanoseconds_of(timeout: object) -> int:
    """Of a caller's timeout in seconds; `NEVER` where it has none. Raises PolicyError for what is none."""
    if timeout is None:
        return NEVER
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise PolicyError(f"timeout={timeout!r} is not accepted: give None or a number of seconds >= 0")
    return round(timeout * NANOSECONDS_PER_SECOND) if timeout < NEVER // NANOSECONDS_PER_SECOND else NEVER
