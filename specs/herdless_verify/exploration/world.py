"""A small world around one entry: clients, loads that read a changing truth, an owner that restarts, and time.

It is the world of specs/CacheEntry.tla, move by move and under the same names, with the real machine in it. All that
differs is time: instants here, ages there; `outline` says of a world what the specification says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias, final

from herdless_core import (
    ABSENT,
    NEVER,
    Absent,
    Answer,
    CancelLoad,
    DeadlinePassed,
    Effect,
    Effects,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Forget,
    Fresh,
    Get,
    Invalidate,
    Join,
    Lifetime,
    LoadCancelled,
    Loaded,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Outcome,
    Pending,
    Policy,
    Put,
    Rearm,
    Refresh,
    Refuse,
    Report,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Value,
    WaiterLeft,
)
from herdless_verify.exploration.ticks import TICK

Outline: TypeAlias = tuple[object, ...]
"""What a world amounts to, with ages for instants: equal for two worlds in which the same can happen."""

LOADER_ERROR: Final = LookupError("the loader failed")
"""What a loader says of the key, so that `negative_ttl` may remember it."""
CUT_SHORT: Final = LoadCancelled("the load was cut short")
"""What says nothing of the key."""
NOT_FOUND: Final = LookupError("there is no such thing")
"""What the loader says of the key, and the policy takes for an answer, where it takes any for one."""


class Machine(Protocol):
    """The function under examination: `herdless_core._machine`, or a module made from it."""

    def age(self, entry: Entry, now: int) -> Entry:
        """See `herdless_core.age`."""

    def transition(self, entry: Entry, event: Event, now: int, policy: Policy) -> tuple[Entry, Effects]:
        """See `herdless_core.transition`."""

    def read(self, entry: Entry, now: int) -> Value | None:
        """See `herdless_core.read`."""

    def join(self, entry: Entry, now: int, policy: Policy) -> Pending | None:
        """See `herdless_core._machine.join`."""

    def start(self, generation: int, now: int, policy: Policy) -> Pending:
        """See `herdless_core._machine.start`."""

    def fill(self, entry: Entry, generation: int, value: object, lifetime: Lifetime) -> Fresh | None:
        """See `herdless_core._machine.fill`."""


@final
@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the world is. The number of states grows about fivefold with each of the first three."""

    clients: int = 2
    generations: int = 2
    """How many flights there may be, one after the other."""
    truths: int = 1
    """How many values the truth takes, one after the other."""
    can_cancel: bool | None = True
    """Whether the runtime can cancel a load; None: each waiter who leaves finds it either way."""
    may_not_keep: bool = False
    """Whether a loader may say of its value that it is not to be kept."""
    may_reload: bool = False
    """Whether a client may ask for a load, whatever is held."""
    has_soft_timeout: bool = False
    """Whether a client who waits may be answered with what is kept before the load ends."""
    oldest: int = 0
    """How old a value may be when its load begins, or when it is put; ticks."""
    other_ttls: tuple[int, ...] = ()
    """The ttl that a value may get beside the policy's: one of its own, or one that jitter has made shorter; ticks."""

    @property
    def cancellations(self) -> tuple[bool, ...]:
        """What a waiter who leaves may find."""
        return (True, False) if self.can_cancel is None else (self.can_cancel,)

    @property
    def ages(self) -> range:
        """How old a value may be when its load begins, or when it is put; nanoseconds."""
        return range(0, (self.oldest + 1) * TICK, TICK)

    def lifetimes(self, policy: Policy) -> tuple[Lifetime, ...]:
        """What a value may get."""
        return (policy.lifetime, *(policy.lifetime_for(Loaded(None, ttl=ttl), 0) for ttl in self.other_ttls))


@final
@dataclass(frozen=True, slots=True)
class Load:
    """A load in the air. Whether anybody still awaits it, the entries know."""

    generation: int
    read: int
    """What it read; 0 as long as it has not."""


@final
@dataclass(frozen=True, slots=True)
class Client:
    """A caller who waits for a flight, or for none."""

    waits_for: int = 0
    since: int = 0
    """The floor when he asked: he may be given nothing that was read before."""


IDLE: Final = Client()


@final
@dataclass(frozen=True, slots=True)
class World:
    """One state of everything."""

    now: int
    entry: Entry
    detached: tuple[Evicted, ...]
    loads: frozenset[Load]
    clients: tuple[Client, ...]
    truth: int
    floor: int
    """The truth when the key was last invalidated or put."""
    generation: int
    effects: Effects
    """What the last step ordered."""


