"""What is tried in a round, drawn from the seed: the policy, what becomes of each load, what each caller does."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from herdless_core import PolicyOptions
from herdless_verify.soak.foreign import INJECTIONS, Injection
from herdless_verify.soak.model import LoadBroke

Action: TypeAlias = Literal["get", "lookup", "leave", "peek", "put", "invalidate", "expire", "refresh", "clear", "rest"]

LoadFault: TypeAlias = Literal[
    "load fails",
    "load is slow",
    "load hangs",
    "load hangs for ever",
    "load stops itself",
    "load ignores its cancellation",
    "load asks for its own key",
    "load asks for another key",
]
"""`load hangs for ever`: until all callers of other keys have been answered. `load stops itself`: it ends by an
exception that is no `Exception`.
"""

Closing: TypeAlias = Literal["in the calm", "in the storm", "in the storm, cancelling"]

KEYS: Final = tuple(f"key-{number:02}" for number in range(24))
STUCK: Final = tuple(f"stuck-{number}" for number in range(3))
"""Of these keys every load hangs for ever: the first is refreshed, and for each of the others a caller waits."""
ONCE: Final = 0.05
"""So large a part of the lookups is of a key that nobody asks for again: they press on the capacity."""
QUICK_SECONDS: Final = 0.004
"""A load without a fault takes up to so long."""
LOAD_TIMEOUT_SECONDS: Final = 0.02
SLOW_SECONDS: Final = 3 * LOAD_TIMEOUT_SECONDS
INJECTED: Final = 0.5
"""In so large a part of the rounds each kind of foreign code is at work."""
ANSWERING: Final = 0.3
"""So many of the policies have errors that are answers."""
UNKEPT: Final = 0.05
"""So many of the loads give values that are not to be kept."""

ACTIONS: Final[dict[Action, int]] = {
    "get": 500,
    "lookup": 250,
    "leave": 120,
    "peek": 30,
    "put": 20,
    "invalidate": 30,
    "expire": 20,
    "refresh": 40,
    "clear": 1,
}
"""Each with its weight."""

LOAD_FAULTS: Final[dict[LoadFault | None, int]] = {
    None: 60,
    "load fails": 12,
    "load is slow": 8,
    "load hangs": 3,
    "load stops itself": 4,
    "load ignores its cancellation": 4,
    "load asks for its own key": 3,
    "load asks for another key": 6,
}


@final
@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Under which conditions a round runs. All that is drawn in it comes from `dice`."""

    seed: int
    number: int
    storm_seconds: float
    policy: PolicyOptions
    maxsize: int | None
    closing: Closing
    injections: frozenset[Injection]
    """What foreign code does in it."""

    def dice(self, who: str) -> random.Random:
        """The chance of one caller or of one load: its own, so that it does not depend on the order of the others."""
        return random.Random(f"{self.seed}, {self.number}, {who}")

    def __str__(self) -> str:
        named = [*self.policy.items(), ("maxsize", self.maxsize)]
        options = [f"{name}={getattr(value, '__name__', value)}" for name, value in named]
        foreign = f"; with {', '.join(sorted(self.injections))}" if self.injections else ""
        return f"round {self.number} ({', '.join(options)}; closed {self.closing}{foreign})"


@final
@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What becomes of one load. Seconds."""

    fault: LoadFault | None
    seconds: float
    ttl: float | None
    """The value's own, where the loader gives it one."""
    other_key: str
    keep: bool
    """Whether the value is to be kept."""


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """What a caller does next. Seconds."""

    action: Action
    key: str
    patience: float
    """Of a caller who leaves."""
    pause: float
    """Before the next visit."""


def is_answer(error: LoadBroke) -> bool:
    """Of a policy with answers: the errors of half of the loads are."""
    return error.made.number % 2 == 0


def plan_round(
    seed: int, number: int, storm_seconds: float, injections: Collection[Injection] = INJECTIONS
) -> RoundPlan:
    """The conditions of one round. injections: what foreign code may do; each is drawn for one round in two."""
    dice = random.Random(f"{seed}, {number}")
    ttl = dice.choice([0.005, 0.02, 0.1, 0.1, math.inf])
    policy: PolicyOptions = {
        "ttl": ttl,
        "stale_while_revalidate": dice.choice([0.0, 0.02]),
        "stale_if_error": dice.choice([0.0, 0.05]),
        "negative_ttl": dice.choice([0.0, 0.0, 0.01]),
        "early_refresh": dice.choice([None, 0.5]),
        "jitter": dice.choice([0.0, 0.2]),
        "load_timeout": dice.choice([None, LOAD_TIMEOUT_SECONDS]),
        "soft_timeout": dice.choice([None, None, 0.005]),
        "refresh_backoff": dice.choice([0.0, 0.005]),
        "max_waiters": dice.choice([None, None, 3]),
    }
    if dice.random() < ANSWERING:
        policy["answers"] = is_answer
    maxsize = dice.choice([None, 0, 2, len(KEYS) // 2, len(KEYS)])
    closings: list[Closing] = ["in the calm", "in the calm", "in the storm", "in the storm, cancelling"]
    closing = dice.choice(closings)
    drawn = frozenset(each for each in INJECTIONS if dice.random() < INJECTED and each in injections)
    return RoundPlan(seed, number, storm_seconds, policy, maxsize, closing, drawn)


def plan_load(plan: RoundPlan, generation: int) -> LoadPlan:
    """What becomes of the load of this generation."""
    dice = plan.dice(f"load {generation}")
    (fault,) = dice.choices(list(LOAD_FAULTS), list(LOAD_FAULTS.values()))
    seconds = SLOW_SECONDS if fault == "load is slow" else QUICK_SECONDS
    # A quarter of them end at once, so that an end in the very step of the start is met too.
    seconds = 0.0 if dice.random() < 0.25 else dice.uniform(0.0, seconds)
    ttl = dice.choice([0.0, 0.01, 0.2]) if dice.random() < 0.1 else None
    return LoadPlan(fault, seconds, ttl, dice.choice(KEYS), keep=dice.random() >= UNKEPT)


def next_visit(dice: random.Random) -> Visit:
    """What the caller with this chance does next. Low keys are asked for more often."""
    (action,) = dice.choices(list(ACTIONS), list(ACTIONS.values()))
    key = KEYS[int(len(KEYS) * dice.random() ** 2)]
    if action in {"get", "lookup"} and dice.random() < ONCE:
        key = f"once-{dice.getrandbits(64):016x}"
    return Visit(action, key, dice.choice([0.0, dice.uniform(0.0, 0.01)]), dice.choice([0.0, 0.0, 0.001]))
