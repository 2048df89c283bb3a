"""The slow origin: a SQLite database on disk, or a loader of the user's own."""

from __future__ import annotations

import contextlib
import inspect
import pkgutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from time import sleep
from typing import Any, Final, final

from herdless._command._errors import CommandError, in_a_line

ROWS: Final = 5_000
CONNECTIONS: Final = 64
"""So many queries run at a time, as through a service's pool of connections to its database."""


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where values come from."""

    name: str
    load: Callable[[str], Any]
    is_async: bool
    again: Mapping[str, Any] = field(default_factory=dict)
    """What `made_again` needs in another process."""


@contextlib.contextmanager
def new_database(keys: Sequence[str], latency: float) -> Iterator[Origin]:
    """A database that is removed afterwards. latency: seconds that a query waits, as if it came over a network."""
    with tempfile.TemporaryDirectory(prefix="herdless-", ignore_cleanup_errors=True) as directory:
        path = Path(directory) / "origin.sqlite3"
        rows = [(keys[number % len(keys)], number) for number in range(max(ROWS, len(keys)))]
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE entries (key TEXT NOT NULL, value INTEGER NOT NULL)")
            connection.executemany("INSERT INTO entries VALUES (?, ?)", rows)
        name = f"a new SQLite database of {len(rows):,} rows, {latency * 1e3:g} ms away"
        yield made_again({"name": name, "path": str(path), "latency": latency})


def made_again(again: Mapping[str, Any]) -> Origin:
    """The origin that has this `again`, in whichever process. Raises CommandError where a loader is not there."""
    if "load" in again:
        return named_loader(again["load"])
    connections, path, latency = BoundedSemaphore(CONNECTIONS), again["path"], again["latency"]

    def query(key: str) -> object:
        # A connection of its own for each query: none is left open by a thread that ends.
        with connections, contextlib.closing(sqlite3.connect(path)) as connection:
            sleep(latency)
            return connection.execute("SELECT count(*), total(value) FROM entries WHERE key = ?", (key,)).fetchone()

    return Origin(again["name"], query, is_async=False, again=again)


def named_loader(argument: str) -> Origin:
    """The callable that `--load MODULE:CALLABLE` names. Raises CommandError where there is none."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # the console script's own directory stands there, not the user's
    try:
        load = pkgutil.resolve_name(argument)
    except Exception as error:
        raise CommandError(f"--load {argument}: give MODULE:CALLABLE that imports: {in_a_line(error)}") from error
    if not callable(load):
        raise CommandError(f"--load {argument}: give MODULE:CALLABLE, this is of type {type(load).__name__}")
    is_async = inspect.iscoroutinefunction(load) or inspect.iscoroutinefunction(type(load).__call__)
    return Origin(argument, load, is_async, {"load": argument})
