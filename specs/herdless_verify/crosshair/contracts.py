"""Contracts: every promise that one step can keep, to be confirmed by CrossHair over all paths of the machine.

CrossHair calls a contract with symbolic integers and booleans, follows every path through it and asks an SMT solver
whether any number can make it false. CONFIRMED means that none can: for every entry, instant, policy and generation,
not for a sample. Anything else, "not confirmed" and "could not be called" included, counts as a failure. They are run
by symbolic.py.

What the numbers leave out: values and errors are opaque, one object for each origin. Durations are less than 2**60
nanoseconds (36 years), instants within as much of 0, `load_timeout` is five seconds or never, since its message has to
be a text. The contracts speak of single steps; what spans steps (each caller answered once, liveness) is the business
of the model checker and of the stateful tests in tests/core/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, TypeAlias

from herdless_core import (
    ABSENT,
    LONG_AGO,
    NEVER,
    Answer,
    Cause,
    DeadlinePassed,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Fresh,
    Get,
    Invalidate,
    Join,
    Lifetime,
    LoadFailed,
    LoadSucceeded,
    Pending,
    Policy,
    Put,
    Refresh,
    Restarted,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    Value,
    WaiterLeft,
    _machine,
)
from herdless_core._effects import SAVE
from herdless_core._eviction import Queue, Standing, Verdict, verdict
from herdless_core.invariants import INVARIANTS
from herdless_core.table import EVENTS
from herdless_verify.exploration.world import Machine

FAR: Final = 2**60
LOAD_TIMEOUT: Final = 5_000_000_000

KEPT: Final = "kept"
NEW: Final = "new"
REMEMBERED: Final = Failure(ValueError("remembered"), None)
RAISED: Final = KeyError("raised")

TIME_SHIFT: Final = "TimeShift"
"""The one invariant that takes the step again, and so has contracts of its own."""
DUTIES: Final[Mapping[type[Event], tuple[str, ...]]] = {
    Get: ("UnwantedIsCancelled", "RefreshIsStarted"),
    Put: ("UnwantedIsCancelled",),
    Invalidate: ("UnwantedIsCancelled",),
    Expire: ("ExpireKeepsWindows",),
    Refresh: ("RefreshLoads",),
    Evict: ("UnwantedIsCancelled",),
    DeadlinePassed: ("UnwantedIsCancelled",),
    WaiterLeft: ("UnwantedIsCancelled",),
    SoftTimeoutPassed: ("UnwantedIsCancelled",),
}
"""What a step must not leave undone, by the events that could. With all the others it would be as many paths again."""
OTHERS: Final = tuple(name for name in INVARIANTS if name not in {TIME_SHIFT, *chain(*DUTIES.values())})


@dataclass
class Numbers:
    """What CrossHair chooses: plain integers and booleans, of which entries, events and policies are made."""

    state: int
    has_flight: bool
    is_failure: bool
    can_cancel: bool
    is_capacity: bool
    has_load_timeout: bool
    remembers_timeouts: bool
    remembers_failures: bool
    is_answer: bool
    is_kept: bool
    reloads: bool
    now: int
    loaded_at: int
    started_at: int
    fresh_until: int
    refresh_at: int
    ttl: int
    early_refresh: int
    stale_while_revalidate: int
    stale_if_error: int
    new_ttl: int
    new_age: int
    due_in: int
    negative_ttl: int
    refresh_backoff: int
    generation: int
    other_generation: int
    waiters: int
    max_waiters: int


Contract: TypeAlias = Callable[[Numbers], bool]


@dataclass(frozen=True)
class Named:
    """A contract, and what it is about."""

    name: str
    promises: tuple[str, ...]
    """What is confirmed with it: the names of invariants, or of what spans functions."""
    holds: Contract
    kind: type[Event] | None = None
    """The event whose step it judges, if it judges one."""
    part: Part | None = None
    """The entries that it is about, if not about all."""
    control: str = ""
    """What its mistake is listed by in `mutants.toml`."""

    @property
    def seconds(self) -> float:
        """What it takes CrossHair, about: half of the processor time, since two contracts are under way at a time."""
        if self.promises == OTHERS:
            return LARGE.get(self.control, 2.5)
        return 3.0 if self.promises == (TIME_SHIFT,) or self.promises in DUTIES.values() else 0.5


LARGE: Final = {
    "Get of Fresh with a flight": 25.0,
    "DeadlinePassed": 16.0,
    "LoadFailed": 24.0,
    "Get of Stale": 9.0,
    "LoadSucceeded": 12.0,
    "WaiterLeft": 5.0,
}
"""The contracts that take long, in seconds."""


def is_possible(n: Numbers) -> bool:
    """Whether the numbers are within what any cache can come to. Without `and`, so that it is one path."""
    durations = (n.ttl, n.early_refresh, n.stale_while_revalidate, n.stale_if_error, n.new_ttl, n.new_age, n.due_in)
    possible = (n.max_waiters >= 1) & (n.waiters >= 0) & (n.generation >= 1) & (n.early_refresh <= n.ttl)
    for duration in (*durations, n.negative_ttl, n.refresh_backoff):
        possible = possible & (duration >= 0) & (duration < FAR)
    for instant in (n.now, n.loaded_at, n.started_at, n.fresh_until, n.refresh_at):
        possible = possible & (instant > -FAR) & (instant < FAR)
    return possible & (n.loaded_at <= n.now) & (n.started_at <= n.now)


@dataclass(frozen=True)
class Part:
    """Some of the entries, so that a contract about them is small."""

    name: str
    state: int
    has_flight: bool | None = None
    """None: with a flight and without one."""
    is_failure: bool | None = None
    """Whether what it holds is an error that is remembered; None: either."""

    def of(self, n: Numbers) -> Numbers:
        """The same numbers for one of these entries."""
        has_flight = n.has_flight if self.has_flight is None else self.has_flight
        is_failure = n.is_failure if self.is_failure is None else self.is_failure
        return replace(n, state=self.state, has_flight=has_flight, is_failure=is_failure)


PARTS: Final = (
    Part("Fresh with a flight", 2, has_flight=True, is_failure=False),
    Part("a remembered error with a flight", 2, has_flight=True, is_failure=True),
    Part("Fresh alone", 2, has_flight=False),
    Part("Stale", 3),
    Part("Pending", 1, has_flight=True),
    Part("Absent", 0),
    Part("Evicted", 4),
)
"""All entries, but for those whose state has its number alone: Pending without a flight is Absent."""


def entry_of(n: Numbers, part: Part | None = None) -> Entry:
    """The entry that the numbers stand for; all entries can be had. part: one of these alone."""
    if part is not None:
        n = part.of(n)
    flight = Flight(n.generation, n.started_at, n.started_at + n.due_in, n.waiters) if n.has_flight else None
    if n.state == 0:
        return ABSENT
    if n.state == 1:
        return ABSENT if flight is None else Pending(flight)
    if n.state == 2:
        return _fresh(n, flight)
    if n.state == 3:
        kept = max(n.stale_while_revalidate, n.stale_if_error)
        stale_until = n.fresh_until + n.stale_while_revalidate
        return Stale(KEPT, n.loaded_at, stale_until, n.fresh_until + kept, n.refresh_at, flight)
    return Evicted(Cause.EVICTED if n.is_capacity else Cause.INVALIDATED, flight)


def _fresh(n: Numbers, flight: Flight | None) -> Fresh:
    lifetime = Lifetime(n.ttl, n.early_refresh, n.stale_while_revalidate, n.stale_if_error)
    if n.is_failure:
        return Fresh(REMEMBERED, n.loaded_at, Lifetime(n.ttl, n.ttl, 0, 0), n.refresh_at, flight, LONG_AGO)
    hit_until = min(n.loaded_at + n.ttl, n.refresh_at if flight is None else flight.due_at)
    return Fresh(KEPT, n.loaded_at, lifetime, n.refresh_at, flight, hit_until)


def event_of(kind: type[Event], n: Numbers) -> Event:
    """The event of this kind; a request for a flight brings a number that was not used before."""
    lifetime = Lifetime(n.new_ttl, min(n.new_ttl, n.early_refresh), n.stale_while_revalidate, n.stale_if_error)
    unused = n.generation + 1
    makers: dict[type[Event], Callable[[], Event]] = {
        Get: lambda: Get(unused, n.reloads),
        Refresh: lambda: Refresh(unused),
        Put: lambda: Put(NEW, lifetime, n.new_age),
        Invalidate: Invalidate,
        Expire: Expire,
        Evict: Evict,
        LoadSucceeded: lambda: LoadSucceeded(n.other_generation, NEW, lifetime if n.is_kept else None, n.new_age),
        LoadFailed: lambda: LoadFailed(n.other_generation, RAISED, n.is_answer),
        DeadlinePassed: lambda: DeadlinePassed(n.other_generation),
        WaiterLeft: lambda: WaiterLeft(n.other_generation, n.can_cancel),
        SoftTimeoutPassed: lambda: SoftTimeoutPassed(n.other_generation),
        Restarted: Restarted,
    }
    return makers[kind]()


def policy_of(n: Numbers) -> Policy:
    """The policy, made without its constructor, which takes seconds."""
    policy = Policy.__new__(Policy)
    numbers: dict[str, object] = {
        "load_timeout": LOAD_TIMEOUT if n.has_load_timeout else NEVER,
        "max_waiters": n.max_waiters,
        "refresh_backoff": n.refresh_backoff,
        "negative_lifetime": Lifetime(n.negative_ttl, n.negative_ttl, 0, 0),
        "remember_timeouts": n.remembers_timeouts,
        "remembers_failures": n.remembers_failures,
    }
    for name, value in numbers.items():
        setattr(policy, name, value)
    return policy


# The contracts


def keeps(names: Iterable[str], kind: type[Event], machine: Any, part: Part | None = None) -> Contract:
    """A step by this event keeps these invariants. part: for these entries; None: for all."""
    invariants = [INVARIANTS[name] for name in names]

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        before, event, policy = entry_of(n, part), event_of(kind, n), policy_of(n)
        after, effects = machine.transition(before, event, n.now, policy)
        step = Step(before, event, n.now, policy, after, effects)
        return all(holds(step) for holds in invariants)

    return contract


def read_is_get(machine: Any) -> Contract:
    """Where `read` answers, `transition(Get)` would have answered the same and done nothing else."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        entry = entry_of(n)
        hit = machine.read(entry, n.now)
        if hit is None:
            return True
        after, effects = machine.transition(entry, Get(n.generation + 1), n.now, policy_of(n))
        return after is entry and bool(effects == (Answer(hit),))

    return contract


