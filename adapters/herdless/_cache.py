"""What a cache is in every runtime: all that neither parks a caller nor calls a loader.

An adapter adds those two, and the four small orders that depend on them (`_board`, `_settle`, `_cancel`, `_arm`). The
order of work is the same everywhere: inside `self._lock` the keyspace takes one step, its effects are carried out and
the caller is registered as a waiter; after it, the one load that the step may have ordered is launched. Nothing is
awaited and no loader runs inside the lock.
"""

from __future__ import annotations

import inspect
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic_ns
from types import CoroutineType
from typing import Any, Final, Generic, TypeAlias, TypeVar, Unpack, final

from herdless import _primitives
from herdless._fork import survive_forks
from herdless._lookup import How, Lookup
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    CancelLoad,
    Effects,
    Failure,
    Forget,
    Join,
    Keyspace,
    LoadCancelled,
    Loaded,
    Observer,
    Outcome,
    Policy,
    PolicyError,
    PolicyOptions,
    Rearm,
    Refuse,
    RunningLoad,
    Save,
    Settle,
    StartLoad,
    Stats,
    Step,
    TooManyWaiters,
    Value,
    reply_of,
)

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


class CacheOptions(PolicyOptions, total=False):
    """The keyword arguments that every cache takes: those of `Policy`, or `policy` itself, and three of its own."""

    maxsize: int | None
    """How many values are held at most; None: any number."""
    clock: Clock
    """A callable that returns integer nanoseconds, from any origin; `time.monotonic_ns` by default."""
    observe: Observer | None
    """Called with the key and the `herdless_core.Step` at every step, inside the lock: it must not call the cache.

    A hit takes no step.
    """
    policy: Policy | None


class Flight(RunningLoad):
    """The adapter's side of a flight: its waiters, and what it needs to run the load."""

    is_aboard: bool = False
    """Set once it is among the flights to settle; whoever set it launches it."""


