"""Many entries: what every adapter drives.

A keyspace owns the entries of one cache, its generations, its capacity and its counters. It never blocks. Its methods
come in three kinds, and an adapter calls all of them inside one critical section, in this order:

1. requests of callers: `get`, `put`, `touch`, `invalidate`, `expire`, `refresh`, `clear`, `peek`, `ttl_of`; for many
   keys `invalidate_tags`, `invalidate_these`, `expire_all`, `restore_all`;
2. reports about flights, by generation: `load_succeeded`, `load_failed`, `deadline_passed`, `waiter_left`,
   `soft_timeout_passed`, `restarted`, and about what an earlier process left: `restore`, `skip_to`;
3. questions: `flights`, `stats`, `entry`, `snapshot`. They are in `_held.py`, with the requests that load nothing.

`enter` and `fill` are short cuts before `get` and `load_succeeded`: the same steps where these are of the kinds that a
busy cache makes most, without the objects that describe a step. An adapter tries them first.

Requests and reports return the effects to carry out. The entry is committed when they return, so Save and Forget are
done as far as memory is concerned; those of victims, which are other keys, are left out, their CancelLoad is not.
Nothing of an adapter runs within a step: a load's record, of the class `load_type`, is made of key, generation and
deadline alone. `started` holds the records that the last steps made, for the adapter to fill in what is its own, but
for that of `enter`, which returns it. `ended` holds the flights that the last steps ended; whoever carried their
effects out, or has none to carry out, clears both. `leaving` holds what the last steps removed; it is to be cleared,
and so let go, after the critical section, since a finalizer may call the cache.

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

from typing import TypeVar, final

from herdless_core._checks import check_count
from herdless_core._doors import Doors
from herdless_core._durations import LONG_AGO
from herdless_core._effects import Answer, CancelLoad, Effects, Join, Outcome, StartLoad, Value, has_effect, reply_of
from herdless_core._errors import LoadCancelled, NoLoader, ReentrantLoad
from herdless_core._events import (
    DeadlinePassed,
    Event,
    Expire,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    WaiterLeft,
    put_of,
    success_of,
)
from herdless_core._loaded import Loaded, is_kept
from herdless_core._machine import (
    NO_ANSWER,
    NOT_STALE,
    NOTHING,
    Step,
    fill,
    join,
    on_fill,
    on_join,
    on_start,
    peek,
    start,
    too_late,
    transition,
)
from herdless_core._policy import Policy
from herdless_core._previous import is_not_modified, nothing_before
from herdless_core._reentrancy import begin_wait, end_wait
from herdless_core._running import RunningLoad
from herdless_core._shown import Shown, shown
from herdless_core._states import ABSENT, Entry
from herdless_core._steps import Observer
from herdless_core._store import Store
from herdless_core._tagged import tags_in
from herdless_core._turns import Turns

K = TypeVar("K")


@final
class Keyspace(Doors[K]):
    """The entries of one cache. See the module's docstring for the kinds of methods and the order of their use.

    policy: what every entry is kept by; maxsize: how many values are held at most, at least 0, or None for any number;
    maxweight: how much they weigh together at most, at least 1, or None: not weighed; tells_removals: whether each
    value that leaves is in `leaving` as a `Holding`; max_loads: how many loads run at once at most, at least 1, or None
    for any number; observe: told of every step; has_loader: whether there is a loader for lookups that bring none;
    load_type: the class of which a record is made for each load; shown: what stands for a key in messages;
    gives_previous: whether that record has what was kept before the load, for the loader.
    """

    __slots__ = ()

    def __init__(
        self,
        policy: Policy,
        *,
        maxsize: int | None = None,
        maxweight: int | None = None,
        tells_removals: bool = False,
        max_loads: int | None = None,
        observe: Observer | None = None,
        has_loader: bool = True,
        load_type: type[RunningLoad] = RunningLoad,
        shown: Shown = shown,
        gives_previous: bool = False,
    ) -> None:
        room = None if maxsize is None else check_count("maxsize", maxsize, least=0)
        weight = None if maxweight is None else check_count("maxweight", maxweight, least=1)
        turns = None if max_loads is None else Turns(check_count("max_loads", max_loads, least=1))
        store = Store[K](room, shown, maxweight=weight, tells_removals=tells_removals)
        Doors.__init__(self, policy, store, turns, observe, load_type, shown, gives_previous=gives_previous)
        self._set_doors(has_loader=has_loader)

    # Requests

    def get(
        self,
        key: K,
        now: int,
        loading: RunningLoad | None = None,
        *,
        brings_loader: bool = False,
        reloads: bool = False,
    ) -> Effects:
        """A caller looks the key up. The first effect is the Reply.

        key: of any hashable type; now: the instant, in nanoseconds; loading: the load inside which the caller is, if
        any; brings_loader: whether the caller has a loader of its own; reloads: whether a load has to answer, and not
        what is held (this is not counted as a lookup). Raises TypeError for an unhashable key, CacheClosed,
        ReentrantLoad when the load would wait for itself, and NoLoader where only a load could answer and there is no
        loader.
        """
        self._check_open()
        before = self._store.entry(key)
        if self._is_passed_by:
            self._check_passing(key, loading)
        missed = self._give_up_turn_of(before, now)
        if self.policy.rests_differ:
            missed += self._give_up_overdue(before, now)
        if missed:
            before = self._store.entry(key)
        event = Get(self.generation + 1, reloads)
        after, effects = transition(before, event, now, self.policy)
        if not (self._has_loader or brings_loader) and has_effect(effects, StartLoad):
            return self._get_what_is_there(key, now, reloads=reloads) + missed
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
        if not reloads:
            self._counters.count_lookup(reply)
            if self._covers and isinstance(reply, Join) and after.holds_value:
                self.flights[reply.generation].is_covered = True
        elif isinstance(reply, Join):
            self.flights[reply.generation].is_reloaded = True
        if self._is_passed_by:
            more += self._pass(key, reply, now)
        return self._in_turn(effects + more if more else effects, is_nested=loading is not None)

    def enter(self, key: K, now: int) -> RunningLoad | None:
        """The short cut of a caller outside of all loads who joins a load, or starts that of an unknown key: that load.
        None, and nothing done, where the lookup does anything else: then `get`.
        """
        if self._has_no_short_cut:
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
            turns = self._turns
            if turns is not None and not turns.is_free():
                return None
            generation = self.generation + 1
            started = start(generation, now, self.policy)
            due_at = started.flight.due_at
            self._is_torn = True
            self.generation = generation
            load = self.flights[generation] = self._load_type(key, generation, due_at)
            if turns is not None:
                turns.begin(load)
            if self.observe is not None:
                self.observe(key, Step(ABSENT, Get(generation), now, self.policy, started, on_start(started)))
            table[key] = started
            self._counters.misses += 1
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
        if self.observe is not None:
            event = Get(self.generation + 1)
            self.observe(key, Step(before, event, now, self.policy, joined, on_join(joined)))
        table[key] = joined
        self._counters.joins += 1
        return running

    def put(self, key: K, value: object, now: int, luck: float = 0.0) -> Effects:
        """A caller gives the value.

        key: of any hashable type; value: it, or `Loaded(value, ...)`; now: the instant, in nanoseconds; luck: the
        random number for the jitter, 0 <= luck < 1. Raises PolicyError for `Loaded(value, keep=False)`.
        """
        if isinstance(value, Loaded):
            value.require_kept()
        event = put_of(value, self._lifetime_of(value, luck))
        if self._is_passed_by:
            return self.invalidate(key, now)
        return self._put(key, event, tags_in(value), now)

    def invalidate(self, key: K, now: int) -> Effects:
        """Nobody who asks from now on is answered with what was known or is being loaded."""
        return self._request(key, Invalidate(), now)

    def expire(self, key: K, now: int) -> Effects:
        """A fresh value is stale from now on."""
        return self._request(key, Expire(), now)

    def refresh(self, key: K, now: int, *, brings_loader: bool = False) -> Effects:
        """A load is started in the background, unless one is in flight.

        key: of any hashable type; now: the instant, in nanoseconds; brings_loader: whether the caller has a loader of
        its own. Raises NoLoader where nobody has one.
        """
        if not (self._has_loader or brings_loader):
            raise NoLoader(f"there is no loader by which {self._shown(key)} could be refreshed: give load=")
        if self._is_passed_by:
            return NOTHING
        return self._in_turn(self._request(key, Refresh(self.generation + 1), now), is_nested=False)

    def clear(self, now: int) -> Effects:
        """Every key is invalidated, those being loaded included."""
        self._check_open()
        return self._remove_all(now, "invalidated")

    def close(self, now: int) -> Effects:
        """Everything is removed, and every later request raises CacheClosed. Flights with waiters are still to be
        answered.
        """
        effects = NOTHING if self._closed else self._remove_all(now, "closed")
        self._close_doors()
        return effects

    def abort(self, error: BaseException, now: int) -> Effects:
        """Every flight in the air ends by this error, and its load is to be cancelled."""
        effects: Effects = NOTHING
        for generation in list(self.flights):
            failed = LoadFailed(generation, error, NO_ANSWER)
            effects += (*self._report(generation, failed, now), CancelLoad(generation))
        return effects

    def peek(self, key: K, now: int) -> Outcome | None:
        """What a lookup would be answered with at once, or None; starts nothing and counts as no lookup."""
        self._check_open()
        return peek(self._store.entry(key), now)

    # Reports

    def load_succeeded(self, generation: int, value: object, now: int, luck: float = 0.0) -> Effects:
        """The loader returned.

        generation: the flight's; value: what it returned, a value or `Loaded(value, ...)`; now: the instant, in
        nanoseconds; luck: the random number for the jitter, 0 <= luck < 1.
        """
        if is_not_modified(value):  # from a loader that is given no value: whoever gives one has it replaced
            return self.load_failed(generation, nothing_before(), now)
        event = success_of(generation, value, self._lifetime_of(value, luck) if is_kept(value) else None)
        return self._succeed(event, tags_in(value), now)

    def fill(self, flight: RunningLoad, value: object, now: int) -> Value | None:
        """The short cut of a load that gave a bare value, stored where there is room: what its waiters are answered
        with. None, and nothing done, where there is more to do: then `load_succeeded`.

        flight: the load; value: what it returned; now: the instant, in nanoseconds.
        """
        policy = self.policy
        if flight.has_ended or self._fills_at_length or isinstance(value, Loaded):
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
        if self.observe is not None:
            event = LoadSucceeded(flight.generation, value, policy.lifetime)
            self.observe(key, Step(before, event, now, policy, after, on_fill(event.generation, outcome)))
        self._is_torn = True
        flight.has_ended = True
        del self.flights[flight.generation]
        table[key] = after
        for expired in self._store.admit(key, before, after, now):
            self._evict(expired, now)  # orders nothing: what has expired has no load that only it would cancel
        self._is_torn = False
        return outcome

    def load_failed(self, generation: int, error: BaseException, now: int, luck: float = 0.0) -> Effects:
        """The loader ended by an exception.

        generation: the flight's; error: of whatever kind; now: the instant, in nanoseconds; luck: the random number for
        a back-off that grows, 0 <= luck < 1.
        """
        running, is_answer = self.flights.get(generation), self.policy.is_answer(error)
        if running is not None:
            running.is_answer = is_answer
            self._counters.load_failures += not (is_answer or isinstance(error, LoadCancelled))
        policy = self._policy_of_failure(generation, error, luck)
        return self._report(generation, LoadFailed(generation, error, is_answer), now, policy)

    def deadline_passed(self, generation: int, now: int, luck: float = 0.0) -> Effects:
        """The timer of this flight went off. now: the instant, in nanoseconds; luck: as for `load_failed`."""
        turns = self._turns
        waiting = None if turns is None else turns.waiting(generation)
        if turns is not None and waiting is not None and now >= waiting.due_at:
            return self._give_up_turn(turns, generation, now)
        if not self.policy.rests_differ:
            return self._report(generation, DeadlinePassed(generation), now)
        policy = self._policy_of_failure(generation, too_late(self.policy), luck)
        return self._report(generation, DeadlinePassed(generation), now, policy)

    def waiter_left(
        self, generation: int, now: int, *, can_cancel: bool, loading: RunningLoad | None = None
    ) -> Effects:
        """A caller stopped waiting.

        generation: of the flight that it waited for; now: the instant, in nanoseconds; can_cancel: whether the runtime
        can cancel a load that nobody waits for; loading: the load inside which the caller is, if any.
        """
        running = self.flights.get(generation)
        if loading is not None and running is not None:
            end_wait(loading, running)
        return self._report(generation, WaiterLeft(generation, can_cancel), now)

    def soft_timeout_passed(self, generation: int, now: int, loading: RunningLoad | None = None) -> Outcome | None:
        """A caller has waited for the policy's `soft_timeout`: what is kept, with which it is answered, and waits no
        more; None where it waits on.

        generation: of the flight that it waits for; now: the instant, in nanoseconds; loading: the load inside which
        the caller is, if any.
        """
        effects = self._report(generation, SoftTimeoutPassed(generation), now)
        if not effects:
            return None
        self._counters.soft_answers += 1
        if loading is not None:
            end_wait(loading, self.flights[generation])
        answer = reply_of(effects)
        return answer.outcome if isinstance(answer, Answer) else None

    def restarted(self, generation: int, now: int) -> Effects:
        """Whoever ran this flight is gone, and its waiters with it, or they ask again."""
        return self._report(generation, Restarted(), now)

    def supersede(self, load: RunningLoad) -> Effects:
        """A caller joined this load, the first one to do so, and it has not begun: it is given up, and the caller looks
        up again, which starts another, in its turn if it had one. What counts is the second lookup. Call `next_turn`
        where that is broken off.
        """
        self._counters.joins -= 1
        if self._turns is not None:
            self._turns.end(load)
        return self.restarted(load.generation, LONG_AGO)

    def load_over(self, load: RunningLoad, now: int) -> Effects:
        """The loader came to its end, by whatever way, and also where its flight had ended before."""
        if self._turns is None:
            return NOTHING
        self._turns.end(load)
        return self.next_turn(now)

    def next_turn(self, now: int) -> Effects:
        """Where a turn is free, the first that waits for one is started: one that callers wait for, if there is any."""
        turns = self._turns
        following = None if turns is None else turns.following(self.waiters)
        if turns is None or following is None:
            return NOTHING
        if now >= following.due_at:
            return self._give_up_turn(turns, following.generation, now) + self.next_turn(now)
        turns.begin(following)
        return (StartLoad(following.generation, following.due_at),)

    def turns(self) -> list[RunningLoad]:
        """With `max_loads`: the loads that have a turn."""
        return [] if self._turns is None else self._turns.running()

    def yield_turn(self, load: RunningLoad) -> Effects:
        """This load has not begun, and callers wait for another one, which is started in its turn: it waits again."""
        if self._turns is not None:
            self._turns.put_back(load)
        return self.next_turn(LONG_AGO)

    def nothing_runs(self) -> None:
        """Whoever ran loads is gone: every turn is free."""
        if self._turns is not None:
            self._turns.nothing_runs()

    def begin_wait(self, loading: RunningLoad, running: RunningLoad) -> Effects:
        """A caller inside the load `loading` waits for the load `running`; ReentrantLoad where that is for ever. If it
        waits for its turn, which may be that of `loading`, it is started at once.
        """
        if not begin_wait(loading, running):
            is_own = self.flights.get(loading.generation) is loading
            other = "a key of another cache" if loading.generation else "several keys"
            asks = self._shown(loading.key) if is_own else other
            raise ReentrantLoad(f"the loader of {asks} asks for {self._shown(running.key)}, whose load waits for it")
        if self._turns is None or self._turns.waiting(running.generation) is None:
            return NOTHING
        self._turns.begin(running)
        return (StartLoad(running.generation, running.due_at),)

    # Durable entries, in a keyspace without `maxsize`

    def restore(self, key: K, entry: Entry, now: int) -> None:
        """What was stored becomes the key's entry, without a flight: whoever ran one is gone, or was replaced. A flight
        of this keyspace is superseded; its waiters are answered when its report comes.

        key: in a keyspace without `maxsize`; entry: as it was stored; now: the instant, in nanoseconds.
        """
        replaced = self._store.entry(key)
        if replaced.flight is not None:
            self._counters.load_cancellations += 1
            self._end(replaced.flight.generation)
        restored, effects = transition(entry, Restarted(), now, self.policy)
        self._tell(key, entry, Restarted(), now, restored, effects)
        for expired in self._store.place(key, replaced, restored, now):
            self._evict(expired, now)

    def skip_to(self, generation: int) -> None:
        """The next flight has this generation, or a later one: those before may be another process's."""
        skipped = max(generation - 1 - self.generation, 0)
        self.generation += skipped
        self._skipped += skipped

    # Small things

    def _get_what_is_there(self, key: K, now: int, *, reloads: bool) -> Effects:
        """The lookup of a caller without a loader, who would have to start a load; reloads: nothing else answers it."""
        if reloads:
            raise NoLoader(f"there is no loader by which {self._shown(key)} could be loaded again: give load=")
        outcome = self.peek(key, now)
        if outcome is None:
            raise NoLoader(f"nothing is known of {self._shown(key)}, and there is no loader: give load=")
        reply = Answer(outcome)
        self._store.visit(key)
        self._counters.count_lookup(reply)
        return (reply,)

    def _give_up_overdue(self, entry: Entry, now: int) -> Effects:
        """The entry's flight is past its deadline: a step of its own, since by another policy than the lookup's."""
        flight = entry.flight
        if flight is None or now < flight.due_at:
            return NOTHING
        return self.deadline_passed(flight.generation, now)

    def _request(self, key: K, event: Event, now: int) -> Effects:
        self._check_open()
        return self._step(key, self._store.entry(key), event, now)

    def _in_turn(self, effects: Effects, *, is_nested: bool) -> Effects:
        return effects if self._turns is None else self._turns.admitted(effects, self.flights, is_nested=is_nested)
