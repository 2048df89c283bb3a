"""Long random lives of a keyspace that weighs its values and tells which of them leave, compared with a naive ledger.

Keys fail when they are hashed, or change for good; steps are broken off. Whatever happens, no value is lost sight of:
each one that was given is held, or was handed over once, with a cause that the ledger accepts; and the weights add up.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from herdless.testing import Injection, interrupt_everywhere
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Effects,
    Fresh,
    Holding,
    Join,
    Keyspace,
    Loaded,
    Policy,
    Stale,
    reply_of,
)
from tests.core._holdings import check_holdings

SECOND: Final = NANOSECONDS_PER_SECOND
EVERY: Final = 11
"""Of the points at which a step may be broken off, each so manieth is tried: all take minutes."""
NAMES: Final = ("a", "b", "c", "d", "e")


class BadHash(Exception):
    """The key's own."""


class Moody:
    """A key that may fail when it is hashed, and may change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails_in = -1
        """At the so manieth call; never where that is negative."""

    def __hash__(self) -> int:
        self.fails_in -= 1
        if self.fails_in == 0:
            raise BadHash
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moody) and self.name == other.name

    def __repr__(self) -> str:
        return self.name


class Thing:
    """A value that can be told from all others."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def loaded(self, keep: bool = True) -> Loaded[Thing]:
        """As a loader returns it."""
        return Loaded(self, weight=self.weight, keep=keep)


class Ledger:
    """Every value that was given to the cache, until it has left."""

    def __init__(self) -> None:
        self.given: list[Thing] = []
        self.gone: list[Thing] = []

    def follow(self, cache: Keyspace[Any], newest: Thing | None = None, *, is_refused: bool = False) -> list[Holding]:
        """Look at what a step has done with the values, `newest` being the one that it was given; is_refused: whether
        the step was broken off, so that this one may never have come in. What has left.
        """
        left = {id(each): each for each in cache.leaving if isinstance(each, Holding)}  # one may be there twice
        cache.leaving.clear()
        cache.ended.clear()
        held = [entry.value for entry in entries_of(cache) if holds(entry)]
        if newest is not None:
            self.given.append(newest)
        for each in left.values():
            thing: Any = each.value
            assert thing in self.given, f"{each.cause}: it was not given, or told before"
            assert thing not in held, f"{each.cause}: it is held still"
            self.given.remove(thing)
        missing = [thing for thing in self.given if thing not in held]
        if is_refused and missing == [newest]:
            self.given.remove(missing[0])
        else:
            assert not missing, "a value is gone, and nobody was told"
        return list(left.values())


def entries_of(cache: Keyspace[Any]) -> list[Any]:
    """All that are in a table, also those to which their key does not lead any more."""
    return [*cache.hot.values(), *cache._store.cold.values()]


def holds(entry: Any) -> bool:
    """Whether it has a value, and no error."""
    return isinstance(entry, (Fresh, Stale)) and isinstance(entry.value, Thing)


