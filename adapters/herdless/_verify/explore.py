"""All states that one key can reach under a policy in a small world, and whether every step keeps every promise.

    exploration = explore(Policy(ttl=60, stale_while_revalidate=300))
    exploration.violations          # empty, or the shortest way to the first broken promise of each name

The search is breadth first, so every path it reports is a shortest one. The same graph, made by the model checker TLC
from specs/CacheEntry.tla, must be equal to this one (specs/graph.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from herdless._verify.shortcuts import unequal
from herdless._verify.ticks import age_cap, in_ticks
from herdless._verify.words import step_in_words
from herdless._verify.world import IDLE, Bounds, Machine, Move, Outline, Outliner, World, commit, first, moves, target
from herdless_core import (
    Answer,
    Entry,
    Fresh,
    Policy,
    Settle,
    Stale,
    Step,
    Value,
    _machine,
    age,
)
from herdless_core._invariants import INVARIANTS, Invariant
from herdless_core._table import TABLE

Edge: TypeAlias = tuple[int, str, int]
"""From a state, by a move, to a state; states by number."""

Judge: TypeAlias = Callable[[World, Move, Step, World], Iterator[str]]
"""Names the promises that a step breaks."""


@final
@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and the shortest way there."""

    promise: str
    path: tuple[str, ...]
    """The moves from the beginning, the last one being that which broke the promise."""
    step: Step

    def lines(self) -> tuple[str, ...]:
        """For a reader: the moves, and the step that broke the promise."""
        return (" -> ".join(self.path), *step_in_words(self.step))


@final
@dataclass(slots=True)
class Exploration:
    """The graph of everything that can happen."""

    policy: Policy
    """In ticks."""
    states: dict[Outline, int] = field(default_factory=dict)
    """Every state with its number, in the order in which they were found; number 0 is the first one."""
    edges: set[Edge] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)
    is_complete: bool = True
    """False when there were more states than `max_states`."""
    depth: int = 0
    """How many moves the farthest state is away."""
    found_by: list[tuple[int, str]] = field(default_factory=list)
    """For each state, from which one and by which move it was found first."""

    def path_to(self, state: int) -> tuple[str, ...]:
        """The moves of a shortest way from the beginning."""
        path: list[str] = []
        while state:
            state, move = self.found_by[state]
            path.append(move)
        return tuple(reversed(path))


def explore(
    policy: Policy,
    bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    *,
    machine: Machine = _machine,
    invariants: dict[str, Invariant] | None = None,
    max_states: int = 1_000_000,
) -> Exploration:
    """Explore the policy, its durations replaced by the fewest ticks that keep the order of its boundaries.

    invariants: by name; None: all of `herdless_core._invariants`, and what spans steps. Empty: none is judged.
    max_states: the search stops there, and says so in `is_complete`.
    """
    return explore_ticks(in_ticks(policy), bounds, machine=machine, invariants=invariants, max_states=max_states)


def explore_ticks(
    policy: Policy,
    bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    *,
    machine: Machine = _machine,
    invariants: dict[str, Invariant] | None = None,
    max_states: int = 1_000_000,
) -> Exploration:
    """The same for a policy that is in ticks already, as it is."""
    judge = Judgement(machine, dict(INVARIANTS) if invariants is None else invariants)
    return _Search(policy, bounds, machine, None if invariants == {} else judge, max_states).run()


@final
class _Search:
    """One breadth-first search."""

    def __init__(
        self, policy: Policy, bounds: Bounds, machine: Machine, judge: Judgement | None, max_states: int
    ) -> None:
        self._policy: Final = policy
        self._bounds: Final = bounds
        self._machine: Final = machine
        self._judge: Final = judge
        self._max_states: Final = max_states
        self._outline: Final = Outliner(age_cap(policy)).outline
        self._found: Final = Exploration(policy)
        self._broken: Final[set[str]] = set()

    def run(self) -> Exploration:
        """Layer by layer, from one world of each state: others with the same outline can do the same."""
        begin = first(self._bounds)
        self._found.states[self._outline(begin)] = 0
        self._found.found_by.append((0, ""))
        layer = [begin]
        number = 0
        while layer and self._found.is_complete:
            following: list[World] = []
            for world in layer:
                self._expand(world, number, following)
                number += 1
            self._found.depth += bool(following)
            layer = following
        return self._found

    def _expand(self, world: World, number: int, following: list[World]) -> None:
        found = self._found
        for move in moves(world, self._policy, self._bounds):
            after = self._after(world, move, number)
            if after is None:
                continue
            outline = self._outline(after)
            state = found.states.setdefault(outline, len(found.found_by))
            if state == len(found.found_by):
                found.found_by.append((number, move.name))
                following.append(after)
                found.is_complete = state < self._max_states
            found.edges.add((number, move.name, state))

    def _after(self, world: World, move: Move, number: int) -> World | None:
        """The world after the move; None where it would need one flight too many."""
        if move.event is None:
            return move.after
        before = target(world, move.event)
        entry, effects = self._machine.transition(before, move.event, world.now, self._policy)
        after = commit(world, move, before, entry, effects)
        if after.generation > self._bounds.generations:
            return None
        if self._judge is not None:
            step = Step(before, move.event, world.now, self._policy, entry, effects)
            for name in self._judge(world, move, step, after):
                if name not in self._broken:
                    self._broken.add(name)
                    path = (*self._found.path_to(number), move.name)
                    self._found.violations.append(Violation(name, path, step))
        return after


@final
class Judgement:
    """Whether a step keeps the promises: those of one step, and those that span steps."""

    def __init__(self, machine: Machine, invariants: dict[str, Invariant]) -> None:
        self._machine: Final = machine
        self._invariants: Final = invariants

    def __call__(self, world: World, move: Move, step: Step, after: World) -> Iterator[str]:
        """The names of the promises that the step breaks."""
        for name, holds in self._invariants.items():
            if not holds(step):
                yield name
        if not _is_in_table(step):
            yield "Table"
        yield from unequal(self._machine, step)
        if not is_everyone_counted(after):
            yield "AnsweredOnce"
        if not is_nothing_outdated(world, move, step, after):
            yield "NoStaleRead"


def _is_in_table(step: Step) -> bool:
    return type(step.after) in TABLE[type(age(step.before, step.now))][type(step.event)]


def is_everyone_counted(after: World) -> bool:
    """Whoever waits, waits for a flight that is awaited, and each flight counts those who wait for it."""
    awaited = {entry.flight.generation: entry.flight.waiters for entry in _entries(after) if entry.flight is not None}
    counted = dict.fromkeys(awaited, 0)
    for client in after.clients:
        if client == IDLE:
            continue
        if client.waits_for not in counted:
            return False
        counted[client.waits_for] += 1
    return counted == awaited


def is_nothing_outdated(world: World, move: Move, step: Step, after: World) -> bool:
    """Nobody is given, and nothing holds, a value read before the Put or Invalidate that came before."""
    for effect in step.effects:
        if isinstance(effect, Answer) and _is_older(effect.outcome, world.floor):
            return False
        if isinstance(effect, Settle):
            waiting = [client.since for client in world.clients if client.waits_for == effect.generation]
            if any(_is_older(effect.outcome, since) for since in waiting):
                return False
    entry = after.entry
    held = entry.value if isinstance(entry, Fresh | Stale) else None
    return not isinstance(held, int) or held >= after.floor


def _is_older(outcome: object, floor: int) -> bool:
    return isinstance(outcome, Value) and outcome.value < floor


def _entries(world: World) -> tuple[Entry, ...]:
    return (world.entry, *world.detached)
