"""What a policy means, in sentences and numbers, each read off the worlds that were explored.

Nothing here knows what the fields of a policy are for. Each quantity is measured at every step: how old the values are
that lookups are answered with, how long callers wait. The worlds count in ticks, of which each of the policy's own
boundaries has one (`ticks.ticks_of`): what is still seen at one tick, and not at the next boundary's, ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    DeadlinePassed,
    Entry,
    Failure,
    Fresh,
    Get,
    LoadFailed,
    Policy,
    Refresh,
    Settle,
    Stale,
    StartLoad,
    Step,
    Value,
    age,
)
from herdless_verify.exploration.ticks import TICK, age_cap, in_ticks, ticks_of
from herdless_verify.exploration.world import World

UNBOUNDED: Final = float("inf")


@final
@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that a policy bounds."""

    is_most: bool
    """Whether it is at most so large; otherwise it is at least so large."""
    sentence: Callable[[str], str]
    """What is true, of the bound in words."""
    otherwise: str
    """What is true where there is no bound; empty: nothing is said."""


QUANTITIES: Final[Mapping[str, Quantity]] = {
    "loads": Quantity(True, lambda n: f"at most {n} load of a key is in the air for all who ask for it", ""),
    "fresh": Quantity(
        True,
        lambda n: f"no value counts as fresh that was loaded {n} ago or earlier",
        "a value counts as fresh until it is removed",
    ),
    "healthy": Quantity(
        True,
        lambda n: f"while loads succeed, nobody is served anything that is {n} old",
        "while loads succeed, a value of any age may be served",
    ),
    "age": Quantity(
        True,
        lambda n: f"whatever fails, nobody is served anything that is {n} old",
        "where loads fail, a value of any age may be served",
    ),
    "error": Quantity(
        True,
        lambda n: f"an error is told without another load for less than {n} after it happened",
        "an error may be told for ever without another load",
    ),
    "retry": Quantity(
        False,
        lambda n: f"while a value is kept, a key whose load has failed is not loaded again within {n} by any lookup",
        "",
    ),
    "wait": Quantity(
        True,
        lambda n: f"no caller waits for a load for longer than {n}",
        "a caller waits for as long as a load takes",
    ),
}
"""By the names that `--require` takes, in the order of the sentences. "Served" is what a lookup gets at once, or in the
place of a load that failed; what a caller waited for is as old as its load took. All but `loads` are in seconds.
"""


@final
@dataclass(slots=True)
class Meaning:
    """The quantities of one policy, as far as they were seen."""

    policy: Policy
    """As the user gave it."""
    seen: dict[str, int] = field(default_factory=dict)
    """The worst that was seen of each quantity, in ticks."""
    at: dict[str, tuple[int, str]] = field(default_factory=dict)
    """From which state, and by which move, that was seen first."""

    def measure(self, world: World, step: Step, after: World, state: int, move: str) -> None:
        """Look at a step: from this world, whose number is given, by a move with this name."""
        for name, ticks in _measured(world, step, after):
            known = self.seen.get(name)
            if known is None or (ticks > known if QUANTITIES[name].is_most else ticks < known):
                self.seen[name] = ticks
                self.at[name] = (state, move)

    def bound(self, name: str) -> float | None:
        """The bound of a quantity, in seconds (`loads`: a number); infinite where there is none, None where the
        quantity never came about.
        """
        ticks = self.seen.get(name)
        if ticks is None:
            return None
        if name == "loads":
            return ticks
        limits = ticks_of(self.policy)
        if QUANTITIES[name].is_most:  # what was still seen at one tick is over at the next boundary
            is_told_apart = ticks < age_cap(in_ticks(self.policy))
            ends = [boundary for boundary, tick in limits.items() if tick > ticks and is_told_apart]
            return min(ends, default=UNBOUNDED * NANOSECONDS_PER_SECOND) / NANOSECONDS_PER_SECOND
        if ticks > max(limits.values()):
            return UNBOUNDED
        return max(boundary for boundary, tick in limits.items() if tick <= ticks) / NANOSECONDS_PER_SECOND

    def sentences(self) -> Iterator[str]:
        """What the policy means."""
        for name, quantity in QUANTITIES.items():
            bound = self.bound(name)
            if bound is None:
                continue
            if bound < UNBOUNDED:
                yield f"{quantity.sentence(f'{bound:g}' if name == 'loads' else f'{bound:g} s')} ({name})"
            elif quantity.otherwise:
                yield f"{quantity.otherwise} ({name})"


