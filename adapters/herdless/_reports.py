"""What an adapter reports of the loads that it runs, and of the callers who wait for them.

However a load ends, it is reported once: by `_succeeded`, by `_failed`, or by `_dropped` where nothing is known but
that it will not end any more. Whoever runs it looks whether `flight.has_ended` where that could come in between.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable
from typing import Final, Generic

from herdless._answers import error_told
from herdless._listener import Listener
from herdless._log import FailureLog, Log, is_unseen, write
from herdless._orders import F
from herdless._section import LOADING, NOTHING, K, Section
from herdless._weighing import Weigher
from herdless_core import (
    LONG_AGO,
    Effects,
    Keyspace,
    LoadCancelled,
    LoadTimeout,
    Outcome,
    RunningLoad,
    Shown,
    after,
)
from herdless_core._copies import kept_of

_loading: Final = LOADING.get


class Reports(Section[K, F], Generic[K, F]):
    """The ends of loads and of waiting, each of which is one step."""

    _weigher: Weigher | None = None
    """What weighs the values, where they are weighed. The class's, as instances with many attributes are slow."""

    def __init__(
        self,
        keyspace: Keyspace[K],
        clock: Callable[[], int],
        shown: Shown,
        log: Log,
        *,
        has_turns: bool,
        finishes: bool,
        weigher: Weigher | None,
        listener: Listener | None,
    ) -> None:
        """finishes: whether a load goes on when nobody waits for it any more; weigher: what weighs the values, if they
        are weighed; all else as in `Section`, and `shown` as in the keyspace.
        """
        Section.__init__(self, keyspace, clock, log, has_turns=has_turns, listener=listener)
        self._shown: Final = shown
        self._finishes_unwatched: Final = finishes
        if weigher is not None:
            self._weigher = weigher
        self._failures: Final = FailureLog()

    # The end of a load

    def _succeeded(self, flight: F, value: object) -> None:
        """The loader returned this."""
        if self._weigher is not None:
            value = self._weigher.weighed_after_load(flight.key, value)
        is_mended = False
        gone = None
        try:
            try:
                self._lock.acquire()  # as in `_enter`: every miss comes here
                self._is_entered = True
                now = self._clock()
                filled = self._keyspace.fill(flight, value, now)
                if filled is not None:
                    self._settle_here(flight, filled)
                else:
                    self._carry_out(self._succeed(flight, value, now))
                following = self._carry_out(self._keyspace.load_over(flight, now)) if self._has_turns else None
                self._is_entered = False  # first: what comes in after the look at what was postponed would be lost
                if self._leaving or self._postponed:
                    gone = self._leave()
                else:
                    self._lock.release()
                if following is not None:
                    self._launch(following)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(flight)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend(flight)
            raise
        if gone:
            self._let_go(gone)
        if self._failures.is_failing:
            self._log_success(flight)

    def _succeed(self, flight: F, value: object, now: int) -> Effects:
        effects = self._keyspace.load_succeeded(flight.generation, value, now, random.random())
        if self._listener is not None and not flight.gives_back:  # that is held still, or was told of when it left
            self._keyspace.superseded(flight.key, value, effects)
        return effects

    def _failed(self, flight: F, error: BaseException, handled: BaseException | None = None) -> None:
        """The loader raised this. Where it is no `Exception` it stops the one that runs the load; the waiters get
        LoadCancelled.

        handled: the exception that was being handled where the load began, which is no context of the loader's own.
        """
        told = error_told(error, flight.key, self._shown)
        kept = kept_of(told, self._keyspace.policy, handled)
        self._change(lambda now: self._fail(flight, kept, now))
        if flight.failed_unseen:
            self._log_failure(flight, told)
        elif flight.is_answer and self._failures.is_failing:
            self._log_success(flight)

    def _fail(self, flight: F, error: BaseException, now: int) -> Effects:
        waiters = self._keyspace.waiters(flight.generation)
        effects = self._keyspace.load_failed(flight.generation, error, now, random.random())
        flight.failed_unseen = not flight.is_answer and is_unseen(waiters, effects)
        return effects + self._keyspace.load_over(flight, now) if self._has_turns else effects

    def _broken_off(self, flight: F, error: BaseException, handled: BaseException | None = None) -> None:
        """Whoever ran the load was stopped, or its end could not be reported: it is over all the same."""
        try:
            if not isinstance(error, Exception) and not flight.has_ended:
                self._failed(flight, error, handled)
        finally:
            self._ensure_reported(flight)

    def _ensure_reported(self, flight: F) -> None:
        """The load runs no more. Where its end was not told, it is told now."""
        if not flight.has_ended or self._has_turns:
            self._dropped(flight)

    def _dropped(self, flight: F) -> None:
        """The load is over, and nothing was told of it: whoever ran it is gone. No clock is asked, which may be why."""
        self._change(lambda _: self._drop(flight), at=LONG_AGO)

    def _drop_here(self, flight: F) -> None:
        """The same, inside the lock."""
        self._carry_out(self._keyspace.restarted(flight.generation, LONG_AGO))
        if self._has_turns:
            self._postponed.append(functools.partial(self._keyspace.load_over, flight))

    def _deadline_passed(self, flight: F) -> None:
        """The timer of this flight went off."""
        self._change(lambda now: self._expire_flight(flight, now))
        if flight.failed_unseen:
            self._log_failure(flight, LoadTimeout("the load did not end within load_timeout"))

    def _expire_flight(self, flight: F, now: int) -> Effects:
        waiters = self._keyspace.waiters(flight.generation)
        effects = self._keyspace.deadline_passed(flight.generation, now, random.random())
        flight.failed_unseen = flight.failed_unseen or is_unseen(waiters, effects)
        return effects

    def _settle_here(self, flight: F, outcome: Outcome) -> None:
        """As `_settle`, where the flight's own load has just ended."""
        self._settle(flight, outcome)

    # Callers

    def _left(self, flight: F, *, can_cancel: bool) -> None:
        """A caller stopped waiting; one whose flight was settled meanwhile did not leave, it was answered.

        can_cancel: whether the runtime can cancel a load that nobody waits for any more.
        """
        loading = _loading()
        self._change(lambda now: self._let_go_of(flight, now, can_cancel, loading))

    def _let_go_of(self, flight: F, now: int, can_cancel: bool, loading: RunningLoad | None) -> Effects:
        can_cancel = can_cancel and not self._finishes_unwatched
        return self._keyspace.waiter_left(flight.generation, now, can_cancel=can_cancel, loading=loading)

    def _soft_timeout_passed(self, flight: F) -> Outcome | None:
        """A caller has waited for `soft_timeout`: what it is answered with, and it waits no more; None where it waits
        on.
        """
        loading = _loading()
        kept: list[Outcome | None] = [None]

        def step(now: int) -> Effects:
            kept[0] = self._keyspace.soft_timeout_passed(flight.generation, now, loading)
            return NOTHING

        self._change(step)
        return kept[0]

    def _soft_at(self) -> int:
        """From when on a caller who begins to wait now is answered with what is kept; an instant, in nanoseconds."""
        return after(self._clock(), self._keyspace.policy.soft_timeout)

    def _begin_wait(self, loading: RunningLoad, flight: F) -> None:
        """A caller inside `loading`, of whom that was not known before, keeps it from ending; ReentrantLoad where that
        is for ever.
        """
        self._change(lambda _: self._keyspace.begin_wait(loading, flight))

    # The end of the cache

    def _refuse_more(self, *, cancel: bool) -> None:
        """How `close` begins: nothing is kept, and nothing more is loaded; `cancel`: nor are the loads waited for."""
        self._change(self._keyspace.close)
        if self._listener is not None:
            self._listener.tell()  # also of what left before, where an interrupt came in
        if cancel:
            self._abort()

    def _abort(self) -> None:
        """End every flight: its waiters get LoadCancelled."""
        self._change(lambda now: self._keyspace.abort(LoadCancelled("the cache was closed"), now))

    # The log

    def _log_failure(self, flight: F, error: BaseException) -> None:
        """Outside of the lock, for a handler may ask the cache; what anything in it raises does no harm."""
        flight.failed_unseen = False  # waiters who look at the clock find it late one after the other
        with contextlib.suppress(Exception):
            report = self._failures.failed(flight.key, error, self._clock())
            if report is not None:
                write(report, self._shown(flight.key), error, log=self._log)

    def _log_success(self, flight: F) -> None:
        """The same, of a load that succeeded while others fail."""
        with contextlib.suppress(Exception):
            for report in self._failures.succeeded(flight.key, self._clock()):
                write(report, self._shown(flight.key), log=self._log)
