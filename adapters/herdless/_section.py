"""The critical section of a cache: one step, its orders carried out, and then the lock is left.

Rules, of which each has its reason beside the line that keeps it:

1. Nothing is awaited inside the lock, no loader runs in it, and no thread is started.
2. What comes in while this thread is inside - a finalizer, a signal's handler, an observer, a key's `__eq__` - may
   change the cache: the change is put off, and carried out before the lock is given back. A lookup would wait for
   itself there, and is refused.
3. An exception may come in between any two instructions. Whatever takes the lock is inside of TWO `try`, and each of
   them mends what was broken off: the outer one also where an interrupt comes into the handler of the inner one.
   tests/interrupts tries every point; tests/runtimes/test_sections.py compares the places that take the lock.
4. What left the cache is let go last of all: its finalizer may look up the very key that is to be loaded, and so may
   who listens to removals.
5. The flight that a step has boarded is launched by the thread that took the step, after the lock, but inside of the
   same two `try`: where that is broken off, nobody else would launch it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from sys import getrecursionlimit, setrecursionlimit
from threading import get_ident
from typing import Any, Final, Generic, NoReturn, TypeVar

from herdless import _primitives
from herdless._listener import Listener
from herdless._loaders import Loader, require_loader
from herdless._log import Log
from herdless._orders import F, Orders
from herdless._room import FRAMES, give_room_back, require_room
from herdless_core import (
    LONG_AGO,
    NEVER,
    Answer,
    CacheClosed,
    Effects,
    Join,
    Keyspace,
    MisuseError,
    Refuse,
    RunningLoad,
    reply_of,
)

K = TypeVar("K")
T = TypeVar("T")

NOTHING: Final[Effects] = ()
"""What a step orders that orders nothing."""

LOADING: Final[ContextVar[RunningLoad | None]] = ContextVar("herdless.loading", default=None)
"""The load inside which this code runs, of whatever cache: what ReentrantLoad is found by. Whoever calls a loader sets
it, in a context of the load's own.
"""

_loading: Final = LOADING.get
"""Found once: mypyc would look the method up at each call."""

WAITS_FOR_TURN: Final = -1
"""The boarder of a flight that is launched later, by whoever ends the load before it."""

NOBODY: Final = frozenset({0, WAITS_FOR_TURN})
"""The boarders that are no threads."""


class Section(Orders[F], Generic[K, F]):
    """The lock, and every way of being inside it but for the report of a value (`Reports._succeeded`)."""

    _surround: Callable[[Loader], Loader] | None = None
    """What a tracer puts around the loaders that callers bring."""

    def __init__(
        self, keyspace: Keyspace[K], clock: Callable[[], int], log: Log, *, has_turns: bool, listener: Listener | None
    ) -> None:
        # The keyspace makes them of the class alone that it was given.
        flights: dict[int, F] = keyspace.flights  # type: ignore[assignment]
        started: list[F] = keyspace.started  # type: ignore[assignment]  # as above
        ended: dict[int, F] = keyspace.ended  # type: ignore[assignment]  # as above
        Orders.__init__(self, flights, started, ended)
        self._keyspace: Final = keyspace
        self._leaving: Final = keyspace.leaving
        self._listener: Final = listener
        self._clock: Final = clock
        self._log: Final = log
        self._has_turns: Final = has_turns
        self._home: object = None
        """The place from which lookups need not look around. Other callers come from elsewhere."""
        self._lock = _primitives.RLock()
        self._is_entered = False
        """Whether a thread is in the critical section."""
        self._mending: Final[set[int]] = set()
        """The threads that have begun to mend what was broken off."""
        self._overtaking: Final[set[int]] = set()
        """The threads whose lookup may board a flight that was started before it."""
        self._postponed: Final[deque[Callable[[int], Effects]]] = deque()
        """Changes that foreign code made inside the critical section, in order."""

    # The ways in

    def _change(self, step: Callable[[int], Effects], at: int | None = None) -> None:
        """Take the step and carry it out: now, or, where foreign code asks for it inside the lock, when the lock is
        left.

        step: from the instant, in nanoseconds, to the effects; at: the instant, where it is not the clock's.
        """
        if self._is_entered and self._is_inside():
            self._postponed.append(step)
            return
        self._take(step, at)

    def _look(self, question: Callable[[], T]) -> T:
        """The answer to a question that changes nothing. Foreign code may ask it inside the lock."""
        if self._is_entered and self._is_inside():
            return question()
        answers: list[T] = []

        def ask(_now: int) -> Effects:
            answers.append(question())
            return NOTHING

        self._take(ask, LONG_AGO, is_question=True)
        return answers[0]

    def _take(
        self, step: Callable[[int], Effects], at: int | None, *, is_question: bool = False, since: int = NEVER
    ) -> None:
        """since: where the step itself boards a flight, the last generation before it."""
        require_room()
        is_mended = False
        try:
            try:
                self._lock.acquire()
                self._is_entered = True
                effects = step(self._clock() if at is None else at)
                since = NEVER if is_question else 0
                boarded = self._carry_out(effects)
                gone = self._leave()
                if boarded is not None:
                    self._launch(boarded)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        if gone:  # not before the launch: a finalizer may look up the very key that is to be loaded
            self._let_go(gone)

    def _enter(self, key: K, load: Loader | None = None) -> tuple[F | Answer | Refuse, F | None, Any]:
        """Look the key up, as a caller who will wait if it has to: the flight to wait for, or the reply; the flight
        that was launched for it, if any; and what `_park` returned for the flight to wait for.

        key: what is looked up; load: the caller's own loader, if any.
        """
        require_room()
        return self._enter_from(key, None, load)

    def _enter_from(  # noqa: PLR0912  # in parts a miss would be slower
        self, key: K, place: object, load: Loader | None = None
    ) -> tuple[F | Answer | Refuse, F | None, Any]:
        """The same, for callers of several kinds, and without a look at the room on the stack.

        key: what is looked up; place: where the caller runs. If it is not `self._home`, `_require_runtime` and
        `_look_around` are called; load: the caller's own loader, if any, for the load that the lookup may start.
        """
        if load is not None:
            load = self._surrounded(load)
        if self._is_entered and self._is_inside():
            self._refuse_inside()
        if place is not self._home:
            self._require_runtime()
        since = self._keyspace.generation
        loading = _loading()
        parked: Any = None
        gone: list[object] | None = None
        is_mended = False
        try:
            try:
                self._lock.acquire()  # and not `with`, which takes twice as long, since every miss and join comes here
                self._is_entered = True
                if place is not self._home:
                    self._require_runtime()  # again: it may have gone just before the lock
                    self._look_around(key)
                asked, boarded = self._ask(key, loading, load)
                if isinstance(asked, RunningLoad):
                    parked = self._park(asked, boarded, place, loading)
                self._is_entered = False  # first: what comes in after the look at what was postponed would be lost
                if self._leaving or self._postponed:
                    gone = self._leave()
                else:
                    self._lock.release()
                if boarded is not None:
                    self._launch(boarded)
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=since)
                is_mended = True
                raise
        except BaseException as error:  # an interrupt, in the lines above too
            if not is_mended:
                # Nobody has asked for room, since that costs more than a miss may. For a call of C there is room, as
                # there was for that which took the lock.
                has_more = isinstance(error, RecursionError)
                if has_more:
                    setrecursionlimit(getrecursionlimit() + FRAMES)
                self._mend()
                if has_more:
                    self._give_room_back(place)
            raise
        if gone:
            self._let_go(gone)
        return asked, boarded, parked

    def _give_room_back(self, place: object) -> None:
        """The stack is as large as before. place: as `_enter_from` was given it."""
        give_room_back()

    def _is_inside(self) -> bool:
        """Whether this very thread is in the critical section, in which it runs foreign code just now."""
        # It is what threading.Condition asks its lock; an attribute with the thread would cost each miss and join.
        return self._is_entered and self._lock._is_owned()  # type: ignore[attr-defined]

    def _refuse_inside(self) -> NoReturn:
        raise MisuseError(
            "a lookup was made inside the cache's own lock, and would wait for itself: look up later, and not in a "
            "finalizer, a signal handler, an observer or a key's __eq__. put, touch, invalidate, invalidate_tag, "
            "expire, refresh and clear may be called there"
        )

    # What a lookup does inside

    def _ask(self, key: K, loading: RunningLoad | None, load: Loader | None) -> tuple[F | Answer | Refuse, F | None]:
        """Look the key up: the flight to wait for, or the reply; and the flight to launch after the lock, if any.
        Inside the lock.

        key: what is looked up; loading: the load inside which the caller is, if any; load: the caller's own loader, if
        any.
        """
        now = self._clock()
        flight: F | None
        flight = self._keyspace.enter(key, now) if loading is None else None  # type: ignore[assignment]  # as in `__init__`
        if flight is not None:
            if flight.boarder:
                return flight, None
            if self._has_turns and self._keyspace.waits_for_turn(flight):  # a refresh, for which nobody waited
                self._wait_for_turn(flight)
                return flight, None
            flight.boarder = get_ident()
            if load is not None:
                flight.own_load = load
            self._equip(flight)
            if flight.due_at != NEVER:
                self._arm(flight)
            return flight, flight
        if loading is not None and not loading.holds_up():
            loading = None
        effects = self._keyspace.get(key, now, loading, brings_loader=load is not None)
        self._bring(load)
        boarded = self._carry_out(effects)
        reply = reply_of(effects)
        if not isinstance(reply, Join):
            return reply, boarded
        flight = self._flights[reply.generation]
        if not flight.boarder:
            self._wait_for_turn(flight)
        if flight.is_covered:
            self._await_softly(flight)
        return flight, boarded

    def _surrounded(self, load: Loader) -> Loader:
        """The loader that a caller brings, checked, and with what a tracer puts around it."""
        require_loader(load)
        return load if self._surround is None else self._surround(load)

    def _bring(self, load: Loader | None) -> None:
        """What the step has started is loaded by the caller's own loader, if there is one."""
        if load is not None:
            for flight in self._started:
                flight.own_load = load

    def _wait_for_turn(self, flight: F) -> None:
        """A caller waits for a flight that is launched later, by whoever ends the load before it. Inside the lock."""
        flight.boarder = WAITS_FOR_TURN
        if flight.due_at != NEVER:
            self._arm(flight)

    # The way out

    def _leave(self) -> list[object] | None:
        """Leave the lock, when what was asked for inside it is done too. What left the cache is returned, to be let go
        after everything else.
        """
        launches: list[F] = []
        gone = self._conclude(launches)
        self._lock.release()
        for flight in launches:
            self._launch(flight)
        if self._keyspace.inconsistent is not None:
            self._warn_of_keys()
        return gone

    def _conclude(self, launches: list[F]) -> list[object] | None:
        """The last thing inside the lock: carry out what was postponed, and take what has left the cache. The flights
        that are to start then are added to `launches`.
        """
        gone: list[object] | None = None
        while True:
            self._is_entered = True
            if self._postponed:
                self._catch_up(launches)
            if self._leaving:
                if self._listener is not None:
                    self._listener.take(self._leaving)
                gone = [*(gone or ()), *self._leaving]
                self._leaving.clear()
            self._is_entered = False  # what comes in from here on is not postponed any more, but done at once
            if not self._postponed:
                return gone

    def _let_go(self, gone: list[object]) -> None:
        """Let go of what left the cache, and tell of it who listens. The last thing, outside of the lock."""
        gone.clear()  # and not `del`: compiled code lets go of what is not used any more
        if self._listener is not None:
            self._listener.tell()

    def _catch_up(self, launches: list[F]) -> None:
        others = self._orphans()  # this thread is about to launch them
        while self._postponed:
            step = self._postponed.popleft()
            boarded: F | None = None
            try:
                boarded = self._carry_out(step(self._clock()))
            except CacheClosed:
                continue  # closed by the very step: nothing is left that could be changed
            except Exception as error:  # noqa: BLE001  # of foreign code
                self._put_right(
                    [each for each in self._orphans() if each not in others and each not in launches], launches
                )
                self._log.tell_failure("change_failed", "a change that was made inside the lock failed", error=error)
            if boarded is not None:
                launches.append(boarded)

    def _warn_of_keys(self) -> None:
        """Once, of keys that were found changed. Outside of the lock, for a handler may ask the cache."""
        self._log.tell_once(
            "key_changed",
            "a key of type %s changed its hash or its equality while it was in the cache, and its entry was "
            "dropped: use keys that do not change",
            getattr(self._keyspace.inconsistent, "__qualname__", None),
        )

    # What was broken off

    def _mend(self, flight: F | None = None, *, since: int = 0) -> None:
        """What this thread did in here was broken off, perhaps between any two instructions: the tables agree again,
        nobody waits in vain, and the lock is free. Nothing in it may raise.

        flight: the one whose end this thread was reporting.
        since: the last generation before the call. What this thread boarded up to then, and did not launch, is none of
            the call's business, which came in while the thread was about to launch it.
        """
        me = get_ident()
        if me in self._overtaking:
            since = 0
        was_inside = self._is_inside() and me not in self._mending
        self._mending.add(me)
        self._lock.acquire()
        self._is_entered = True
        launches: list[F] = []
        self._put_right(self._orphans(since), launches)
        if flight is not None and flight.has_ended and not flight.is_settled:
            self._settle_dropped(flight)
        gone = self._conclude(launches)
        with contextlib.suppress(RuntimeError):  # the lock is not this thread's any more
            self._lock.release()
            if was_inside:
                self._lock.release()
            else:  # it was broken off where that is not known: just before the lock was taken or given back, or just
                # after; or while it was mended
                while True:
                    self._lock.release()
        self._mending.discard(me)
        self._overtaking.discard(me)
        for each in launches:
            self._launch(each)
        if gone:
            gone.clear()
        if self._listener is not None:
            self._listener.tell()

    def _orphans(self, since: int = 0) -> list[F]:
        """The flights that nobody launches, now that a step was broken off before it said who is to: those of no
        thread, whose turn has come, and those that this thread boarded after the generation `since`.
        """
        me = get_ident()
        return [
            each
            for each in self._flights.values()
            if not each.is_launched
            and (each.boarder in NOBODY or (each.boarder == me and each.generation > since))
            and not self._keyspace.waits_for_turn(each)
        ]

    def _put_right(self, orphans: list[F], launches: list[F]) -> None:
        """After a step was broken off: the tables agree again, and the orphans, which nobody would launch, are dropped.
        The flights that are to start in their place are added to `launches`.
        """
        self._keyspace.heal()
        self._started.clear()  # what is not known to the adapter yet is among the orphans
        for ended in list(self._ended.values()):  # that may have been ordered, and not been done
            self._cancel(ended)
        self._carry_out(NOTHING)
        for orphan in orphans:
            self._append(launches, self._drop(orphan))
        while self._append(launches, self._keyspace.next_turn(LONG_AGO)):
            pass  # a turn was given back, and the step broken off before it was taken

    def _append(self, launches: list[F], effects: Effects) -> bool:
        """Carry the effects out, and add the flight that is to start, if any."""
        boarded = self._carry_out(effects)
        if boarded is not None:
            launches.append(boarded)
        return boarded is not None

    def _drop(self, flight: F) -> Effects:
        """The load is over, and nothing was told of it: whoever ran it, or was to run it, is gone."""
        effects = self._keyspace.restarted(flight.generation, LONG_AGO)
        return effects + self._keyspace.load_over(flight, LONG_AGO)

    def _restart(self) -> None:
        """In a forked child: the values are there, those who ran the flights are not, nor who held the lock."""
        if self._is_inside():
            return  # forked by foreign code inside the lock, which is this thread's own
        self._lock = _primitives.RLock()
        self._is_entered = True
        self._keyspace.heal()
        for generation in list(self._flights):
            self._keyspace.restarted(generation, LONG_AGO)
        self._keyspace.nothing_runs()
        self._abandon()
        self._started.clear()
        self._ended.clear()
        self._leaving.clear()
        if self._listener is not None:
            self._listener.forget()
        self._postponed.clear()
        self._is_entered = False

    # What the runtime adds

    def _require_runtime(self) -> None:
        """Raise where the runtime could not run a load now, BEFORE a step orders one. Outside of the lock, and again
        inside.
        """

    def _look_around(self, key: K) -> None:
        """Drop what the key's flight has become where its runtime has ended. Inside the lock, before a step."""

    def _park(self, flight: F, boarded: F | None, place: object, loading: RunningLoad | None) -> Any:
        """Where a caller waits for the flight: `_enter` returns it. Inside the lock, or the wake-up could come before.

        boarded: the flight that this lookup is about to launch, if any; place: as `_enter_from` was given it; loading:
        the load inside which the caller is, if any.
        """
        raise NotImplementedError

    def _await_softly(self, flight: F) -> None:
        """A caller is about to be parked who is to be answered with what is kept when `soft_timeout` is over: by
        `_soft_timeout_passed`, which an adapter calls then. Inside the lock, before `_park`. There is nothing to do
        where the caller looks at the clock itself, wherever `flight.is_covered`.
        """

    def _abandon(self) -> None:
        """In a forked child: forget what the adapter knows of running loads."""
