"""Every copy of a rule, compared with the rule over the whole product of entries, instants and policies.

A rule of the machine stands once, in `transition`. What a busy cache does most is also done by a short cut: `read`,
`join`, `start` and `fill` for the machine, `enter` and `fill` for the keyspace. Each has its test here. The hit rule,
which the adapters repeat, has its tests in tests/runtimes/test_hit_rule.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final, final

import pytest

from herdless_core import (
    ABSENT,
    NEVER,
    Absent,
    Answer,
    Entry,
    Evicted,
    Get,
    Keyspace,
    LoadSucceeded,
    Policy,
    RunningLoad,
    Settle,
    Step,
    Value,
    read,
    reply_of,
    transition,
)
from herdless_core._machine import fill, join, on_fill, on_join, on_start, start
from tests.core import _product

KEY: Final = "key"
OTHER: Final = "another key"


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """The whole product, made once."""
    return list(_product.steps())


def is_lookup(step: Step) -> bool:
    """Whether a caller looks the key up, and does not ask for a load whatever is held."""
    return isinstance(step.event, Get) and not step.event.reloads


# The machine's short cuts


def test_read_is_get(steps: list[Step]) -> None:
    """A hit that is read without a step is what a lookup is answered with, and the lookup would do nothing else."""
    hits = [(step, read(step.before, step.now)) for step in steps if is_lookup(step)]
    assert any(hit is not None for _, hit in hits)
    for step, hit in hits:
        assert hit is None or (step.after is step.before and step.effects == (Answer(hit),))


def test_join_is_get(steps: list[Step]) -> None:
    """A caller who joins a load without a step is where a lookup would have brought it."""
    joins = [(step, join(step.before, step.now, step.policy)) for step in steps if is_lookup(step)]
    assert any(joined is not None for _, joined in joins)
    for step, joined in joins:
        assert joined is None or (step.after, step.effects) == (joined, on_join(joined))


def test_start_is_get(steps: list[Step]) -> None:
    """A load of an unknown key that starts without a step is the one that a lookup would have started."""
    starts = [step for step in steps if isinstance(step.event, Get) and isinstance(step.before, Absent)]
    assert starts
    for step in starts:
        started = start(_product.NEXT, step.now, step.policy)
        assert (step.after, step.effects) == (started, on_start(started))


def test_fill_is_load_succeeded(steps: list[Step]) -> None:
    """A value that is stored without a step is stored, and its waiters answered, as the load's report says."""
    stored = 0
    for step in steps:
        if isinstance(step.event, LoadSucceeded) and step.event.lifetime is not None and not step.event.age:
            filled = fill(step.before, step.event.generation, step.event.value, step.event.lifetime)
            if filled is not None:
                stored += 1
                outcome = Value(step.event.value, filled.loaded_at, is_stale=False)
                assert (step.after, step.effects) == (filled, on_fill(step.event.generation, outcome))
    assert stored


# The keyspace's short cuts


@final
@dataclass
class Situation:
    """A keyspace in which a key has this entry, and what its observer has seen since."""

    entry: Entry
    policy: Policy
    maxsize: int | None
    is_visited: bool
    is_crowded: bool
    """Whether another key has a value."""
    keyspace: Keyspace[str] = field(init=False)
    seen: list[Step] = field(init=False)
    load: RunningLoad = field(init=False)
    """That of the entry's flight; where it has none, one that was superseded."""

    def __post_init__(self) -> None:
        self.seen = []
        keyspace = Keyspace[str](self.policy, maxsize=self.maxsize, observe=lambda _, step: self.seen.append(step))
        flight = self.entry.flight
        self.load = RunningLoad(KEY, _product.ATTACHED, NEVER if flight is None else flight.due_at)
        if self.is_crowded:
            keyspace.put(OTHER, "value", 0)
        keyspace.generation = _product.ATTACHED
        if flight is not None:
            keyspace.flights[flight.generation] = self.load
            self.load.evicted = self.entry if isinstance(self.entry, Evicted) else None
        keyspace._store.place(KEY, ABSENT, self.entry, 0)
        if self.is_visited:
            keyspace._store.visit(KEY)
        self.keyspace = keyspace
        self.seen.clear()

    def state(self) -> object:
        """All that anybody can notice afterwards, but for what an adapter is to clear."""
        keyspace, store = self.keyspace, self.keyspace._store
        flights = {
            generation: (load.key, load.due_at, load.has_ended, load.evicted)
            for generation, load in keyspace.flights.items()
        }
        mentions = [(list(line.passed), list(line.ahead)) for line in store._lines]
        return store.hot, store.cold, mentions, store._voids, flights, asdict(keyspace.stats()), self.seen


def situations() -> Iterator[tuple[Situation, Situation, int]]:
    """Every one of the product twice, with an instant; in a keyspace without end, and in one with room or without."""
    for policy in _product.POLICIES:
        for entry in _product.entries():
            for now in _product.instants(entry):
                for maxsize, is_visited, is_crowded in ((None, False, False), (2, False, True), (2, True, False)):
                    args = entry, policy, maxsize, is_visited, is_crowded
                    yield Situation(*args), Situation(*args), now
                if not entry.holds_value:
                    yield Situation(entry, policy, 1, False, True), Situation(entry, policy, 1, False, True), now


def test_enter_is_get_or_does_nothing() -> None:
    """By whichever way a lookup goes, the tables, the counters and what an observer is told are the same after it."""
    taken = 0
    for short, long, now in situations():
        before = repr(short.state())
        load = short.keyspace.enter(KEY, now)
        if load is None:
            assert repr(short.state()) == before
            continue
        taken += 1
        reply = reply_of(long.keyspace.get(KEY, now))
        assert short.state() == long.state()
        assert short.keyspace.flights[load.generation] is load
        assert not isinstance(reply, Answer)
        assert short.seen[0].effects[0] == reply
    assert taken


def test_fill_of_a_keyspace_is_load_succeeded_or_does_nothing() -> None:
    """By whichever way a value comes in, the tables, the counters and what is told are the same after it."""
    taken = 0
    for short, long, now in situations():
        before = repr(short.state())
        outcome = short.keyspace.fill(short.load, "loaded", now)
        if outcome is None:
            assert repr(short.state()) == before
            continue
        taken += 1
        effects = long.keyspace.load_succeeded(_product.ATTACHED, "loaded", now)
        assert short.state() == long.state()
        assert [effect.outcome for effect in effects if isinstance(effect, Settle)] == [outcome]
    assert taken


def test_the_steps_that_the_short_cuts_tell_are_those_of_the_machine() -> None:
    """What an observer records of them can be judged, and drawn, like any other step."""
    for short, _, now in situations():
        short.keyspace.enter(KEY, now)
        short.keyspace.fill(short.load, "loaded", now)
        for step in short.seen:
            assert (step.after, step.effects) == transition(step.before, step.event, step.now, step.policy)
