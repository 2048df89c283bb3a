"""A store in the memory of one process: for tests, and for several caches, loops or threads in one process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import Callable, Iterable
from typing import Final, final

from herdless import _primitives
from herdless.stores._protocol import (
    AsyncConnection,
    AsyncListener,
    Heard,
    News,
    Store,
    Swapped,
    SyncConnection,
    SyncListener,
    Told,
)
from herdless_core._fleet.record import (
    AWAITED_AT,
    NANOSECONDS_PER_MILLISECOND,
    TOKEN_BYTES,
    VERSION_BYTES,
    with_lease,
    with_mark,
)


@final
class MemoryStore(Store):
    """Records in a table of this process. All caches that are given the same object share them.

    clock: what time it is for the records, in nanoseconds since 1970: a callable without arguments.
    """

    def __init__(self, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock: Final = clock
        self._lock: Final = _primitives.Lock()
        self._records: Final[dict[str, tuple[bytes, int | None]]] = {}
        """Each with the instant until when it is kept."""
        self._listeners: Final[list[tuple[str, Callable[[News], None]]]] = []

    def connect(self) -> SyncConnection:
        """See `Store`."""
        return _SyncMemory(self)

    def connect_async(self) -> AsyncConnection:
        """See `Store`."""
        return _AsyncMemory(self, _AsyncioListener)

    def connect_trio(self) -> AsyncConnection:
        """See `Store`."""
        return _AsyncMemory(self, _TrioListener)

    def read(self, key: str) -> bytes | None:
        """What lies there."""
        with self._lock:
            return self._find(key)

    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        """See `SyncConnection`."""
        with self._lock:
            there = self._find(key)
            if (there or b"")[:TOKEN_BYTES] != expected:
                return False, there
            self._records[key] = record, self._until(keep)
            if drops or (there or b"")[AWAITED_AT : AWAITED_AT + 1] == b"\1":
                self._tell(Told(key, record[:VERSION_BYTES], drops))
            return True, None

    def change(self, key: str, version: bytes, change: Callable[[bytes], bytes], keep: int | None) -> bool:
        """Change a record in place; False where one of another version is there.

        key: of the record; version: its first eight bytes; change: from the old bytes to the new ones; keep: as in
            `SyncConnection.renew`, and never shorter than before.
        """
        with self._lock:
            there = self._find(key)
            if there is None or there[:VERSION_BYTES] != version:
                return False
            until, longer = self._records[key][1], self._until(keep)
            self._records[key] = change(there), None if until is None or longer is None else max(until, longer)
            return True

    def forget(self, key: str) -> None:
        """See `SyncConnection`."""
        with self._lock:
            self._records.pop(key, None)
            self._tell(Told(key, b"", drops=True))

    def time(self) -> int:
        """What time it is for the records."""
        return self._clock()

    def alive(self, owners: Iterable[str]) -> set[str]:
        """See `SyncConnection`."""
        with self._lock:
            return {owner for owner, _ in self._listeners} & set(owners)

    def attach(self, owner: str, hear: Callable[[News], None]) -> Callable[[], None]:
        """Call `hear` with all that is told, inside the lock; returns what ends that."""
        attached = owner, hear
        with self._lock:
            self._listeners.append(attached)

        def detach() -> None:
            with self._lock:
                if attached in self._listeners:
                    self._listeners.remove(attached)

        return detach

    def ask(self, hear: Callable[[News], None], mark: int) -> None:
        """Whatever was told has been heard by now, since it is heard inside the lock."""
        with self._lock:
            hear(Heard(mark))

    def _find(self, key: str) -> bytes | None:
        found = self._records.get(key)
        if found is None:
            return None
        record, until = found
        if until is not None and self._clock() >= until:
            del self._records[key]
            return None
        return record

    def _until(self, keep: int | None) -> int | None:
        return None if keep is None else self._clock() + keep * NANOSECONDS_PER_MILLISECOND

    def _tell(self, told: Told) -> None:
        for _, hear in self._listeners:
            hear(told)


@final
class _SyncMemory(SyncConnection):
    """See `SyncConnection` for every method."""

    def __init__(self, store: MemoryStore) -> None:
        self._store: Final = store

    def read(self, key: str) -> bytes | None:
        return self._store.read(key)

    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        return self._store.swap(key, expected, record, keep, drops=drops)

    def forget(self, key: str) -> None:
        self._store.forget(key)

    def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        return self._store.change(key, version, lambda raw: with_lease(raw, lease), keep)

    def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        return self._store.change(key, version, with_mark, keep)

    def listen(self, owner: str) -> SyncListener:
        return _SyncListener(self._store, owner)

    def alive(self, owners: Iterable[str]) -> set[str]:
        return self._store.alive(owners)

    def time(self) -> int:
        return self._store.time()


@final
class _SyncListener(SyncListener):
    def __init__(self, store: MemoryStore, owner: str) -> None:
        self._store: Final = store
        self._news: Final[queue.SimpleQueue[News]] = queue.SimpleQueue()
        self._detach: Final = store.attach(owner, self._news.put)

    def ask(self, mark: int) -> None:
        self._store.ask(self._news.put, mark)

    def next(self, timeout: float) -> News | None:
        try:
            return self._news.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._detach()


@final
class _AsyncMemory(AsyncConnection):
    """The same: nothing in it waits for anything."""

    def __init__(self, store: MemoryStore, listener: type[_AsyncioListener | _TrioListener]) -> None:
        self._store: Final = store
        self._listener: Final = listener

    async def read(self, key: str) -> bytes | None:
        return self._store.read(key)

    async def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        return self._store.swap(key, expected, record, keep, drops=drops)

    async def forget(self, key: str) -> None:
        self._store.forget(key)

    async def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        return self._store.change(key, version, lambda raw: with_lease(raw, lease), keep)

    async def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        return self._store.change(key, version, with_mark, keep)

    async def listen(self, owner: str) -> AsyncListener:
        return self._listener(self._store, owner)

    async def alive(self, owners: Iterable[str]) -> set[str]:
        return self._store.alive(owners)

    async def time(self) -> int:
        return self._store.time()


@final
class _AsyncioListener(AsyncListener):
    def __init__(self, store: MemoryStore, owner: str) -> None:
        self._store: Final = store
        self._loop: Final = asyncio.get_running_loop()
        self._news: Final[asyncio.Queue[News]] = asyncio.Queue()
        self._detach: Final = store.attach(owner, self._hear)

    def _hear(self, news: News) -> None:
        """From whichever thread has changed the store. A loop that was closed meanwhile hears nothing more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def ask(self, mark: int) -> None:
        self._store.ask(self._hear, mark)

    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # as in `AsyncListener`
        try:
            async with asyncio.timeout(
                timeout
            ):  # `wait_for` loses a cancellation on Python 3.11 where both come at once
                return await self._news.get()
        except TimeoutError:
            return None

    async def close(self) -> None:
        self._detach()


@final
class _TrioListener(AsyncListener):
    def __init__(self, store: MemoryStore, owner: str) -> None:
        from herdless.stores._on_trio import TrioInbox

        self._store: Final = store
        self._inbox: Final = TrioInbox()
        self._detach: Final = store.attach(owner, self._inbox.put)

    async def ask(self, mark: int) -> None:
        self._store.ask(self._inbox.put, mark)

    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # as in `AsyncListener`
        return await self._inbox.get(timeout)

    async def close(self) -> None:
        self._detach()
