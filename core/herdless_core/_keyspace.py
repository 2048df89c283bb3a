"""Many entries: what every adapter drives.

A keyspace owns the entries of one cache, its generations, its capacity and its counters. It never blocks. Its methods
come in three kinds, and an adapter calls all of them inside one critical section, in this order:

1. requests of callers: `get`, `put`, `invalidate`, `expire`, `refresh`, `clear`, `peek`;
2. reports about flights, by generation: `load_succeeded`, `load_failed`, `deadline_passed`, `waiter_left`, `restarted`,
   and about what an earlier process left: `restore`, `skip_to`;
3. questions: `flights`, `stats`, `entry`.

`enter` and `fill` are short cuts before `get` and `load_succeeded`: the same steps where these are of the kinds that a
busy cache makes most, without the objects that describe a step. An adapter tries them first.

Requests and reports return the effects to carry out. The entry is committed when they return, so Save and Forget are
done as far as memory is concerned; those of victims, which are other keys, are left out, their CancelLoad is not.
`board` is called once for each flight, inside the step that starts it, and makes what stands for it in an adapter: it
may read or start nothing. `ended` holds the flights that the last steps ended; whoever carried their effects out, or
has none to carry out, clears it. `leaving` holds what the last steps removed; it is to be cleared, and so let go, after
the critical section, since a finalizer may call the cache.

A step may be broken off by an exception that comes from outside, at any moment: an interrupt, or a key's `__eq__`.
`heal` makes the tables agree again.

With `max_loads`, a flight that would be one load too many gets no StartLoad until another load is over, which
`load_over` is told. Only a lookup inside a load takes no turn: the load for which it asks could never end otherwise.

`hot` is the one thing that may be read outside of the critical section: the entries that may be answered without a step
while `now` is before their `hit_until`. In a bounded keyspace it holds the entries that were looked up since the
eviction hand last passed, so that membership IS the visited bit, and a hit neither writes nor allocates; the others are
in the cold table until their next lookup. In an unbounded one it holds all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, assert_never, final

from herdless_core._effects import (
    SAVE,
    Answer,
    CancelLoad,
    Effects,
    Join,
    Outcome,
    Refuse,
    Reply,
    Settle,
    StartLoad,
    Value,
)
from herdless_core._errors import CacheClosed, LoadCancelled, ReentrantLoad, TooManyLoads
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
from herdless_core._machine import JOINS, LEADS, NOT_STALE, NOTHING, Step, age, fill, join, peek, start, transition
from herdless_core._policy import LONG_AGO, NANOSECONDS_PER_SECOND, NEVER, Loaded, Policy, check_count
from herdless_core._reentrancy import RunningLoad, begin_wait, end_wait
from herdless_core._shown import Shown, shown
from herdless_core._states import ABSENT, Entry, Evicted
from herdless_core._store import Store

K = TypeVar("K")

Observer: TypeAlias = Callable[[Any, Step], None]
"""Called with the key and the step, inside the critical section; it must not call the cache."""


@final
@dataclass(slots=True)
class Stats:
    """What a cache has done since it was made, and what it holds now.

    hits + stale_hits + joins + misses + refusals are the lookups; each counts once. One that raised before it was
    answered (ReentrantLoad, CacheClosed, an unhashable key) counts nothing. Every load has ended by a value, or is
    counted as a failure, a timeout or a cancellation, or is in flight. Threads without the GIL may lose some hits.
    """

    hits: Final[int]
    stale_hits: Final[int]
    joins: Final[int]
    misses: Final[int]
    loads: Final[int]
    """Flights started: misses and refreshes."""
    load_failures: Final[int]
    load_timeouts: Final[int]
    load_cancellations: Final[int]
    """Loads given up before their end: the last waiter left, or a put, a removal or a closing came first."""
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
        "_board",
        "_closed",
        "_evictions",
        "_generation",
        "_hits",
        "_is_torn",
        "_joins",
        "_load_cancellations",
        "_load_failures",
        "_load_timeouts",
        "_max_loads",
        "_misses",
        "_observe",
        "_refusals",
        "_shown",
        "_skipped",
        "_stale_hits",
        "_store",
        "_turns",
        "_waiting",
        "ended",
        "flights",
        "hot",
        "leaving",
        "policy",
    )

    def __init__(
        self,
        policy: Policy,
        *,
        maxsize: int | None = None,
        max_loads: int | None = None,
        observe: Observer | None = None,
        board: Callable[[K, int, int], RunningLoad] = RunningLoad,
        shown: Shown = shown,
    ) -> None:
        self.policy: Final = policy
        self._shown: Final = shown
        self._store: Final = Store[K](None if maxsize is None else check_count("maxsize", maxsize, least=0), shown)
        self.hot: Final = self._store.hot
        self.leaving: Final = self._store.leaving
        self._max_loads: Final = NEVER if max_loads is None else check_count("max_loads", max_loads, least=1)
        self._observe: Final = observe
        self._board: Final = board
        self.flights: Final[dict[int, RunningLoad]] = {}
        """Every flight that is not settled, by generation: attached to its key's entry, or that of an evicted one."""
        self.ended: Final[dict[int, RunningLoad]] = {}
        """The flights that the last steps ended, by generation."""
        self._turns: Final[set[RunningLoad]] = set()
        """With `max_loads`: the loads that run, those included whose flight has ended."""
        self._waiting: Final[dict[int, RunningLoad]] = {}
        """The flights that wait for their turn, in order."""
        self._is_torn = False
        """Whether a step has begun to change the tables, and has not ended."""
        self._closed = False
        self._generation = self._skipped = 0
        self.reset_counters()

    # Requests

    def get(self, key: K, now: int, loading: RunningLoad | None = None) -> Effects:
        """A caller looks the key up; `loading` is the load inside which it does so. The first effect is the Reply.

        Raises TypeError for an unhashable key, CacheClosed, and ReentrantLoad when the load would wait for itself.
        """
        self._check_open()
        missed = self._give_up_turn_of(key, now) if self._waiting else NOTHING
        before = self._store.entry(key)
        event = Get(self._generation + 1)
        after, effects = transition(before, event, now, self.policy)
        reply = reply_of(effects)
        if loading is not None and isinstance(reply, Join) and not reply.leads:
            # Before the commit, for it may raise.
            missed += self.begin_wait(loading, self.flights[reply.generation])
        more = missed + self._commit(key, before, event, now, after, effects)
        if loading is not None and isinstance(reply, Join) and reply.leads:
            self.begin_wait(loading, self.flights[reply.generation])
        if isinstance(reply, Answer):
            self._is_torn = True
            self._store.visit(key)
            self._is_torn = False
        self._count_lookup(reply)
        return self._in_turn(effects + more if more else effects, is_nested=loading is not None)

    def enter(self, key: K, now: int) -> RunningLoad | None:
        """The short cut of a caller outside of all loads who joins a load, or starts that of an unknown key: that load.
        None, and nothing done, where the lookup does anything else: then `get`.
        """
        if self._closed:
            return None
        table = self.hot
        try:
            before = table.get(key)
        except TypeError:
            return None
        if before is None:
            table = self._store.newcomers
            before = table.get(key)
        if before is None:
            if self._max_loads != NEVER and len(self._turns) >= self._max_loads:
                return None
            generation = self._generation + 1
            started = start(generation, now, self.policy)
            due_at = started.flight.due_at
            self._is_torn = True
            self._generation = generation
            load = self.flights[generation] = self._board(key, generation, due_at)
            if self._max_loads != NEVER:
                self._turns.add(load)
            if self._observe is not None:
                effects = Join(generation, LEADS), StartLoad(generation, due_at)
                self._observe(key, Step(ABSENT, Get(generation), now, self.policy, started, effects))
            table[key] = started
            self._misses += 1
            self._is_torn = False
            return load
        joined = join(before, now, self.policy)
        if joined is None:
            return None
        generation = joined.flight.generation
        running = self.flights.get(generation)
        if running is None:  # a step was broken off before it said so
            self._is_torn = True
            self.heal()
            return None
        if self._observe is not None:
            event = Get(self._generation + 1)
            self._observe(key, Step(before, event, now, self.policy, joined, (Join(generation, JOINS),)))
        table[key] = joined
        self._joins += 1
        return running

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
        return self._in_turn(self._request(key, Refresh(self._generation + 1), now), is_nested=False)

    def clear(self, now: int) -> Effects:
        """Every key is invalidated, those being loaded included."""
        self._check_open()
        effects: list[CancelLoad] = []
        event = Invalidate()
        self._is_torn = True
        for key, before in self._store.take_all():
            effects += _cancellations(self._take_out(key, before, event, now))
        self._is_torn = False
        return tuple(effects)

    def close(self, now: int) -> Effects:
        """Everything is removed, and every later request raises CacheClosed. Flights with waiters are still to be
        answered.
        """
        effects = NOTHING if self._closed else self.clear(now)
        self._closed = True
        return effects

    def open(self) -> None:
        """Requests are accepted again."""
        self._closed = False

    def abort(self, error: BaseException, now: int) -> Effects:
        """Every flight in the air ends by this error, and its load is to be cancelled."""
        effects: Effects = NOTHING
        for generation in list(self.flights):
            effects += (*self._report(generation, LoadFailed(generation, error), now), CancelLoad(generation))
        return effects

    def peek(self, key: K, now: int) -> Outcome | None:
        """What a lookup would be answered with at once, or None; starts nothing and counts as no lookup."""
        self._check_open()
        return peek(self._store.entry(key), now)

    # Reports

    def load_succeeded(self, generation: int, value: object, now: int, luck: float = 0.0) -> Effects:
        """The loader returned the value, or `Loaded(value, ...)`; `luck` in [0, 1[ is the random number for the
        jitter.
        """
        lifetime = self.policy.lifetime_for(value, luck)
        bare = value.value if isinstance(value, Loaded) else value
        return self._report(generation, LoadSucceeded(generation, bare, lifetime), now)

    def fill(self, flight: RunningLoad, value: object, now: int) -> Value | None:
        """The short cut of a load that gave a bare value, stored where there is room: what its waiters are answered
        with. None, and nothing done, where there is more to do: then `load_succeeded`.
        """
        policy = self.policy
        if flight.has_ended or policy.jitter or isinstance(value, Loaded):
            return None
        key, table = flight.key, self.hot
        try:
            before = table.get(key)
            if before is None:
                table = self._store.newcomers
                before = table.get(key, ABSENT)
        except Exception:  # noqa: BLE001  # the key's own, of any kind: it cannot be found any more
            return None
        after = fill(before, flight.generation, value, policy.lifetime)
        if after is None or (not before.holds_value and self._store.is_full()):
            return None
        outcome = Value(value, after.loaded_at, NOT_STALE)
        if self._observe is not None:
            event = LoadSucceeded(flight.generation, value, policy.lifetime)
            effects = SAVE, Settle(flight.generation, outcome)
            self._observe(key, Step(before, event, now, policy, after, effects))
        self._is_torn = True
        flight.has_ended = True
        del self.flights[flight.generation]
        table[key] = after
        for expired in self._store.admit(key, before, after, now):
            self._evict(expired, now)  # orders nothing: what has expired has no load that only it would cancel
        self._is_torn = False
        return outcome

    def load_failed(self, generation: int, error: BaseException, now: int) -> Effects:
        """The loader ended by an exception, of whatever kind."""
        if self.is_in_flight(generation) and not isinstance(error, LoadCancelled):
            self._load_failures += 1
        return self._report(generation, LoadFailed(generation, error), now)

    def deadline_passed(self, generation: int, now: int) -> Effects:
        """The timer of this flight went off."""
        if generation in self._waiting and now >= self._waiting[generation].due_at:
            return self._give_up_turn(generation, now)
        return self._report(generation, DeadlinePassed(generation), now)

    def waiter_left(
        self, generation: int, now: int, *, can_cancel: bool, loading: RunningLoad | None = None
    ) -> Effects:
        """A caller, inside the load `loading` if any, stopped waiting."""
        running = self.flights.get(generation)
        if loading is not None and running is not None:
            end_wait(loading, running)
        return self._report(generation, WaiterLeft(generation, can_cancel), now)

    def restarted(self, generation: int, now: int) -> Effects:
        """Whoever ran this flight is gone, and its waiters with it, or they ask again."""
        return self._report(generation, Restarted(), now)

    def supersede(self, load: RunningLoad) -> Effects:
        """A caller joined this load, the first one to do so, and it has not begun: it is given up, and the caller looks
        up again, which starts another, in its turn if it had one. What counts is the second lookup. Call `next_turn`
        where that is broken off.
        """
        self._joins -= 1
        self._turns.discard(load)
        return self.restarted(load.generation, LONG_AGO)

    def load_over(self, load: RunningLoad, now: int) -> Effects:
        """The loader came to its end, by whatever way, and also where its flight had ended before."""
        self._turns.discard(load)
        return self.next_turn(now)

    def next_turn(self, now: int) -> Effects:
        """Where a turn is free, the first that waits for one is started: one that callers wait for, if there is any."""
        while self._waiting and len(self._turns) < self._max_loads:
            awaited = (generation for generation in self._waiting if self.waiters(generation))
            generation = next(awaited, next(iter(self._waiting)))
            if now >= self._waiting[generation].due_at:
                return self._give_up_turn(generation, now) + self.next_turn(now)
            flight = self._waiting.pop(generation)
            self._turns.add(flight)
            return (StartLoad(generation, flight.due_at),)
        return NOTHING

    def turns(self) -> list[RunningLoad]:
        """With `max_loads`: the loads that have a turn."""
        return list(self._turns)

    def yield_turn(self, load: RunningLoad) -> Effects:
        """This load has not begun, and callers wait for another one, which is started in its turn: it waits again."""
        self._turns.discard(load)
        self._waiting[load.generation] = load
        return self.next_turn(LONG_AGO)

    def nothing_runs(self) -> None:
        """Whoever ran loads is gone: every turn is free."""
        self._turns.clear()

    def heal(self) -> None:
        """If a step was broken off: the tables agree again. A flight of which only one of them knows has ended."""
        if not self._is_torn:
            return
        self._store.rebuild()
        attached: set[int] = set()
        for key in list(self._store):
            entry = self._store.entry(key)
            flight = entry.flight
            if flight is None:
                continue
            running = self.flights.get(flight.generation)
            if running is not None and not running.has_ended:
                attached.add(flight.generation)
                running.evicted = None  # the entry is there still
            else:
                restarted = transition(entry, Restarted(), LONG_AGO, self.policy)[0]
                self._store.place(key, entry, restarted, LONG_AGO)
        for generation, running in list(self.flights.items()):
            is_lost = running.evicted is None and not self._store.is_stray(generation)
            if generation not in attached and (is_lost or running.has_ended):
                self._load_cancellations += 1
                self._end(generation)
        self._is_torn = False

    def begin_wait(self, loading: RunningLoad, running: RunningLoad) -> Effects:
        """A caller inside the load `loading` waits for the load `running`; ReentrantLoad where that is for ever. If it
        waits for its turn, which may be that of `loading`, it is started at once.
        """
        if not begin_wait(loading, running):
            is_own = self.flights.get(loading.generation) is loading
            asks = self._shown(loading.key) if is_own else "a key of another cache"
            raise ReentrantLoad(f"the loader of {asks} asks for {self._shown(running.key)}, whose load waits for it")
        if not self._waiting or self._waiting.pop(running.generation, None) is None:
            return NOTHING
        self._turns.add(running)
        return (StartLoad(running.generation, running.due_at),)

    # Durable entries, in a keyspace without `maxsize`

    def restore(self, key: K, entry: Entry, now: int) -> None:
        """What was stored becomes the key's entry, without a flight: whoever ran one is gone, or was replaced.

        A flight of this keyspace is superseded; its waiters are answered when its report comes.
        """
        replaced = self._store.entry(key)
        if replaced.flight is not None:
            self._load_cancellations += 1
            self._end(replaced.flight.generation)
        restored, effects = transition(entry, Restarted(), now, self.policy)
        if self._observe is not None:
            self._observe(key, Step(entry, Restarted(), now, self.policy, restored, effects))
        for expired in self._store.place(key, replaced, restored, now):
            self._evict(expired, now)

    def skip_to(self, generation: int) -> None:
        """The next flight has this generation, or a later one: those before may be another process's."""
        skipped = max(generation - 1 - self._generation, 0)
        self._generation += skipped
        self._skipped += skipped

    # Questions

    @property
    def inconsistent(self) -> type | None:
        """The type of the first key that changed its hash or equality while it was in the cache, if one did."""
        return self._store.inconsistent

    @property
    def generation(self) -> int:
        """The generation of the last flight."""
        return self._generation

    def waits_for_turn(self, load: RunningLoad) -> bool:
        """Whether this load is one too many for now, and is started when another is over."""
        return load.generation in self._waiting

    def is_in_flight(self, generation: int) -> bool:
        """Whether the end of this flight is still awaited."""
        return generation in self.flights

    def waiters(self, generation: int) -> int | None:
        """How many callers wait for this flight; None where it is not in flight."""
        running = self.flights.get(generation)
        if running is None:
            return None
        entry = running.evicted or self._store.entry_of(running.key, generation) or self._stray(generation)
        return None if entry.flight is None else entry.flight.waiters

    def running_load(self, generation: int) -> RunningLoad:
        """The node of this flight, for the context in which its loader is called."""
        return self.flights[generation]

    def entry(self, key: K) -> Entry:
        """The key's entry as it was committed, not aged; Absent when there is none. Raises TypeError for an unhashable
        key.
        """
        return self._store.entry(key)

    def __iter__(self) -> Iterator[K]:
        """The keys that have an entry."""
        return iter(self._store)

    def stats(self, *, hits: int = 0) -> Stats:
        """The counters; `hits`: those that the adapter answered from `hot` without a step."""
        return Stats(
            hits=self._hits + hits,
            stale_hits=self._stale_hits,
            joins=self._joins,
            misses=self._misses,
            loads=self._generation - self._skipped,
            load_failures=self._load_failures,
            load_timeouts=self._load_timeouts,
            load_cancellations=self._load_cancellations,
            refusals=self._refusals,
            evictions=self._evictions,
            size=self._store.size,
            maxsize=self._store.maxsize,
            in_flight=len(self.flights),
        )

    def reset_counters(self) -> None:
        """Count from 0 again. Generations go on."""
        self._skipped = self._generation
        self._hits = self._stale_hits = self._joins = self._misses = 0
        self._load_failures = self._load_timeouts = self._load_cancellations = 0
        self._refusals = self._evictions = 0

    # Steps

    def _request(self, key: K, event: Event, now: int) -> Effects:
        self._check_open()
        return self._step(key, self._store.entry(key), event, now)

    def _report(self, generation: int, event: Event, now: int) -> Effects:
        """One step of the entry whose flight this is; one that has no entry any more only answers who may still
        wait.
        """
        running = self.flights.get(generation)
        if running is None:
            return transition(ABSENT, event, now, self.policy)[1]
        if running.evicted is not None:
            return self._step_evicted(running, running.evicted, event, now)
        before = self._store.entry_of(running.key, generation)
        if before is None and not self._stray(generation).is_reachable:
            before = self._store.entry_of(running.key, generation)  # the key failed once, and is as it was
        if before is not None:
            return self._step(running.key, before, event, now)
        self._detach(running, now)
        return self._report(generation, event, now)

    def _stray(self, generation: int) -> Entry:
        """The entry of this flight, whose key changed, so that it is not found by it any more."""
        was_torn, self._is_torn = self._is_torn, True
        entry = self._store.stray(generation)
        self._is_torn = was_torn
        return entry

    def _detach(self, running: RunningLoad, now: int) -> None:
        """The key of this flight changed: only its waiters are left of its entry, as of one that was invalidated."""
        was_torn, self._is_torn = self._is_torn, True
        stray = self._store.stray(running.generation)
        # A cancellation would come too late: what follows is a report on the load.
        self._take_out(running.key, stray, Invalidate(), now)
        if running.evicted is None and not running.has_ended:
            self._end(running.generation)
        self._store.forget_stray(running.generation)
        self._is_torn = was_torn

    def _step(self, key: K, before: Entry, event: Event, now: int) -> Effects:
        after, effects = transition(before, event, now, self.policy)
        more = self._commit(key, before, event, now, after, effects)
        return effects + more if more else effects

    def _take_out(self, key: K, before: Entry, event: Invalidate, now: int) -> Effects:
        """One step of an entry that is in no table any more."""
        after, effects = transition(before, event, now, self.policy)
        if self._observe is not None:
            self._observe(key, Step(before, event, now, self.policy, after, effects))
        self._follow_flight(key, before, event, after)
        return effects

    def _step_evicted(self, running: RunningLoad, before: Evicted, event: Event, now: int) -> Effects:
        after, effects = transition(before, event, now, self.policy)
        if self._observe is not None:
            self._observe(running.key, Step(before, event, now, self.policy, after, effects))
        if isinstance(after, Evicted) and after.flight is not None:
            running.evicted = after
        else:
            self._is_torn = True
            self._end(running.generation)
            self._is_torn = False
            self._count_end(event)
        return effects

    def _commit(self, key: K, before: Entry, event: Event, now: int, after: Entry, effects: Effects) -> Effects:
        """The next entry takes its place; returns the cancellations of what had to go for it."""
        if self._observe is not None:
            self._observe(key, Step(before, event, now, self.policy, after, effects))
        if after is before:
            return NOTHING
        was_torn, self._is_torn = self._is_torn, True  # an eviction is a step within another one
        cancellations = self._place(key, before, event, now, after)
        self._is_torn = was_torn
        return cancellations

    def _place(self, key: K, before: Entry, event: Event, now: int, after: Entry) -> Effects:
        self._follow_flight(key, before, event, after)
        if not after.holds_value:
            self._store.place(key, before, after, now)
            return NOTHING
        cancellations = NOTHING if before.holds_value else self._make_room(now)
        if not before.holds_value and self._store.is_full():
            # All the others are waited for. The newcomer is not: its own callers are being answered.
            self._evictions += 1
            if self._observe is not None:
                self._observe(
                    key, Step(after, Evict(), now, self.policy, *transition(after, Evict(), now, self.policy))
                )
            after = ABSENT
        for expired in self._store.place(key, before, after, now):
            cancellations += self._evict(expired, now)
        return cancellations

    def _follow_flight(self, key: K, before: Entry, event: Event, after: Entry) -> None:
        old, new = before.flight, after.flight
        if old is not None and (new is None or new.generation != old.generation):
            self._end(old.generation)
            self._count_end(event)
        if new is None:
            return
        if isinstance(after, Evicted):
            self.flights[new.generation].evicted = after
        elif old is None or old.generation != new.generation:
            self._generation = new.generation
            self.flights[new.generation] = self._board(key, new.generation, new.due_at)

    def _count_end(self, event: Event) -> None:
        """A flight ended by this event. Its failure was counted when it was reported."""
        match event:
            case DeadlinePassed() | Get():
                self._load_timeouts += 1
            case LoadSucceeded():
                pass
            case LoadFailed():
                self._load_cancellations += isinstance(event.error, LoadCancelled)
            case _:
                self._load_cancellations += 1

    def _end(self, generation: int) -> None:
        if self._waiting:
            self._waiting.pop(generation, None)  # first: where this is broken off, no turn is given to what has ended
        ended = self.ended[generation] = self.flights[generation]
        ended.has_ended = True
        del self.flights[generation]

    # Turns

    def _in_turn(self, effects: Effects, *, is_nested: bool) -> Effects:
        """The effects, without the StartLoad of a load that has to wait for its turn."""
        if self._max_loads == NEVER:
            return effects
        return tuple(
            effect for effect in effects if not isinstance(effect, StartLoad) or self._starts(effect, is_nested)
        )

    def _starts(self, order: StartLoad, is_nested: bool) -> bool:
        flight = self.flights[order.generation]
        if is_nested or len(self._turns) < self._max_loads:
            self._turns.add(flight)
            return True
        self._waiting[order.generation] = flight
        return False

    def _give_up_turn_of(self, key: K, now: int) -> Effects:
        flight = self._store.entry(key).flight
        if flight is None or flight.generation not in self._waiting or now < flight.due_at:
            return NOTHING
        return self._give_up_turn(flight.generation, now)

    def _give_up_turn(self, generation: int, now: int) -> Effects:
        """This flight's deadline passed before its turn came."""
        self._load_timeouts += 1
        seconds = self.policy.load_timeout / NANOSECONDS_PER_SECOND
        late = TooManyLoads(
            f"max_loads={self._max_loads} loads ran all the while: the load did not begin within "
            f"load_timeout={seconds:g} seconds"
        )
        return self._report(generation, LoadFailed(generation, late), now)

    def _make_room(self, now: int) -> Effects:
        """Evict until one more value has room (Bounded), or callers wait for every one that is left."""
        cancellations: Effects = NOTHING
        while self._store.is_full():
            victim = self._store.victim(now)
            if victim is None:
                break
            cancellations += self._evict(victim.key, now)
        return cancellations

    def _evict(self, key: K, now: int) -> Effects:
        before = self._store.find(key)
        if before is ABSENT:
            return NOTHING  # its hash failed just now, which is not the business of whoever needs the room
        self._evictions += age(before, now).holds_value
        return _cancellations(self._step(key, before, Evict(), now))

    # Small things

    def _check_open(self) -> None:
        if self._closed:
            raise CacheClosed("the cache is closed")

    def _count_lookup(self, reply: Reply) -> None:
        match reply:
            case Join():
                if reply.leads:
                    self._misses += 1
                else:
                    self._joins += 1
            case Answer():
                if isinstance(reply.outcome, Value) and reply.outcome.is_stale:
                    self._stale_hits += 1
                else:
                    self._hits += 1
            case Refuse():
                self._refusals += 1
            case _:
                assert_never(reply)


def reply_of(effects: Effects) -> Reply:
    """The first effect of a Get, which says what becomes of the caller; ValueError where it is none."""
    reply = effects[0] if effects else None
    if isinstance(reply, (Join, Answer, Refuse)):
        return reply
    raise ValueError(f"no reply is the first of {effects!r}")


def _cancellations(effects: Effects) -> tuple[CancelLoad, ...]:
    return tuple(effect for effect in effects if isinstance(effect, CancelLoad))