@final
@dataclass(frozen=True, slots=True)
class Requirement:
    """What a user promises, as `age<=300`."""

    name: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}{'<=' if QUANTITIES[self.name].is_most else '>='}{self.number:g}"

    def is_kept(self, meaning: Meaning) -> bool:
        """Whether the policy keeps it; also where the quantity never came about."""
        bound = meaning.bound(self.name)
        if bound is None:
            return True
        return bound <= self.number if QUANTITIES[self.name].is_most else bound >= self.number


def requirement(text: str) -> Requirement:
    """Read `NAME<=NUMBER` or `NAME>=NUMBER`; ValueError, in a line, for anything else."""
    known = ", ".join(f"{name}{'<=' if quantity.is_most else '>='}NUMBER" for name, quantity in QUANTITIES.items())
    for sign in ("<=", ">="):
        name, found, number = text.partition(sign)
        quantity = QUANTITIES.get(name.strip())
        if found and quantity is not None and quantity.is_most == (sign == "<="):
            try:
                read = float(number)
            except ValueError:
                break
            if read >= 0:
                return Requirement(name.strip(), read)
    raise ValueError(f"{text!r} is not accepted: give one of {known}")


# What a step shows. Ages and waits in whole ticks.


def _measured(world: World, step: Step, after: World) -> Iterator[tuple[str, int]]:
    yield from _starts(step)
    yield from _answers(step)
    yield from _failures(step)
    yield from _waits(world, step, after)


def _starts(step: Step) -> Iterator[tuple[str, int]]:
    if not any(isinstance(effect, StartLoad) for effect in step.effects):
        return
    flight = step.before.flight
    is_second = flight is not None and isinstance(step.event, Get | Refresh) and step.now < flight.due_at
    yield "loads", 1 + is_second
    is_lookup = isinstance(step.event, Get) and not step.event.reloads  # `reload` asks for a load, whatever has failed
    if is_lookup and _retry_at(age(step.before, step.now)) > step.now:
        yield "retry", 0


def _answers(step: Step) -> Iterator[tuple[str, int]]:
    before = step.before
    for effect in step.effects:
        match effect:
            case Answer(outcome=Value() as value):
                old = _ticks(step.now - value.loaded_at)
                yield "age", old
                if not value.is_stale:
                    yield "fresh", old
                if max(_retry_at(age(before, step.now)), _retry_at(step.after)) <= step.now:
                    # No load of it has failed just before, or is found to be late by this very lookup.
                    yield "healthy", old
            case Answer() if isinstance(before, Fresh):
                yield "error", _ticks(step.now - before.loaded_at)
            case Settle(outcome=Value() as value) if value.is_stale and _is_waited_for(before, effect.generation):
                yield "age", _ticks(step.now - value.loaded_at)


def _failures(step: Step) -> Iterator[tuple[str, int]]:
    """A load behind a value fails: how long lookups leave the origin alone."""
    flight = step.before.flight
    is_own = (
        isinstance(step.event, LoadFailed | DeadlinePassed)
        and flight is not None
        and flight.generation == step.event.generation
    )
    if is_own and step.after.flight is None and _holds_a_value(step.before) and _holds_a_value(step.after):
        until = step.after.refresh_at if isinstance(step.after, Fresh) else _retry_at(step.after)
        yield "retry", NEVER if until >= NEVER else _ticks(max(0, until - step.now))


def _waits(world: World, step: Step, after: World) -> Iterator[tuple[str, int]]:
    """How long somebody has waited for a flight; one that is overdue ends by the step that says so, or never."""
    for entry in (after.entry, *after.detached):
        flight = entry.flight
        if flight is not None and flight.waiters and after.now < flight.due_at:
            yield "wait", _ticks(after.now - flight.started_at)
    flight = step.before.flight
    if isinstance(step.event, DeadlinePassed) and flight is not None and flight.generation == step.event.generation:
        is_settled = any(isinstance(effect, Settle) for effect in step.effects)
        if flight.waiters and step.now >= flight.due_at and not is_settled:
            yield "wait", NEVER


def _is_waited_for(entry: Entry, generation: int) -> bool:
    return entry.flight is not None and entry.flight.generation == generation and entry.flight.waiters > 0


def _retry_at(entry: Entry) -> int:
    return entry.retry_at if isinstance(entry, Stale) else 0


def _holds_a_value(entry: Entry) -> bool:
    return isinstance(entry, Fresh | Stale) and not isinstance(entry.value, Failure)


def _ticks(duration: int) -> int:
    return duration // TICK