@final
@dataclass(frozen=True, slots=True)
class Move:
    """Something that can happen: an event, and what it means for the world beside its effects."""

    name: str
    event: Event | None = None
    """None for what does not concern the machine."""
    caller: int | None = None
    leaver: int | None = None
    ended: Load | None = None
    after: World | None = None
    """The next world, where there is no event."""


def first(bounds: Bounds) -> World:
    """Nothing is known and nobody waits."""
    return World(0, ABSENT, (), frozenset(), (IDLE,) * bounds.clients, 1, 1, 0, ())


def moves(world: World, policy: Policy, bounds: Bounds) -> Iterator[Move]:
    """Everything that can happen now."""
    for client, state in enumerate(world.clients):
        if state == IDLE:
            for reloads in (False, True) if bounds.may_reload else (False,):
                yield Move("Get", Get(world.generation + 1, reloads), caller=client)
        else:
            for can_cancel in bounds.cancellations:
                yield Move("WaiterLeft", WaiterLeft(state.waits_for, can_cancel), leaver=client)
            if bounds.has_soft_timeout:
                yield Move("SoftTimeoutPassed", SoftTimeoutPassed(state.waits_for), caller=client)
    for lifetime in bounds.lifetimes(policy):
        for age in bounds.ages:
            yield Move("Put", Put(world.truth, lifetime, age))
    yield Move("Invalidate", Invalidate())
    yield Move("Expire", Expire())
    yield Move("Refresh", Refresh(world.generation + 1))
    yield Move("Evict", Evict())
    yield Move("Restarted", Restarted())
    for load in sorted(world.loads, key=lambda load: load.generation):
        yield from _moves_of(load, world, policy, bounds)
    if world.truth < bounds.truths:
        yield Move("TruthChanges", after=replace(world, truth=world.truth + 1, effects=()))
    yield Move("Tick", after=replace(world, now=world.now + TICK, effects=()))


def _moves_of(load: Load, world: World, policy: Policy, bounds: Bounds) -> Iterator[Move]:
    if load.read:
        for lifetime in (*bounds.lifetimes(policy), None) if bounds.may_not_keep else bounds.lifetimes(policy):
            for age in bounds.ages:
                yield Move("LoadSucceeded", LoadSucceeded(load.generation, load.read, lifetime, age), ended=load)
    else:
        read = (world.loads - {load}) | {Load(load.generation, world.truth)}
        yield Move("LoadReads", after=replace(world, loads=read, effects=()))
    yield Move("LoadFailed", LoadFailed(load.generation, LOADER_ERROR, is_answer=False), ended=load)
    if policy.answers is not None:
        yield Move("LoadFailed", LoadFailed(load.generation, NOT_FOUND, is_answer=True), ended=load)
    elif policy.negative_lifetime.ttl > 0:
        yield Move("LoadFailed", LoadFailed(load.generation, CUT_SHORT, is_answer=False), ended=load)
    if policy.load_timeout < NEVER:
        yield Move("DeadlinePassed", DeadlinePassed(load.generation))


def target(world: World, event: Event) -> Entry:
    """The entry whose event it is: a report is for the one that has the flight, and else for the key's own."""
    if not isinstance(event, Report):
        return world.entry
    for entry in world.detached:
        if entry.flight is not None and entry.flight.generation == event.generation:
            return entry
    return world.entry


def commit(world: World, move: Move, before: Entry, after: Entry, effects: Effects) -> World:
    """The world once the step is taken and its effects are carried out. One that was removed leaves the key empty."""
    event = move.event
    entry, detached = world.entry, world.detached
    if isinstance(before, Evicted):
        detached = tuple(other for other in detached if other is not before)
    else:
        entry = ABSENT if isinstance(after, Evicted) else after
    if isinstance(after, Evicted) and after.flight is not None:
        detached += (after,)
    if isinstance(event, Restarted):
        detached = ()
    started = [effect.generation for effect in effects if isinstance(effect, StartLoad)]
    return World(
        world.now,
        entry,
        detached,
        (world.loads - {move.ended}) | {Load(generation, 0) for generation in started},
        _clients(world, move, effects),
        world.truth,
        world.truth if isinstance(event, Put | Invalidate) else world.floor,
        world.generation + bool(started),
        effects,
    )


def _clients(world: World, move: Move, effects: Effects) -> tuple[Client, ...]:
    if isinstance(move.event, Restarted):
        return (IDLE,) * len(world.clients)
    clients = list(world.clients)
    for effect in effects:
        if isinstance(effect, Settle):
            clients = [IDLE if client.waits_for == effect.generation else client for client in clients]
        elif isinstance(effect, Join) and move.caller is not None:
            clients[move.caller] = Client(effect.generation, world.floor)
        elif isinstance(effect, Answer) and move.caller is not None:
            clients[move.caller] = IDLE
    if move.leaver is not None:
        clients[move.leaver] = IDLE
    return tuple(clients)


