"""Whether a trace can be right: every step by itself, and after those before it.

By itself: all invariants hold of it, and `transition` gives the same again. After the others: time does not go back, an
entry begins as the key's last step left it, no generation is used twice, nobody joins a flight after its end, and a
caller leaves only where one waits.

Durable entries may lag: an owner that takes over (a Restarted step) may find any entry that was saved, unless it is
known that a later one was stored; but nothing else. Entries in memory may be restored from what was dumped, which no
trace tells: by the same step, where nothing is known of the key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from herdless._trace.reader import Line, Recorded, Section
from herdless._trace.words import describe, named
from herdless_core import (
    ABSENT,
    LONG_AGO,
    Absent,
    CancelLoad,
    Effect,
    Entry,
    Evict,
    Evicted,
    Failure,
    Forget,
    Fresh,
    Join,
    LoadFailed,
    LoadTimeout,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    WaiterLeft,
    age,
    transition,
)
from herdless_core.invariants import violated

LAG: Final = 1_000
"""The storage of an entry is behind its owner by so many writes at most."""


@final
@dataclass(frozen=True, slots=True)
class Departure:
    """The first line of a trace that no correct adapter writes."""

    line: int
    """From 1; that of the last step where the trace as a whole is wrong."""
    step: str
    """The step in words."""
    complaint: str
    """What is wrong with it, and what the machine would have done where that is it."""

    def __str__(self) -> str:
        return f"line {self.line}, {self.step}\n{self.complaint}"


def departure(lines: Iterable[Line], *, has_ended: bool = False, maxsize: int | None = None) -> Departure | None:
    """Replay a trace through the machine; where it departs from what a correct adapter does, or None.

    lines: of the trace, in their order.
    has_ended: every cache was closed, and nobody is left: no flight may have a waiter any more.
    maxsize: that of the cache, if it has one: never more values than this.
    """
    storage = Storage()
    judges: dict[Section, Judge] = {}
    last = None
    for line in lines:
        if not isinstance(line, Recorded):
            storage.stored()
            continue
        last = line
        if line.section not in judges:
            if line.section.owner is None:
                judges.clear()  # the one before it has ended
            durable = storage if line.section.is_durable else None
            judges[line.section] = Judge(maxsize, durable, is_forked=line.section.is_forked)
        complaint = judges[line.section].complaint(line.key, line.step)
        if complaint is not None:
            return Departure(line.line, describe(line.key, line.step), complaint)
    complaints = [complaint for judge in judges.values() if has_ended and (complaint := judge.complaint_at_end())]
    if last is not None and complaints:
        return Departure(last.line, describe(last.key, last.step), complaints[0])
    return None


@final
class Storage:
    """What may be on disk of durable entries, whoever owns them, and the last generation of all."""

    def __init__(self) -> None:
        self._written: Final[dict[Any, deque[Entry]]] = {}
        self.last_generation = 0

    def write(self, key: Any, step: Step) -> None:
        """Take note of what the step saved or forgot."""
        if isinstance(step.event, Restarted):
            return
        saved: Entry | None = None
        for effect in step.effects:
            if isinstance(effect, Save):
                saved = step.after
        if any(isinstance(effect, Forget) for effect in step.effects) or step.after == ABSENT:
            saved = ABSENT
        if saved is not None:
            self._written.setdefault(key, deque([ABSENT], LAG)).append(saved)

    def found(self, key: Any, entry: Entry) -> bool:
        """Whether an owner that takes over may find this entry; what was written after it is lost."""
        written = self._written.get(key)
        if written is None:  # the trace does not tell how it came there
            self._written[key] = deque([entry], LAG)
            return True
        if entry not in written:
            return False
        while written[-1] != entry:
            written.pop()
        return True

    def stored(self) -> None:
        """All that was written is there to stay."""
        for written in self._written.values():
            last = written[-1]
            written.clear()
            written.append(last)


@final
class Judge:
    """What the steps of one owner so far allow the next one to be. Keeps what is alive, not what was: it may listen for
    ever.
    """

    def __init__(self, maxsize: int | None, storage: Storage | None = None, *, is_forked: bool = False) -> None:
        self._maxsize: Final = maxsize
        self._storage: Final = storage
        self._known: Final[set[Any] | None] = set() if is_forked else None
        """In a forked child: the keys of which a step was seen. What the others hold, it has from its parent."""
        self._now: int | None = None
        self._entries: Final[dict[Any, Entry]] = {}
        self._held: Final[set[Any]] = set()
        """The keys that have a value."""
        self._evicted: Final[dict[int, Entry]] = {}
        self._last_generation = 0
        self._waiters: Final[dict[int, int]] = {}
        """Of each flight that was started and not settled yet."""

    def complaint(self, key: Any, step: Step) -> str | None:
        """What is wrong with the step, or None."""
        return (
            complaint_of_itself(step)
            or self._of_time(step)
            or self._of_size(step)
            or self._of_entry(key, step)
            or self._of_flights(step)
        )

    def complaint_at_end(self) -> str | None:
        """What is wrong if this is all, or None."""
        left = self.waiting()
        return f"the cache has ended, but callers wait: {left} (waiters by generation)" if left else None

    def waiting(self) -> dict[int, int]:
        """The flights that callers wait for: waiters by generation."""
        return {generation: waiters for generation, waiters in self._waiters.items() if waiters > 0}

    def held(self) -> int:
        """How many keys have a value."""
        return len(self._held)

    def _of_time(self, step: Step) -> str | None:
        if isinstance(step.event, Restarted) and step.now == LONG_AGO:
            return None  # where the runner of a load is gone, no clock may be asked any more
        before, self._now = self._now, step.now
        if before is not None and step.now < before:
            return f"goes back in time from {before} ns: the clock is to be read inside the lock"
        return None

    def _of_size(self, step: Step) -> str | None:
        """The steps after that of a newcomer for whom there is no room are the victims', or its own."""
        if self._maxsize is None or isinstance(step.event, Evict):
            return None
        if self.held() > self._maxsize:
            return f"comes when {self.held()} values are held, more than maxsize={self._maxsize}"
        return None

    def _of_entry(self, key: Any, step: Step) -> str | None:
        if isinstance(step.before, Evicted):
            flight = step.before.flight
            expected: Entry | None = None if flight is None else self._evicted.pop(flight.generation, None)
        else:
            expected = self._entries.get(key, ABSENT)
        if not self._may_begin(key, step, expected):
            return f"begins with {step.before}, but the last step left {expected}"
        if isinstance(step.after, Evicted) and step.after.flight is not None:
            self._evicted[step.after.flight.generation] = step.after
        if not isinstance(step.before, Evicted):
            self._place(key, step.after)
        if self._storage is not None:
            self._storage.write(key, step)
        if self._known is not None and not isinstance(step.before, Evicted):
            self._known.add(key)
        return None

    def _place(self, key: Any, entry: Entry) -> None:
        if isinstance(entry, Absent | Evicted):
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry
        if isinstance(entry, Fresh | Stale):
            self._held.add(key)
        else:
            self._held.discard(key)

    def _may_begin(self, key: Any, step: Step, expected: Entry | None) -> bool:
        if self._storage is not None and isinstance(step.event, Restarted):
            return self._storage.found(key, step.before)
        if step.before == expected or self._is_inherited(key, step) or _is_restored(step, expected):
            return True
        if self._storage is None or isinstance(step.before, Evicted):
            return False
        # An alarm may have aged the entry in between, which is no step.
        return expected is not None and age(step.before, step.now) == age(expected, step.now)

    def _is_inherited(self, key: Any, step: Step) -> bool:
        """Whether the parent may have left the entry. Of its flights the child says first that they are gone."""
        if self._known is None:
            return False
        flight = step.before.flight
        if isinstance(step.before, Evicted):
            return isinstance(step.event, Restarted) and flight is not None and flight.generation not in self._waiters
        return key not in self._known and (flight is None or isinstance(step.event, Restarted))

    def _of_flights(self, step: Step) -> str | None:
        event = step.event
        if isinstance(event, WaiterLeft) or (isinstance(event, SoftTimeoutPassed) and step.effects):
            if self._waiters.get(event.generation, 0) == 0:
                return "a caller leaves a flight for which nobody waits"
            self._waiters[event.generation] -= 1
        if isinstance(event, Restarted) and step.before.flight is not None:
            self._waiters.pop(step.before.flight.generation, None)
        for effect in step.effects:
            complaint = self._of_effect(effect)
            if complaint is not None:
                return complaint
        return None

    def _of_effect(self, effect: Effect) -> str | None:
        match effect:
            case StartLoad(generation=generation):
                last = self._last_generation if self._storage is None else self._storage.last_generation
                if generation <= last:
                    return f"generation {generation} is used again, after {last}"
                self._last_generation = generation
                if self._storage is not None:
                    self._storage.last_generation = generation
                self._waiters.setdefault(generation, 0)
            case Join(generation=generation, leads=leads):
                if leads:
                    self._waiters[generation] = 1
                elif generation not in self._waiters:
                    return f"a caller joins flight {generation}, which has ended"
                else:
                    self._waiters[generation] += 1
            case Settle(generation=generation):
                self._waiters.pop(generation, None)
            case CancelLoad(generation=generation):
                if self._waiters.get(generation, 0) == 0:
                    self._waiters.pop(generation, None)
            case _:
                pass
        return None


def complaint_of_itself(step: Step) -> str | None:
    """What is wrong with a step whatever was before it, or None."""
    with _error_as_it_was(step):
        names = violated(step)
        after, effects = transition(step.before, step.event, step.now, step.policy)
    is_as_done = after == step.after and _are_alike(effects, step.effects)
    done = f"the machine would have left {after}, and ordered {named(effects)}"
    if not is_as_done:
        names = [name for name in names if name != "TimeShift"]  # which compares with the machine, too
    if names:
        return f"violates {', '.join(names)}" + ("" if is_as_done else f"; {done}")
    return None if is_as_done else f"is not what the machine does: {done}"


def _is_restored(step: Step, expected: Entry | None) -> bool:
    """Whether a value is held again that another process held, in the place of nothing."""
    is_value = step.before.holds_value and step.before.flight is None
    return isinstance(step.event, Restarted) and is_value and expected == ABSENT


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
