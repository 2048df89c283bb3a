"""Long random lives of a keyspace, compared at every step with a naive cache, the design and the invariants.

Time moves to the instants at which something changes, and to the ones just before; loads end in any order, late, twice
superseded or not at all; callers leave. `--hypothesis-profile=deep` lives longer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from herdless_core import (
    NEVER,
    Answer,
    CancelLoad,
    Effects,
    Failure,
    Fresh,
    Join,
    Keyspace,
    Loaded,
    LoadTimeout,
    Outcome,
    Refuse,
    Settle,
    Stale,
    Step,
    entries_of,
    record_of,
    reply_of,
    transition,
    value_in,
)
from herdless_core.invariants import violated
from herdless_verify.oracle import Oracle
from tests.core._naive import FOREVER, MICROSECOND, TIMEOUT, Load, NaiveEntry, Rules, Said, Waiter

KEYS: Final = ("a", None, 1)

rules = st.builds(
    Rules,
    ttl=st.sampled_from([None, 0, 10, 10, 10]),
    stale_while_revalidate=st.sampled_from([0, 5]),
    stale_if_error=st.sampled_from([0, 3, 20]),
    negative_ttl=st.sampled_from([0, 6]),
    has_answers=st.booleans(),
    early_refresh=st.sampled_from([None, 0.5]),
    load_timeout=st.sampled_from([None, 4]),
    refresh_backoff=st.sampled_from([0, 2, 30]),
    max_waiters=st.sampled_from([None, 1, 2]),
)
keys = st.sampled_from(["a", "a", "a", None, 1])
indices = st.integers(0, 30)
ages = st.sampled_from([0, 0, 0, 3, 8, 12, 40])
"""Of values when their load begins, or when they are put: microseconds."""


class Life(RuleBasedStateMachine):
    """One keyspace, the naive cache beside it, and every caller who waits."""

    @initialize(rules=rules, maxsize=st.sampled_from([None, None, 0, 1, 2]), short_cuts=st.booleans())
    def begin(self, rules: Rules, maxsize: int | None, short_cuts: bool) -> None:
        """Begin with any policy and any room, with `enter` and `fill` before `get` and `load_succeeded` or without."""
        self.short_cuts = short_cuts
        self.now = 1_000
        self.maxsize = maxsize
        self.cache = Keyspace[Any](rules.policy(), maxsize=maxsize, observe=self.observe)
        self.naive: dict[object, NaiveEntry] = {key: NaiveEntry(rules) for key in KEYS}
        self.aside: dict[int, Load] = {}
        """The loads whose key was invalidated, by generation; they still have waiters."""
        self.known: dict[object, int] = dict.fromkeys(KEYS, 0)
        """How often each key was invalidated: a value that was read before the last time is out of date."""
        self.began: dict[int, tuple[object, int]] = {}
        """The key of each load ever started, and what was known of it when it was."""
        self.running: list[int] = []
        """The loads whose loaders have not ended, superseded ones included."""
        self.waiting: dict[int, dict[Waiter, int]] = {}
        """The callers who wait for each load, and what was known of the key when they asked."""
        self.asked = 0
        self.serial = 0
        self.oracle = Oracle()

    # What callers do

    @rule(key=keys, reloads=st.sampled_from([False, False, False, True]))
    def get(self, key: object, reloads: bool = False) -> None:
        """A caller asks, or reloads; the answer, or whom it waits for, is what the naive cache says."""
        self.asked += 1
        generation = self.next_generation()
        expected = self.naive[key].get(self.now, generation, self.asked, reloads=reloads)
        entered = None if reloads else self.entered(key, generation)
        effects = entered or self.cache.get(key, self.now, reloads=reloads)
        reply = reply_of(effects)
        if isinstance(reply, Join):
            assert isinstance(expected, Load)
            assert (reply.generation, reply.leads) == (expected.generation, expected.generation == generation)
            self.waiting.setdefault(reply.generation, {})[self.asked] = self.known[key]
        elif isinstance(reply, Answer):
            assert isinstance(expected, Said)
            self.check_outcome(key, reply.outcome, expected, self.known[key])
        else:
            assert isinstance(reply, Refuse)
            assert expected is None
        self.carry_out(key, effects)

    @rule(key=keys, index=indices, before=st.booleans())
    def get_at_a_boundary(self, key: object, index: int, before: bool) -> None:
        """A caller asks when something has just changed, or is about to."""
        self.pass_to_a_boundary(index, before)
        self.get(key)

    @precondition(lambda self: self.running)
    @rule(index=indices)
    def get_what_was_just_loaded(self, index: int) -> None:
        """A load ends, and somebody asks for its key."""
        key, _ = self.began[self.running[index % len(self.running)]]
        self.succeed(index)
        self.get(key)

    @rule(key=keys, age=ages)
    def put(self, key: object, age: int) -> None:
        """A caller gives a value, new or so many microseconds old."""
        value = self.value_of(key, self.known[key])
        self.naive[key].put(self.now, value, age * MICROSECOND)
        self.carry_out(key, self.cache.put(key, self.told(value, age=age), self.now))

    @rule(key=keys, everything=st.integers(0, 5))
    def invalidate(self, key: object, everything: int) -> None:
        """The truth changes, and a caller says so; now and then all of it."""
        if everything == 0:
            for each in KEYS:
                self.set_aside(each)
            self.carry_out(None, self.cache.clear(self.now))
        else:
            self.set_aside(key)
            self.carry_out(key, self.cache.invalidate(key, self.now))

    @rule(keys=st.sets(keys))
    def invalidate_these(self, keys: set[object]) -> None:
        """The truth of several keys changes."""
        for each in keys:
            self.set_aside(each)
        self.carry_out(None, self.cache.invalidate_these(keys, self.now))

    @rule(key=keys)
    def touch(self, key: object) -> None:
        """A caller knows that what is held is still true."""
        is_held = self.naive[key].touch(self.now)
        effects = self.cache.touch(key, None, self.now)
        assert (effects is not None) == is_held
        self.carry_out(key, effects or ())

    @rule()
    def expire_all(self) -> None:
        """A caller wants everything loaded again soon."""
        for entry in self.naive.values():
            entry.expire(self.now)
        self.carry_out(None, self.cache.expire_all(self.now))

    @rule(key=keys)
    def expire(self, key: object) -> None:
        """A caller wants it loaded again soon."""
        self.naive[key].expire(self.now)
        self.carry_out(key, self.cache.expire(key, self.now))

    @rule(key=keys)
    def refresh(self, key: object) -> None:
        """A caller wants it loaded now."""
        self.naive[key].refresh(self.now, self.next_generation())
        self.carry_out(key, self.cache.refresh(key, self.now))

    @precondition(lambda self: any(self.waiting.values()))
    @rule(index=indices, can_cancel=st.booleans())
    def leave(self, index: int, can_cancel: bool) -> None:
        """One caller stops waiting."""
        waiters = [(generation, waiter) for generation, group in self.waiting.items() for waiter in group]
        generation, waiter = waiters[index % len(waiters)]
        del self.waiting[generation][waiter]
        if generation in self.aside:
            self.aside[generation].waiters.remove(waiter)
            if not self.aside[generation].waiters:
                del self.aside[generation]
        else:
            self.naive[self.began[generation][0]].leave(self.now, waiter, can_cancel=can_cancel)
        self.carry_out(None, self.cache.waiter_left(generation, self.now, can_cancel=can_cancel))

    @precondition(lambda self: any(self.waiting.values()))
    @rule(index=indices)
    def wait_long(self, index: int) -> None:
        """One caller has waited for soft_timeout."""
        waiters = [(generation, waiter) for generation, group in self.waiting.items() for waiter in group]
        generation, waiter = waiters[index % len(waiters)]
        key = self.began[generation][0]
        expected = self.naive[key].answer_softly(self.now, waiter) if self.is_attached(generation) else None
        outcome = self.cache.soft_timeout_passed(generation, self.now)
        assert (outcome is None) == (expected is None)
        if outcome is not None and expected is not None:
            self.check_outcome(key, outcome, expected, self.waiting[generation].pop(waiter))

    # What loads do

    @precondition(lambda self: self.running)
    @rule(index=indices, keep=st.booleans(), age=ages)
    def succeed(self, index: int, keep: bool = True, age: int = 0) -> None:
        """A loader returns what was true when it began, or so many microseconds before, to be kept or not."""
        generation = self.running.pop(index % len(self.running))
        key, known = self.began[generation]
        value = self.value_of(key, known)
        naive = self.naive[key]
        if self.is_attached(generation):
            naive.succeed(self.now, value, age * MICROSECOND) if keep else naive.give(value)
        loaded = self.told(value, keep=keep, age=age)
        effects = self.filled(generation, loaded) or self.cache.load_succeeded(generation, loaded, self.now)
        self.carry_out(key, effects, Said(value))

    @precondition(lambda self: self.running)
    @rule(index=indices, error=st.sampled_from([OSError, LookupError, KeyboardInterrupt]))
    def fail(self, index: int, error: type[BaseException]) -> None:
        """A loader raises."""
        generation = self.running.pop(index % len(self.running))
        key, _ = self.began[generation]
        raised = error()
        if self.is_attached(generation):
            self.naive[key].fail(self.now, raised, memorable=error is not KeyboardInterrupt)
        self.carry_out(key, self.cache.load_failed(generation, raised, self.now), Said(raised))

    @precondition(lambda self: self.began)
    @rule(index=indices)
    def deadline(self, index: int) -> None:
        """A timer goes off, at its time or not."""
        generation = 1 + index % len(self.began)
        key, _ = self.began[generation]
        load = self.load_of(generation)
        if load is not None and self.now >= load.due_at and self.is_attached(generation):
            self.naive[key].fail(self.now, TIMEOUT, memorable=False)
        self.carry_out(key, self.cache.deadline_passed(generation, self.now), Said(TIMEOUT))

    @precondition(lambda self: self.began)
    @rule(index=indices)
    def restart(self, index: int) -> None:
        """Who ran the load is gone, and who waited for it."""
        generation = 1 + index % len(self.began)
        self.waiting.pop(generation, None)
        self.aside.pop(generation, None)
        if self.is_attached(generation):
            self.naive[self.began[generation][0]].load = None
        self.carry_out(None, self.cache.restarted(generation, self.now))

    # What time does

    @rule(index=indices, before=st.booleans())
    def pass_to_a_boundary(self, index: int, before: bool) -> None:
        """Time passes up to where something changes, or up to just before it."""
        loads = {load.due_at for load in self.aside.values() if load.due_at < FOREVER}
        boundaries = loads.union(*(entry.boundaries() for entry in self.naive.values()))
        later = sorted(instant - before for instant in boundaries if instant - before > self.now)
        self.now = later[index % len(later)] if later else self.now + 1

    # What must hold

    @invariant()
    def says_what_is_left(self) -> None:
        """How long a value is fresh is what the naive cache knows."""
        for key, entry in self.naive.items():
            entry.age(self.now)
            held = None if entry.held is None or entry.held.is_error else entry.held
            left = self.cache.ttl_of(key, self.now)
            if held is None or held.fresh_until >= FOREVER:
                assert left == (None if held is None else NEVER)
            else:
                assert left == max(held.fresh_until - self.now, 0)

    @rule(offset=st.integers(-(10**12), 10**12))
    def another_process_holds_the_same(self, offset: int) -> None:
        """What is dumped and restored is there for as long as it is here, whatever the other clock says."""
        held = {key: value_in(entry, self.now) for key, entry in self.cache.snapshot()}
        records = [record_of(key, entry, self.now, 0) for key, entry in held.items() if entry is not None]
        other = Keyspace[Any](self.cache.policy)
        entries = entries_of(records, self.now + offset, 0, 0, other.policy, repr)
        assert len(other.restore_all(entries, self.now + offset)) == len(records)
        for key, entry in self.naive.items():
            for at in {instant for instant in entry.boundaries() if instant > self.now} | {self.now}:
                here, there = value_in(self.cache.entry(key), at), value_in(other.entry(key), at + offset)
                assert type(here) is type(there)
                if here is not None and there is not None:
                    assert (there.value, there.loaded_at) == (here.value, here.loaded_at + offset)

    @invariant()
    def is_bounded(self) -> None:
        """Never more values than maxsize, and the table that may be read without a lock is one of the two."""
        stats = self.cache.stats()
        held = [key for key in self.cache if isinstance(self.cache.entry(key), Fresh | Stale)]
        assert stats.size == len(held)
        assert self.maxsize is None or stats.size <= self.maxsize
        assert not set(self.cache.hot) & set(self.cache._store.cold)

    @invariant()
    def counts_the_same_waiters(self) -> None:
        """The flights in the air are those of the naive cache, each with the same number of waiters."""
        attached = [entry.load for entry in self.naive.values() if entry.load is not None]
        loads = [*attached, *self.aside.values()]
        for load in loads:
            assert self.cache.waiters(load.generation) == len(load.waiters)
            assert set(load.waiters) == set(self.waiting.get(load.generation, {}))
        assert self.cache.stats().in_flight == len(loads)
        in_the_air = {load.generation for load in loads}
        assert all(generation in in_the_air for generation, group in self.waiting.items() if group), (
            "nobody is forgotten"
        )

    def teardown(self) -> None:
        """In the end all loads end, and everybody who waits is answered."""
        if not hasattr(self, "cache"):
            return
        while self.running:
            self.succeed(0)
        assert not any(self.waiting.values())
        assert self.cache.stats().in_flight == 0

    # Carrying out what the keyspace orders

    def carry_out(self, key: object, effects: Effects, late: Said | None = None) -> None:
        """Do what an adapter does, and check what everybody is told; `late`: what a superseded load would say."""
        for effect in effects:
            if isinstance(effect, Settle):
                self.settle(effect, late)
            elif isinstance(effect, CancelLoad):
                assert not self.waiting.pop(effect.generation, None), "a load was cancelled under somebody's feet"
        for name, entry in self.naive.items():
            self.notice_the_start(name, entry)
            self.notice_the_eviction(name, entry)

    def settle(self, effect: Settle, late: Said | None) -> None:
        """Everybody who waits for the load is told the same, once."""
        generation = effect.generation
        key, _ = self.began[generation]
        aside = self.aside.pop(generation, None)
        expected = late if aside is not None else self.naive[key].told.get(generation)
        waiters = self.waiting.pop(generation, {})
        for known in waiters.values():
            assert expected is not None
            self.check_outcome(key, effect.outcome, expected, known)

    def notice_the_start(self, key: object, entry: NaiveEntry) -> None:
        """A load was started: its loader runs from now on."""
        load = entry.load
        if load is not None and load.generation not in self.began:
            assert load.generation == len(self.began) + 1, "generations are given in their order, and once"
            assert self.cache.flights[load.generation].key == key
            self.began[load.generation] = (key, self.known[key])
            self.running.append(load.generation)

    def notice_the_eviction(self, key: object, entry: NaiveEntry) -> None:
        """Which key goes is the keyspace's choice, but never one with waiters, and only where room is short."""
        entry.age(self.now)
        if entry.held is not None and not isinstance(self.cache.entry(key), Fresh | Stale):
            assert self.maxsize is not None
            assert entry.load is None or not entry.load.waiters
            entry.evict(self.now)

    def check_outcome(self, key: object, outcome: Outcome, expected: Said, known: int) -> None:
        """It is what the naive cache says, and not from before the caller's last invalidation."""
        if isinstance(outcome, Failure):
            is_timeout = expected.value == TIMEOUT and isinstance(outcome.error, LoadTimeout)
            assert is_timeout or outcome.error is expected.value
            return
        assert (outcome.value, outcome.is_stale) == (expected.value, expected.is_stale)
        of, read_at, _ = outcome.value
        assert of == key
        assert read_at >= known, "NoStaleRead"

    def observe(self, _key: object, step: Step) -> None:
        """Every step keeps the invariants, and leads where the design says."""
        assert violated(step) == []
        if not any(isinstance(effect, Settle) and isinstance(effect.outcome, Failure) for effect in step.effects):
            assert (step.after, step.effects) == transition(step.before, step.event, step.now, step.policy)
        assert type(step.after).__name__ == self.oracle.next_state(step)

    # Short cuts

    def entered(self, key: object, generation: int) -> Effects | None:
        """What the short cut of a lookup comes to, if it is taken."""
        load = self.cache.enter(key, self.now) if self.short_cuts else None
        return None if load is None else (Join(load.generation, load.generation == generation),)

    def filled(self, generation: int, value: object) -> Effects | None:
        """What the short cut of a load that succeeds comes to, if it is taken."""
        load = self.cache.flights.get(generation)
        outcome = None if load is None or not self.short_cuts else self.cache.fill(load, value, self.now)
        return None if outcome is None else (Settle(generation, outcome),)

    # Small things

    def told(self, value: object, *, keep: bool = True, age: int) -> object:
        """The value as a loader or a caller says it."""
        return Loaded(value, keep=keep, age=timedelta(microseconds=age)) if age or not keep else value

    def next_generation(self) -> int:
        """The number of the next load."""
        return len(self.began) + 1

    def value_of(self, key: object, known: int) -> tuple[object, int, int]:
        """A value that says of which key it is, and when it was read."""
        self.serial += 1
        return (key, known, self.serial)

    def is_attached(self, generation: int) -> bool:
        """Whether the load is its key's own, and not superseded."""
        load = self.naive[self.began[generation][0]].load
        return load is not None and load.generation == generation

    def load_of(self, generation: int) -> Load | None:
        """The load, if its end is awaited at all."""
        return self.aside.get(generation, self.naive[self.began[generation][0]].load)

    def set_aside(self, key: object) -> None:
        """What the key's load will say is out of date from now on."""
        load = self.naive[key].invalidate()
        if load is not None:
            self.aside[load.generation] = load
        self.known[key] += 1


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=max(300, settings.default.max_examples if settings.default else 0))