def join_is_get(machine: Any) -> Contract:
    """Where `join` gives the next entry, `transition(Get)` gives the same, and lets the caller wait."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        entry, policy = entry_of(n), policy_of(n)
        joined = machine.join(entry, n.now, policy)
        if joined is None:
            return True
        after, effects = machine.transition(entry, Get(n.generation + 1), n.now, policy)
        return bool(after == joined and effects == (Join(joined.flight.generation, leads=False),))

    return contract


def start_is_get(machine: Any) -> Contract:
    """`start` gives the next entry of `transition(Get)` for an unknown key, which starts this load."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        policy = policy_of(n)
        started = machine.start(n.generation, n.now, policy)
        after, effects = machine.transition(ABSENT, Get(n.generation), n.now, policy)
        orders = (Join(n.generation, leads=True), StartLoad(n.generation, started.flight.due_at))
        return bool(after == started and effects == orders)

    return contract


def fill_is_load_succeeded(machine: Any) -> Contract:
    """Where `fill` gives the next entry, `transition(LoadSucceeded)` gives the same, saves and settles."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        entry, event = entry_of(n), event_of(LoadSucceeded, n)
        assert isinstance(event, LoadSucceeded)  # noqa: S101 - so it was made
        if event.lifetime is None or event.age:
            return True
        filled = machine.fill(entry, event.generation, event.value, event.lifetime)
        if filled is None:
            return True
        after, effects = machine.transition(entry, event, n.now, policy_of(n))
        outcome = Value(NEW, filled.loaded_at, is_stale=False)
        return bool(after == filled and effects == (SAVE, Settle(n.other_generation, outcome)))

    return contract


def peek_is_get(machine: Any) -> Contract:
    """`peek` shows exactly what `transition(Get)` would answer at once, unless that gives a late load up first."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        entry = entry_of(n)
        flight = entry.flight
        if isinstance(entry, Evicted) or (flight is not None and n.now >= flight.due_at):
            return True
        _, effects = machine.transition(entry, Get(n.generation + 1), n.now, policy_of(n))
        answers = [effect.outcome for effect in effects if isinstance(effect, Answer)]
        return bool(machine.peek(entry, n.now) == (answers[0] if answers else None))

    return contract


