"""Who asks for which key, and when: made before anything runs, from a seed, and the same for every cache."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

Key: TypeAlias = Hashable

CONNECTIONS: Final = 64
"""So many loads run at a time, in every runtime, as through a service's pool of connections to its database."""

COLD: Final = "cold"
MIX: Final = "mix"

COLD_TTL_SECONDS: Final = 60.0
"""Longer than any run, so that the cold herd is one generation."""

MIX_SECONDS: Final = 1.5
MIX_TTL_SECONDS: Final = 0.4
LOOKUPS_PER_CALLER: Final = 2
ZIPF_EXPONENT: Final = 1.0


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """One lookup that a caller is to make."""

    at: float
    """Seconds after the start; when that has passed already, at once."""
    key: Key


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What all callers do in one phase of the run."""

    phase: str
    ttl: float
    """Seconds."""
    watched: Key
    """The key whose time line is shown."""
    callers: tuple[tuple[Visit, ...], ...]
    """The visits of each caller, in the order of their times."""

    @property
    def lookups(self) -> int:
        """How many lookups all callers make together."""
        return sum(len(visits) for visits in self.callers)


def cold_herd(callers: int, key: Key) -> Plan:
    """All callers at once on one key that no cache knows."""
    return Plan(COLD, COLD_TTL_SECONDS, key, ((Visit(0.0, key),),) * callers)


def zipf_mix(callers: int, keys: Sequence[Key], seed: int) -> Plan:
    """Lookups spread evenly over MIX_SECONDS, the k-th key being asked for 1/k times as often as the first."""
    chance = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(keys) + 1)))

    def visits() -> tuple[Visit, ...]:
        times = sorted(chance.uniform(0.0, MIX_SECONDS) for _ in range(LOOKUPS_PER_CALLER))
        return tuple(map(Visit, times, chance.choices(keys, cum_weights=weights, k=LOOKUPS_PER_CALLER)))

    return Plan(MIX, MIX_TTL_SECONDS, keys[0], tuple(visits() for _ in range(callers)))
