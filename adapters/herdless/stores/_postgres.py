"""The store on PostgreSQL: one table, LISTEN and NOTIFY, and `pg_stat_activity` for who is alive."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar, final

from herdless.stores._libpq import Broken, Refused, Runtime, Steps, Wait, drive, drive_async, hear, imported, ready
from herdless.stores._postgres_talk import PREFIX, SCHEMA, Talk, down, news_of
from herdless.stores._protocol import AsyncConnection, AsyncListener, News, Store, Swapped, SyncConnection, SyncListener
from herdless_core import PolicyError, StoreDown

T = TypeVar("T")

LONGEST_NAME: Final = 50
"""Bytes: the name of a channel has 63."""
BEGINS_IN: Final = 5.0
"""Seconds that connecting and listening may take."""

TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?")


@final
class PostgresStore(Store):
    """Records in a table of PostgreSQL (12 and later). Needs the extra `postgres`.

    url: `postgresql://`, with whatever libpq reads there, `sslmode=verify-full` and several hosts too;
    name: by which the records of this cache are known, and its channel; one for each cache, the same in all its
    processes; table: where they are, in lower case, with its schema if need be. It is made where it is not there:
    `schema` is what is executed; timeout: for how many seconds an answer is waited for; connections: how many there
    are at most for each process, beside the one that listens. Raises PolicyError for an argument that is not accepted.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        table: str = "herdless_records",
        timeout: float = 1.0,
        connections: int = 8,
    ) -> None:
        _check(url, name, table, timeout, connections)
        self._url: Final = url
        self.name: Final = name
        self.table: Final = table
        self.timeout: Final = timeout
        self.connections: Final = connections

    def __repr__(self) -> str:
        """Without the address, in which a password may be."""
        return f"PostgresStore(name={self.name!r}, table={self.table!r})"

    @property
    def schema(self) -> str:
        """What makes the table, for whoever makes it by migrations: then the cache's role need not be allowed to."""
        return SCHEMA.format(table=self.quoted, index=f'"{self.table.rpartition(".")[2]}_kept_until"')

    @property
    def quoted(self) -> str:
        """The table, as it stands in a statement, whatever word it is."""
        return ".".join(f'"{part}"' for part in self.table.split("."))

    def connect(self) -> SyncConnection:
        """See `Store`. Raises PolicyError where psycopg is not installed."""
        return _SyncPostgres(Talk(self))

    def connect_async(self) -> AsyncConnection:
        """See `Store`. Raises PolicyError where psycopg is not installed."""
        return _AsyncPostgres(Talk(self), _Asyncio())

    def connect_trio(self) -> AsyncConnection:
        """See `Store`. Raises PolicyError where psycopg is not installed."""
        from herdless.stores._on_trio import TrioRuntime

        return _AsyncPostgres(Talk(self), TrioRuntime())

    def address(self, owner: str = "") -> bytes:
        """For libpq; of the connection on which this owner listens."""
        address: str = imported("psycopg.conninfo").make_conninfo(self._url, application_name=f"{PREFIX}{owner}")
        return address.encode()


def _check(url: object, name: object, table: object, timeout: object, connections: object) -> None:
    if not isinstance(url, str) or not url.startswith(("postgresql://", "postgres://")):
        # Not what it is: a password may be in it.
        raise PolicyError("url is not accepted: give text that begins with postgresql://")
    if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) <= LONGEST_NAME or "\0" in name:
        raise PolicyError(f"name={name!r} is not accepted: give text of at most {LONGEST_NAME} bytes")
    if not isinstance(table, str) or not TABLE.fullmatch(table):
        raise PolicyError(f"table={table!r} is not accepted: give a name of a-z, 0-9 and _, with its schema if need be")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise PolicyError(f"timeout={timeout!r} is not accepted: give a number of seconds > 0")
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise PolicyError(f"connections={connections!r} is not accepted: give an integer >= 1")


# Threads


@final
class _SyncPostgres(SyncConnection):
    """See `SyncConnection` for every method."""

    def __init__(self, talk: Talk) -> None:
        self._talk: Final = talk
        self._free: Final = threading.BoundedSemaphore(talk.store.connections)

    def read(self, key: str) -> bytes | None:
        return self._do(self._talk.read(key))

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._do(self._talk.read_many(keys))

    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        return self._do(self._talk.swap(key, expected, record, keep, drops))

    def forget(self, key: str) -> None:
        self._do(self._talk.forget([key]))

    def forget_many(self, keys: Sequence[str]) -> None:
        self._do(self._talk.forget(keys))

    def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        return self._do(self._talk.renew(key, version, lease, keep))

    def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        return self._do(self._talk.mark(key, version))

    def listen(self, owner: str) -> SyncListener:
        return _SyncListener(self._talk, owner, _driven(self._talk.listen(owner), BEGINS_IN))

    def alive(self, owners: Iterable[str]) -> set[str]:
        return self._do(self._talk.alive(owners))

    def time(self) -> int:
        return self._do(self._talk.time())

    def close(self) -> None:
        self._talk.close()

    def _do(self, steps: Steps[T]) -> T:
        if not self._free.acquire(timeout=self._talk.store.timeout):
            raise StoreDown("no connection to PostgreSQL was free in time")
        try:
            return _driven(steps, self._talk.store.timeout)
        finally:
            self._free.release()


