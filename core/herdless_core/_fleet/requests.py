"""What a session asks of the adapter that carries it out, and what it is told: see `session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

from herdless_core._fleet.record import Record
from herdless_core._loaded import Loaded
from herdless_core._machine import Step
from herdless_core._states import Failure, Flight


@final
@dataclass(frozen=True, slots=True)
class Read:
    """What lies in the store."""


@final
@dataclass(frozen=True, slots=True)
class Swap:
    """Write `after`, if the record that has the token of `before` is still there."""

    before: Record
    after: Record
    keep: int
    """For how long the store has to keep it, in nanoseconds; `NEVER`: for ever."""
    drops: bool
    """Whether every process has to drop what it holds of the key. Who waits for the flight is told in any case."""
    steps: tuple[Step, ...]
    """All done where the swap is won, and none where it is lost."""


@final
@dataclass(frozen=True, slots=True)
class Park:
    """Mark this record as awaited, and wait until another one is told of, its owner is gone, or it is `until`."""

    record: Record
    until: int


@final
@dataclass(frozen=True, slots=True)
class Load:
    """Call the loader once. Until it has ended, or `flight.due_at` has come, renew the lease of the record."""

    record: Record
    flight: Flight


@final
@dataclass(frozen=True, slots=True)
class Lead:
    """Carry out the session `lead` of this flight behind the caller, who waits for what it comes to until then."""

    record: Record
    flight: Flight
    until: int


Request: TypeAlias = Read | Swap | Park | Load | Lead


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """What lies in the store now, after a swap that was lost; or what was written by one that was won."""

    record: Record
    now: int
    """The instant by the store's clock, in nanoseconds; rather too late than too early."""
    won: bool = False


@final
@dataclass(frozen=True, slots=True)
class Parked:
    """The end of waiting."""

    owner_is_gone: bool = False


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """How a load ended."""

    result: Loaded[bytes] | bytes | Failure | None
    """What the loader gave, encoded; its error; None: it has not ended, and it is `due_at`."""
    record: Record
    """The one of the request, with the lease that it has by now."""
    now: int
    luck: float
    """The random number for the jitter, 0 <= luck < 1."""
    is_answer: bool = False
    """Whether the error is an answer: `Policy.is_answer`."""


@final
@dataclass(frozen=True, slots=True)
class Claim:
    """A flight that this process leads, or is about to."""

    record: Record
    """As it was when the flight was claimed."""
    flight: Flight
    before: Record | None
    """What the claim expects to find, where it may not be written yet."""


def claim_in(request: Request, owner: str, known: Claim | None = None) -> Claim | None:
    """What the request claims or holds for this owner, if anything; else what is known of that from those before it."""
    if isinstance(request, Lead):
        return None  # it is the claim of the session behind
    if isinstance(request, Swap) and request.after.owner == owner:
        record, before = request.after, request.before
    elif isinstance(request, Swap):
        record, before = request.before, None
    elif isinstance(request, Load):
        record, before = request.record, None
    else:
        return known
    flight = record.entry.flight
    return known if flight is None or record.owner != owner else Claim(record, flight, before)
