"""Many entries: what every adapter drives.

A keyspace owns the entries of one cache, its generations, its capacity and its counters. It never blocks. Its methods
come in three kinds, and an adapter calls all of them inside one critical section, in this order:

1. requests of callers: `get`, `put`, `invalidate`, `expire`, `refresh`, `clear`, `peek`;
2. reports about flights, by generation: `load_succeeded`, `load_failed`, `deadline_passed`, `waiter_left`, `restarted`;
3. questions: `running_load`, `stats`, `entry`.

Requests and reports return the effects to carry out. The entry is committed when they return, so Save and Forget are
done as far as memory is concerned; those of victims, which are other keys, are left out, their CancelLoad is not.

`hot` is the one thing that may be read outside of the critical section: the entries that may be answered without a step
while `now` is before their `hit_until`. In a bounded keyspace it holds the entries that were looked up since the
eviction hand last passed, so that membership IS the visited bit, and a hit neither writes nor allocates; the others are
in the cold table until their next lookup. In an unbounded one it holds all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, assert_never, final

from herdless_core._effects import Answer, CancelLoad, Effects, Join, Outcome, Refuse, Reply, Value
from herdless_core._errors import CacheClosed, ReentrantLoad
from herdless_core._events import (
    DeadlinePassed,
    Event,
    Evict,
    Expire,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Put,
    Refresh,
    Restarted,
    WaiterLeft,
)
from herdless_core._eviction import S3Fifo, Standing
from herdless_core._machine import NOTHING, Step, age, peek, transition
from herdless_core._policy import NEVER, Loaded, Policy, check_count
from herdless_core._reentrancy import RunningLoad, begin_wait, end, end_wait
from herdless_core._states import ABSENT, Absent, Entry, Evicted, Fresh, Stale

K = TypeVar("K")

Observer: TypeAlias = Callable[[Any, Step], None]
"""Called with the key and the step, inside the critical section; it must not call the cache."""

SWEEP_SLACK: Final = 64
"""How many void mentions the sweep's queue may hold beside two for each entry, before they are forgotten."""


@final
@dataclass(slots=True)
class Stats:
    """What a cache has done since it was made, and what it holds now.

    The first four count lookups by their outcome and are disjoint.
    """

    hits: Final[int]
    stale_hits: Final[int]
    joins: Final[int]
    misses: Final[int]
    loads: Final[int]
    """Flights started: misses and refreshes."""
    load_failures: Final[int]
    load_timeouts: Final[int]
    refusals: Final[int]
    """Lookups refused because `max_waiters` waited already."""
    evictions: Final[int]
    """Entries removed by capacity."""
    size: Final[int]
    """Values held, those past their time but not yet swept included."""
    maxsize: Final[int | None]
    in_flight: Final[int]
    """Flights whose end is awaited now."""


