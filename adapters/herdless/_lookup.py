"""What a lookup gives beside the value. A file of its own, since it is not compiled: mypyc 2.4 has no generic
dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, final

V_co = TypeVar("V_co", covariant=True)

How: TypeAlias = Literal["hit", "stale", "joined", "loaded"]


@final
@dataclass(frozen=True, slots=True)
class Lookup(Generic[V_co]):
    """What a lookup gave, and how it got it."""

    value: V_co
    how: How
    """`hit`: it was there, within its ttl; `stale`: it was there, past its ttl; `joined`: this lookup waited for a load
    in flight; `loaded`: it started the load."""
    age: float
    """Seconds since the load of the value started."""
    ttl: float = 0.0
    """For how many seconds more the value is fresh, `math.inf` without end; 0.0 where it is stale, or is held no more:
    not stored, removed or replaced meanwhile."""

    @property
    def outcome(self) -> How:
        """The same as `how`, by its name in herdless 0.1. An outcome is now a value or an error, everywhere."""
        return self.how
