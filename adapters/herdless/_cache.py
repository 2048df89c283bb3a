"""What a cache is in every runtime: all that neither parks a caller nor calls a loader.

An adapter adds those two, and the four small orders that depend on them (`_board`, `_settle`, `_cancel`, `_arm`). The
order of work is the same everywhere: inside `self._lock` the keyspace takes one step, its effects are carried out and
the caller is registered as a waiter; after it, the one load that the step may have ordered is launched. Nothing is
awaited and no loader runs inside the lock.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from threading import get_ident
from time import monotonic_ns
from types import CoroutineType
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar, Unpack

from herdless import _primitives
from herdless._fork import survive_forks
from herdless._log import FailureLog, is_unseen, write
from herdless._lookup import How, Lookup
from herdless._observers import Observers, guarded
from herdless._room import require_room
from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    CacheClosed,
    CancelLoad,
    Effects,
    Failure,
    Forget,
    Join,
    Keyspace,
    LoadCancelled,
    Loaded,
    LoadTimeout,
    MisuseError,
    Outcome,
    Policy,
    PolicyError,
    PolicyOptions,
    Rearm,
    Refuse,
    RunningLoad,
    Save,
    Settle,
    ShowKey,
    Shown,
    StartLoad,
    Stats,
    TooManyWaiters,
    Value,
    reply_of,
)
from herdless_core._copies import give_back_context, kept_of

NOTHING: Final[Effects] = ()

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound="Flight")
T = TypeVar("T")

Clock: TypeAlias = Callable[[], int]
Answered: TypeAlias = tuple[Value, How]

LOADING: Final[ContextVar[RunningLoad | None]] = ContextVar("herdless.loading", default=None)
"""The load inside which this code runs, of whatever cache: what ReentrantLoad is found by."""

_loading: Final = LOADING.get
"""Found once: mypyc would look the method up at each call."""

LOGGER: Final = logging.getLogger("herdless")

WAITS_FOR_TURN: Final = -1
"""The boarder of a flight that is launched later, by whoever ends the load before it."""

NOBODY: Final = frozenset({0, WAITS_FOR_TURN})
"""The boarders that are no threads."""


class CacheOptions(PolicyOptions, total=False):
    """The keyword arguments that every cache takes: those of `Policy`, or `policy` itself, and five of its own."""

    maxsize: int | None
    """How many values are held at most; None: any number."""
    max_loads: int | None
    """How many loads run at once at most, those included that are overdue and cannot be cancelled; the next one waits
    for its turn, until its `load_timeout` (TooManyLoads). None: any number. Loads inside of loads take no turn."""
    clock: Clock
    """A callable that returns integer nanoseconds, from any origin; `time.monotonic_ns` by default."""
    observe: Observers | None
    """One observer, or several: called with the key and the `herdless_core.Step` at every step, inside the lock.

    It must not call the cache. A hit takes no step.
    """
    show_key: ShowKey
    """A function from a key to the text that stands for it in logs and in messages of errors; by default
    `repr`. The text is shortened, and where the function fails the key's type takes its place.
    """
    policy: Policy | None


class Flight(RunningLoad):
    """The adapter's side of a flight: its waiters, and what it needs to run the load."""

    boarder: int = 0
    """The thread that took the step which started it, and so has to launch it."""
    is_launched: bool = False
    """Whether somebody runs the load, and will report its end."""
    is_settled: bool = False
    failed_unseen: bool = False
    """Whether its load failed and no caller was told: of a refresh only the log tells."""