class Life(RuleBasedStateMachine):
    """One keyspace and the ledger beside it."""

    @initialize(
        maxweight=st.sampled_from([None, 1, 5, 12]),
        maxsize=st.sampled_from([None, None, 0, 2, 3]),
        windows=st.booleans(),
    )
    def begin(self, maxweight: int | None, maxsize: int | None, windows: bool) -> None:
        """Begin with any room."""
        policy = Policy(ttl=10, stale_if_error=10 if windows else 0, negative_ttl=5, answers=LookupError)
        self.cache = Keyspace[Moody](policy, maxsize=maxsize, maxweight=maxweight, tells_removals=True)
        self.ledger = Ledger()
        self.now = 0
        self.flights: list[int] = []
        self.keys = {name: Moody(name) for name in NAMES}
        self.is_sound = True
        """Whether every key was as it should be, so far."""

    names = st.sampled_from(NAMES)
    weights = st.sampled_from([1, 1, 2, 3, 5, 6, 12, 13])
    fails_in = st.sampled_from([-1, -1, -1, -1, *range(1, 9)])

    def take(self, key: Moody, fails_in: int, step: Any, newest: Thing | None = None) -> Effects:
        """Take the step, with a key that may fail in the midst of it; mended as an adapter does."""
        effects: Effects = ()
        key.fails_in = fails_in
        self.is_sound = self.is_sound and fails_in < 0
        is_refused = False
        try:
            effects = step()
        except BadHash:
            is_refused = True
        finally:
            key.fails_in = -1
        if is_refused:
            self.cache.heal()
        self.left = self.ledger.follow(self.cache, newest, is_refused=is_refused)
        return effects

    @rule(name=names, weight=weights, fails_in=fails_in)
    def put(self, name: str, weight: int, fails_in: int) -> None:
        """A caller gives a value."""
        key, thing = self.keys[name], Thing(weight)
        self.take(key, fails_in, lambda: self.cache.put(key, thing.loaded(), self.now), thing)

    @rule(name=names, fails_in=fails_in)
    def get(self, name: str, fails_in: int) -> None:
        """A caller asks, and waits where there is a load."""
        key = self.keys[name]
        effects = self.take(key, fails_in, lambda: self.cache.get(key, self.now))
        reply = reply_of(effects) if effects else None
        if isinstance(reply, Join) and reply.leads:
            self.flights.append(reply.generation)

    @precondition(lambda self: self.flights)
    @rule(index=st.integers(0, 9), weight=weights, fails_in=fails_in)
    def succeed(self, index: int, weight: int, fails_in: int) -> None:
        """A load gives a value, which may be superseded."""
        generation = self.flights.pop(index % len(self.flights))
        thing = Thing(weight)
        flight = self.cache.flights.get(generation)
        key = Moody("of a flight that has ended") if flight is None else flight.key
        value = thing.loaded()

        def step() -> Effects:
            effects = self.cache.load_succeeded(generation, value, self.now)
            self.cache.superseded(key, value, effects)
            return effects

        self.take(key, fails_in, step, thing)

    @precondition(lambda self: self.flights)
    @rule(index=st.integers(0, 9), is_answer=st.booleans())
    def fail(self, index: int, is_answer: bool) -> None:
        """A load fails, or answers that there is none."""
        generation = self.flights.pop(index % len(self.flights))
        error = LookupError() if is_answer else OSError()
        self.take(self.keys["a"], -1, lambda: self.cache.load_failed(generation, error, self.now))

    @precondition(lambda self: self.flights)
    @rule(index=st.integers(0, 9), weight=weights)
    def give(self, index: int, weight: int) -> None:
        """A load gives a value that is not to be kept: it is the waiters' own, and nobody is told."""
        generation = self.flights.pop(index % len(self.flights))
        loaded = Thing(weight).loaded(keep=False)

        def step() -> Effects:
            effects = self.cache.load_succeeded(generation, loaded, self.now)
            self.cache.superseded(self.keys["a"], loaded, effects)
            return effects

        self.take(self.keys["a"], -1, step)

    @rule(name=names, fails_in=fails_in)
    def invalidate(self, name: str, fails_in: int) -> None:
        """The truth changes."""
        key = self.keys[name]
        self.take(key, fails_in, lambda: self.cache.invalidate(key, self.now))
        if fails_in < 0:
            assert {each.cause for each in self.left} <= {"invalidated", "expired"}

    @rule(name=names)
    def expire(self, name: str) -> None:
        """It is to be loaded again, and kept meanwhile."""
        self.take(self.keys[name], -1, lambda: self.cache.expire(self.keys[name], self.now))

    @rule(end=st.sampled_from(["clear", "close"]))
    def remove_all(self, end: str) -> None:
        """Nothing is left."""
        if end == "clear":
            self.take(self.keys["a"], -1, lambda: self.cache.clear(self.now))
        else:
            self.take(self.keys["a"], -1, lambda: self.cache.close(self.now))
            self.cache.open()
        assert not self.ledger.given
        assert self.cache.stats().weight == 0
        causes = {"invalidated" if end == "clear" else "closed", "expired"}
        assert {each.cause for each in self.left} <= causes

    @rule(seconds=st.sampled_from([1, 5, 10, 11]))
    def pass_time(self, seconds: int) -> None:
        """Values expire."""
        self.now += seconds * SECOND

    @rule(name=names)
    def change(self, name: str) -> None:
        """A key changes for good, where it lies: it is not found any more, and comes back as another one."""
        self.keys[name].name += "'"
        self.keys[name] = Moody(name)
        self.is_sound = False

    @invariant()
    def adds_up(self) -> None:
        """There is a holding for each value, and the total is the sum of what is held."""
        cache = self.cache
        holdings = cache._store.holdings
        assert holdings is not None
        entries = [entry for entry in entries_of(cache) if entry.holds_value]
        total = sum(entry.value.weight if holds(entry) else 1 for entry in entries)
        assert holdings.weight == total == sum(each.weight for each in holdings.held.values())
        assert holdings.maxweight is None or total <= holdings.maxweight
        assert len(holdings.held) == len(entries) == cache.stats().size
        if self.is_sound:
            check_holdings(cache)


TestLife = Life.TestCase


# What is broken off


def _scene(act: str, maxsize: int | None, maxweight: int | None) -> Any:
    def scene(injection: Injection) -> None:
        cache = Keyspace[str](
            Policy(ttl=10, stale_if_error=10), maxsize=maxsize, maxweight=maxweight, tells_removals=True
        )
        ledger = Ledger()
        for key in ("a", "b", "c"):
            thing = Thing(2)
            cache.put(key, thing.loaded(), 0)
            ledger.follow(cache, thing)
        cache.get("d", 0)
        newest = Thing(3)
        steps: dict[str, Any] = {
            "put": lambda: cache.put("new", newest.loaded(), SECOND),
            "put over": lambda: cache.put("a", newest.loaded(), SECOND),
            "put what is too heavy": lambda: cache.put("a", Loaded(newest, weight=100), SECOND),
            "load": lambda: cache.load_succeeded(1, newest.loaded(), SECOND),
            "invalidate": lambda: cache.invalidate("a", SECOND),
            "clear": lambda: cache.clear(SECOND),
            "expired": lambda: cache.get("a", 30 * SECOND),
        }
        brings = newest if act.startswith(("put", "load")) else None
        is_refused = True
        with contextlib.suppress(KeyboardInterrupt), injection:
            steps[act]()
            is_refused = False
        cache.heal()
        ledger.follow(cache, brings, is_refused=is_refused)
        check_holdings(cache)
        cache.clear(SECOND)
        ledger.follow(cache)
        assert not ledger.given

    return scene


ACTS: Final = ("put", "put over", "put what is too heavy", "load", "invalidate", "clear", "expired")


@pytest.mark.pure("a compiled step has no points")
@pytest.mark.parametrize(("maxsize", "maxweight"), [(None, None), (3, 7)])
@pytest.mark.parametrize("act", ACTS)
def test_a_step_that_is_broken_off_loses_no_value(act: str, maxsize: int | None, maxweight: int | None) -> None:
    """At whatever point: each value is held, or was handed over once, and their weights add up."""
    assert interrupt_everywhere(_scene(act, maxsize, maxweight), every=EVERY, first=1 + ACTS.index(act)) > 5
