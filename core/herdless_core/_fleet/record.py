"""What a store holds of one key: the entry, the lease of whoever loads it, and how its last flight ended.

    bytes  0..7    version   drawn anew for every write
           8..15   lease     until when the holder is believed, in milliseconds of the store's clock; 0: nobody loads
           16      awaited   1 once another process waits for the flight: the next write then tells
           17      format    1; a record of another one is read as if nothing were there
           18..21  length of the head
           head    JSON: the entry by `to_plain` without its value, and the rest of the envelope
           body    the entry's value, encoded; then the value of the last flight, where it is not the entry's

A store compares the first sixteen bytes, the TOKEN, and so does not take a lease away that was renewed meanwhile. It
changes the lease and the mark in place, and understands nothing else of a record.

Whatever cannot be read is Absent, and keeps its token: who writes over it fences whoever wrote it. So two versions of
herdless can share a store, and bytes of anybody else do no harm but that of a missing record.

Values are bytes here: to encode and to decode them is the adapter's business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, assert_never, final

from herdless_core._durations import NEVER
from herdless_core._effects import Outcome, Value
from herdless_core._errors import LoadCancelled, LoadTimeout, RemoteLoadError
from herdless_core._plain import Plain, describe, from_plain, integer_to_plain, to_plain
from herdless_core._states import ABSENT, Absent, Entry, Evicted, Failure, Flight, Fresh, Pending, Stale

TOKEN_BYTES: Final = 16
"""So many bytes at the beginning of a record are compared by a store."""
VERSION_BYTES: Final = 8
AWAITED_AT: Final = 16
"""The place of the byte that says whether the flight is awaited elsewhere."""
FORMAT: Final = 1

NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
LINGERS: Final = 2_000_000_000
"""For so long, in nanoseconds, a record is kept when it is of no use to newcomers: those who wait read it late."""

_FORMAT_AT: Final = 17
_LENGTH_AT: Final = 18
_HEAD_AT: Final = 22
_GENERATIONS: Final = range(1, 2**63)

_OWN: Final[dict[str, type[LoadTimeout] | type[LoadCancelled]]] = {
    "LoadTimeout": LoadTimeout,
    "LoadCancelled": LoadCancelled,
}
"""Errors that are herdless's own, and so the same in every process."""

Token: TypeAlias = bytes
"""What a store compares; empty where nothing is there."""


@final
@dataclass(frozen=True, slots=True)
class Settled:
    """How a flight ended, for those in other processes who waited for it."""

    generation: int
    outcome: Outcome | None
    """None: by the value of the entry, whatever that is now."""


