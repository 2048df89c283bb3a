"""What checkers find, and the work they do: one face for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

from herdless_core import Policy
from herdless_verify.exploration.meaning import Meaning, Requirement

INSTALL_PURE: Final = "pip install --no-binary herdless 'herdless[verify]'"

HOLDS: Final = "holds"
HAPPENS: Final = "refuted, as it must be"
NOT_TRIED: Final = "not tried: the policy rules it out"
UNFINISHED: Final = "not finished here"

POLICIES: Final[Mapping[str, Policy]] = {
    "ttl=60": Policy(ttl=60),
    "ttl=60,stale_while_revalidate=300": Policy(ttl=60, stale_while_revalidate=300),
    "ttl=60,stale_if_error=300,early_refresh=0.5,answers=LookupError,soft_timeout=1": Policy(
        ttl=60, stale_if_error=300, early_refresh=0.5, answers=LookupError, soft_timeout=1
    ),
    "ttl=60,negative_ttl=5,load_timeout=10,max_waiters=1": Policy(
        ttl=60, negative_ttl=5, load_timeout=10, max_waiters=1
    ),
}
"""Verified where the user names no policy of theirs."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """What one run of one checker found of one promise."""

    promise: str
    checker: str
    run: str
    """The policy, configuration or contract."""
    count: int
    """How much was looked at."""
    unit: str
    """What was counted: "state", "step" or "contract"; a contract is all paths of one function."""
    seconds: float
    """Of the run in which it was judged, along with others."""
    verdict: str = HOLDS
    """Where there is no complaint."""
    complaint: str = ""
    """Empty when all is as it should be; else what is wrong, in a line."""
    counterexample: tuple[str, ...] = ()
    """The steps that lead to it."""
    tried: int | None = None
    """How often the situation came about in which the promise could have been broken; None: not counted."""
    is_possible: bool = True
    """Whether it can come about at all, under the policy of the run."""
    is_unfinished: bool = False
    """Whether the run came to no end within its bounds, so that nothing is known."""

    @property
    def blame(self) -> str:
        """What is wrong, in a line: what was broken, or a situation that should have come about and did not."""
        if not self.complaint and not self.is_unfinished and self.tried == 0 and self.is_possible:
            return f"not tried under {self.run}, which makes it possible"
        return self.complaint


@final
@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work of one checker."""

    name: str
    run: Callable[[], Iterator[Finding]]
    seconds: float = 2.0
    """What it takes, about, on two processors that have nothing else to do; only its share of the whole counts."""


@final
@dataclass(slots=True)
class Work:
    """What the checkers are to do, and what they share."""

    policies: Mapping[str, Policy]
    quick: bool
    """Whether only a part of each check is wanted."""
    explored: dict[str, Any] = field(default_factory=dict)
    """The explorations, by the name of their policy: code and specification are compared after they are judged."""
    required: tuple[Requirement, ...] = ()
    """What the user wants each policy to keep."""
    meanings: dict[str, Meaning] = field(default_factory=dict)
    """What each policy means, by its name, as far as it was explored."""
    looked: Counter[str] = field(default_factory=Counter)
    """What was looked at, by unit."""
    named: dict[str, set[str]] = field(default_factory=dict)
    """What was judged, by unit, so that nothing is counted for each policy again."""

    def look(self, unit: str, names: Iterable[str]) -> None:
        """Count what has been judged."""
        known = self.named.setdefault(unit, set())
        known.update(names)
        self.looked[unit] = len(known)


Checker: TypeAlias = Callable[[Work], list[Task]]
"""From what is to be done to tasks. Raises ModuleNotFoundError for a missing tool."""
