"""What a lookup gives beside the value. A file of its own, since it is not compiled: mypyc 2.4 has no generic
dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar, final

from herdless import _http

V_co = TypeVar("V_co", covariant=True)

How: TypeAlias = Literal["hit", "stale", "joined", "loaded", "fetched"]


@final
@dataclass(frozen=True, slots=True)
class Lookup(Generic[V_co]):
    """What a lookup gave, and how it got it."""

    value: V_co
    how: How
    """`hit`: it was there, within its ttl; `stale`: it was there, past its ttl; `joined`: this lookup waited for a load
    in flight; `loaded`: it started the load; `fetched`, of a shared cache alone: another process had loaded it."""
    age: float
    """Seconds since the load of the value started."""
    ttl: float = 0.0
    """For how many seconds more the value is fresh, `math.inf` without end; 0.0 where it is stale, or is held no more:
    not stored, removed or replaced meanwhile."""
    _was: How | None = field(default=None, repr=False, compare=False)
    """Where the value is stale: how else the lookup got it. It was there, or the load that it waited for has failed."""

    def headers(self, name: str) -> dict[str, str]:
        """The HTTP header fields `Age` and `Cache-Status` (RFC 9211), for a response that is made of the value.

        name: what the cache is called there, of printable ASCII; PolicyError for anything else. Where the response has
        a Cache-Status already, put this one behind it, after a comma.
        """
        status = _http.cache_status(name, self.how, self._was or self.how, self.ttl)
        return {"Age": _http.age(self.age), "Cache-Status": status}

    @property
    def outcome(self) -> How:
        """The same as `how`, by its name in herdless 0.1. An outcome is now a value or an error, everywhere."""
        return self.how
