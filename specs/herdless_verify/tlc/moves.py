"""One key of a recorded trace as moves of specs/TraceCacheEntry.tla: the mapping that traces.py describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, final

from herdless._trace.plain import RecordedValue
from herdless._trace.reader import Recorded
from herdless_core import (
    ABSENT,
    Absent,
    Answer,
    CancelLoad,
    Effect,
    Entry,
    Event,
    Evicted,
    Failure,
    Flight,
    Forget,
    Fresh,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Outcome,
    Pending,
    Put,
    Rearm,
    Refuse,
    Report,
    Restarted,
    Save,
    Settle,
    Stale,
    StartLoad,
    Step,
)
from herdless_core._errors import is_memorable
from herdless_verify.tlc.scale import Scale

LOADER_ERROR: Final = -1
CUT_SHORT: Final = -2
TIMED_OUT: Final = -3
NOT_FOUND: Final = -4
ANOTHER_ERROR: Final = -5
"""Than the one that was reported: no move of the specification gives it."""


@final
class Moves:
    """One key of one trace, as moves of TraceCacheEntry.tla.

    scale: that of the trace, or a finer one.
    """

    def __init__(self, trace: str, steps: Sequence[Recorded], scale: Scale) -> None:
        section = steps[0].section
        self.trace: Final = trace
        self.scale: Final = scale
        self._scale: Final = scale
        self.size: Final = scale.size
        self._is_durable: Final = section.is_durable
        policy = section.policy
        self._remembered: Final = LOADER_ERROR if policy.remembers_failures else NOT_FOUND
        """The number of an error that an entry holds, unless it is that of the deadline."""
        self._has_one_kind: Final = policy.negative_lifetime.ttl == 0 or not policy.remembers_failures
        """Whether the specification has no second kind of error that is no answer."""
        self.written: Final[list[str]] = []
        self._lines: Final[list[Recorded]] = []
        """From which line each move comes."""
        self.names: Final = [0]
        """The name of each value, by its number less one; 0 where it has none. The first is what was true at first."""
        self._names_of_values: Final[dict[RecordedValue, int]] = {}
        self._generations: Final[dict[int, int]] = {}
        self._loads: Final[dict[int, int]] = {}
        """The number of the value that a load reads, by its own number."""
        self._waiting: Final[dict[int, int]] = {}
        self.ages: Final[set[int]] = set()
        """How old values were when their loads began, or when they were put."""
        self.clients = 0
        """So many wait at a time at most."""
        self._first: Final = steps[0]
        self._entry: Entry = ABSENT
        self._now = steps[0].step.now
        for line in steps:
            self._add(line)

    @property
    def generations(self) -> int:
        """How many flights there are."""
        return len(self._generations)

    def line(self, at: int) -> Recorded:
        """From which line the move comes, counted from 1."""
        return self._lines[max(at, 1) - 1]

    def _add(self, line: Recorded) -> None:
        step, event = line.step, line.step.event
        passed = self._scale.passed(self._now, step.now)
        if passed > 0:
            self._write(line, f'Silent("Pass", 0, {passed})')
        if passed < 0:
            self._write(line, 'Silent("TimeGoesBack", 0, 0)')  # which nothing does
        self._now = step.now
        is_restored = step.before.holds_value and step.before.flight is None
        if isinstance(event, Restarted) and (self._is_durable or is_restored) and step.before != self._entry:
            self._write_found(line)
        if isinstance(event, Put | LoadSucceeded) and event.age:
            self.ages.add(self._scale.age(step.now - event.age, step.now))
        if isinstance(event, Put | Invalidate):
            self._write_truth(line, self._name(event.value) if isinstance(event, Put) else 0)
        if isinstance(event, LoadSucceeded):
            self._name_what_was_read(event)
        for effect in step.effects:
            if isinstance(effect, StartLoad):
                self._generations.setdefault(effect.generation, len(self._generations) + 1)
        self._write_move(line)
        for effect in step.effects:
            if isinstance(effect, StartLoad):
                self._write_truth(line, 0)
                number = self._generation(effect.generation)
                self._loads[number] = len(self.names)
                self._write(line, f'Silent("LoadReads", {number}, 0)')
        if not isinstance(step.before, Evicted):
            self._entry = ABSENT if isinstance(step.after, Evicted) else step.after
        self._count_waiters(step)

    def _write(self, line: Recorded, move: str) -> None:
        self.written.append(move)
        self._lines.append(line)

    def _write_truth(self, line: Recorded, name: int) -> None:
        self._write(line, 'Silent("TruthChanges", 0, 0)')
        self.names.append(name)

    def _write_found(self, line: Recorded) -> None:
        """The entry that an owner finds, or a cache restores; its value is one of its own, under the name it had."""
        found = line.step.before
        if isinstance(found, Fresh | Stale) and not isinstance(found.value, Failure):
            self._write_truth(line, self._name(found.value))
        if found.flight is not None:
            self._generations.setdefault(found.flight.generation, len(self._generations) + 1)
        self._write(line, f"Found({self._entry_text(found, line.step.now, value=len(self.names))})")

    def _name_what_was_read(self, event: LoadSucceeded) -> None:
        """What the load read when it began is known only now."""
        number = self._loads.get(self._generation(event.generation))
        if number is not None and not self.names[number - 1]:
            self.names[number - 1] = self._name(event.value)

    def _write_move(self, line: Recorded) -> None:
        step, event = line.step, line.step.event
        kind, generation = type(event).__name__, 0
        if isinstance(event, Report):
            generation = self._generation(event.generation)
        if isinstance(event, Restarted) and not (self._is_durable and line is self._first):
            kind = "FlightIsGone"
            generation = 0 if step.before.flight is None else self._generation(step.before.flight.generation)
        orders = ", ".join(self._effect_text(effect, step) for effect in step.effects)
        was_evicted = str(isinstance(step.before, Evicted)).upper()
        after_text = self._entry_text(step.after, step.now)
        said = self._said_text(event)
        self._write(line, f'Move("{kind}", {generation}, {said}, {after_text}, <<{orders}>>, {was_evicted})')

    def _generation(self, generation: int) -> int:
        return self._generations.get(generation, 0)

    def _name(self, value: Any) -> int:
        return self._names_of_values.setdefault(value, len(self._names_of_values) + 1)

    def _count_waiters(self, step: Step) -> None:
        for flight in (step.before.flight, step.after.flight):
            if flight is not None:
                self._waiting.pop(flight.generation, None)
        if step.after.flight is not None:
            self._waiting[step.after.flight.generation] = step.after.flight.waiters
        self.clients = max(self.clients, sum(self._waiting.values()))

    # As text

    def _entry_text(self, entry: Entry, now: int, value: int | None = None) -> str:
        flight = self._flight_text(entry.flight, now)
        match entry:
            case Absent():
                return "Absent"
            case Pending():
                return f"Pending({flight})"
            case Fresh() | Stale():
                if isinstance(entry.value, Failure):
                    value = self._remembered_error(entry.value)
                elif value is None:
                    value = self._name(entry.value)
                instants = (
                    (entry.refresh_at, entry.hit_until)
                    if isinstance(entry, Fresh)
                    else (entry.stale_until, entry.kept_until, entry.retry_at)
                )
                parts = [value, *self._lifetime_text(entry), self._scale.age(entry.loaded_at, now)]
                parts += [self._scale.until(x, now) for x in instants]
                return f"{type(entry).__name__}({', '.join(map(str, parts))}, {flight})"
            case Evicted():
                return f'Evicted("{entry.cause.value}", {flight})'

    def _said_text(self, event: Event) -> str:
        """What is said of how long the value lives, where there is one."""
        lifetime = event.lifetime if isinstance(event, Put | LoadSucceeded) else None
        return "DoNotKeep" if lifetime is None else lifetime_text(self._scale, self._scale.units(lifetime))

    def _lifetime_text(self, entry: Fresh | Stale) -> Iterator[str]:
        if not isinstance(entry, Fresh):
            return
        if isinstance(entry.value, Failure):
            yield "NegativeLifetime"
        else:
            yield lifetime_text(self._scale, self._scale.units(entry.lifetime))

    def _flight_text(self, flight: Flight | None, now: int) -> str:
        if flight is None:
            return "NoFlight"
        age, due_at = self._scale.age(flight.started_at, now), self._scale.until(flight.due_at, now)
        return f"Flight({self._generation(flight.generation)}, {age}, {due_at}, {flight.waiters})"

    def _effect_text(self, effect: Effect, step: Step) -> str:
        match effect:
            case Answer():
                return f"Answer({self._outcome_text(effect.outcome, step)})"
            case Join():
                return f"Join({self._generation(effect.generation)}, {str(effect.leads).upper()})"
            case Settle():
                return f"Settle({self._generation(effect.generation)}, {self._outcome_text(effect.outcome, step)})"
            case StartLoad() | Rearm():
                due_at = self._scale.until(effect.due_at, step.now)
                return f"{type(effect).__name__}({self._generation(effect.generation)}, {due_at})"
            case CancelLoad():
                return f"CancelLoad({self._generation(effect.generation)})"
            case Refuse() | Save() | Forget():
                return type(effect).__name__

    def _outcome_text(self, outcome: Outcome, step: Step) -> str:
        if isinstance(outcome, Failure):
            return f"Failure({self._error(outcome, step)})"
        age = self._scale.age(outcome.loaded_at, step.now)
        return f"Outcome({self._name(outcome.value)}, {age}, {str(outcome.is_stale).upper()})"

    def _error(self, failure: Failure, step: Step) -> int:
        event = step.event
        if isinstance(event, LoadFailed):
            if failure.error is not event.error:
                return ANOTHER_ERROR
            if event.is_answer:
                return NOT_FOUND
            return LOADER_ERROR if is_memorable(failure.error) or self._has_one_kind else CUT_SHORT
        return self._remembered_error(failure)

    def _remembered_error(self, failure: Failure) -> int:
        return TIMED_OUT if isinstance(failure.error, LoadTimeout) else self._remembered


def lifetime_text(scale: Scale, units: Iterable[int]) -> str:
    """A lifetime in the words of CacheEntry.tla. units: its durations, as `Scale.units` gives them."""
    return f"Lifetime({', '.join(str(scale.duration(each)) for each in units)})"
