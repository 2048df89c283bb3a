"""The entry's place in the object's SQLite storage, and the object's one alarm.

Nothing in here waits. What is written with no `await` in between is one transaction, and the object's output gate holds
every reply and every outgoing request back until it is durable.

Two rows: one holds the last generation that was claimed, so that an instance which the platform has replaced finds out
by comparing; the other the entry as JSON, its value in a column of its own. An object that has nothing to remember has
no storage at all, and costs nothing.
"""

from __future__ import annotations

import json
import logging
from typing import Final, final

from herdless._durable.runtime import ObjectStorage, to_js
from herdless._durable.wire import Body
from herdless_core import ABSENT, NEVER, Entry, Failure, Fresh, Stale, from_plain, to_plain

LOGGER: Final = logging.getLogger("herdless")

NANOSECONDS_PER_MILLISECOND: Final = 1_000_000

_EXISTS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'herdless'"
_CREATE: Final = "CREATE TABLE IF NOT EXISTS herdless (part INTEGER PRIMARY KEY, content, body)"
_READ_GENERATION: Final = "SELECT content FROM herdless WHERE part = 0"
_WRITE_GENERATION: Final = "INSERT OR REPLACE INTO herdless (part, content) VALUES (0, ?)"
_READ_ENTRY: Final = "SELECT content, body FROM herdless WHERE part = 1"
_WRITE_ENTRY: Final = "INSERT OR REPLACE INTO herdless (part, content, body) VALUES (1, ?, ?)"
_DELETE_ENTRY: Final = "DELETE FROM herdless WHERE part = 1"


@final
class EntryStorage:
    """Reads and writes one entry, one generation and one alarm."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage: Final = storage
        self._sql: Final = storage.sql
        self.is_empty: bool = not self._has_table()
        self._alarm_at: int | None = None
        """When the alarm goes off, milliseconds; `NEVER` when it is not set, None when a former instance knew."""

    def generation(self) -> int:
        """The generation that was last claimed, by whatever instance; 0 when nothing is stored."""
        if self.is_empty:
            self.is_empty = not self._has_table()
        if self.is_empty:
            return 0
        try:
            return next((int(row[0]) for row in self._sql.exec(_READ_GENERATION).raw()), 0)
        except Exception:  # noqa: BLE001  # the runtime's own type, with "no such table": another instance freed it
            self.is_empty = True
            return 0

    def entry(self) -> Entry:
        """The entry that was last saved, as it was then; Absent when there is none, or none that can be read."""
        if self.is_empty:
            return ABSENT
        row = next(iter(self._sql.exec(_READ_ENTRY).raw()), None)
        if row is None:
            return ABSENT
        try:
            return from_plain(json.loads(row[0]), lambda _: _body(row[1]))
        except ValueError:
            LOGGER.warning("the stored entry was written by another version, and is dropped", exc_info=True)
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
        content = json.dumps(to_plain(entry, lambda _: None))
        self._sql.exec(_WRITE_ENTRY, content, to_js(body) if isinstance(body, bytes) else body)

    def forget(self) -> None:
        """Delete the entry. The claimed generation stays."""
        if not self.is_empty:
            self._sql.exec(_DELETE_ENTRY)

    def free(self) -> None:
        """Delete everything: the object then costs nothing."""
        if not self.is_empty:
            if self._alarm_at != NEVER:
                self._storage.deleteAlarm()
            self._storage.deleteAll()
            self.is_empty = True
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

    def _has_table(self) -> bool:
        return any(True for _ in self._sql.exec(_EXISTS).raw())


def _body(column: object) -> object:
    """Text is text; bytes come back as JavaScript's ArrayBuffer."""
    return column.to_bytes() if hasattr(column, "to_bytes") else column