def _driven(steps: Steps[T], seconds: float) -> T:
    try:
        return drive(steps, time.monotonic() + seconds)
    except (Broken, Refused) as error:
        raise down(error) from error


@final
class _SyncListener(SyncListener):
    def __init__(self, talk: Talk, owner: str, connection: Any) -> None:
        self._talk: Final = talk
        self._owner: Final = owner
        self._connection: Final = connection

    def ask(self, mark: int) -> None:
        _driven(self._talk.notify(self._connection, self._owner, mark), self._talk.store.timeout)

    def next(self, timeout: float) -> News | None:
        try:
            said = hear(self._connection)
            if said is None and ready(Wait(self._connection.socket, for_writing=False), timeout):
                said = hear(self._connection)
        except Broken as error:
            raise down(error) from error
        return None if said is None else news_of(said)

    def close(self) -> None:
        self._connection.finish()


# asyncio and trio


@final
class _Asyncio(Runtime):
    async def wait(self, wait: Wait, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        is_ready: asyncio.Future[None] = loop.create_future()
        begin, end = (
            (loop.add_writer, loop.remove_writer) if wait.for_writing else (loop.add_reader, loop.remove_reader)
        )
        begin(wait.socket, _set, is_ready)
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await is_ready
        except TimeoutError:
            return False
        finally:
            end(wait.socket)
        return True

    async def in_thread(self, function: Any) -> Any:
        return await asyncio.to_thread(function)

    def semaphore(self, count: int) -> asyncio.Semaphore:
        return asyncio.Semaphore(count)

    async def acquire(self, semaphore: asyncio.Semaphore, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await semaphore.acquire()
        except TimeoutError:
            return False
        return True


def _set(is_ready: asyncio.Future[None]) -> None:
    if not is_ready.done():
        is_ready.set_result(None)


@final
class _AsyncPostgres(AsyncConnection):
    """See `AsyncConnection` for every method."""

    def __init__(self, talk: Talk, runtime: Runtime) -> None:
        self._talk: Final = talk
        self._runtime: Final = runtime
        self._free: Final = runtime.semaphore(talk.store.connections)

    async def read(self, key: str) -> bytes | None:
        return await self._do(self._talk.read(key))

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._do(self._talk.read_many(keys))

    async def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        return await self._do(self._talk.swap(key, expected, record, keep, drops))

    async def forget(self, key: str) -> None:
        await self._do(self._talk.forget([key]))

    async def forget_many(self, keys: Sequence[str]) -> None:
        await self._do(self._talk.forget(keys))

    async def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        return await self._do(self._talk.renew(key, version, lease, keep))

    async def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        return await self._do(self._talk.mark(key, version))

    async def listen(self, owner: str) -> AsyncListener:
        connection = await _driven_async(self._runtime, self._talk.listen(owner), BEGINS_IN)
        return _AsyncListener(self._talk, self._runtime, owner, connection)

    async def alive(self, owners: Iterable[str]) -> set[str]:
        return await self._do(self._talk.alive(owners))

    async def time(self) -> int:
        return await self._do(self._talk.time())

    async def close(self) -> None:
        self._talk.close()

    async def _do(self, steps: Steps[T]) -> T:
        if not await self._runtime.acquire(self._free, self._talk.store.timeout):
            raise StoreDown("no connection to PostgreSQL was free in time")
        try:
            return await _driven_async(self._runtime, steps, self._talk.store.timeout)
        finally:
            self._free.release()


async def _driven_async(runtime: Runtime, steps: Steps[T], seconds: float) -> T:
    try:
        return await drive_async(runtime, steps, time.monotonic() + seconds)
    except (Broken, Refused) as error:
        raise down(error) from error


@final
class _AsyncListener(AsyncListener):
    def __init__(self, talk: Talk, runtime: Runtime, owner: str, connection: Any) -> None:
        self._talk: Final = talk
        self._runtime: Final = runtime
        self._owner: Final = owner
        self._connection: Final = connection

    async def ask(self, mark: int) -> None:
        steps = self._talk.notify(self._connection, self._owner, mark)
        await _driven_async(self._runtime, steps, self._talk.store.timeout)

    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # as in `AsyncListener`
        try:
            said = hear(self._connection)
            if said is None and await self._runtime.wait(Wait(self._connection.socket, for_writing=False), timeout):
                said = hear(self._connection)
        except Broken as error:
            raise down(error) from error
        return None if said is None else news_of(said)

    async def close(self) -> None:
        self._connection.finish()