@final
class Keyspace(Generic[K]):
    """The entries of one cache. See the module's docstring for the kinds of methods and the order of their use."""

    __slots__ = (
        "_closed",
        "_cold",
        "_detached",
        "_evictions",
        "_generation",
        "_hits",
        "_joins",
        "_key_of",
        "_load_failures",
        "_load_timeouts",
        "_loads",
        "_maxsize",
        "_misses",
        "_observe",
        "_order",
        "_refusals",
        "_running",
        "_size",
        "_stale_hits",
        "_sweep",
        "hot",
        "policy",
    )

    def __init__(self, policy: Policy, *, maxsize: int | None = None, observe: Observer | None = None) -> None:
        self.policy: Final = policy
        self.hot: Final[dict[K, Entry]] = {}
        self._cold: Final[dict[K, Entry]] = {}
        self._maxsize: Final = None if maxsize is None else check_count("maxsize", maxsize, least=0)
        self._order: Final = None if maxsize is None else S3Fifo[K](maxsize, self._standing, self._unvisit)
        self._sweep: deque[K] = deque()
        self._observe: Final = observe
        self._key_of: Final[dict[int, K]] = {}
        """The key of each flight that is attached to its entry, by generation."""
        self._detached: Final[dict[int, Evicted]] = {}
        """The evicted entries whose flights still have waiters, by generation."""
        self._running: Final[dict[int, RunningLoad]] = {}
        self._closed = False
        self._generation = 0
        self._size = 0
        self._hits = self._stale_hits = self._joins = self._misses = 0
        self._loads = self._load_failures = self._load_timeouts = self._refusals = self._evictions = 0

    # Requests

    def get(self, key: K, now: int, loading: RunningLoad | None = None) -> Effects:
        """A caller looks the key up; `loading` is the load inside which it does so. Exactly one effect is the Reply.

        Raises TypeError for an unhashable key, CacheClosed, and ReentrantLoad when the load would wait for itself.
        """
        before = self._open_entry(key)
        event = Get(self._generation + 1)
        after, effects = transition(before, event, now, self.policy)
        reply = reply_of(effects)
        if (
            loading is not None
            and isinstance(reply, Join)
            and not reply.leads
            and not begin_wait(loading, self._running[reply.generation])
        ):
            # Nothing is committed yet, so the lookup leaves no trace.
            raise ReentrantLoad(f"the loader of {loading.key!r} asks for {key!r}, whose load waits for it")
        more = self._commit(key, Step(before, event, now, self.policy, after, effects))
        if loading is not None and isinstance(reply, Join) and reply.leads:
            begin_wait(loading, self._running[reply.generation])
        if isinstance(reply, Answer):
            self._visit(key)
        self._count_lookup(reply)
        return effects + more

    def put(self, key: K, value: object, now: int, luck: float = 0.0) -> Effects:
        """A caller gives the value, or `Loaded(value, ...)`; `luck` in [0, 1[ is the random number for the jitter."""
        lifetime = self.policy.lifetime_for(value, luck)
        return self._request(key, Put(value.value if isinstance(value, Loaded) else value, lifetime), now)

    def invalidate(self, key: K, now: int) -> Effects:
        """Nobody who asks from now on is answered with what was known or is being loaded."""
        return self._request(key, Invalidate(), now)

    def expire(self, key: K, now: int) -> Effects:
        """A fresh value is stale from now on."""
        return self._request(key, Expire(), now)

    def refresh(self, key: K, now: int) -> Effects:
        """A load is started in the background, unless one is in flight."""
        return self._request(key, Refresh(self._generation + 1), now)

    def clear(self, now: int) -> Effects:
        """Every key is invalidated, those being loaded included."""
        self._check_open()
        effects: list[CancelLoad] = []
        for key in list(self):
            effects += _cancellations(self._step(key, self.entry(key), Invalidate(), now))
        self._sweep.clear()
        if self._order is not None:
            self._order.clear()
        return tuple(effects)

    def close(self, now: int) -> Effects:
        """Everything is removed, and every later request raises CacheClosed. Flights with waiters are still to be
        answered.
        """
        effects = NOTHING if self._closed else self.clear(now)
        self._closed = True
        return effects

    def abort(self, error: BaseException, now: int) -> Effects:
        """Every flight in the air ends by this error, and its load is to be cancelled."""
        effects: Effects = NOTHING
        for generation in (*self._key_of, *self._detached):
            effects += (*self._report(generation, LoadFailed(generation, error), now), CancelLoad(generation))
        return effects

    def peek(self, key: K, now: int) -> Outcome | None:
        """What a lookup would be answered with at once, or None; starts nothing and counts as no lookup."""
        return peek(self._open_entry(key), now)

    # Reports

    def load_succeeded(self, generation: int, value: object, now: int, luck: float = 0.0) -> Effects:
        """The loader returned the value, or `Loaded(value, ...)`; `luck` in [0, 1[ is the random number for the
        jitter.
        """
        lifetime = self.policy.lifetime_for(value, luck)
        bare = value.value if isinstance(value, Loaded) else value
        return self._report(generation, LoadSucceeded(generation, bare, lifetime), now)

    def load_failed(self, generation: int, error: BaseException, now: int) -> Effects:
        """The loader ended by an exception, of whatever kind."""
        if self.is_in_flight(generation):
            self._load_failures += 1
        return self._report(generation, LoadFailed(generation, error), now)

    def deadline_passed(self, generation: int, now: int) -> Effects:
        """The timer of this flight went off."""
        return self._report(generation, DeadlinePassed(generation), now)

    def waiter_left(
        self, generation: int, now: int, *, can_cancel: bool, loading: RunningLoad | None = None
    ) -> Effects:
        """A caller, inside the load `loading` if any, stopped waiting."""
        running = self._running.get(generation)
        if loading is not None and running is not None:
            end_wait(loading, running)
        return self._report(generation, WaiterLeft(generation, can_cancel), now)

    def restarted(self, generation: int, now: int) -> Effects:
        """Whoever ran this flight is gone, and its waiters with it."""
        return self._report(generation, Restarted(), now)

    # Questions

    def is_in_flight(self, generation: int) -> bool:
        """Whether the end of this flight is still awaited."""
        return generation in self._key_of or generation in self._detached

    def waiters(self, generation: int) -> int | None:
        """How many callers wait for this flight; None where it is not in flight."""
        if generation in self._detached:
            flight = self._detached[generation].flight
        elif generation in self._key_of:
            flight = self.entry(self._key_of[generation]).flight
        else:
            flight = None
        return None if flight is None else flight.waiters

    def running_load(self, generation: int) -> RunningLoad:
        """The node of this flight, for the context in which its loader is called."""
        return self._running[generation]

    def entry(self, key: K) -> Entry:
        """The key's entry as it was committed, not aged; Absent when there is none. Raises TypeError for an unhashable
        key.
        """
        try:
            return self.hot.get(key) or self._cold.get(key) or ABSENT
        except TypeError as error:
            raise TypeError(f"the key {key!r} cannot be looked up: {error}") from error

    def __iter__(self) -> Iterator[K]:
        """The keys that have an entry."""
        yield from self.hot
        yield from self._cold

    def stats(self, *, hits: int = 0) -> Stats:
        """The counters; `hits`: those that the adapter answered from `hot` without a step."""
        return Stats(
            hits=self._hits + hits,
            stale_hits=self._stale_hits,
            joins=self._joins,
            misses=self._misses,
            loads=self._loads,
            load_failures=self._load_failures,
            load_timeouts=self._load_timeouts,
            refusals=self._refusals,
            evictions=self._evictions,
            size=self._size,
            maxsize=self._maxsize,
            in_flight=len(self._key_of) + len(self._detached),
        )

    # Steps

    def _request(self, key: K, event: Event, now: int) -> Effects:
        return self._step(key, self._open_entry(key), event, now)

    def _report(self, generation: int, event: Event, now: int) -> Effects:
        if generation in self._key_of:
            key = self._key_of[generation]
            return self._step(key, self.entry(key), event, now)
        entry = self._detached.get(generation, ABSENT)
        after, effects = transition(entry, event, now, self.policy)
        if isinstance(after, Evicted):
            self._detached[generation] = after
            if after.flight is None:
                del self._detached[generation]
                self._end(generation)
                self._load_timeouts += isinstance(event, DeadlinePassed)
        return effects

    def _step(self, key: K, before: Entry, event: Event, now: int) -> Effects:
        after, effects = transition(before, event, now, self.policy)
        return effects + self._commit(key, Step(before, event, now, self.policy, after, effects))

    def _commit(self, key: K, step: Step) -> Effects:
        """The step's entry takes its place; returns the cancellations of what had to go for it."""
        if self._observe is not None:
            self._observe(key, step)
        if step.after is step.before:
            return NOTHING
        self._follow_flight(key, step)
        if not _holds_value(step.after):
            self._size -= _holds_value(step.before)
            self._place(key, step.after)
            return NOTHING
        if _holds_value(step.before):
            self._place(key, step.after)
            if self._order is None and _has_end(step.after) and not _has_end(step.before):
                self._sweep.append(key)
                self._sweep_some(step.now)
            return NOTHING
        return self._admit(key, step.after, step.now)

    def _follow_flight(self, key: K, step: Step) -> None:
        old, new = step.before.flight, step.after.flight
        if old is not None and (new is None or new.generation != old.generation):
            del self._key_of[old.generation]
            self._end(old.generation)
            if isinstance(step.event, DeadlinePassed | Get):
                self._load_timeouts += 1
        if new is None:
            return
        if isinstance(step.after, Evicted):
            del self._key_of[new.generation]
            self._detached[new.generation] = step.after
        elif old is None or old.generation != new.generation:
            self._generation = new.generation
            self._loads += 1
            self._key_of[new.generation] = key
            self._running[new.generation] = RunningLoad(key, new.generation)

    def _end(self, generation: int) -> None:
        end(self._running.pop(generation))

    # Room

    def _admit(self, key: K, entry: Entry, now: int) -> Effects:
        """An entry that has just got a value takes its place, if there is room or room can be made (Bounded)."""
        cancellations = NOTHING
        if self._order is not None:
            cancellations = self._make_room(now)
            if self._size >= self._order.maxsize:
                self._evictions += 1
                self._place(key, ABSENT)
                return cancellations
        self._size += 1
        self._place(key, entry)
        if self._order is not None:
            self._order.add(key, now)  # once it is placed: the queues forget what has no entry
        elif _has_end(entry):
            self._sweep.append(key)
            self._sweep_some(now)
        return cancellations

    def _make_room(self, now: int) -> Effects:
        cancellations: Effects = NOTHING
        while self._order is not None and self._size >= self._order.maxsize:
            victim = self._order.victim(now)
            if victim is None:
                break
            key = victim.key
            before = self.entry(key)
            self._evictions += isinstance(age(before, now), Fresh | Stale)
            cancellations += _cancellations(self._step(key, before, Evict(), now))
        return cancellations

    def _place(self, key: K, entry: Entry) -> None:
        if isinstance(entry, Absent | Evicted):
            self.hot.pop(key, None)
            self._cold.pop(key, None)
        elif self._order is None or key in self.hot:
            self.hot[key] = entry
        else:
            self._cold[key] = entry

    def _standing(self, key: K, now: int) -> Standing:
        entry = self.entry(key)
        if not isinstance(entry, Fresh | Stale):
            return Standing.GONE
        if not _holds_value(age(entry, now)):
            return Standing.EXPIRED
        if entry.flight is not None and entry.flight.waiters > 0:
            return Standing.HELD
        return Standing.VISITED if key in self.hot else Standing.IDLE

    # A key is written to its new table BEFORE it leaves the old one: a reader without the lock misses it at worst, and
    # then asks under it.

    def _visit(self, key: K) -> None:
        entry = self._cold.get(key)
        if entry is not None:
            self.hot[key] = entry
            del self._cold[key]

    def _unvisit(self, key: K) -> None:
        self._cold[key] = self.hot[key]
        del self.hot[key]

    def _sweep_some(self, now: int) -> None:
        """Remove what has expired, two keys for each one that is added: memory follows what is alive, without a
        timer.
        """
        for _ in range(min(2, len(self._sweep))):
            key = self._sweep.popleft()
            entry = self.entry(key)
            if not _holds_value(entry):
                continue
            if _holds_value(age(entry, now)):
                self._sweep.append(key)
            else:
                self._step(key, entry, Evict(), now)
        if len(self._sweep) > 2 * self._size + SWEEP_SLACK:
            self._sweep = deque(key for key in dict.fromkeys(self._sweep) if _holds_value(self.entry(key)))

    # Small things

    def _open_entry(self, key: K) -> Entry:
        self._check_open()
        return self.entry(key)

    def _check_open(self) -> None:
        if self._closed:
            raise CacheClosed("the cache is closed")

    def _count_lookup(self, reply: Reply) -> None:
        match reply:
            case Answer():
                is_stale = isinstance(reply.outcome, Value) and reply.outcome.is_stale
                self._stale_hits += is_stale
                self._hits += not is_stale
            case Join():
                self._misses += reply.leads
                self._joins += not reply.leads
            case Refuse():
                self._refusals += 1
            case _:
                assert_never(reply)


def reply_of(effects: Effects) -> Reply:
    """The one effect of a Get that says what becomes of the caller."""
    return next(effect for effect in effects if isinstance(effect, Answer | Join | Refuse))


def _holds_value(entry: Entry) -> bool:
    return isinstance(entry, Fresh | Stale)


def _cancellations(effects: Effects) -> tuple[CancelLoad, ...]:
    return tuple(effect for effect in effects if isinstance(effect, CancelLoad))


def _has_end(entry: Entry) -> bool:
    return isinstance(entry, Fresh | Stale) and entry.kept_until < NEVER