class BaseCache(ABC, Generic[K, V, F]):
    """The part of a cache that is the same in every runtime."""

    def __init__(
        self,
        load: Callable[[K], Any],
        *,
        maxsize: int | None = None,
        clock: Clock = monotonic_ns,
        observe: Observer | None = None,
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
        self._lock = _primitives.Lock()
        self._keyspace: Final = Keyspace[K](
            policy or Policy(**options),
            maxsize=maxsize,
            observe=None if observe is None else Guarded(observe),
            board=self._board,
        )
        # Entries, of which only those before their `hit_until` are read here, and these have a value.
        self._hot: Final[dict[K, Any]] = self._keyspace.hot
        self._flights: Final[dict[int, F]] = {}
        """The flights that are not settled, by generation."""
        self._hits = 0
        self._told_of_forks: Final = survive_forks(self)

    # Requests that never wait

    def peek(self, key: K, default: T | None = None) -> V | T | None:
        """The value that a lookup would be answered with at once, a stale one included, or `default`; loads nothing."""
        with self._lock:
            outcome = self._keyspace.peek(key, self._clock())
        return outcome.value if isinstance(outcome, Value) else default

    def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value. Callers who wait for a load of the key get it too, and that load is cancelled."""
        with self._lock:
            self._carry_out(self._keyspace.put(key, value, self._clock(), random.random()))

    def invalidate(self, key: K) -> None:
        """From now on nobody is served what was known of the key, nor what a load in flight will say of it.

        Callers who joined that load before get its result; later ones start a new load.
        """
        with self._lock:
            self._carry_out(self._keyspace.invalidate(key, self._clock()))

    def expire(self, key: K) -> None:
        """Make a fresh value stale: it is loaded again at the next lookup and served meanwhile as the policy says."""
        with self._lock:
            self._carry_out(self._keyspace.expire(key, self._clock()))

    def refresh(self, key: K) -> None:
        """Start loading the key without waiting for it, unless a load is in flight."""
        with self._lock:
            self._require_runtime()
            flight = self._carry_out(self._keyspace.refresh(key, self._clock()))
        if flight is not None:
            self._launch(key, flight)

    def clear(self) -> None:
        """Invalidate every key, those being loaded included."""
        with self._lock:
            self._carry_out(self._keyspace.clear(self._clock()))

    def stats(self) -> Stats:
        """What the cache has done, and what it holds."""
        with self._lock:
            return self._keyspace.stats(hits=self._hits)

    def __contains__(self, key: K) -> bool:
        """Whether a lookup would be answered at once."""
        with self._lock:
            return isinstance(self._keyspace.peek(key, self._clock()), Value)

    def __len__(self) -> int:
        """How many values are held."""
        return self.stats().size

    # What an adapter carries out

    def _ask(self, key: K) -> tuple[F | Answer | Refuse, F | None]:
        """Look the key up: the flight to wait for, or the reply; and the flight to launch after the lock, if any.

        Inside the lock.
        """
        loading, now = _loading(), self._clock()
        flight: F | None
        flight = self._keyspace.enter(key, now) if loading is None else None  # type: ignore[assignment]  # by `_board`
        if flight is not None:
            if flight.is_aboard:
                return flight, None
            flight.is_aboard = True
            self._flights[flight.generation] = flight
            return flight, flight
        effects = self._keyspace.get(key, now, loading)
        boarded = self._carry_out(effects)
        reply = reply_of(effects)
        return self._flights[reply.generation] if isinstance(reply, Join) else reply, boarded

    def _carry_out(self, effects: Effects) -> F | None:
        """Carry the effects out in their order. A flight that is to start is boarded and returned: launch it after the
        lock.
        """
        boarded: F | None = None
        for effect in effects:
            match effect:
                case Join() | Answer() | Refuse() | Save() | Forget():
                    pass  # the caller's reply; and memory is all there is to save to
                case StartLoad():
                    started: F = self._keyspace.running_load(effect.generation)  # type: ignore[assignment]  # by `_board`
                    boarded = self._flights[effect.generation] = started
                    started.is_aboard = True
                case Settle():
                    flight = self._flights.pop(effect.generation, None)
                    if flight is not None:
                        self._settle(flight, effect.outcome)
                case CancelLoad():
                    flight = self._flights.pop(effect.generation, None)
                    if flight is not None:  # no caller waits for it any more, but `close` may
                        self._settle(flight, Failure(LoadCancelled("nobody waits for the load any more"), None))
                    self._cancel(effect.generation)
                case Rearm():
                    self._arm(self._flights[effect.generation])
        return boarded

    def _require_runtime(self) -> None:
        """Raise where the runtime could not run a load now, BEFORE a step orders one. Inside the lock."""

    @abstractmethod
    def _board(self, key: K, generation: int, due_at: int) -> F:
        """Make the adapter's side of a flight, and set the timer for `due_at` unless it is `NEVER`. Inside the lock."""

    @abstractmethod
    def _launch(self, key: K, flight: F) -> None:
        """Call the loader for a boarded flight. Outside of the lock, so another thread may have superseded it
        already.
        """

    @abstractmethod
    def _settle(self, flight: F, outcome: Outcome) -> None:
        """Answer all waiters. Inside the lock."""

    def _settle_here(self, flight: F, outcome: Outcome) -> None:
        """The same, where the flight's own load has just ended."""
        self._settle(flight, outcome)

    @abstractmethod
    def _cancel(self, generation: int) -> None:
        """Cancel the load if the runtime can. Inside the lock."""

    @abstractmethod
    def _arm(self, flight: F) -> None:
        """Set the timer for `flight.due_at`. Inside the lock."""

    # What an adapter reports

    def _succeeded(self, generation: int, value: object) -> None:
        self._lock.acquire()  # and not `with`, which takes twice as long, since every miss comes here
        try:
            now = self._clock()
            filled = self._keyspace.fill(generation, value, now)
            if filled is not None:
                self._settle_here(self._flights.pop(generation), filled)
            else:
                self._carry_out(self._keyspace.load_succeeded(generation, value, now, random.random()))
        finally:
            self._lock.release()

    def _failed(self, generation: int, key: K, error: BaseException) -> None:
        """An exception that is no `Exception` stops the one that runs the load; the waiters get LoadCancelled."""
        if not isinstance(error, Exception):
            cancelled = LoadCancelled(f"the load of {key!r} ended by {type(error).__name__}")
            cancelled.__cause__ = error
            error = cancelled
        with self._lock:
            awaited = self._keyspace.waiters(generation)
            self._carry_out(self._keyspace.load_failed(generation, error, self._clock()))
        if awaited == 0:
            LOGGER.warning("the refresh of %r failed", key, exc_info=error)

    def _abort(self) -> None:
        """End every flight: its waiters get LoadCancelled."""
        with self._lock:
            self._carry_out(self._keyspace.abort(LoadCancelled("the cache was closed"), self._clock()))

    def _deadline_passed(self, generation: int) -> None:
        with self._lock:
            self._carry_out(self._keyspace.deadline_passed(generation, self._clock()))

    def _left(self, flight: F, *, can_cancel: bool) -> None:
        """A caller stopped waiting; one whose flight was settled meanwhile did not leave, it was answered."""
        with self._lock:
            if flight.generation in self._flights:
                effects = self._keyspace.waiter_left(
                    flight.generation, self._clock(), can_cancel=can_cancel, loading=LOADING.get()
                )
                self._carry_out(effects)

    # After a fork

    def hold(self) -> None:
        """Take the lock, so that a forked child finds no step half done."""
        self._lock.acquire()

    def release(self) -> None:
        """The fork is over."""
        self._lock.release()

    def restart(self) -> None:
        """In the child: the values are there, those who ran the flights are not. The lock is held."""
        for generation in self._flights:
            self._keyspace.restarted(generation, self._clock())
        self._abandon()
        self._flights.clear()

    def _abandon(self) -> None:
        """Forget what the adapter knows of running loads."""

    def _lookup(self, answered: Answered) -> Lookup[V]:
        outcome, how = answered
        age = (self._clock() - outcome.loaded_at) / NANOSECONDS_PER_SECOND
        return Lookup(outcome.value, "stale" if outcome.is_stale else how, age)


def value_of(outcome: Outcome) -> Value:
    """The value, or its load's exception raised."""
    if isinstance(outcome, Failure):
        raise outcome.exception()
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


def value_of_reply(key: object, reply: Answer | Refuse) -> Value:
    """The value that a lookup is answered with at once; its load's exception raised, or TooManyWaiters."""
    if isinstance(reply, Answer):
        return value_of(reply.outcome)
    raise TooManyWaiters(f"max_waiters={reply.max_waiters} callers wait for the load of {key!r} already")


@final
class Guarded:
    """An observer that cannot break a step: what it raises is logged."""

    def __init__(self, observe: Observer) -> None:
        self._observe: Final = observe

    def __call__(self, key: Any, step: Step) -> None:
        try:
            self._observe(key, step)
        except Exception:
            LOGGER.exception("the observer %r failed", self._observe)
