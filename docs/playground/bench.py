"""One key of a cache, pressed by hand: the machine, callers, loads and a clock that the reader moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never, final

from docs.playground.rules import promises_of, rule_of
from herdless._trace.words import effect_as_story, effect_in_words, entry_in_words, event_as_story
from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    CancelLoad,
    DeadlinePassed,
    Effect,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Forget,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Outcome,
    Policy,
    Put,
    Rearm,
    Refresh,
    Refuse,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    StartLoad,
    Step,
    WaiterLeft,
    age,
    transition,
)
from herdless_core.invariants import INVARIANTS, violated

CALLERS: Final = ("Ann", "Ben", "Eve")


class NoSuchRow(LookupError):
    """The database has answered: there is none."""


@final
@dataclass(slots=True)
class Caller:
    """Somebody who asks for the key."""

    waits_for: int | None = None
    told: str = ""


@final
@dataclass(slots=True)
class Load:
    """One call of the loader. It reads the row when it starts."""

    generation: int
    reads: str
    due_at: int
    state: str = "runs"


@final
@dataclass(slots=True)
class Taken:
    """A step that was taken: by whom or what, and who was told something by it."""

    by: str
    step: Step
    told: list[str]


@final
@dataclass(slots=True)
class Bench:
    """What the page shows. Buttons are texts, as `press` takes them: "get Ann", "load 1 gives", "time 10"."""

    policy: Policy
    can_cancel: bool = True
    now: int = 0
    row: int = 1
    entry: Entry = field(default_factory=lambda: ABSENT)
    removed: list[Evicted] = field(default_factory=list)
    """Entries that have left their key, and whose callers still wait."""
    callers: dict[str, Caller] = field(default_factory=lambda: {name: Caller() for name in CALLERS})
    loads: dict[int, Load] = field(default_factory=dict)
    steps: list[Taken] = field(default_factory=list)
    """All so far."""

    def buttons(self) -> Iterator[str]:
        """What can be pressed now."""
        for name, caller in self.callers.items():
            yield f"get {name}" if caller.waits_for is None else f"leave {name}"
            if caller.waits_for is not None and self.policy.soft_timeout < NEVER:
                yield f"patience {name}"
        yield from ("put", "invalidate", "expire", "refresh", "evict", "restart")
        for load in self.loads.values():
            if load.state in {"runs", "cancelled"}:
                yield from (f"load {load.generation} {end}" for end in ("gives", "fails", "answers", "timer"))
        yield from ("time 1", "time 10", "time 60", "row")

    def press(self, button: str) -> None:
        """Do what the button says. Raises ValueError where it cannot be pressed."""
        if button not in set(self.buttons()):
            raise ValueError(f"{button!r} cannot be pressed now")
        match button.split():
            case ["time", seconds]:
                self._pass(int(seconds) * NANOSECONDS_PER_SECOND)
            case ["row"]:
                self.row += 1
            case ["get", name]:
                self._step(name, Get(self._next_generation()))
            case ["leave", name]:
                generation = self.callers[name].waits_for
                assert generation is not None  # noqa: S101 - or there is no such button
                self.callers[name] = Caller(told="left")
                self._step(name, WaiterLeft(generation, self.can_cancel))
            case ["patience", name]:
                generation = self.callers[name].waits_for
                assert generation is not None  # noqa: S101 - or there is no such button
                self._step(name, SoftTimeoutPassed(generation))
            case ["load", number, end]:
                self._report(self.loads[int(number)], end)
            case [request, *_]:
                self._step("somebody", self._request(request))
            case _:  # there is no button without words
                pass

    def _request(self, name: str) -> Event:
        requests: Mapping[str, Event] = {
            "put": Put(f"v{self.row}", self.policy.lifetime),
            "invalidate": Invalidate(),
            "expire": Expire(),
            "refresh": Refresh(self._next_generation()),
            "evict": Evict(),
            "restart": Restarted(),
        }
        return requests[name]

    def _report(self, load: Load, end: str) -> None:
        by = f"load {load.generation}"
        if end == "timer":
            self._step("the timer", DeadlinePassed(load.generation))
            return
        load.state = "has ended"
        if end == "gives":
            self._step(by, LoadSucceeded(load.generation, load.reads, self.policy.lifetime))
        else:
            error = NoSuchRow("no such row") if end == "answers" else ConnectionError("the database is down")
            self._step(by, LoadFailed(load.generation, error, end == "answers"))

    def _pass(self, duration: int) -> None:
        """Let time pass; a timer goes off when it is due."""
        end = self.now + duration
        while due := [load for load in self.loads.values() if load.state == "runs" and load.due_at <= end]:
            load = min(due, key=lambda load: load.due_at)
            self.now = max(self.now, load.due_at)
            self._step("the timer", DeadlinePassed(load.generation))
            if load.state == "runs" and load.due_at <= self.now:
                load.due_at = NEVER  # nobody is left to whom it matters
        self.now = end

    def _next_generation(self) -> int:
        return max(self.loads, default=0) + 1

    def _step(self, by: str, event: Event) -> None:
        """Take one step, as an adapter does: find the entry, commit the next one, then carry out the effects."""
        generation = getattr(event, "generation", None)
        home = next((old for old in self.removed if old.flight and old.flight.generation == generation), None)
        before = self.entry if home is None else home
        after, effects = transition(before, event, self.now, self.policy)
        self.steps.append(Taken(by, Step(before, event, self.now, self.policy, after, effects), []))
        if home is not None:
            self.removed.remove(home)
        else:
            self.entry = ABSENT if isinstance(after, Evicted) else after
        if isinstance(after, Evicted) and after.flight is not None:
            self.removed.append(after)
        if isinstance(event, Restarted):
            self._lose_all()
        for effect in effects:
            self._carry_out(by, effect)

    def _lose_all(self) -> None:
        self.removed.clear()
        for load in self.loads.values():
            load.state = "is gone" if load.state in {"runs", "cancelled"} else load.state
        for name, caller in self.callers.items():
            if caller.waits_for is not None:
                self.callers[name] = Caller(told="gone with the process")

    def _carry_out(self, by: str, effect: Effect) -> None:
        match effect:
            case Join():
                self.callers[by] = Caller(waits_for=effect.generation)
            case Answer():
                self.callers[by] = Caller(told=_told(effect.outcome))
                self.steps[-1].told.append(by)
            case Refuse():
                self.callers[by] = Caller(told=str(effect.error("the key")))
            case Settle():
                for name, caller in self.callers.items():
                    if caller.waits_for == effect.generation:
                        self.callers[name] = Caller(told=_told(effect.outcome))
                        self.steps[-1].told.append(name)
            case StartLoad():
                self.loads[effect.generation] = Load(effect.generation, f"v{self.row}", effect.due_at)
            case CancelLoad():
                self.loads[effect.generation].state = "cancelled"
            case Rearm():
                self.loads[effect.generation].due_at = effect.due_at
            case Save() | Forget():
                pass
            case _:
                assert_never(effect)

    def view(self) -> Mapping[str, Any]:
        """All that the page shows, as JSON can say it."""
        entry = age(self.entry, self.now)
        last = self.steps[-1] if self.steps else None
        return {
            "seconds": self.now / NANOSECONDS_PER_SECOND,
            "row": f"v{self.row}",
            "state": type(entry).__name__,
            "entry": entry_in_words(entry, self.now),
            "removed": [entry_in_words(old, self.now) for old in self.removed],
            "callers": [
                {"name": name, "waits_for": caller.waits_for, "told": caller.told}
                for name, caller in self.callers.items()
            ],
            "loads": [[load.generation, load.reads, load.state] for load in self.loads.values()],
            "buttons": list(self.buttons()),
            "step": {**step_view(last.by, last.step), "told": last.told} if last else None,
            "story": [
                f"{taken.step.now / NANOSECONDS_PER_SECOND:g} s, {taken.by}: {said(taken.step)}" for taken in self.steps
            ],
        }


def step_view(by: str, step: Step) -> Mapping[str, Any]:
    """One step, with its rule and the promises that it keeps."""
    return {
        "by": by,
        "event": event_as_story(step.event),
        "name": type(step.event).__name__,
        "before": entry_in_words(step.before, step.now),
        "after": entry_in_words(step.after, step.now),
        "from": type(age(step.before, step.now)).__name__,
        "to": type(step.after).__name__,
        "effects": [effect_in_words(effect, step.now) for effect in step.effects],
        "rule": rule_of(step),
        "promises": list(promises_of(step)),
        "violated": list(violated(step)),
        "judged": len(INVARIANTS),
    }


def said(step: Step) -> str:
    """The step in a line: what happened, and what came of it."""
    results = [story for effect in step.effects if (story := effect_as_story(effect))]
    return f"{event_as_story(step.event)}: {'; '.join(results) or 'nothing to do'}"


def _told(outcome: Outcome) -> str:
    if isinstance(outcome, Failure):
        return f"{type(outcome.error).__name__}: {outcome.error}"
    return f"{outcome.value}{', stale' if outcome.is_stale else ''}"
