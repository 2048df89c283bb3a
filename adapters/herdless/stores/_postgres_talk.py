"""What is said to PostgreSQL, in statements, and on which connections; it waits for nothing itself.

A swap is one UPDATE whose condition is the token, and what is told of it is sent by the same statement: so it is told
where, and only where, it was done, in the order of the commits. Who listens asks by a notification to itself.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, final

from herdless.stores._libpq import (
    BYTEA,
    TEXT,
    Broken,
    Connect,
    Refused,
    Rows,
    Steps,
    Value,
    array,
    asking,
    boolean,
    bytea,
    imported,
    int8,
    text,
)
from herdless.stores._protocol import Heard, News, Swapped, Told
from herdless_core import PolicyError, StoreDown
from herdless_core._fleet.record import VERSION_BYTES

LONGEST_KEY: Final = 1_200
"""Bytes: a notification has 8,000 at most, in which each may take six; an index entry has 2,700."""
LONGEST_KEEP: Final = 10**14
"""Milliseconds: three thousand years, beyond which PostgreSQL's calendar comes to its end."""
SWEEPS_EVERY: Final = 60.0
"""Seconds after which a process deletes records whose time is over, or up to twice as many."""
NO_VERSION: Final = "0" * 2 * VERSION_BYTES
PREFIX: Final = "herdless:"
NO_TABLE: Final = "42P01"
"""The SQLSTATE by which a server says that a table is not there."""

SCHEMA: Final = """
CREATE UNLOGGED TABLE IF NOT EXISTS {table} (
    name text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    record bytea NOT NULL,
    kept_until timestamptz NOT NULL,
    was_awaited boolean NOT NULL,
    PRIMARY KEY (name, key)
);
ALTER TABLE {table} ALTER COLUMN record SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS {index} ON {table} (kept_until);
"""

PARTS: Final = {
    "there": "name = $1 AND key = $2 AND kept_until > clock_timestamp()",
    "kept4": "coalesce(clock_timestamp() + $4 * interval '1 millisecond', 'infinity')",
    "kept5": "coalesce(clock_timestamp() + $5 * interval '1 millisecond', 'infinity')",
}

STATEMENTS: Final = {
    "read": "SELECT record FROM {table} WHERE {there}",
    "read_many": """SELECT key, record FROM {table}
        WHERE name = $1 AND key = ANY ($2) AND kept_until > clock_timestamp()""",
    "create": """WITH done AS (
        INSERT INTO {table} AS there (name, key, record, kept_until, was_awaited) VALUES ($1, $2, $3, {kept4}, false)
        ON CONFLICT (name, key) DO UPDATE
        SET record = excluded.record, kept_until = excluded.kept_until, was_awaited = false
        WHERE there.kept_until <= clock_timestamp() OR there.record = ''
        RETURNING 1)
        SELECT (CASE WHEN $5 THEN pg_notify($6, 'd' || $7) END)::text FROM done""",
    "replace": """WITH done AS (
        UPDATE {table} SET record = $3, kept_until = {kept4}, was_awaited = substring(record FROM 17 FOR 1) = '\\x01'
        WHERE {there} AND substring(record FROM 1 FOR 16) = $8
        RETURNING was_awaited)
        SELECT (CASE WHEN $5 THEN pg_notify($6, 'd' || $7) WHEN was_awaited THEN pg_notify($6, 'w' || $7) END)::text
        FROM done""",
    "renew": """UPDATE {table}
        SET record = overlay(record PLACING $4 FROM 9), kept_until = greatest(kept_until, {kept5})
        WHERE {there} AND substring(record FROM 1 FOR 8) = $3 RETURNING 1""",
    "mark": """UPDATE {table} SET record = overlay(record PLACING '\\x01'::bytea FROM 17)
        WHERE {there} AND substring(record FROM 1 FOR 8) = $3 RETURNING 1""",
    "forget": """WITH gone AS (DELETE FROM {table} WHERE name = $1 AND key = ANY ($2))
        SELECT pg_notify($3, told)::text FROM unnest($4) AS told""",
    "sweep": """DELETE FROM {table} WHERE (name, key) IN (SELECT name, key FROM {table}
        WHERE kept_until <= clock_timestamp() LIMIT 1000 FOR UPDATE SKIP LOCKED)""",
    "alive": "SELECT application_name FROM pg_stat_activity WHERE application_name = ANY ($1)",
    "time": "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    "notify": "SELECT pg_notify($1, $2)::text",
    "begin": """SELECT set_config('statement_timeout', $1, false), set_config('client_encoding', 'UTF8', false),
        set_config('default_transaction_isolation', 'read committed', false)""",
    "is there": "SELECT to_regclass($1)::text",
}
"""By the words of `Talk`, before the parts and the table are put in."""


