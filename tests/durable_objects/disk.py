"""An object's storage outside of workerd: SQLite, an alarm, and statements that can be made to fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from herdless._durable import runtime
from herdless._durable.storage import EntryStorage
from herdless_core import Entry


class DiskFull(Exception):
    """What the runtime raises where it cannot write."""


@final
class Cursor:
    """The rows of a statement."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows: Final = rows

    def raw(self) -> Iterator[Any]:
        """As the runtime's cursor."""
        return iter(self._rows)


@final
class Sql:
    """SQLite behind the runtime's one method."""

    def __init__(self, touch: Callable[[str], None]) -> None:
        self._connection: Final = sqlite3.connect(":memory:", isolation_level=None)
        self._touch: Final = touch

    def exec(self, statement: str, *parameters: object) -> Cursor:
        """Run a statement, unless it is to fail."""
        self._touch(statement)
        return Cursor(self._connection.execute(statement, parameters).fetchall())

    def close(self) -> None:
        """The test is done with it."""
        self._connection.close()


@final
class Disk:
    """An object's storage and its one alarm. Every statement and every order for the alarm is a touch."""

    def __init__(self) -> None:
        self._sql: Final = Sql(self._touch)
        self.sql: runtime.Sql = self._sql
        self.alarm_at: int | None = None
        self.touches = 0
        self.fails: Callable[[int, str], bool] = lambda _touch, _what: False
        """Whether this touch, counted from 0, is to fail; and what it is."""

    def setAlarm(self, at: int) -> None:  # noqa: N802  # JavaScript's name
        """Set it, milliseconds."""
        self._touch("setAlarm")
        self.alarm_at = at

    def deleteAlarm(self) -> None:  # noqa: N802  # JavaScript's name
        """Unset it."""
        self._touch("deleteAlarm")
        self.alarm_at = None

    def deleteAll(self) -> None:  # noqa: N802  # JavaScript's name
        """Drop the tables."""
        self._touch("deleteAll")
        self._sql.exec("DROP TABLE IF EXISTS herdless")

    def heal(self) -> None:
        """From now on nothing fails."""
        self.fails = lambda _touch, _what: False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is stored, not even a table. Does not touch it."""
        with self._whole():
            return not list(self._sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'herdless'").raw())

    def stored(self, now: int) -> Entry:
        """The entry as the next instance would find it. Does not touch it."""
        with self._whole():
            storage = EntryStorage(self)
            storage.generation()
            return storage.entry(now)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        touches, fails = self.touches, self.fails
        self.heal()
        try:
            yield
        finally:
            self.touches, self.fails = touches, fails

    def close(self) -> None:
        """The test is done with it."""
        self._sql.close()

    def _touch(self, what: str) -> None:
        touch, self.touches = self.touches, self.touches + 1
        if self.fails(touch, what):
            raise DiskFull(f"database or disk is full: {what}")