class BaseCache(ABC, Generic[K, V, F]):
    """The part of a cache that is the same in every runtime."""

    def __init__(
        self,
        load: Callable[[K], Any],
        *,
        maxsize: int | None = None,
        max_loads: int | None = None,
        clock: Clock = monotonic_ns,
        observe: Observers | None = None,
        show_key: ShowKey = repr,
        policy: Policy | None = None,
        **options: Unpack[PolicyOptions],
    ) -> None:
        if not callable(load):
            raise PolicyError(f"load={load!r} is not accepted: give a function of one key")
        if policy is not None and options:
            raise PolicyError(f"policy={policy!r} is not accepted beside {', '.join(options)}: give one or the other")
        reading: Callable[[], object] = clock  # what it returns, and not what it should
        if type(reading()) is not int:
            raise PolicyError(f"clock={clock!r} is not accepted: give a callable that returns integer nanoseconds")
        self._load: Final = load
        self._clock: Final = clock
        self._shown: Final = Shown(show_key)
        self._failures: Final = FailureLog()
        self._lock = _primitives.RLock()
        self._is_entered = False
        """Whether a thread is in the critical section."""
        self._mending: Final[set[int]] = set()
        """The threads that have begun to mend what was broken off."""
        self._postponed: Final[deque[Callable[[int], Effects]]] = deque()
        """Changes that foreign code made inside the critical section, in order."""
        self._keyspace: Final = Keyspace[K](
            policy or Policy(**options),
            maxsize=maxsize,
            max_loads=max_loads,
            observe=guarded(observe),
            board=self._board,
            shown=self._shown,
        )
        # Entries, of which only those before their `hit_until` are read here, and these have a value.
        self._hot: Final[dict[K, Any]] = self._keyspace.hot
        # The keyspace's flights are those that `_board` made.
        self._flights: Final[dict[int, F]] = self._keyspace.flights  # type: ignore[assignment]
        self._ended: Final[dict[int, F]] = self._keyspace.ended  # type: ignore[assignment]  # as above
        self._has_turns: Final = max_loads is not None
        self._leaving: Final = self._keyspace.leaving
        self._has_warned = False
        self._hits = 0
        self._told_of_forks: Final = survive_forks(self._restart)

    # Requests that never wait

    def peek(self, key: K, default: T | None = None) -> V | T | None:
        """The value that a lookup would be answered with at once, a stale one included, or `default`.

        Loads nothing, counts nothing, and keeps nothing from eviction: a key that is only peeked at goes.
        """
        outcome = self._look(lambda: self._keyspace.peek(key, self._clock()))
        return outcome.value if isinstance(outcome, Value) else default

    def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value. Callers who wait for a load of the key get it too, and that load is cancelled."""
        luck = random.random()
        self._change(lambda now: self._keyspace.put(key, value, now, luck))

    def invalidate(self, key: K) -> None:
        """From now on nobody is served what was known of the key, nor what a load in flight will say of it.

        Callers who joined that load before get its result; later ones start a new load.
        """
        self._change(lambda now: self._keyspace.invalidate(key, now))

    def expire(self, key: K) -> None:
        """Make a fresh value stale: it is loaded again at the next lookup and served meanwhile as the policy says."""
        self._change(lambda now: self._keyspace.expire(key, now))

    def refresh(self, key: K) -> None:
        """Start loading the key without waiting for it, unless a load is in flight."""
        self._require_runtime()
        self._change(lambda now: self._refresh(key, now))

    def clear(self) -> None:
        """Invalidate every key, those being loaded included."""
        self._change(self._keyspace.clear)

    def stats(self) -> Stats:
        """What the cache has done, and what it holds."""
        return self._look(lambda: self._keyspace.stats(hits=self._hits))

    def __contains__(self, key: K) -> bool:
        """Whether a lookup would be answered at once."""
        return isinstance(self._look(lambda: self._keyspace.peek(key, self._clock())), Value)

    def __len__(self) -> int:
        """How many values are held."""
        return self.stats().size

    def __bool__(self) -> bool:
        """An empty cache is a cache: `cache or Cache(...)` must not throw it away."""
        return True

    def _count_anew(self) -> None:
        """Set the counters back, for `cache_clear`."""
        self._look(self._keyspace.reset_counters)
        self._hits = 0

    # The critical section

    def _change(self, step: Callable[[int], Effects], at: int | None = None) -> None:
        """Take the step and carry it out: now, or, where foreign code asks for it inside the lock, when the lock is
        left.

        at: the instant, where it is not the clock's.
        """
        if self._is_entered and self._is_inside():
            self._postponed.append(step)
            return
        require_room()
        since = NEVER
        is_mended = False
        try:
            try:
                self._lock.acquire()
                self._is_entered = True
                effects = step(self._clock() if at is None else at)
                since = 0
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
        del gone  # not before the launch: a finalizer may look up the very key that is to be loaded
        if self._keyspace.inconsistent is not None:
            self._warn_of_keys()

    def _look(self, question: Callable[[], T]) -> T:
        """The answer to a question that changes nothing. Foreign code may ask it inside the lock."""
        if self._is_entered and self._is_inside():
            return question()
        require_room()
        is_mended = False
        try:
            try:
                self._lock.acquire()
                self._is_entered = True
                answer = question()
                self._leave()
            except Exception:  # what was asked for is refused, or foreign code raised
                self._mend(since=NEVER)
                is_mended = True
                raise
        except BaseException:  # an interrupt, in the lines above too
            if not is_mended:
                self._mend()
            raise
        return answer

    def _enter(self, key: K) -> tuple[F | Answer | Refuse, F | None, Any]:
        """Look the key up, as a caller who will wait if it has to: the flight to wait for, or the reply; the flight
        that was launched for it, if any; and what `_park` returned for the flight to wait for.
        """
        if self._is_entered and self._is_inside():
            self._refuse_inside()
        require_room()
        since = self._keyspace.generation
        is_mended = False
        try:
            try:
                self._lock.acquire()
                self._is_entered = True
                asked, boarded = self._ask(key, _loading())
                parked = None if isinstance(asked, Answer | Refuse) else self._park(asked)
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
        del gone
        return asked, boarded, parked

    def _is_inside(self) -> bool:
        """Whether this very thread is in the critical section, in which it runs foreign code just now."""
        # It is what threading.Condition asks its lock; an attribute with the thread would cost each miss and join.
        return self._is_entered and self._lock._is_owned()  # type: ignore[attr-defined]

    def _refuse_inside(self) -> NoReturn:
        raise MisuseError(
            "a lookup was made inside the cache's own lock, and would wait for itself: look up later, and not in a "
            "finalizer, a signal handler, an observer or a key's __eq__. put, invalidate, expire, refresh and clear "
            "may be called there"
        )

    def _leave(self) -> list[object] | None:
        """Leave the lock, when what was asked for inside it is done too. What left the cache is returned, to be let go
        after everything else.
        """
        launches: list[F] = []
        gone = self._conclude(launches)
        self._lock.release()
        for flight in launches:
            self._launch(flight)
        if gone is not None and self._keyspace.inconsistent is not None:
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
                gone = [*(gone or ()), *self._leaving]
                self._leaving.clear()
            self._is_entered = False  # what comes in from here on is not postponed any more, but done at once
            if not self._postponed:
                return gone

    def _warn_of_keys(self) -> None:
        """Once, of keys that were found changed. Outside of the lock, for a handler may ask the cache."""
        if not self._has_warned:
            self._has_warned = True
            with contextlib.suppress(Exception):  # a handler of the user's own
                LOGGER.warning(
                    "a key of type %s changed its hash or its equality while it was in the cache, and its entry was "
                    "dropped: use keys that do not change",
                    getattr(self._keyspace.inconsistent, "__qualname__", None),
                )

    def _catch_up(self, launches: list[F]) -> None:
        others = self._orphans()  # this thread is about to launch them
        while self._postponed:
            step = self._postponed.popleft()
            boarded: F | None = None
            try:
                boarded = self._carry_out(step(self._clock()))
            except CacheClosed:
                continue  # closed by the very step: nothing is left that could be changed
            except Exception:
                self._put_right(
                    [each for each in self._orphans() if each not in others and each not in launches], launches
                )
                with contextlib.suppress(Exception):
                    LOGGER.exception("a change that was made inside the lock failed")
            if boarded is not None:
                launches.append(boarded)

    def _mend(self, flight: F | None = None, *, since: int = 0) -> None:
        """What this thread did in here was broken off, perhaps between any two instructions: the tables agree again,
        nobody waits in vain, and the lock is free. Nothing in it may raise.

        flight: the one whose end this thread was reporting.
        since: the last generation before the call. What this thread boarded up to then, and did not launch, is none of
            the call's business, which came in while the thread was about to launch it.
        """
        me = get_ident()
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
        for each in launches:
            self._launch(each)
        del gone

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

    # What an adapter carries out

    def _ask(self, key: K, loading: RunningLoad | None) -> tuple[F | Answer | Refuse, F | None]:
        """Look the key up, inside the load `loading` if any: the flight to wait for, or the reply; and the flight to
        launch after the lock, if any. Inside the lock.
        """
        now = self._clock()
        flight: F | None
        flight = self._keyspace.enter(key, now) if loading is None else None  # type: ignore[assignment]  # by `_board`
        if flight is not None:
            if flight.boarder:
                return flight, None
            if self._has_turns and self._keyspace.waits_for_turn(flight):  # a refresh, for which nobody waited
                self._wait_for_turn(flight)
                return flight, None
            flight.boarder = get_ident()
            if flight.due_at != NEVER:
                self._arm(flight)
            return flight, flight
        if loading is not None and not loading.holds_up():
            loading = None
        effects = self._keyspace.get(key, now, loading)
        boarded = self._carry_out(effects)
        reply = reply_of(effects)
        if not isinstance(reply, Join):
            return reply, boarded
        flight = self._flights[reply.generation]
        if not flight.boarder:
            self._wait_for_turn(flight)
        return flight, boarded

    def _carry_out(self, effects: Effects) -> F | None:
        """Carry the effects out in their order. A flight that is to start is returned: launch it after the lock."""
        boarded: F | None = None
        for effect in effects:
            match effect:
                case Join() | Answer() | Refuse() | Save() | Forget():
                    pass  # the caller's reply; and memory is all there is to save to
                case StartLoad():
                    boarded = self._flights[effect.generation]
                    if not boarded.boarder and boarded.due_at != NEVER:
                        self._arm(boarded)
                    boarded.boarder = get_ident()
                    boarded.is_launched = False  # it was, where it had to give up its turn before it began
                case Settle():
                    self._settle_ended(effect.generation, effect.outcome)
                case CancelLoad():  # no caller waits for it any more, but `close` may
                    nobody = Failure(LoadCancelled("nobody waits for the load any more"), None)
                    flight = self._settle_ended(effect.generation, nobody)
                    if flight is not None:
                        self._cancel(flight)
                case Rearm():
                    self._arm(self._flights[effect.generation])
        if self._ended:
            self._clear_ended()
        return boarded

    def _settle_ended(self, generation: int, outcome: Outcome) -> F | None:
        """The flight that the step ended, its waiters answered once."""
        flight = self._ended.get(generation)
        if flight is not None and not flight.is_settled:
            self._settle(flight, outcome)
            flight.is_settled = True
        return flight

    def _clear_ended(self) -> None:
        """Nobody was told what became of those that are left."""
        for flight in self._ended.values():
            if not flight.is_settled:
                self._settle_dropped(flight)
                self._cancel(flight)
        self._ended.clear()

    def _wait_for_turn(self, flight: F) -> None:
        """A caller waits for a flight that is launched later, by whoever ends the load before it. Inside the lock."""
        flight.boarder = WAITS_FOR_TURN
        if flight.due_at != NEVER:
            self._arm(flight)

    def _refresh(self, key: K, now: int) -> Effects:
        self._look_around(key)
        return self._keyspace.refresh(key, now)

    def _look_around(self, key: K) -> None:
        """Drop what the key's flight has become where its runtime has ended. Inside the lock, before a step."""

    def _require_runtime(self) -> None:
        """Raise where the runtime could not run a load now, BEFORE a step orders one."""

    @abstractmethod
    def _board(self, key: K, generation: int, due_at: int) -> F:
        """Make the adapter's side of a flight, and nothing else. Inside the lock, and within a step."""

    def _park(self, flight: F) -> Any:
        """Where a caller waits for the flight. Inside the lock, or the wake-up could come before."""

    @abstractmethod
    def _launch(self, flight: F) -> None:
        """Call the loader for a boarded flight, and set `is_launched` once somebody is certain to report its end.
        Outside of the lock, so another thread may have superseded it already.
        """

    @abstractmethod
    def _settle(self, flight: F, outcome: Outcome) -> None:
        """Answer all waiters. Inside the lock."""

    def _settle_here(self, flight: F, outcome: Outcome) -> None:
        """The same, where the flight's own load has just ended."""
        self._settle(flight, outcome)

    def _settle_dropped(self, flight: F) -> None:
        """Answer all waiters of a flight whose load will not be told of: whoever ran it is gone. Inside the lock."""
        self._settle(flight, Failure(LoadCancelled("whoever ran the load is gone"), None))

    @abstractmethod
    def _cancel(self, flight: F) -> None:
        """Cancel the load if the runtime can. Inside the lock."""

    @abstractmethod
    def _arm(self, flight: F) -> None:
        """Set the timer for `flight.due_at`, which is not `NEVER`. Inside the lock."""

    # What an adapter reports

    def _succeeded(self, flight: F, value: object) -> None:
        """The loader returned this."""
        is_mended = False
        gone = None
        try:
            try:
                self._lock.acquire()  # and not `with`, which takes twice as long, since every miss comes here
                self._is_entered = True
                now = self._clock()
                filled = self._keyspace.fill(flight, value, now)
                if filled is not None:
                    self._settle_here(flight, filled)
                else:
                    luck = random.random()
                    self._carry_out(self._keyspace.load_succeeded(flight.generation, value, now, luck))
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
        del gone
        if filled is None and self._keyspace.inconsistent is not None:
            self._warn_of_keys()
        if self._failures.is_failing:
            self._log_success(flight)

    def _failed(self, flight: F, error: BaseException, handled: BaseException | None = None) -> None:
        """The loader raised this. Where it is no `Exception` it stops the one that runs the load; the waiters get
        LoadCancelled.

        handled: the exception that was being handled where the load began, which is no context of the loader's own.
        """
        if not isinstance(error, Exception):
            cancelled = LoadCancelled(f"the load of {self._shown(flight.key)} ended by {type(error).__name__}")
            cancelled.__cause__ = error
            error = cancelled
        told, kept = error, kept_of(error, self._keyspace.policy, handled)
        self._change(lambda now: self._fail(flight, kept, now))
        if flight.failed_unseen:
            self._log_failure(flight, told)

    def _fail(self, flight: F, error: BaseException, now: int) -> Effects:
        waiters = self._keyspace.waiters(flight.generation)
        effects = self._keyspace.load_failed(flight.generation, error, now)
        flight.failed_unseen = is_unseen(waiters, effects)
        return effects + self._keyspace.load_over(flight, now) if self._has_turns else effects

    def _broken_off(self, flight: F, error: BaseException, handled: BaseException | None = None) -> None:
        """Whoever ran the load was stopped, or its end could not be reported: it is over all the same."""
        try:
            if not isinstance(error, Exception) and not flight.has_ended:
                self._failed(flight, error, handled)
        finally:
            if not flight.has_ended or self._has_turns:
                self._dropped(flight)

    def _dropped(self, flight: F) -> None:
        """The load is over, and nothing was told of it: whoever ran it is gone. No clock is asked, which may be why."""
        self._change(lambda _: self._drop(flight), at=LONG_AGO)

    def _drop(self, flight: F) -> Effects:
        effects = self._keyspace.restarted(flight.generation, LONG_AGO)
        return effects + self._keyspace.load_over(flight, LONG_AGO)

    def _drop_here(self, flight: F) -> None:
        """The same, inside the lock."""
        self._carry_out(self._keyspace.restarted(flight.generation, LONG_AGO))
        if self._has_turns:
            self._postponed.append(functools.partial(self._keyspace.load_over, flight))

    def _begin_wait(self, loading: RunningLoad, flight: F) -> None:
        """A caller inside `loading`, of whom that was not known before, keeps it from ending; ReentrantLoad where that
        is for ever.
        """
        self._change(lambda _: self._keyspace.begin_wait(loading, flight))

    def _abort(self) -> None:
        """End every flight: its waiters get LoadCancelled."""
        self._change(lambda now: self._keyspace.abort(LoadCancelled("the cache was closed"), now))

    def _deadline_passed(self, flight: F) -> None:
        """The timer of this flight went off."""
        self._change(lambda now: self._expire_flight(flight, now))
        if flight.failed_unseen:
            self._log_failure(flight, LoadTimeout("the load did not end within load_timeout"))

    def _expire_flight(self, flight: F, now: int) -> Effects:
        waiters = self._keyspace.waiters(flight.generation)
        effects = self._keyspace.deadline_passed(flight.generation, now)
        flight.failed_unseen = flight.failed_unseen or is_unseen(waiters, effects)
        return effects

    def _log_failure(self, flight: F, error: BaseException) -> None:
        """Outside of the lock, for a handler may ask the cache; what anything in it raises does no harm."""
        flight.failed_unseen = False  # waiters who look at the clock find it late one after the other
        with contextlib.suppress(Exception):
            report = self._failures.failed(flight.key, error, self._clock())
            if report is not None:
                write(report, self._shown(flight.key), error)

    def _log_success(self, flight: F) -> None:
        """The same, of a load that succeeded while others fail."""
        with contextlib.suppress(Exception):
            for report in self._failures.succeeded(flight.key, self._clock()):
                write(report, self._shown(flight.key))

    def _left(self, flight: F, *, can_cancel: bool) -> None:
        """A caller stopped waiting. One whose flight was settled meanwhile did not leave, it was answered: of a
        generation that is over, the keyspace takes nobody off.
        """
        loading = _loading()
        self._change(lambda now: self._let_go_of(flight, now, can_cancel, loading))

    def _let_go_of(self, flight: F, now: int, can_cancel: bool, loading: RunningLoad | None) -> Effects:
        return self._keyspace.waiter_left(flight.generation, now, can_cancel=can_cancel, loading=loading)

    # After a fork

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
        self._ended.clear()
        self._leaving.clear()
        self._postponed.clear()
        self._is_entered = False

    def _abandon(self) -> None:
        """Forget what the adapter knows of running loads."""

    def _lookup(self, answered: Answered) -> Lookup[V]:
        outcome, how = answered
        age = (self._clock() - outcome.loaded_at) / NANOSECONDS_PER_SECOND
        return Lookup(outcome.value, "stale" if outcome.is_stale else how, age)


