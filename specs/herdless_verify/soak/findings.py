"""What a run has found: the first violation in words, how many there were, and what was counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

from herdless_verify.soak.foreign import Judging


@final
@dataclass(frozen=True, slots=True)
class Memory:
    """How the memory grew after the warm-up, in bytes and in Python's own blocks."""

    measured_by: str
    """What the resident set was read from."""
    rss_growth: int | None
    """None: this system does not tell."""
    blocks_growth: int
    rss: int | None
    """At the end."""


@final
@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of the soak of one runtime."""

    runtime: str
    seed: int
    seconds: float
    rounds: int
    lookups: int
    loads: int
    steps: int
    """Every one was judged."""
    answers: dict[str, int]
    """What callers were told: outcomes of lookups and errors, each with how often."""
    faults: dict[str, int]
    """How many of each kind."""
    violations: int
    first_violation: str | None
    leaked_flights: int
    callers_left: int
    threads_or_tasks_left: int
    memory: Memory


def told_nothing(runtime: str, seed: int, why: str) -> Soaked:
    """A soak that did not come to its end."""
    return Soaked(runtime, seed, 0.0, 0, 0, 0, 0, {}, {}, 1, why, 0, 0, 0, Memory("nothing", None, 0, None))


@final
class Findings:
    """Written to by all rounds of a run, from any thread."""

    def __init__(self) -> None:
        self._lock: Final = Judging()
        self.counts: Final[Counter[str]] = Counter()
        self.answers: Final[Counter[str]] = Counter()
        self.faults: Final[Counter[str]] = Counter()
        self.violations = 0
        self.first: str | None = None
        self._is_located = False

    @property
    def is_judging(self) -> bool:
        """Whether this thread is inside of here."""
        return self._lock.is_here

    def count(self, what: str, by: int = 1) -> None:
        """Lookups, loads, steps ..."""
        with self._lock:
            self.counts[what] += by

    def answer(self, what: str, by: int = 1) -> None:
        """Callers were told something."""
        with self._lock:
            self.answers[what] += by

    def fault(self, kind: str, by: int = 1) -> None:
        """Something was made to go wrong."""
        with self._lock:
            self.faults[kind] += by

    def complain(self, what: str) -> None:
        """A promise was broken."""
        with self._lock:
            self.violations += 1
            if self.first is None:
                self.first = what

    def located(self, where: object) -> None:
        """The round is over: the first violation, if it was in this round, says in which."""
        if self.first is not None and not self._is_located:
            self._is_located = True
            self.first = f"{where}: {self.first}"
