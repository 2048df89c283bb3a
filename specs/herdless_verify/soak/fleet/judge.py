"""Whether what the processes of a fleet have written down can be right.

- The records: see `chain`.
- One load for each generation: no process calls its loader more often than it has claimed a flight.
- Nothing old: a lookup that began more than `staleness` after an invalidation or a put returned, or in the process that
  made it at any time after, is never answered with a value from before it. A hit is younger than the ttl.
- Nobody hangs: whoever asked is answered, unless the process was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from herdless_core import NANOSECONDS_PER_SECOND, Policy, Restarted
from herdless_verify.soak.fleet.chain import Chains, claimed
from herdless_verify.soak.fleet.diary import Line, lines

ERRORS: Final = frozenset({"LoadBroke", "StoreDown", "LoadTimeout", "LoadCancelled"})
"""What a caller may be told."""


@final
@dataclass(frozen=True, slots=True)
class Bound:
    """From an instant on this truth is owed to every lookup that begins; at once in the process that made it."""

    key: str
    process: str
    returned: float
    truth: int


@final
@dataclass(frozen=True, slots=True)
class Written:
    """What one process has left."""

    name: str
    diary: Path
    was_killed: bool
    loads_alone: bool
    """Whether it loads for itself, without a claim, while the store is down."""


@final
@dataclass(slots=True)
class Verdict:
    """What was judged, and what is wrong."""

    complaints: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """What callers were told: how, or the kind of an error."""
    lookups: int = 0
    loads: int = 0
    steps: int = 0
    takeovers: int = 0


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """What every answer is judged by."""

    policy: Policy
    staleness: float
    """In seconds."""
    bounds: list[Bound]
    unsure: Set[tuple[str, int]]
    """Keys and values of puts that may come whenever they like, since nobody knows whether they are done."""

    def owed(self, process: str, key: str, began: float) -> int:
        """What a lookup of this process is owed that began at this instant."""
        return max((bound.truth for bound in self.bounds if self._binds(bound, process, key, began)), default=0)

    def _binds(self, bound: Bound, process: str, key: str, began: float) -> bool:
        rest = 0.0 if bound.process == process else self.staleness
        return bound.key == key and began > bound.returned + rest


def judged(processes: list[Written], rules: Rules) -> Verdict:
    """Judge what all processes of a run have left."""
    judge = _Judge(rules)
    for process in processes:
        judge.read(process)
    return judge.verdict()


@final
class _Judge:
    def __init__(self, rules: Rules) -> None:
        self._rules: Final = rules
        self._found: Final = Verdict()
        self._chains: Final = Chains(rules.policy)
        self._loads: Final[Counter[tuple[str, str]]] = Counter()
        """By process and key, where each has to be claimed."""

    def read(self, process: Written) -> None:
        """Judge the answers; the rest is kept for the end."""
        waiting: dict[int, tuple[str, float]] = {}
        for line in lines(process.diary):
            self._chains.note(process.name, line)
            if "load" in line:
                self._found.loads += 1
                self._loads[process.name, line["load"]] += not process.loads_alone
            elif "lookup" in line:
                waiting[line["lookup"]] = line["key"], line["at"]
            elif "answer" in line:
                self._answered(process.name, *waiting.pop(line["answer"]), line)
        if waiting and not process.was_killed:
            key, _ = next(iter(waiting.values()))
            self._complain(f"{process.name}: {len(waiting)} lookups had no end, the first of {key}")

    def verdict(self) -> Verdict:
        """After all processes."""
        found, links = self._found, self._chains.links()
        found.complaints.extend(self._chains.complaints())
        steps = [step for link in links for step in link.steps]
        found.steps = len(steps)
        found.takeovers = sum(isinstance(step.event, Restarted) for step in steps)
        for (name, key), count in self._loads.items():
            claims = claimed(links, name, key)
            if count > claims:
                self._complain(f"{name} has called the loader of {key} {count} times, for {claims} claims")
        return found

    def _answered(self, process: str, key: str, began: float, end: Line) -> None:
        """A lookup that began at this instant has come to this end."""
        self._found.lookups += 1
        self._found.answers[end.get("how") or end["error"]] += 1
        if "value" not in end:
            if end["error"] not in ERRORS:
                self._complain(f"{process}: a caller of {key} is told {end['error']}")
            return
        value, how, age, owed = end["value"], end["how"], end["age"], self._rules.owed(process, key, began)
        if value < owed and (key, value) not in self._rules.unsure:
            self._complain(f"{process}: a caller of {key} is told {value} ({how}), and is owed {owed}")
        if how == "hit" and age * NANOSECONDS_PER_SECOND >= self._rules.policy.lifetime.ttl:
            self._complain(f"{process}: a hit of {key} is {age:.3f} s old, which is past the ttl")

    def _complain(self, what: str) -> None:
        self._found.complaints.append(what)