def value_of(outcome: Outcome) -> Value:
    """The value, or a copy of its load's exception raised, whose context is the loader's and then the caller's."""
    if isinstance(outcome, Failure):
        error = outcome.exception()
        context = error.__context__
        try:
            raise error
        finally:
            if context is not None:
                give_back_context(error, context)
            del error, context  # of which this frame, which is in its traceback, would make a cycle
    return outcome


def awaitable(load: object, returned: Any) -> Awaitable[Any]:
    """What the loader returned, to be awaited; TypeError where it is a function of another colour."""
    if isinstance(returned, CoroutineType) or inspect.isawaitable(returned):
        return returned
    raise TypeError(f"load={load!r} is not accepted: give an async function, this one returned {returned!r}")


def not_awaitable(load: object, returned: Any) -> Any:
    """What the loader returned; TypeError where that would still have to be awaited."""
    if isinstance(returned, CoroutineType):
        returned.close()
        raise TypeError(f"load={load!r} is not accepted: give a function that is not async, or another runtime's cache")
    return returned


def value_of_reply(key: object, reply: Answer | Refuse, shown: Shown) -> Value:
    """The value that a lookup is answered with at once; its load's exception raised, or TooManyWaiters."""
    if isinstance(reply, Answer):
        return value_of(reply.outcome)
    raise TooManyWaiters(f"max_waiters={reply.max_waiters} callers wait for the load of {shown(key)} already")
