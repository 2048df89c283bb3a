"""The five states of an entry. Theory of operation.

An ENTRY is what a cache knows of one key. Most caches keep two things for a key, the value in one table and the load in
flight in another, and every stampede is a moment at which the two disagree. Here they are one value of one type:

    Absent    nothing is known, nothing is in flight. The key is in no table.
    Pending   a flight, and no value that may be answered.
    Fresh     an outcome within its ttl. Perhaps a flight: a refresh before its time.
    Stale     a value past its ttl, kept for the stale windows. Perhaps a flight: its refresh.
    Evicted   no longer the key's entry. Perhaps a flight: that of callers who waited when it was removed, and who are
              still to be answered.

Two rules hold everywhere:

1. Everything that decides is in `_machine.py`, in `transition`. It is a function: entry, event, now and policy go in,
   the next entry and effects come out. Nothing here or there reads a clock, holds a lock, draws a random number or
   starts anything.
2. An entry is never changed. Its attributes are `Final`, and a step makes the next entry. So a thread that looks at an
   entry without a lock sees one moment of it.

A FLIGHT is one load of one key. Its GENERATION is an integer that the whole cache never uses twice. So a report about a
load ("succeeded", "a waiter left") can only be meant for that load: where the generation is not that of the entry's
flight, the load was superseded, and its value is not stored. The flight COUNTS its waiters; who they are is the
adapter's business.

TIME is an argument: an integer of nanoseconds from any origin. A value's age counts from the START of its load, so a
hit was true at most `ttl` ago.

Three attributes are there in every state:

- `hit_until` is the one number that the hot path compares. Before this instant a lookup is a hit that needs no step at
  all. It is `LONG_AGO` for every entry that is no hit.
- `holds_value` says whether the state has a value, or a remembered error: Fresh and Stale have.
- `is_reachable` says whether the key leads to the entry: to Pending, Fresh and Stale it does.

The classes are flat and not frozen, with `Final` attributes instead: mypy refuses an assignment just the same, and
building one costs a third (measured in docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, ClassVar, Final, TypeAlias, final

from herdless_core._copies import copy_of
from herdless_core._durations import LONG_AGO, after
from herdless_core._policy import Lifetime


@final
@dataclass(slots=True)
class Flight:
    """One load that is under way. Instants in nanoseconds."""

    generation: Final[int]
    started_at: Final[int]
    due_at: Final[int]
    """From this instant on the load is too late (`load_timeout`); `NEVER` without one."""
    waiters: Final[int]


@final
@dataclass(slots=True)
class Failure:
    """An exception that stands where a value could: how a load ended, or what `negative_ttl` remembers.

    Nobody raises `error` itself: it is the cache's own (`_copies.kept_of`), and each caller has an `exception` of his.
    """

    error: Final[BaseException]
    traceback: Final[TracebackType | None]

    def exception(self) -> BaseException:
        """A copy for one caller, with the traceback that the exception had when the load ended; see `_copies`."""
        return BaseException.with_traceback(copy_of(self.error), self.traceback)


class Cause(Enum):
    """Why an entry was removed. Expiry and replacement are no causes: they leave the key an entry, or Absent."""

    EVICTED = "evicted"
    """By capacity."""
    INVALIDATED = "invalidated"
    """By the caller."""


@final
@dataclass(slots=True)
class Absent:
    """Nothing is known of the key."""

    flight: ClassVar[None] = None
    hit_until: ClassVar[int] = LONG_AGO
    holds_value: ClassVar[bool] = False
    is_reachable: ClassVar[bool] = False


@final
@dataclass(slots=True)
class Pending:
    """A load is under way and there is nothing to answer meanwhile."""

    flight: Final[Flight]
    hit_until: ClassVar[int] = LONG_AGO
    holds_value: ClassVar[bool] = False
    is_reachable: ClassVar[bool] = True


@final
@dataclass(slots=True)
class Fresh:
    """An outcome within its ttl."""

    value: Final[Any]
    """The value, or the `Failure` that is remembered for `negative_ttl`."""
    loaded_at: Final[int]
    """When the load of the value STARTED."""
    lifetime: Final[Lifetime]
    refresh_at: Final[int]
    """From when on a hit starts a refresh: the early point, or later when a refresh failed and backs off."""
    flight: Final[Flight | None]
    hit_until: Final[int]
    """Up to when a lookup is a hit without any step. Follows from the other attributes; kept because the hot path
    compares it."""

    holds_value: ClassVar[bool] = True
    is_reachable: ClassVar[bool] = True

    @property
    def fresh_until(self) -> int:
        """From this instant on the outcome is no longer fresh."""
        return after(self.loaded_at, self.lifetime.ttl)

    @property
    def kept_until(self) -> int:
        """From this instant on the value is of no use to anybody."""
        return after(self.fresh_until, self.lifetime.kept)


@final
@dataclass(slots=True)
class Stale:
    """A value past its ttl that may still be answered."""

    value: Final[Any]
    loaded_at: Final[int]
    stale_until: Final[int]
    """Up to when lookups are answered with it (`stale_while_revalidate`)."""
    kept_until: Final[int]
    """Up to when it is kept: the later one of `stale_until` and the end of `stale_if_error`."""
    retry_at: Final[int]
    """From when on a refresh may start: later than now only when one failed and backs off."""
    flight: Final[Flight | None]
    hit_until: ClassVar[int] = LONG_AGO
    holds_value: ClassVar[bool] = True
    is_reachable: ClassVar[bool] = True


@final
@dataclass(slots=True)
class Evicted:
    """Removed from its key, for whatever cause. A flight is left only while callers wait for it; nothing of it will be
    stored.

    "To evict" means to remove by capacity, and INVALIDATED is another cause. The state has the name all the same, as
    in the specification: the machine treats an entry that is out of its table in one way, whoever took it out, so there
    is one state, and `cause` keeps the two apart for those who look.
    """

    cause: Final[Cause]
    flight: Final[Flight | None]
    hit_until: ClassVar[int] = LONG_AGO
    holds_value: ClassVar[bool] = False
    is_reachable: ClassVar[bool] = False


Entry: TypeAlias = Absent | Pending | Fresh | Stale | Evicted

ABSENT: Final = Absent()
