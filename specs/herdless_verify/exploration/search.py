"""All states that one key can reach under a policy in a small world, and whether every step keeps every promise.

    exploration = explore(Policy(ttl=60, stale_while_revalidate=300))
    exploration.violations          # empty, or the shortest way to the first broken promise of each name

The search is breadth first, so every path it reports is a shortest one. The same graph, made by the model checker TLC
from specs/CacheEntry.tla, must be equal to this one (herdless_verify.tlc.graph).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from herdless._trace.words import step_in_words
from herdless_core import (
    NEVER,
    Answer,
    DeadlinePassed,
    Entry,
    Event,
    Fresh,
    Get,
    LoadFailed,
    LoadSucceeded,
    Policy,
    Put,
    Settle,
    SoftTimeoutPassed,
    Stale,
    Step,
    Value,
    WaiterLeft,
    _machine,
    age,
)
from herdless_core.invariants import INVARIANTS, Invariant
from herdless_core.table import TABLE
from herdless_verify.exploration.meaning import Meaning
from herdless_verify.exploration.shortcuts import SHORT_CUTS, unequal
from herdless_verify.exploration.situations import BY_WORLD, SITUATIONS, in_world
from herdless_verify.exploration.ticks import age_cap, in_ticks
from herdless_verify.exploration.world import (
    IDLE,
    Bounds,
    Machine,
    Move,
    Outline,
    Outliner,
    World,
    commit,
    first,
    moves,
    target,
)

Edge: TypeAlias = tuple[int, str, int]
"""From a state, by a move, to a state; states by number."""

Watcher: TypeAlias = Callable[[World, Move, Step, World, object, "Exploration"], Iterator[str]]
"""Is asked about each step, and names the promises that it breaks: the world before, the move, the step, the world
after, what is equal for steps that are alike, and the exploration, in which it may count."""

TABLE_OF_MOVES: Final = "Table"
"""What the table of moves is called among the promises."""

ACROSS_STEPS: Final = {TABLE_OF_MOVES: "A step leads only where the table of moves allows."} | SHORT_CUTS
"""What is judged beside the invariants."""


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
    """Empty where states are counted by their amount."""
    steps: dict[Outline, int] = field(default_factory=dict)
    """The steps of the machine, as Watched.tla tells them, each with the state from which it was taken first. Empty
    where states are told apart by the last orders."""
    moves: int = 0
    """How often one state led to the next, by whatever move."""
    tried: Counter[str] = field(default_factory=Counter)
    """How often the situation of each promise came about."""
    judged: Counter[str] = field(default_factory=Counter)
    """How many different steps each promise was asked about."""
    violations: list[Violation] = field(default_factory=list)
    is_complete: bool = True
    """False when there were more states than `max_states`, or a step that is not known."""
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


def bounds_of(policy: Policy) -> Bounds:
    """The world in which a user's policy is explored: so many callers that one may be refused and two may wait, two
    values of the truth, a runtime that can cancel loads or cannot, and a loader that may say of its value that it is
    not to be kept, or has been true for a tick already; callers who may ask for a load whatever is held, and, where
    the policy has a soft_timeout, may have waited for so long.
    """
    clients = 3 if 1 < policy.max_waiters < NEVER else 2
    return Bounds(
        clients=clients,
        generations=2,
        truths=2,
        can_cancel=None,
        may_not_keep=True,
        may_reload=True,
        has_soft_timeout=policy.soft_timeout < NEVER,
        oldest=1,
    )


def explore(
    policy: Policy,
    bounds: Bounds | None = None,
    *,
    machine: Machine = _machine,
    invariants: Mapping[str, Invariant] | None = None,
    max_states: int = 1_000_000,
    known: Container[Outline] | None = None,
    meaning: Meaning | None = None,
) -> Exploration:
    """Explore the policy, its durations replaced by the fewest ticks that keep the order of its boundaries.

    States from which the same can happen are one (`Outliner.amount`); every step is judged all the same.

    bounds: None: those of `bounds_of`.
    invariants: by name; None: all of `herdless_core.invariants`, and what spans steps. Empty: none is judged.
    max_states: the search stops there, and says so in `is_complete`.
    known: the steps that another machine takes; the search stops at the first one that is not among them.
    meaning: what is measured at each step, if anything.
    """
    judge = Judgement(machine, INVARIANTS if invariants is None else invariants)
    watch = None if invariants == {} else Watch(judge)
    bounds = bounds or bounds_of(policy)
    search = _Search(in_ticks(policy), bounds, machine, watch, max_states, by_amount=True, known=known, meaning=meaning)
    return search.run()


def explore_ticks(
    policy: Policy,
    bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    *,
    machine: Machine = _machine,
    invariants: Mapping[str, Invariant] | None = None,
    max_states: int = 1_000_000,
    watch: Watcher | None = None,
) -> Exploration:
    """The same for a policy that is in ticks already, as it is, and with states told apart by all that is in them.

    watch: what is asked about every step, instead of the invariants.
    """
    if watch is None and invariants != {}:
        watch = Watch(Judgement(machine, INVARIANTS if invariants is None else invariants))
    return _Search(policy, bounds, machine, watch, max_states, by_amount=False).run()


@final
class _Search:
    """One breadth-first search."""

    def __init__(
        self,
        policy: Policy,
        bounds: Bounds,
        machine: Machine,
        watch: Watcher | None,
        max_states: int,
        *,
        by_amount: bool,
        known: Container[Outline] | None = None,
        meaning: Meaning | None = None,
    ) -> None:
        self._policy: Final = policy
        self._bounds: Final = bounds
        self._machine: Final = machine
        self._watch: Final[Watcher | None] = watch
        self._max_states: Final = max_states
        self._by_amount: Final = by_amount
        self._known: Final = known
        self._meaning: Final = meaning
        self._outliner: Final = Outliner(age_cap(policy, *bounds.lifetimes(policy)))
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
                if self._known is not None and not self._found.is_complete:
                    break
            self._found.depth += bool(following)
            layer = following
        return self._found

    def _outline(self, world: World) -> Outline:
        return self._outliner.amount(world, self._machine) if self._by_amount else self._outliner.outline(world)

    def _expand(self, world: World, number: int, following: list[World]) -> None:
        found = self._found
        before = self._beginning(world)
        for move in moves(world, self._policy, self._bounds):
            after = self._after(world, move, number, before)
            if after is None:
                continue
            found.moves += 1
            outline = self._outline(after)
            state = found.states.setdefault(outline, len(found.found_by))
            if state == len(found.found_by):
                found.found_by.append((number, move.name))
                following.append(after)
                found.is_complete = found.is_complete and state < self._max_states
            if not self._by_amount:
                found.edges.add((number, move.name, state))

    def _beginning(self, world: World) -> Outline:
        """What all steps from a world begin with: the entry as it is, as they will see it, and those removed."""
        outliner, now = self._outliner, world.now
        entry = outliner.entry(world.entry, now)
        aged = outliner.entry(self._machine.age(world.entry, now), now)
        return (entry, aged, outliner.detached(world))

    def _after(self, world: World, move: Move, number: int, beginning: Outline) -> World | None:
        """The world after the move; None where it would need one flight too many."""
        event = move.event
        if event is None:
            return move.after
        before = target(world, event)
        entry, effects = self._machine.transition(before, event, world.now, self._policy)
        after = commit(world, move, before, entry, effects)
        if after.generation > self._bounds.generations:
            return None
        told = self._told(event, after, beginning)
        if self._by_amount:
            self._found.steps.setdefault(told, number)
            if self._known is not None and told not in self._known:
                self._found.is_complete = False
        if self._meaning is not None:
            step = Step(before, event, world.now, self._policy, entry, effects)
            self._meaning.measure(world, step, after, number, move.name)
        if self._watch is not None:
            step = Step(before, event, world.now, self._policy, entry, effects)
            for name in self._watch(world, move, step, after, (beginning[0], told), self._found):
                if name not in self._broken:
                    self._broken.add(name)
                    path = (*self._found.path_to(number), move.name)
                    self._found.violations.append(Violation(name, path, step))
        return after

    def _told(self, event: Event, after: World, beginning: Outline) -> Outline:
        """The step as `Told` of Watched.tla tells it: what happened, to what, what was ordered, and what came of it."""
        outliner, now = self._outliner, after.now
        entry, aged, detached = beginning
        entry_after = outliner.entry(after.entry, now)
        move = (type(event).__name__, _subject(event))
        return (
            move,
            aged,
            detached,
            outliner.effects(after.effects, now),
            aged if entry_after == entry else entry_after,
            outliner.detached(after),
        )


def _subject(event: Event) -> object:
    """Which flight a report is about, and what it says of it."""
    match event:
        case WaiterLeft():
            return (event.generation, event.can_cancel)
        case LoadSucceeded():
            return (event.generation, event.value)
        case LoadFailed() | DeadlinePassed() | SoftTimeoutPassed():
            return event.generation
        case _:
            return 0


@final
class Watch:
    """Judges every step, and counts the situations. Of steps that differ in nothing but their instants one is judged:
    TimeShift is judged of each of those.
    """

    def __init__(self, judge: Judgement) -> None:
        self._judge: Final = judge
        self._known: Final[dict[object, tuple[tuple[str, ...], tuple[str, ...]]]] = {}

    def __call__(
        self, world: World, move: Move, step: Step, after: World, alike: object, found: Exploration
    ) -> Iterator[str]:
        """The names of the promises that the step breaks."""
        key = (alike, _said_by(step.event))
        known = self._known.get(key)
        if known is None:
            broken = tuple(self._judge.of_step(step))
            situations = (
                name for name, comes_about in SITUATIONS.items() if name not in BY_WORLD and comes_about(step)
            )
            known = self._known[key] = (broken, tuple(situations))
            found.judged.update(self._judge.names)
        found.tried.update(known[1])
        found.tried.update(in_world(world, move, step, is_outdated(world, step)))
        yield from known[0]
        yield from self._judge.of_world(world, step, after)


def _said_by(event: Event) -> object:
    """What a load said of its end, or a caller of what is wanted, of which the move's name says nothing."""
    match event:
        case LoadFailed():
            return type(event.error), event.is_answer
        case LoadSucceeded():
            return event.lifetime and event.lifetime.ttl, event.age
        case Put():
            return event.lifetime.ttl, event.age
        case Get():
            return event.reloads
        case _:
            return None


