"""The exploration for tests of other people's: one policy in, one value out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from herdless_core import Policy
from herdless_core.invariants import INVARIANTS
from herdless_verify.exploration import search
from herdless_verify.exploration.limits import limits
from herdless_verify.exploration.search import ACROSS_STEPS, Violation
from herdless_verify.exploration.situations import is_possible


@final
@dataclass(frozen=True, slots=True)
class Explored:
    """What the exploration of a policy found. `str` of it is the report, for the message of an assertion."""

    policy: Policy
    """As it was given."""
    violations: tuple[Violation, ...]
    """For each promise that was broken the shortest way there; empty when all is well."""
    states: int
    """How many different states of the key, its callers and its loads there are."""
    steps: int
    """How often one of them led to another; each was judged."""
    tried: Mapping[str, int]
    """For each promise, by name, how often the situation came about in which it could have been broken."""
    not_tried: tuple[str, ...]
    """The promises whose situation never came about though the policy makes it possible: nothing is known of them."""
    is_complete: bool
    """False when there were more than `max_states`, so that the rest was not looked at."""
    limits: tuple[str, ...]
    """What the verdict assumes and leaves out, in lines."""

    @property
    def holds(self) -> bool:
        """Whether everything was looked at, and every promise tried that could be, and none broken."""
        return self.is_complete and not self.violations and not self.not_tried

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "all promises hold" if self.holds else "not all is well"
        yield f"{self.states:,} states, {self.steps:,} steps: {verdict}"
        for violation in self.violations:
            yield f"{violation.promise} is broken:"
            yield from (f"  {line}" for line in violation.lines())
        yield from (f"{promise} is not tried, though the policy makes it possible" for promise in self.not_tried)
        if not self.is_complete:
            yield "not finished: there are more states than max_states"
        yield from self.limits


def explore(policy: Policy, *, max_states: int = 1_000_000) -> Explored:
    """Explore every state that one key can reach under a policy, and judge every step by every promise.

    It is what `herdless verify --with explore` does for one policy, but for the mistakes with which the command checks
    its own checks. Pure Python; some seconds and some thousand states for most policies. Nothing is raised for a broken
    promise: `assert explored.holds, explored` fails with the shortest way to it.

    policy: the one that the cache is made with. Only the order of its durations counts, not how long they are.
    max_states: the search stops at so many, an integer of at least 1, and says so by `is_complete`.

    Raises TypeError where `policy` is no Policy, and ValueError for a `max_states` that is not accepted.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"policy={policy!r} is not accepted: give a herdless_core.Policy")
    if max_states < 1:
        raise ValueError(f"max_states={max_states!r} is not accepted: give an integer >= 1")
    found = search.explore(policy, max_states=max_states)
    tried = {promise: found.tried[promise] for promise in (*INVARIANTS, *ACROSS_STEPS)}
    return Explored(
        policy=policy,
        violations=tuple(found.violations),
        states=len(found.states),
        steps=found.moves,
        tried=tried,
        not_tried=tuple(
            promise
            for promise, count in tried.items()
            if count == 0 and found.is_complete and is_possible(promise, found.policy)
        ),
        is_complete=found.is_complete,
        limits=tuple(limits(policy)),
    )