class Settings(Protocol):
    """What a `PostgresStore` says of itself."""

    @property
    def name(self) -> str:
        """Of the cache."""

    @property
    def quoted(self) -> str:
        """The table of its records, as it stands in a statement."""

    @property
    def timeout(self) -> float:
        """Seconds."""

    @property
    def connections(self) -> int:
        """At most."""

    @property
    def schema(self) -> str:
        """What makes the table."""

    def address(self, owner: str = "") -> bytes:
        """For libpq."""


@final
class Talk:
    """What all colours say to PostgreSQL, and the connections that nobody uses just now."""

    def __init__(self, store: Settings) -> None:
        imported("psycopg")
        self.store: Final = store
        self._said: Final = {
            word: statement.format(**PARTS, table=store.quoted) for word, statement in STATEMENTS.items()
        }
        self._name: Final = text(store.name)
        self._channel: Final = text(PREFIX + store.name)
        self._idle: Final[list[Any]] = []
        self._is_there = False
        """Whether the table was seen."""
        self._sweeps_at = time.monotonic() + SWEEPS_EVERY * random.random()

    # Questions

    def read(self, key: str) -> Steps[bytes | None]:
        """The record."""
        rows = yield from self._ask("read", self._name, _key(key))
        return rows[0][0] if rows else None

    def read_many(self, keys: Sequence[str]) -> Steps[list[bytes | None]]:
        """Those of many keys."""
        raws = [_raw(key) for key in keys]
        rows = yield from self._ask("read_many", self._name, array(BYTEA, raws))
        found: dict[bytes | None, bytes | None] = {row[0]: row[1] for row in rows}
        return [found.get(raw) for raw in raws]

    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, drops: bool) -> Steps[Swapped]:
        """Compare and set."""
        told = f"{record[:VERSION_BYTES].hex():0<16}{json.dumps(key)}"
        values = (self._name, _key(key), bytea(record), _kept(keep), boolean(drops), self._channel, text(told))
        if expected:
            rows = yield from self._ask("replace", *values, bytea(expected))
        else:
            rows = yield from self._ask("create", *values)
        if rows:
            return True, None
        return False, (yield from self.read(key))

    def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> Steps[bool]:
        """Another lease."""
        rows = yield from self._ask(
            "renew", self._name, _key(key), bytea(version), bytea(lease.to_bytes(8)), _kept(keep)
        )
        return bool(rows)

    def mark(self, key: str, version: bytes) -> Steps[bool]:
        """Somebody waits."""
        return bool((yield from self._ask("mark", self._name, _key(key), bytea(version))))

    def forget(self, keys: Sequence[str]) -> Steps[None]:
        """Delete and tell."""
        told = [f"d{NO_VERSION}{json.dumps(key)}".encode() for key in keys]
        yield from self._ask(
            "forget", self._name, array(BYTEA, [_raw(key) for key in keys]), self._channel, array(TEXT, told)
        )

    def alive(self, owners: Iterable[str]) -> Steps[set[str]]:
        """Who listens."""
        rows = yield from self._ask("alive", array(TEXT, [f"{PREFIX}{owner}".encode() for owner in owners]))
        return {(row[0] or b"").decode().removeprefix(PREFIX) for row in rows}

    def time(self) -> Steps[int]:
        """The server's clock. Now and then what is over is deleted on this occasion, of which there is one per beat."""
        if time.monotonic() >= self._sweeps_at:
            self._sweeps_at = time.monotonic() + SWEEPS_EVERY * (1 + random.random())
            yield from self._ask("sweep")
        rows = yield from self._ask("time")
        return int.from_bytes(rows[0][0] or b"") * 1_000

    def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            self._idle.pop().finish()

    # Listening

    def listen(self, owner: str) -> Steps[Any]:
        """A connection that hears what is told from now on."""
        connection = yield from self._connected(owner)
        try:
            for channel in (PREFIX + self.store.name, PREFIX + owner):
                quoted = channel.replace('"', '""')
                yield from asking(connection, f'LISTEN "{quoted}"')
        except BaseException:
            connection.finish()
            raise
        return connection

    def notify(self, connection: Any, owner: str, mark: int) -> Steps[Rows]:
        """A notification to oneself. It comes in the order of commits: after all that was told before."""
        return asking(connection, self._said["notify"], (text(PREFIX + owner), text(str(mark))))

    # Connections

    def _ask(self, word: str, *values: Value) -> Steps[Rows]:
        """On a connection that nobody uses, or on a new one where that turns out to be closed."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = None
        if connection is not None:
            try:
                return (yield from self._ask_on(connection, word, values))
            except Broken:
                self.close()  # the server was away: the others are closed as well
        connection = yield from self._connected()
        return (yield from self._ask_on(connection, word, values))

    def _ask_on(self, connection: Any, word: str, values: Sequence[Value]) -> Steps[Rows]:
        try:
            rows = yield from asking(connection, self._said[word], values)
        except Refused as refused:
            if refused.state == NO_TABLE:
                self._is_there = False
            self._idle.append(connection)
            raise
        except BaseException:
            connection.finish()
            raise
        self._idle.append(connection)
        return rows

    def _connected(self, owner: str = "") -> Steps[Any]:
        connection = yield Connect(self.store.address(owner))
        try:
            milliseconds = max(round(self.store.timeout * 1_000), 1)
            yield from asking(connection, self._said["begin"], (text(str(milliseconds)),))
            if not self._is_there:
                rows = yield from asking(connection, self._said["is there"], (text(self.store.quoted),))
                if rows[0][0] is None:
                    yield from asking(connection, _made_once(self.store.schema))
                self._is_there = True
        except BaseException:
            connection.finish()
            raise
        return connection


def _made_once(schema: str) -> str:
    """The statements as one, of which one process at a time makes its way."""
    number = int.from_bytes(hashlib.sha256(schema.encode()).digest()[:7])
    return f"DO $herdless$ BEGIN PERFORM pg_advisory_xact_lock({number}); {schema} END $herdless$"


def _raw(key: str) -> bytes:
    raw = key.encode()
    if len(raw) > LONGEST_KEY:
        raise PolicyError(f"a key of {len(raw)} bytes is not accepted by PostgresStore: at most {LONGEST_KEY}")
    return raw


def _key(key: str) -> Value:
    return bytea(_raw(key))


def _kept(keep: int | None) -> Value:
    return int8(None if keep is None else min(keep, LONGEST_KEEP))


def news_of(said: str) -> News | None:
    """What a notification says; None where nobody of us has sent it."""
    try:
        if said.isdecimal():
            return Heard(int(said))
        version, key = bytes.fromhex(said[1:17]), json.loads(said[17:])
    except ValueError:
        return None
    if said[:1] not in {"d", "w"} or not isinstance(key, str):
        return None
    return Told(key, version if any(version) else b"", said[0] == "d")


def down(error: Exception) -> StoreDown:
    return StoreDown(f"PostgreSQL: {error}")
