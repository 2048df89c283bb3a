"""A run as a list of decisions, and the ways to come by such lists: all of them, random ones, one given.

Whoever runs something in pieces asks its `Schedule` at every point where more than one piece could be next. A schedule
is the list of the answers, so a run that takes all its decisions from one can be run again by it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, final

TIME: Final = "time passes"
"""The option of letting the clock move on to the next timer before anybody else does anything."""

MAX_DECISIONS: Final = 20_000
"""A run with more decisions than this is taken to run for ever."""


class ScheduleFailed(AssertionError):
    """A run failed. The message shows its steps and the list that `replay` takes; the cause is what was raised."""


class NotDeterministic(Exception):
    """A run that was to repeat another did something else: it depends on more than its schedule."""


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """What could be next at one point, and what was."""

    options: tuple[str, ...]
    costs: tuple[int, ...]
    """How far each option departs from the natural order: a preemption, a callback out of turn, time that passes."""
    picked: int


class Chooser(Protocol):
    """Gives the index of the option to take; `running` is the option that goes on with what ran last, if any."""

    def choose(self, options: Sequence[str], running: str | None) -> int: ...


@final
class Schedule:
    """The decisions of one run. Made by a seed, or by `explore`, `sample` and `replay`."""

    def __init__(self, seed: int | None = None, *, chooser: Chooser | None = None) -> None:
        self._chooser: Final = chooser or (FirstAlways() if seed is None else AtRandom(seed))
        self.decisions: Final[list[Decision]] = []
        self.steps: Final[list[str]] = []
        """What was done, for people."""

    def pick(self, options: Sequence[str], *, running: str | None = None, costs: Sequence[int] | None = None) -> int:
        """The index of the option to take next.

        options: what may be done, in words; the first is the natural one; running: the option by which the one that
        runs goes on, if any; costs: what each option costs of the bound of `explore`, None where only the first is
        free.
        """
        if len(self.decisions) >= MAX_DECISIONS:
            raise ScheduleFailed(f"the run has not ended after {MAX_DECISIONS} decisions")
        picked = 0 if len(options) == 1 else self._chooser.choose(options, running)
        if len(options) > 1:
            costs = costs or [int(index > 0) for index in range(len(options))]
            self.decisions.append(Decision(tuple(options), tuple(costs), picked))
        return picked

    def note(self, step: str) -> None:
        """Something was done."""
        self.steps.append(step)

    @property
    def taken(self) -> list[int]:
        """The decisions as `replay` takes them: the natural ones at the end are left out."""
        taken = [decision.picked for decision in self.decisions]
        while taken and taken[-1] == 0:
            taken.pop()
        return taken


@final
class FirstAlways:
    """The natural order."""

    def choose(self, _options: Sequence[str], _running: str | None) -> int:
        """The first."""
        return 0


@final
class AtRandom:
    """Every option is as likely as another, but time passes seldom."""

    def __init__(self, seed: int) -> None:
        self._random: Final = random.Random(seed)

    def choose(self, options: Sequence[str], _running: str | None) -> int:
        """Any."""
        count = len(options)
        if options[-1] == TIME and self._random.random() > 1 / 8:
            count -= 1
        return self._random.randrange(count)


@final
class ByPriority:
    """PCT: every thread has a random priority, and at a few random points the one that runs gets the lowest.

    A bug that needs d switches at the right places is met with a probability of at least 1/(n * k**(d-1)), n being the
    number of threads and k that of steps (Burckhardt et al., ASPLOS 2010), whatever else the program does.
    """

    def __init__(self, seed: int, *, switches: int, length: int) -> None:
        self._random: Final = random.Random(seed)
        self._priorities: Final[dict[str, float]] = {}
        self._switches: Final = {self._random.randrange(max(1, length)) for _ in range(switches)}
        self._count = 0
        self._lowest = 0.0

    def choose(self, options: Sequence[str], running: str | None) -> int:
        """The option of the highest priority."""
        for option in options:
            self._priorities.setdefault(option, self._random.random() + (0.0 if option == TIME else 1.0))
        if self._count in self._switches and running is not None:
            self._lowest -= 1.0
            self._priorities[running] = self._lowest
        self._count += 1
        return max(range(len(options)), key=lambda index: self._priorities[options[index]])


@final
class Following:
    """A given beginning, then the natural order."""

    def __init__(self, taken: Sequence[int]) -> None:
        self._taken: Final = taken
        self._count = 0

    def choose(self, options: Sequence[str], _running: str | None) -> int:
        """What was given."""
        index = self._count
        self._count += 1
        if index >= len(self._taken):
            return 0
        if self._taken[index] >= len(options):
            raise NotDeterministic(
                f"decision {index} is to take option {self._taken[index]}, but there are {list(options)}"
            )
        return self._taken[index]


Run: TypeAlias = Callable[[Schedule], object]
"""One run from its beginning to its end, which raises where something is wrong."""


def explore(run: Run, *, bound: int | None = None, limit: int = 100_000) -> int:
    """Run every schedule, depth first; returns how many there were.

    bound: only those that depart at most so often from the natural order: preempt a thread that could go on, call a
        callback out of turn, let time pass while somebody could move. None: all.
    limit: raises ScheduleFailed when there are more schedules than this, since then not all were run.

    Raises ScheduleFailed at the first run that raises.
    """
    taken: list[int] | None = []
    count = 0
    while taken is not None:
        if count >= limit:
            raise ScheduleFailed(f"there are more than limit={limit} schedules; give a lower bound, or `sample` them")
        schedule = Schedule(chooser=Following(taken))
        count += 1
        _attempt(run, schedule, f"schedule {count}, depth first")
        taken = _next(schedule.decisions, bound)
    return count


def sample(run: Run, *, seeds: Iterable[int], switches: int | None = None) -> int:
    """Run one schedule for each seed; returns how many there were.

    run: called with each schedule; seeds: integers; switches: None: each decision is random. A number: threads run by
        random priorities that change so often (PCT), which finds what needs few switches at the right places.

    Raises ScheduleFailed at the first run that raises.
    """
    count = 0
    length = 1
    for seed in seeds:
        chooser = AtRandom(seed) if switches is None else ByPriority(seed, switches=switches, length=length)
        schedule = Schedule(chooser=chooser)
        count += 1
        _attempt(run, schedule, f"seed {seed}")
        length = max(length, len(schedule.decisions))
    return count


def replay(run: Run, taken: Sequence[int]) -> None:
    """Run the schedule that a ScheduleFailed gave."""
    _attempt(run, Schedule(chooser=Following(taken)), "the replay")


def _attempt(run: Run, schedule: Schedule, name: str) -> None:
    try:
        run(schedule)
    except NotDeterministic:
        raise
    except Exception as raised:
        error = _innermost(raised)
        done = schedule.steps or [decision.options[decision.picked] for decision in schedule.decisions]
        steps = "\n".join(f"  {number:3} {step}" for number, step in enumerate(done, 1))
        raise ScheduleFailed(
            f"{name} failed: {type(error).__name__}: {error}\n{steps}\nRun it again by replay(run, {schedule.taken})"
        ) from raised


def _innermost(error: BaseException) -> BaseException:
    """What is in a group of one, as nurseries wrap around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _next(decisions: Sequence[Decision], bound: int | None) -> list[int] | None:
    """The next schedule in depth-first order that the bound allows: the last decision that can be another one is."""
    spent = sum(decision.costs[decision.picked] for decision in decisions)
    for index in range(len(decisions) - 1, -1, -1):
        decision = decisions[index]
        spent -= decision.costs[decision.picked]
        for other in range(decision.picked + 1, len(decision.options)):
            if bound is None or spent + decision.costs[other] <= bound:
                return [earlier.picked for earlier in decisions[:index]] + [other]
    return None
