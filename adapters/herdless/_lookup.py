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
    """What a lookup gave, and how it came by it."""

    value: V_co
    outcome: How
    """`loaded`: this lookup started the load; `joined`: it waited for one in flight; `stale`: past its ttl."""
    age: float
    """Seconds since the load of the value started."""
