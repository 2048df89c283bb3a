"""The slow origin: a SQLite database on disk, of which every load asks one query that reads the whole table."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from time import perf_counter, sleep
from typing import Any, Final, final

from herdless._command._errors import CommandError, in_a_line
from herdless._command._plan import CONNECTIONS, Key

ROWS: Final = 5_000
"""Of the database that the command makes: about half a millisecond of work for each query."""

LATENCY_SECONDS: Final = 0.05
"""How long the way to the origin and back takes beside the query, unless the user says otherwise: SQLite is on this
machine, a service's database is not.
"""

SCHEMA: Final = "entries(key, value)"
# Names in double quotes would do harm: SQLite takes those that it does not find for strings.
QUERY: Final = "SELECT count(*), total(value), max(value) FROM entries WHERE key = ?"
KEYS: Final = "SELECT key FROM entries WHERE key IS NOT NULL GROUP BY key ORDER BY count(*) DESC, key LIMIT ?"


@final
@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from."""

    name: str
    load: Callable[[Key], Any]
    is_async: bool
    keys: tuple[Key, ...]
    query_seconds: float | None
    """What one load takes when nothing else runs, measured beforehand; None: not measured."""


@contextlib.contextmanager
def new_origin(keys: int, latency: float) -> Iterator[Source]:
    """A database in a temporary directory, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="herdless-", ignore_cleanup_errors=True) as directory:
        path = Path(directory) / "origin.sqlite3"
        names = [f"key-{number:0{len(str(keys - 1))}}" for number in range(keys)]
        rows = max(ROWS, keys)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE entries (key TEXT NOT NULL, value INTEGER NOT NULL)")
            made = ((names[number % keys], number * number % 997) for number in range(rows))
            connection.executemany("INSERT INTO entries VALUES (?, ?)", made)
        yield _source(path, f"a new SQLite database of {rows:,} rows", tuple(names), latency)


def existing_origin(argument: str, keys: int, latency: float) -> Source:
    """The user's database, which is only read. Raises CommandError where it is not one, or lacks the table."""
    path = Path(argument)
    if path.is_dir():
        raise CommandError(f"--origin {argument}: is a directory, not a SQLite database")
    if not path.is_file():
        raise CommandError(f"--origin {argument}: there is no such file")
    try:
        with contextlib.closing(_connect(path)) as connection:
            connection.execute(QUERY, (None,))
            names = tuple(name for (name,) in connection.execute(KEYS, (keys,)))
    except sqlite3.OperationalError as error:
        raise CommandError(f"--origin {argument}: no table {SCHEMA} can be read from it: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CommandError(f"--origin {argument}: not a SQLite database: {in_a_line(error)}") from error
    if not names:
        raise CommandError(f"--origin {argument}: its table {SCHEMA} holds no key")
    return _source(path, f"the SQLite database {argument}", names, latency)


def _source(path: Path, name: str, keys: tuple[Key, ...], latency: float) -> Source:
    connections = BoundedSemaphore(CONNECTIONS)

    def query(key: Key) -> object:
        # A connection of its own for each query: nothing is shared, and nothing is left open by a thread that ends.
        with connections, contextlib.closing(_connect(path)) as connection:
            sleep(latency)
            return connection.execute(QUERY, (key,)).fetchone()

    return Source(name, query, is_async=False, keys=keys, query_seconds=_measure(query, keys[0]))


def _measure(query: Callable[[Key], object], key: Key) -> float:
    seconds = []
    for _ in range(5):
        began = perf_counter()
        query(key)
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
