"""The entry's place in the object's SQLite storage, and the object's one alarm.

Nothing in here waits. What is written with no `await` in between is one transaction, and the object's output gate holds
every reply and every outgoing request back until it is durable. Any method may raise what the runtime raises, when the
disk is full or the storage is gone; what has been written by then stays written.

Two rows: one holds the last generation that was claimed, so that an instance which the platform has replaced finds out
by comparing; the other the entry as JSON, its value in a column of its own. An object that has nothing to remember has
no storage at all, and costs nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final, final

from herdless._durable import wire
from herdless._durable.foreign import warn
from herdless._durable.runtime import ObjectStorage, to_js
from herdless._durable.wire import Body
from herdless_core import ABSENT, NANOSECONDS_PER_SECOND, NEVER, Entry, Failure, Fresh, Stale, from_plain, to_plain

NANOSECONDS_PER_MILLISECOND: Final = 1_000_000

VERSION: Final = 1
"""Of the way in which an entry is stored. One of another version is not read, but loaded again."""

MAX_SKEW: Final = 60 * NANOSECONDS_PER_SECOND
"""By how much the clock of the instance that stored a value may have been ahead. More than that was a wrong clock."""

_EXISTS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'herdless'"
_CREATE: Final = "CREATE TABLE IF NOT EXISTS herdless (part INTEGER PRIMARY KEY, content, body)"
_READ_GENERATION: Final = "SELECT content FROM herdless WHERE part = 0"
_WRITE_GENERATION: Final = "INSERT OR REPLACE INTO herdless (part, content) VALUES (0, ?)"
_READ_ENTRY: Final = "SELECT content, body FROM herdless WHERE part = 1"
_WRITE_ENTRY: Final = "INSERT OR REPLACE INTO herdless (part, content, body) VALUES (1, ?, ?)"
_DELETE_ENTRY: Final = "DELETE FROM herdless WHERE part = 1"

_TOO_LARGE_FOR_JAVASCRIPT: Final = 2**53


@final
class EntryStorage:
    """Reads and writes one entry, one generation and one alarm."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage: Final = storage
        self._sql: Final = storage.sql
        self.is_empty: bool = True
        """Whether there is no table, as far as was last seen."""
        self._alarm_at: int | None = None
        """When the alarm goes off, milliseconds; `NEVER` when it is not set, None when a former instance knew."""

    def generation(self) -> int:
        """The generation that was last claimed, by whatever instance; 0 when nothing is stored.

        Raises ValueError for what is no generation.
        """
        if self.is_empty and not self._looks_for_table():
            return 0
        try:
            rows = list(self._sql.exec(_READ_GENERATION).raw())
        except Exception:
            if self._looks_for_table():
                raise
            return 0  # another instance has freed it
        return _generation(rows[0][0]) if rows else 0

    def entry(self, now: int) -> Entry:
        """The entry that was last saved, as it was then; Absent when there is none.

        Absent, too, and a warning, when it is none that can be read or believed: another version's, or of a time that
        is still to come.
        """
        if self.is_empty:
            return ABSENT
        try:
            row = next(iter(self._sql.exec(_READ_ENTRY).raw()), None)
            return ABSENT if row is None else _entry(row, now)
        except Exception as error:  # noqa: BLE001  # it is a cache: whatever is wrong with it, it is loaded again
            warn("the stored entry cannot be read, and is dropped", error=error)
            return ABSENT

    def claim(self, generation: int) -> None:
        """Make the generation durable, so that no other instance stores over what it stands for."""
        if self.is_empty:
            self._sql.exec(_CREATE)
            self.is_empty = False
        self._sql.exec(_WRITE_GENERATION, generation)

    def save(self, entry: Entry) -> None:
        """Write the entry; its generation has been claimed."""
        body: Body = entry.value if isinstance(entry, (Fresh, Stale)) and not isinstance(entry.value, Failure) else ""
        content = json.dumps({"version": VERSION, **to_plain(entry, lambda _: None)})
        self._sql.exec(_WRITE_ENTRY, content, to_js(body) if isinstance(body, bytes) else body)

    def forget(self) -> None:
        """Delete the entry. The claimed generation stays."""
        if not self.is_empty:
            self._sql.exec(_DELETE_ENTRY)

    def free(self) -> None:
        """Delete everything: the object then costs nothing. The alarm goes last: it would try again."""
        if not self.is_empty:
            self._storage.deleteAll()
            self.is_empty = True
            if self._alarm_at != NEVER:
                self._alarm_at = None  # known again once it is done
                self._storage.deleteAlarm()
                self._alarm_at = NEVER

    def wake_at(self, instant: int) -> None:
        """Set the alarm to this instant in nanoseconds, unless it is set to that already."""
        if self.is_empty or instant >= NEVER:
            return
        milliseconds = -(-instant // NANOSECONDS_PER_MILLISECOND)
        if milliseconds != self._alarm_at:
            self._storage.setAlarm(milliseconds)
            self._alarm_at = milliseconds

    def adopt_alarm(self) -> None:
        """Another instance may have set the alarm since."""
        self._alarm_at = None

    def alarm_went_off(self) -> None:
        """The alarm is no longer set."""
        self._alarm_at = NEVER

    def _looks_for_table(self) -> bool:
        self.is_empty = False  # as long as it is not known: what may be there is to be deleted
        self.is_empty = not any(True for _ in self._sql.exec(_EXISTS).raw())
        return not self.is_empty


def _generation(content: Any) -> int:
    generation = int(content)
    if not 0 <= generation < _TOO_LARGE_FOR_JAVASCRIPT:
        raise ValueError(f"{generation} is no generation")
    return generation


def _entry(row: Any, now: int) -> Entry:
    """The entry of a row. Raises whatever is wrong with it."""
    content, column = row
    plain = json.loads(content)
    version = plain.get("version", VERSION)  # the first one was written without it
    if version != VERSION:
        raise ValueError(f"it has the version {version!r}, and this herdless reads {VERSION}")
    entry = from_plain(plain, lambda _: wire.checked(_body(column)))
    if isinstance(entry, (Fresh, Stale)) and entry.loaded_at > now + MAX_SKEW:
        raise ValueError(f"it was loaded at {entry.loaded_at}, which is after {now}: the clock was set back")
    return entry


def _body(column: Any) -> object:
    """Text is text; bytes come back as JavaScript's ArrayBuffer, which has a method that integers have, too."""
    return column.to_bytes() if hasattr(column, "to_bytes") and not isinstance(column, int) else column