@final
@dataclass(frozen=True, slots=True)
class Record:
    """One entry in its envelope. Instants in nanoseconds of the store's clock."""

    entry: Entry = field(default_factory=lambda: ABSENT)
    lease: int = 0
    """Until when the holder of the flight is believed to load, in whole milliseconds."""
    owner: str = ""
    """Who holds the flight: the name of one cache in one process."""
    settled: Settled | None = None
    """The flight that ended last."""
    version: bytes = b""
    is_awaited: bool = False
    token: Token = b""
    failures: int = 0
    """How many loads failed in a row while the value was kept."""

    @staticmethod
    def token_of(version: bytes, lease: int) -> Token:
        """The first bytes of a record of this version, and with this lease."""
        return version + (lease // NANOSECONDS_PER_MILLISECOND).to_bytes(8)

    def renewed(self, lease: int) -> Record:
        """The same record after its lease was renewed in the store; until then, in nanoseconds."""
        return replace(self, lease=lease, token=Record.token_of(self.version, lease))

    @property
    def generation(self) -> int:
        """Of the flight; 0 where there is none."""
        flight = self.entry.flight
        return 0 if flight is None else flight.generation

    @property
    def last_generation(self) -> int:
        """The greatest one of which is known; 0 where none is."""
        return max(self.generation, 0 if self.settled is None else self.settled.generation)

    def outcome_of(self, generation: int) -> Outcome | None:
        """How this flight ended; None where that is not known, or not any more."""
        settled = self.settled
        if settled is None or settled.generation != generation:
            return None
        return settled.outcome or outcome_of(self.entry)

    def keep(self, now: int) -> int:
        """For how long a store has to keep it, in nanoseconds from now; `NEVER` where there is no end."""
        until = max(_kept_until(self.entry), self.lease)
        return NEVER if until >= NEVER else max(until - now, 0) + LINGERS

    def dump(self) -> bytes:
        """The bytes, from which `parse` makes an equal record."""
        bodies: list[bytes] = []

        def add(value: bytes) -> None:
            bodies.append(value)

        head: Plain = {"e": to_plain(self.entry, add)}
        entry_bytes = sum(map(len, bodies))
        if self.owner:
            head["o"] = self.owner
        if self.failures:
            head["f"] = self.failures
        if self.settled is not None:
            head["s"] = _settled_to_plain(self.settled, bodies)
        if bodies:
            head["n"] = entry_bytes
        text = json.dumps(head, separators=(",", ":")).encode()
        marks = bytes((self.is_awaited, FORMAT))
        return b"".join((Record.token_of(self.version, self.lease), marks, len(text).to_bytes(4), text, *bodies))


NOTHING_THERE: Final = Record()


def parse(raw: bytes | None) -> Record:
    """The record of these bytes. Never raises: what cannot be read is Absent, with the token of what is there."""
    if not raw:
        return NOTHING_THERE
    try:
        return _parse(raw)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
        return Record(version=raw[:VERSION_BYTES], token=raw[:TOKEN_BYTES])


def outcome_of(entry: Entry) -> Outcome | None:
    """The value that an entry holds, or the error that it remembers, whatever its age."""
    match entry:
        case Fresh() | Stale():
            if isinstance(entry.value, Failure):
                return entry.value
            return Value(entry.value, entry.loaded_at, is_stale=isinstance(entry, Stale))
        case _:
            return None


def _kept_until(entry: Entry) -> int:
    return entry.kept_until if isinstance(entry, (Fresh, Stale)) else 0


def _parse(raw: bytes) -> Record:
    if raw[_FORMAT_AT] != FORMAT:
        raise ValueError("another format")
    body_at = _HEAD_AT + int.from_bytes(raw[_LENGTH_AT:_HEAD_AT])
    if body_at > len(raw):
        raise ValueError("the head is cut off")
    head = json.loads(raw[_HEAD_AT:body_at].decode())  # which need not guess how text was encoded
    second_at = body_at + _number(head.get("n", 0))
    entry = from_plain(head["e"], lambda _: raw[body_at:second_at])
    _require_sound(entry)
    owner = head.get("o", "")
    if not isinstance(owner, str) or second_at > len(raw):
        raise ValueError("no owner, or no body")
    return Record(
        entry,
        int.from_bytes(raw[VERSION_BYTES:TOKEN_BYTES]) * NANOSECONDS_PER_MILLISECOND,
        owner,
        _settled_from_plain(head["s"], raw[second_at:]) if "s" in head else None,
        raw[:VERSION_BYTES],
        raw[AWAITED_AT] == 1,
        raw[:TOKEN_BYTES],
        _number(head.get("f", 0)),
    )


def _require_sound(entry: Entry) -> None:
    """An entry that a fleet writes is reachable, and its flight is one that can be awaited."""
    if isinstance(entry, Evicted):
        raise ValueError("nobody writes an entry that was removed")
    flight: Flight | None = entry.flight
    if flight is not None and (flight.generation not in _GENERATIONS or _number(flight.waiters) > 1):
        raise ValueError("no flight of a fleet is so")
    if isinstance(entry, (Absent, Pending)):
        return
    if entry.loaded_at not in _GENERATIONS:
        raise ValueError("no instant of a store's clock")


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _settled_to_plain(settled: Settled, bodies: list[bytes]) -> Plain:
    plain: Plain = {"g": integer_to_plain(settled.generation)}
    match settled.outcome:
        case None:
            pass
        case Failure():
            kind, message = describe(settled.outcome.error)
            plain["x"] = [kind, message, type(settled.outcome.error) is _OWN.get(kind)]
        case Value():
            bodies.append(settled.outcome.value)
            plain["v"] = [integer_to_plain(settled.outcome.loaded_at), settled.outcome.is_stale]
        case _:
            assert_never(settled.outcome)
    return plain


def _settled_from_plain(plain: Plain, body: bytes) -> Settled:
    generation = int(plain["g"])
    if "x" in plain:
        return Settled(generation, Failure(_error(*plain["x"]), None))
    if "v" in plain:
        loaded_at, is_stale = plain["v"]
        return Settled(generation, Value(body, int(loaded_at), is_stale=bool(is_stale)))
    return Settled(generation, None)


def _error(kind: Any, message: Any, is_own: Any) -> Exception:
    if not isinstance(kind, str) or not isinstance(message, str):
        raise ValueError("an error is a kind and a message")
    own = _OWN.get(kind) if is_own else None
    return RemoteLoadError(message, kind=kind) if own is None else own(message)


def with_lease(raw: bytes, lease: int) -> bytes:
    """The same record, its holder believed until then, in milliseconds of the store's clock."""
    return raw[:VERSION_BYTES] + lease.to_bytes(8) + raw[TOKEN_BYTES:]


def with_mark(raw: bytes) -> bytes:
    """The same record, its flight awaited in another process."""
    return raw[:AWAITED_AT] + b"\1" + raw[AWAITED_AT + 1 :]
