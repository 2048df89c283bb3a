"""What every checker must have looked at, at the least: one that looks at less is broken, whatever it says.

The numbers are written down here, and not taken from what is looked at, so that what gets lost is missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from herdless_verify.checkers.findings import Work

WORLDS: Final[Mapping[str, tuple[int, int]]] = {
    "ttl=60": (3_881, 69_730),
    "ttl=60,stale_while_revalidate=300": (10_585, 189_093),
    "ttl=60,stale_if_error=300,early_refresh=0.5,answers=LookupError,soft_timeout=1": (18_009, 355_178),
    "ttl=60,negative_ttl=5,load_timeout=10,max_waiters=1": (7_704, 166_588),
}
"""The states of a key, and the ways from one to another, under each policy of the command's own."""

SMALLEST: Final = (250, 3_000)
"""The same under the policy that allows least: a ttl of 0, and one waiter."""

PREDICATES: Final = 30
"""What is judged of every step that the code takes."""

FORMULAS: Final = 29
"""What TLC judges of every step and state of the specification, under each policy."""

LIVE_FORMULAS: Final = 2
"""What it judges of whole behaviours, unless in a hurry."""

CONTRACTS: Final = 47
"""What CrossHair confirms, unless in a hurry."""

QUICK_CONTRACTS: Final = 6
"""What it confirms in a hurry."""

MISTAKES_OF_MACHINE: Final = 32
"""What the exploration must find: one for each predicate, two for what is judged over several steps."""

UNITS: Final = ("states", "steps", "predicates", "formulas", "contracts", "mistakes refuted")
"""What is counted, in the order in which it is told."""


def looked_at(work: Work) -> str:
    """What was looked at, in a line."""
    counts = [f"{work.looked[unit]:,} {unit}" for unit in UNITS if work.looked[unit]]
    return f"looked at: {', '.join(counts) or 'nothing'}"


def shortfalls(work: Work, checkers: Collection[str]) -> Iterator[str]:
    """For each checker that has run, by how much it looked at less than is pinned."""
    for unit, pinned in _pinned(work, checkers).items():
        if work.looked[unit] < pinned:
            yield f"{work.looked[unit]:,} {unit} were looked at, and {pinned:,} are pinned"
    for name, exploration in work.explored.items():
        pinned_world = WORLDS.get(name, SMALLEST)
        found = (len(exploration.states), exploration.moves)
        if any(there < pinned for there, pinned in zip(found, pinned_world, strict=True)):
            states, steps = pinned_world
            yield f"under {name} {found[0]:,} states and {found[1]:,} steps, and {states:,} and {steps:,} are pinned"


def _pinned(work: Work, checkers: Collection[str]) -> Mapping[str, int]:
    pinned: Counter[str] = Counter()
    if "explore" in checkers:
        pinned["predicates"] = PREDICATES
        pinned["mistakes refuted"] += MISTAKES_OF_MACHINE
    if "tlc" in checkers:
        pinned["formulas"] = FORMULAS if work.quick else FORMULAS + LIVE_FORMULAS
        pinned["mistakes refuted"] += pinned["formulas"] + len(work.policies)
    if "crosshair" in checkers:
        pinned["contracts"] = QUICK_CONTRACTS if work.quick else CONTRACTS
        pinned["mistakes refuted"] += pinned["contracts"] + 1
    return pinned
