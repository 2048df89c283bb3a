"""What checkers find, and the work they do: one face for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from herdless_core import Policy

INSTALL: Final = "pip install 'herdless[verify]'"
INSTALL_PURE: Final = "pip install --no-binary herdless 'herdless[verify]'"

HOLDS: Final = "holds"
HAPPENS: Final = "refuted, as it must be"

POLICIES: Final[Mapping[str, Policy]] = {
    "ttl=60": Policy(ttl=60),
    "ttl=60,stale_while_revalidate=300": Policy(ttl=60, stale_while_revalidate=300),
    "ttl=60,stale_if_error=300,early_refresh=0.5": Policy(ttl=60, stale_if_error=300, early_refresh=0.5),
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
    """What was counted: "state" or "contract"; a contract is all paths of one function."""
    seconds: float
    """Of the run in which it was judged, along with others."""
    verdict: str = HOLDS
    """Where there is no complaint."""
    complaint: str = ""
    """Empty when all is as it should be; else what is wrong, in a line."""
    counterexample: tuple[str, ...] = ()
    """The steps that lead to it."""


@final
@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work of one checker."""

    name: str
    run: Callable[[], Iterator[Finding]]


Checker: TypeAlias = Callable[[Mapping[str, Policy], bool], list[Task]]
"""From the policies to verify, and whether in a hurry, to tasks. Raises ModuleNotFoundError for a missing tool."""
