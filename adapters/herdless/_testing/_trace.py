"""Traces: the steps of one cache as its `observe=` saw them, and the judgement whether they can be right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, final

from herdless_core import (
    ABSENT,
    Absent,
    CancelLoad,
    Effect,
    Entry,
    Evict,
    Evicted,
    Failure,
    Fresh,
    Join,
    LoadFailed,
    LoadTimeout,
    Restarted,
    Settle,
    Stale,
    StartLoad,
    Step,
    WaiterLeft,
    transition,
)
from herdless_core._invariants import violated

Observed: TypeAlias = tuple[Any, Step]
"""A key and a step of its entry."""


class TraceInvalid(AssertionError):
    """A trace that no correct adapter makes. Names the step and what is wrong with it."""


@final
class Trace:
    """The steps of one cache, in their order: give it as `observe=`."""

    def __init__(self) -> None:
        self._steps: Final[list[Observed]] = []

    def __call__(self, key: Any, step: Step) -> None:
        """Note a step."""
        self._steps.append((key, step))

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __str__(self) -> str:
        return "\n".join(f"{number:4} {describe(key, step)}" for number, (key, step) in enumerate(self._steps, 1))


def describe(key: Any, step: Step) -> str:
    """The step in one line, without what differs from run to run: objects are named by their types."""
    event = type(step.event).__name__
    generation = getattr(step.event, "generation", None)
    about = event if generation is None else f"{event} {generation}"
    effects = ", ".join(_name(effect) for effect in step.effects) or "nothing"
    states = f"{type(step.before).__name__} -> {type(step.after).__name__}"
    return f"{step.now} ns {key!r}: {about}: {states}: {effects}"


def assert_trace_valid(trace: Iterable[Observed], *, has_ended: bool = False, maxsize: int | None = None) -> None:
    """Raise TraceInvalid unless every step is right by itself, and each follows from those before it.

    By itself: all invariants of docs/invariants hold of it, and `transition` gives the same again. After the others:
    time does not go back, an entry begins as the key's last step left it, no generation is used twice, nobody joins a
    flight after its end, and a caller leaves only where one waits.

    has_ended: the cache was closed, and nobody is left: no flight may have a waiter any more.
    maxsize: that of the cache, if it has one: never more values than this.
    """
    judge = Judge(maxsize)
    for number, (key, step) in enumerate(trace, 1):
        complaint = judge.complaint(key, step)
        if complaint is not None:
            raise TraceInvalid(f"step {number}, {describe(key, step)}\n{complaint}")
    left = judge.waiting()
    if has_ended and left:
        raise TraceInvalid(f"the cache has ended, but callers wait: {left} (waiters by generation)")


@final
class Judge:
    """What the steps so far allow the next one to be. Keeps what is alive, not what was: it may listen for ever."""

    def __init__(self, maxsize: int | None) -> None:
        self._maxsize: Final = maxsize
        self._now: int | None = None
        self._last_key: Any = None
        self._entries: Final[dict[Any, Entry]] = {}
        self._held: Final[dict[Any, None]] = {}
        """The keys that have a value, in the order in which they got it."""
        self._evicted: Final[dict[int, Entry]] = {}
        self._last_generation = 0
        self.waiters: Final[dict[int, int]] = {}
        """Of each flight that was started and not settled yet."""

    def complaint(self, key: Any, step: Step) -> str | None:
        """What is wrong with the step, or None."""
        return (
            self._of_itself(step)
            or self._of_time(step)
            or self._of_size(step)
            or self._of_entry(key, step)
            or self._of_flights(step)
        )

    def waiting(self) -> dict[int, int]:
        """The flights that callers wait for: waiters by generation."""
        return {generation: waiters for generation, waiters in self.waiters.items() if waiters > 0}

    def held(self) -> int:
        """How many keys have a value."""
        return len(self._held)

    def _of_itself(self, step: Step) -> str | None:
        with _error_as_it_was(step):
            names = violated(step)
            after, effects = transition(step.before, step.event, step.now, step.policy)
        if names:
            return f"violates {', '.join(names)}"
        if after != step.after or not _are_alike(effects, step.effects):
            return f"is not what the machine does, which is: {describe('', _redone(step, after, effects))}"
        return None

    def _of_time(self, step: Step) -> str | None:
        before, self._now = self._now, step.now
        if before is not None and step.now < before:
            return f"goes back in time from {before} ns: the clock is to be read inside the lock"
        return None

    def _of_entry(self, key: Any, step: Step) -> str | None:
        if isinstance(step.before, Evicted):
            flight = step.before.flight
            expected: Entry | None = None if flight is None else self._evicted.pop(flight.generation, None)
        else:
            expected = self._entries.get(key, ABSENT)
            self._last_key = key
        if step.before != expected:
            return f"begins with {step.before}, but the last step left {expected}"
        if isinstance(step.after, Evicted) and step.after.flight is not None:
            self._evicted[step.after.flight.generation] = step.after
        if not isinstance(step.before, Evicted):
            self._place(key, step.after)
        return None

    def _place(self, key: Any, entry: Entry) -> None:
        if isinstance(entry, Absent | Evicted):
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry
        if not isinstance(entry, Fresh | Stale):
            self._held.pop(key, None)
        elif key not in self._held:
            self._held[key] = None

    def _of_size(self, step: Step) -> str | None:
        """The step after that of a newcomer for whom there is no room is the victim's; or the newcomer was not let in,
        since all the others are waited for.
        """
        if self._maxsize is None or len(self._held) <= self._maxsize or isinstance(step.event, Evict):
            return None
        for key in self._held:
            flight = self._entries[key].flight
            if key != self._last_key and (flight is None or flight.waiters == 0):
                return f"comes when {len(self._held)} values are held, more than maxsize={self._maxsize}"
        self._place(self._last_key, ABSENT)
        return None

    def _of_flights(self, step: Step) -> str | None:
        event = step.event
        if isinstance(event, WaiterLeft):
            if self.waiters.get(event.generation, 0) == 0:
                return "a caller leaves a flight for which nobody waits"
            self.waiters[event.generation] -= 1
        if isinstance(event, Restarted) and step.before.flight is not None:
            self.waiters.pop(step.before.flight.generation, None)
        for effect in step.effects:
            complaint = self._of_effect(effect)
            if complaint is not None:
                return complaint
        return None

    def _of_effect(self, effect: Effect) -> str | None:
        match effect:
            case StartLoad(generation=generation):
                if generation <= self._last_generation:
                    return f"generation {generation} is used again, after {self._last_generation}"
                self._last_generation = generation
                self.waiters.setdefault(generation, 0)
            case Join(generation=generation, leads=leads):
                if leads:
                    self.waiters[generation] = 1
                elif generation not in self.waiters:
                    return f"a caller joins flight {generation}, which has ended"
                else:
                    self.waiters[generation] += 1
            case Settle(generation=generation):
                self.waiters.pop(generation, None)
            case CancelLoad(generation=generation):
                if self.waiters.get(generation, 0) == 0:
                    self.waiters.pop(generation, None)
            case _:
                pass
        return None


@contextmanager
def _error_as_it_was(step: Step) -> Iterator[None]:
    """The machine notes an error's traceback, which has grown since, in those who raised it."""
    failures = [effect.outcome for effect in step.effects if isinstance(effect, Settle)]
    if not isinstance(step.event, LoadFailed) or not failures or not isinstance(failures[0], Failure):
        yield
        return
    error, grown = step.event.error, step.event.error.__traceback__
    error.__traceback__ = failures[0].traceback
    try:
        yield
    finally:
        error.__traceback__ = grown


def _redone(step: Step, after: Entry, effects: tuple[Effect, ...]) -> Step:
    return Step(step.before, step.event, step.now, step.policy, after, effects)


def _are_alike(some: tuple[Effect, ...], others: tuple[Effect, ...]) -> bool:
    return len(some) == len(others) and all(map(_is_alike, some, others))


def _is_alike(one: Effect, other: Effect) -> bool:
    """Equal, or two settlements by a LoadTimeout, which the machine makes anew each time."""
    if one == other:
        return True
    return (
        isinstance(one, Settle)
        and isinstance(other, Settle)
        and one.generation == other.generation
        and isinstance(one.outcome, Failure)
        and isinstance(other.outcome, Failure)
        and isinstance(one.outcome.error, LoadTimeout)
        and isinstance(other.outcome.error, LoadTimeout)
    )


def _name(effect: Effect) -> str:
    generation = getattr(effect, "generation", None)
    return type(effect).__name__ if generation is None else f"{type(effect).__name__} {generation}"