# What a world amounts to. The order of the parts is that of the variables and fields in specs/CacheEntry.tla.


@final
class Outliner:
    """Outlines the worlds of one policy."""

    def __init__(self, cap: int) -> None:
        self._cap: Final = cap
        """The age in ticks beyond which nothing differs."""

    def outline(self, world: World) -> Outline:
        """The world, with ages for instants."""
        return (
            self.entry(world.entry, world.now),
            self.detached(world),
            _loads(world),
            tuple((client.waits_for, client.since) for client in world.clients),
            world.truth,
            world.floor,
            world.generation,
            self.effects(world.effects, world.now),
        )

    def amount(self, world: World, machine: Machine) -> Outline:
        """What it amounts to for whatever may still happen: the entry as the next step will see it, how many clients
        wait for what, and nothing of the orders that were carried out. It is `Amount` of Watched.tla.
        """
        return (
            self.entry(machine.age(world.entry, world.now), world.now),
            self.detached(world),
            _loads(world),
            tuple(sorted((client.waits_for, client.since) for client in world.clients)),
            world.truth,
            world.floor,
            world.generation,
        )

    def detached(self, world: World) -> frozenset[Outline]:
        """The entries that were removed and are still awaited."""
        return frozenset(self.entry(entry, world.now) for entry in world.detached)

    def effects(self, effects: Effects, now: int) -> Outline:
        """Orders, in theirs."""
        return tuple(self._effect(effect, now) for effect in effects)

    def entry(self, entry: Entry, now: int) -> Outline:
        """An entry."""
        flight = self._flight(entry.flight, now)
        match entry:
            case Absent():
                return ("Absent", flight)
            case Pending():
                return ("Pending", flight)
            case Fresh():
                ages = (self._age(entry, now), _instant(entry.refresh_at, now), _instant(entry.hit_until, now))
                return ("Fresh", _code(entry.value), _lifetime(entry.lifetime), *ages, flight)
            case Stale():
                windows = (_instant(entry.stale_until, now), _instant(entry.kept_until, now))
                retry_at = _instant(entry.retry_at, now)
                return ("Stale", _code(entry.value), self._age(entry, now), *windows, retry_at, flight)
            case Evicted():
                return ("Evicted", entry.cause.value, flight)

    def _flight(self, flight: Flight | None, now: int) -> Outline:
        if flight is None:
            return (0, 0, 0, 0)
        age = min((now - flight.started_at) // TICK, self._cap)
        return (flight.generation, age, _instant(flight.due_at, now), flight.waiters)

    def _age(self, of: Fresh | Stale | Value, now: int) -> int:
        return min((now - of.loaded_at) // TICK, self._cap)

    def _effect(self, effect: Effect, now: int) -> Outline:
        match effect:
            case Answer():
                return ("Answer", self._outcome(effect.outcome, now))
            case Join():
                return ("Join", effect.generation, effect.leads)
            case Settle():
                return ("Settle", effect.generation, self._outcome(effect.outcome, now))
            case StartLoad() | Rearm():
                return (type(effect).__name__, effect.generation, _instant(effect.due_at, now))
            case CancelLoad():
                return ("CancelLoad", effect.generation)
            case Refuse() | Save() | Forget():
                return (type(effect).__name__,)

    def _outcome(self, outcome: Outcome, now: int) -> Outline:
        if isinstance(outcome, Failure):
            return (_code(outcome), 0, False)
        return (_code(outcome.value), self._age(outcome, now), outcome.is_stale)


def _loads(world: World) -> frozenset[Outline]:
    return frozenset((load.generation, load.read) for load in world.loads)


def _lifetime(lifetime: Lifetime) -> Outline:
    durations = (
        lifetime.ttl,
        lifetime.early_refresh,
        lifetime.stale_while_revalidate,
        lifetime.stale_if_error,
    )
    return tuple(_instant(duration, 0) for duration in durations)


def _instant(instant: int, now: int) -> int:
    """Ticks from now, `NEVER` as it is; what is past is 0."""
    return NEVER if instant >= NEVER else max(0, (instant - now) // TICK)


def _code(value: object) -> int:
    """A value is the truth that was read; errors are the negative numbers of the specification."""
    if not isinstance(value, Failure):
        assert isinstance(value, int)  # noqa: S101 - the world is made of integers
        return value
    if isinstance(value.error, LoadTimeout):
        return -3
    return {id(LOADER_ERROR): -1, id(CUT_SHORT): -2, id(NOT_FOUND): -4}[id(value.error)]