@final
class Judgement:
    """Whether a step keeps the promises: those of one step, and those that span steps."""

    def __init__(self, machine: Machine, invariants: Mapping[str, Invariant]) -> None:
        self._machine: Final = machine
        self._invariants: Final = invariants

    @property
    def names(self) -> tuple[str, ...]:
        """What is judged of a step."""
        return (*self._invariants, TABLE_OF_MOVES, *SHORT_CUTS)

    def __call__(self, world: World, step: Step, after: World) -> Iterator[str]:
        """The names of the promises that the step breaks."""
        yield from self.of_step(step)
        yield from self.of_world(world, step, after)

    def of_step(self, step: Step) -> Iterator[str]:
        """Those that one step shows."""
        for name, holds in self._invariants.items():
            if not holds(step):
                yield name
        if not _is_in_table(step):
            yield TABLE_OF_MOVES
        yield from unequal(self._machine, step)

    def of_world(self, world: World, step: Step, after: World) -> Iterator[str]:
        """Those that several steps show."""
        if not is_everyone_counted(after):
            yield "AnsweredOnce"
        if not is_nothing_outdated(world, step, after):
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


def is_nothing_outdated(world: World, step: Step, after: World) -> bool:
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


def is_outdated(world: World, step: Step) -> bool:
    """Whether a value is reported that was read before the last Put or Invalidate."""
    event = step.event
    return isinstance(event, LoadSucceeded) and isinstance(event.value, int) and event.value < world.floor


def _is_older(outcome: object, floor: int) -> bool:
    return isinstance(outcome, Value) and outcome.value < floor


def _entries(world: World) -> tuple[Entry, ...]:
    return (world.entry, *world.detached)