def ages_once(machine: Any) -> Contract:
    """An aged entry does not age again at the same instant."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        aged = machine.age(entry_of(n), n.now)
        return bool(machine.age(aged, n.now) is aged)

    return contract


def ages_to_what_is_left(machine: Any) -> Contract:
    """Ageing keeps the flight, and keeps the value exactly while it is of use."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: is_possible(n)
        post: _
        """
        entry = entry_of(n)
        aged = machine.age(entry, n.now)
        if aged.flight is not entry.flight:
            return False
        if not isinstance(entry, Fresh | Stale):
            return aged is entry
        is_failure = isinstance(entry.value, Failure)
        end = entry.fresh_until if isinstance(entry, Fresh) and is_failure else entry.kept_until
        return isinstance(aged, Fresh | Stale) == (n.now < end)

    return contract


def evicts_only_the_idle(decide: Callable[[Queue, Standing], Verdict] = verdict) -> Contract:
    """The eviction step takes nothing that is waited for or was looked up, and remembers what it takes from small."""

    def contract(n: Numbers) -> bool:
        """A contract.

        pre: 0 <= n.state < 5
        post: _
        """
        queue = Queue.SMALL if n.has_flight else Queue.MAIN
        standing = list(Standing)[n.state]
        decision = decide(queue, standing)
        taken = decision in {Verdict.EVICT, Verdict.EVICT_AND_REMEMBER}
        remembered = decision is Verdict.EVICT_AND_REMEMBER
        is_idle = standing is Standing.IDLE
        return taken == (is_idle or standing is Standing.EXPIRED) and remembered == (is_idle and queue is Queue.SMALL)

    return contract


def contracts(machine: Machine = _machine, decide: Callable[[Queue, Standing], Verdict] = verdict) -> Iterator[Named]:
    """Every contract, those that take longest first. The steps by Get are told apart by the entry: there are many."""
    for part in PARTS:
        name = f"Get of {part.name}: all invariants but {TIME_SHIFT}"
        yield Named(name, OTHERS, keeps(OTHERS, Get, machine, part), Get, part, control=f"Get of {part.name}")
    for kind in EVENTS:
        if kind is not Get:
            name = f"{kind.__name__}: all invariants but {TIME_SHIFT}"
            yield Named(name, OTHERS, keeps(OTHERS, kind, machine), kind, control=kind.__name__)
    for kind, promises in DUTIES.items():
        name = f"{kind.__name__}: {' and '.join(promises)}"
        yield Named(name, promises, keeps(promises, kind, machine), kind, control=f"duties of {kind.__name__}")
    for kind in EVENTS:
        promises = (TIME_SHIFT,)
        control = "Get of Stale" if kind is Get else kind.__name__
        name = f"{kind.__name__}: {TIME_SHIFT}"
        yield Named(name, promises, keeps(promises, kind, machine), kind, control=control)
    for name, promise, holds in (
        ("read is transition(Get) on hits", "ReadIsGet", read_is_get(machine)),
        ("join is transition(Get) where that only joins", "JoinIsGet", join_is_get(machine)),
        ("start is transition(Get) of an unknown key", "StartIsGet", start_is_get(machine)),
        ("fill is transition(LoadSucceeded) where that stores", "FillIsStep", fill_is_load_succeeded(machine)),
        ("peek is transition(Get) where it answers", "PeekIsGet", peek_is_get(machine)),
    ):
        yield Named(name, (promise,), holds, control=promise)
    yield Named("age twice is age once", ("Ageing",), ages_once(machine), control="Ageing once")
    name = "age keeps the flight, and the value while it is of use"
    yield Named(name, ("Ageing",), ages_to_what_is_left(machine), control="Ageing")
    name = "verdict evicts only what is idle or expired"
    yield Named(name, ("Eviction",), evicts_only_the_idle(decide), control="Eviction")
