"""How one step is taken: the entry is found, `transition` decides, all tables follow, and it is counted.

The tables are the store, with the entries by key, and those of the flights by generation. They agree between any two
steps. A step may be broken off by an exception that comes from outside, at any moment: an interrupt, or a key's
`__eq__`. `heal` makes them agree again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeAlias, TypeVar

from herdless_core._durations import LONG_AGO, NANOSECONDS_PER_SECOND, NEVER
from herdless_core._effects import CancelLoad, Effects, Save, has_effect
from herdless_core._errors import CacheClosed, TooManyLoads
from herdless_core._events import DeadlinePassed, Event, Evict, Get, Invalidate, LoadFailed, Restarted
from herdless_core._holdings import Holding, Holdings, RemovalCause
from herdless_core._loaded import bare_of, is_kept
from herdless_core._machine import NO_ANSWER, NOTHING, Step, age, too_late, transition
from herdless_core._policy import Lifetime, Policy
from herdless_core._previous import Kept, is_not_modified, previous_of
from herdless_core._running import RunningLoad
from herdless_core._shown import Shown
from herdless_core._states import ABSENT, Entry, Evicted, Failure
from herdless_core._stats import Counters
from herdless_core._store import Store
from herdless_core._streaks import Streaks, is_failure
from herdless_core._turns import Turns

K = TypeVar("K")

Observer: TypeAlias = Callable[[Any, Step], None]
"""Called with the key and the step, inside the critical section; it must not call the cache."""


class Steps(Generic[K]):
    """The tables of one cache, and the steps that change them; what may be asked of it is `Keyspace`."""

    __slots__ = (
        "_closed",
        "_counters",
        "_covers",
        "_fills_at_length",
        "_gives_previous",
        "_holdings",
        "_is_torn",
        "_load_type",
        "_shown",
        "_skipped",
        "_store",
        "_streaks",
        "_turns",
        "ended",
        "flights",
        "generation",
        "hot",
        "leaving",
        "observe",
        "policy",
        "started",
    )

    def __init__(
        self,
        policy: Policy,
        store: Store[K],
        turns: Turns | None,
        observe: Observer | None,
        load_type: type[RunningLoad],
        shown: Shown,
        *,
        gives_previous: bool,
    ) -> None:
        """turns: None where any number of loads may run; load_type: the class of which a record is made for each load;
        the others as in `Keyspace`.
        """
        self._gives_previous: Final = gives_previous
        self.policy: Final = policy
        self._covers: Final = policy.soft_timeout != NEVER
        """Whether a caller may be answered with what is kept while the load goes on."""
        self._store: Final = store
        self._holdings: Final = store.holdings
        self._streaks: Final = Streaks[K]() if policy.rests_differ else None
        """The failures in a row by key, where a back-off may grow by them."""
        self._fills_at_length: Final = bool(policy.jitter) or store.holdings is not None or policy.rests_differ
        """Whether there is more to do for each value than its short cut does."""
        self.hot: Final = store.hot
        self.leaving: Final = store.leaving
        self._turns: Final = turns
        self.observe = observe
        """Told of every step; another may take its place between two steps."""
        self._load_type: Final = load_type
        self._shown: Final = shown
        self._counters: Final = Counters()
        self.flights: Final[dict[int, RunningLoad]] = {}
        """Every flight that is not settled, by generation: attached to its key's entry, or that of an evicted one."""
        self.started: Final[list[RunningLoad]] = []
        """The flights that the last steps started, in order, but for those of `enter`."""
        self.ended: Final[dict[int, RunningLoad]] = {}
        """The flights that the last steps ended, by generation."""
        self._is_torn = False
        """Whether a step has begun to change the tables, and has not ended."""
        self.generation = 0
        """The generation of the last flight."""
        self._skipped = 0
        """How many generations were no load of this keyspace, or are not counted any more."""
        self._closed = False

    def _check_open(self) -> None:
        if self._closed:
            raise CacheClosed("the cache is closed")

    def heal(self) -> None:
        """If a step was broken off: the tables agree again. A flight of which only one of them knows has ended."""
        if not self._is_torn:
            return
        self._store.spare(ABSENT)
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
                self._counters.load_cancellations += 1
                self._end(generation)
        self._is_torn = False

    # Steps

    def _step(self, key: K, before: Entry, event: Event, now: int, policy: Policy | None = None) -> Effects:
        """One step. policy: where it is taken by another than the keyspace's."""
        taken_by = self.policy if policy is None else policy
        after, effects = transition(before, event, now, taken_by)
        more = self._commit(key, before, event, now, after, effects, taken_by)
        return effects + more if more else effects

    def _report(self, generation: int, event: Event, now: int, policy: Policy | None = None) -> Effects:
        """One step of the entry whose flight this is; one that has no entry any more only answers who may still
        wait.

        generation: the flight's; event: what is reported; now: the instant, in nanoseconds; policy: as for `_step`.
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
            return self._step(running.key, before, event, now, policy)
        self._detach(running, now)
        return self._report(generation, event, now, policy)

    def _policy_of_failure(self, generation: int, error: BaseException, luck: float) -> Policy:
        """By which the failure of this flight is to be reported. luck: as for `Policy.after_failure`."""
        running = self.flights.get(generation)
        failures = 0 if self._streaks is None or running is None else self._streaks.of(running.key)
        return self.policy.after_failure(error, failures, luck)

    def _step_evicted(self, running: RunningLoad, before: Evicted, event: Event, now: int) -> Effects:
        after, effects = transition(before, event, now, self.policy)
        self._tell(running.key, before, event, now, after, effects)
        if isinstance(after, Evicted) and after.flight is not None:
            running.evicted = after
        else:
            self._is_torn = True
            self._end(running.generation)
            self._is_torn = False
            self._counters.count_end(event)
        return effects

    def _take_out(self, key: K, before: Entry, event: Invalidate, now: int) -> Effects:
        """One step of an entry that is in no table any more."""
        after, effects = transition(before, event, now, self.policy)
        self._tell(key, before, event, now, after, effects)
        self._follow_flight(key, before, event, after)
        return effects

    def _tell(
        self,
        key: K,
        before: Entry,
        event: Event,
        now: int,
        after: Entry,
        effects: Effects,
        policy: Policy | None = None,
    ) -> None:
        if self.observe is not None:
            self.observe(key, Step(before, event, now, self.policy if policy is None else policy, after, effects))

    # Committing

    def _commit(
        self,
        key: K,
        before: Entry,
        event: Event,
        now: int,
        after: Entry,
        effects: Effects,
        policy: Policy | None = None,
    ) -> Effects:
        """The next entry takes its place; returns the cancellations of what had to go for it. policy: by which the step
        was taken; all else as in `Step`, whose key this is.
        """
        self._tell(key, before, event, now, after, effects, policy)
        if after is before:
            return NOTHING
        if self._streaks is not None:
            self._streaks.follow(key, age(before, now), after, failed=is_failure(event) and after.flight is None)
        was_torn, self._is_torn = self._is_torn, True  # an eviction is a step within another one
        cancellations = self._place(key, before, event, now, after)
        self._is_torn = was_torn
        return cancellations

    def _place(self, key: K, before: Entry, event: Event, now: int, after: Entry) -> Effects:
        self._follow_flight(key, before, event, after)
        if self._holdings is not None:
            return self._place_held(self._holdings, key, before, event, now, after)
        if not after.holds_value:
            self._store.place(key, before, after, now)
            return NOTHING
        cancellations = NOTHING if before.holds_value else self._make_room(now)
        if not before.holds_value and self._store.is_full():
            # All the others are waited for. The newcomer is not: its own callers are being answered.
            after = self._turn_away(key, after, now)
        for expired in self._store.place(key, before, after, now):
            cancellations += self._evict(expired, now)
        return cancellations

    def _turn_away(self, key: K, newcomer: Entry, now: int) -> Entry:
        """There is no room for it: to an observer it goes like any victim."""
        self._counters.evictions += 1
        self._tell(key, newcomer, Evict(), now, *transition(newcomer, Evict(), now, self.policy))
        return ABSENT

    def _follow_flight(self, key: K, before: Entry, event: Event, after: Entry) -> None:
        old, new = before.flight, after.flight
        if old is not None and (new is None or new.generation != old.generation):
            running = self.flights[old.generation]
            if running.is_reloaded and after.holds_value:
                running.failure = self._failure_by(event)
            self._end(old.generation)
            self._counters.count_end(event)
        if new is None:
            return
        if isinstance(after, Evicted):
            self.flights[new.generation].evicted = after
        elif old is None or old.generation != new.generation:
            self.generation = new.generation
            load = self.flights[new.generation] = self._load_type(key, new.generation, new.due_at)
            if self._gives_previous:
                load.kept = self._kept_of(key, after)
            self.started.append(load)

    def _kept_of(self, key: K, entry: Entry) -> Kept | None:
        """What the load that was just ordered is given of its key's entry, whose value the tables still know."""
        previous, index, holdings = previous_of(entry), self._store.tags, self._holdings
        if previous is None:
            return None
        tags = () if index is None else index.tags(key)
        return Kept(previous, tags, None if holdings is None else holdings.weight_of(key))

    def _failure_by(self, event: Event) -> Failure | None:
        """Of a flight that this event has ended; None where it did not fail."""
        match event:
            case LoadFailed():
                return Failure(event.error, event.error.__traceback__)
            case DeadlinePassed() | Get():
                return Failure(too_late(self.policy), None)
            case _:
                return None

    def _end(self, generation: int) -> None:
        if self._turns is not None:
            self._turns.give_up(generation)  # first: where this is broken off, no turn is given to what has ended
        ended = self.ended[generation] = self.flights[generation]
        ended.has_ended = True
        del self.flights[generation]

    # Turns

    def _give_up_turn_of(self, entry: Entry, now: int) -> Effects:
        """Where the entry's flight waits for its turn, and its deadline has passed."""
        turns, flight = self._turns, entry.flight
        if turns is None or flight is None or turns.waiting(flight.generation) is None or now < flight.due_at:
            return NOTHING
        return self._give_up_turn(turns, flight.generation, now)

    def _give_up_turn(self, turns: Turns, generation: int, now: int) -> Effects:
        """This flight's deadline passed before its turn came."""
        self._counters.load_timeouts += 1
        seconds = self.policy.load_timeout / NANOSECONDS_PER_SECOND
        late = TooManyLoads(
            f"max_loads={turns.max_loads} loads ran all the while: the load did not begin within "
            f"load_timeout={seconds:g} seconds"
        )
        policy = self._policy_of_failure(generation, late, 0.0)
        return self._report(generation, LoadFailed(generation, late, NO_ANSWER), now, policy)

    # Room

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
        if before is ABSENT:  # its hash failed just now, which is not the business of whoever needs the room
            self._store.rebuild()
            return NOTHING
        self._counters.evictions += age(before, now).holds_value
        return cancellations_in(self._step(key, before, Evict(), now))

    # Where values are weighed, or their removals told

    def _place_held(
        self, holdings: Holdings[K], key: K, before: Entry, event: Event, now: int, after: Entry
    ) -> Effects:
        """As `_place`. A value that takes the place of another one needs room too, for it may weigh more; where it has
        none, the other one goes all the same, for it was replaced.
        """
        newcomer = holdings.newcomer(key, before, event, after)
        cancellations = NOTHING if newcomer is None else self._make_room_for(holdings, newcomer, before, now)
        has_room = newcomer is None or self._has_room_for(holdings, newcomer, before)
        if not has_room:
            after = self._turn_away(key, after, now)
        departing = holdings.departing(key, before, after, now)
        if newcomer is not None and not has_room:
            holdings.turn_away(newcomer, departing)
        reconciled = holdings.reconciled
        expired = self._store.place(key, before, after, now)
        stored = newcomer if has_room else None
        if not holdings.note(key, before, after, stored, departing) or reconciled != holdings.reconciled:
            self._store.reconcile()  # keys were found changed meanwhile, and the newcomer's may be among them
        for each in expired:
            cancellations += self._evict(each, now)
        return cancellations

    def _make_room_for(self, holdings: Holdings[K], newcomer: Holding, before: Entry, now: int) -> Effects:
        """Evict until it has room in the place of `before`, or callers wait for every value that is left. Nothing goes
        for one that would not fit even then.
        """
        cancellations: Effects = NOTHING
        if holdings.is_hopeless(newcomer) or self._has_room_for(holdings, newcomer, before):
            return cancellations
        self._store.spare(before)
        while not self._has_room_for(holdings, newcomer, before):
            victim = self._store.victim(now)
            if victim is None:
                break
            cancellations += self._evict(victim.key, now)
        self._store.spare(ABSENT)
        return cancellations

    def _has_room_for(self, holdings: Holdings[K], newcomer: Holding, before: Entry) -> bool:
        return (before.holds_value or not self._store.is_full()) and holdings.fits(newcomer)

    def _lifetime_of(self, value: object, luck: float) -> Lifetime:
        """Of a value that the next step may store, and which is weighed there. luck: as for `Policy.lifetime_for`."""
        if self._holdings is not None:
            self._holdings.expect(value)
        return self.policy.lifetime_for(value, luck)

    def superseded(self, key: K, value: object, effects: Effects) -> None:
        """Who is told of removals is told of a loaded value that was to be kept, and is not.

        key: what was loaded; value: what the loader returned, a value or `Loaded(value, ...)`; effects: those of
        `load_succeeded`, which say whether it is kept.
        """
        kept = is_kept(value) and not is_not_modified(value)
        if self._holdings is not None and kept and not has_effect(effects, Save):
            self._holdings.part(Holding(key, bare_of(value), 0), "superseded")

    def _remove_all(self, now: int, cause: RemovalCause) -> Effects:
        """Every key is invalidated, those being loaded included; cause: what is told of it."""
        effects: list[CancelLoad] = []
        event = Invalidate()
        self._is_torn = True
        if self._streaks is not None:
            self._streaks.clear()
        for key, before in self._store.take_all(now, cause):
            effects += cancellations_in(self._take_out(key, before, event, now))
        self._is_torn = False
        return tuple(effects)

    # Keys that changed

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


def cancellations_in(effects: Effects) -> tuple[CancelLoad, ...]:
    """What is left of the effects of a step that concerned another key than the caller's."""
    return tuple(effect for effect in effects if isinstance(effect, CancelLoad))
