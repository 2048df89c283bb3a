"""What a store has to do: to compare and set, to delete, and, if it can, to tell and to know the time.

A record is bytes to a store. The first sixteen are its token, which `swap` compares: eight of a version that no two
writes share, and eight of a lease, big-endian milliseconds of the store's clock. The byte after them is 1 where another
process waits for a change. A store reads nothing else of it.

Keys are text. All errors by which the store cannot be asked have to arrive as StoreDown.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

from herdless_core import MisuseError
from herdless_core._fleet.record import TOKEN_BYTES, VERSION_BYTES, with_lease, with_mark


@final
@dataclass(frozen=True, slots=True)
class Told:
    """A record has changed."""

    key: str
    version: bytes
    """Of the record that is there now; empty where it was forgotten."""
    drops: bool
    """Whether what is held of the key is not to be answered any more. Otherwise only those who wait are meant."""


@final
@dataclass(frozen=True, slots=True)
class Heard:
    """All that was told before the listener asked with this mark has arrived."""

    mark: int


News: TypeAlias = Told | Heard

Swapped: TypeAlias = tuple[bool, bytes | None]
"""Whether the swap was won; and where it was lost, what is there instead."""


class Store:
    """Where the records of one cache are, and how to get there. It is no connection: each process makes its own."""

    def connect(self) -> SyncConnection:
        """A connection for threads. Connects to nothing yet, and raises nothing but MisuseError."""
        raise MisuseError(f"{type(self).__name__} has no connections for threads: write `connect`, or use another one")

    def connect_async(self) -> AsyncConnection:
        """The same for asyncio; made, used and closed inside one event loop."""
        raise MisuseError(
            f"{type(self).__name__} has no connections for asyncio: write `connect_async`, or use another one"
        )

    def connect_trio(self) -> AsyncConnection:
        """The same for trio, and one trio run. Unless it is written, the connection for threads is used, on trio's
        worker threads.
        """
        from herdless.stores._on_trio import BridgedConnection

        return BridgedConnection(self.connect())


class SyncListener(ABC):
    """What is told of all keys of a store, in its order."""

    @abstractmethod
    def ask(self, mark: int) -> None:
        """Order `Heard(mark)`: to arrive when everything has that was told before."""

    @abstractmethod
    def next(self, timeout: float) -> News | None:
        """What was told next; None where nothing was within so many seconds. StoreDown where something may be lost:
        then this listener is of no use any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Listen no more. Raises nothing, and lets `next`, if a thread is in it, come to its end soon."""


class SyncConnection(ABC):
    """What threads do with a store. `read`, `swap` and `forget` have to be written; the others may be."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The record, as it was last written; None where none is there, or its time is over."""

    @abstractmethod
    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        """Write the record if the token of what is there is `expected`, in one indivisible step; then tell. Where it is
        lost though nothing was expected, the store may set byte 16 of what is there to 1, and returns it as it was.

        key: of any text; expected: the first sixteen bytes of what has to be there, empty for nothing; keep: for how
            many milliseconds at least the record is to be there, None for ever (a store may drop any at any time);
            drops: whether all listeners are to be told, by `Told(drops=True)`. Otherwise they are told by
            `Told(drops=False)` where byte 16 of what was there is 1.
        """

    @abstractmethod
    def forget(self, key: str) -> None:
        """Delete the record, and tell all listeners by `Told(drops=True)`, also where there was none."""

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The records of many keys, in their order. Unless it is written, they are read one after the other."""
        return [self.read(key) for key in keys]

    def forget_many(self, keys: Sequence[str]) -> None:
        """`forget` for many keys. Unless it is written, they are forgotten one after the other."""
        for key in keys:
            self.forget(key)

    def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        """Change the lease in place; False where a record of another version is there. Unless it is written, the whole
        record is written anew.

        key: of the record; version: its first eight bytes; lease: the new one, in milliseconds of the store's clock;
            keep: for how many milliseconds at least the record is to be there from now on, None for ever.
        """
        raw = self.read(key)
        if raw is None or raw[:VERSION_BYTES] != version:
            return False
        return self.swap(key, raw[:TOKEN_BYTES], with_lease(raw, lease), keep, drops=False)[0]

    def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        """Set byte 16 of the record that has this version to 1; False where another is there. As `renew`."""
        raw = self.read(key)
        if raw is None or raw[:VERSION_BYTES] != version:
            return False
        return self.swap(key, raw[:TOKEN_BYTES], with_mark(raw), keep, drops=False)[0]

    def listen(self, owner: str) -> SyncListener | None:
        """Hear what is told from now on, as this owner, who is alive as long as it listens. None, as here: those who
        wait ask again and again, and near values are held for `staleness` and no longer.
        """
        return None

    def alive(self, owners: Iterable[str]) -> set[str] | None:
        """Which of these owners listen. None, as here: one that died is noticed by its lease alone."""
        return None

    def time(self) -> int:
        """The store's clock, nanoseconds since 1970. Unless it is written, each process asks its own: whatever these
        differ by, leases and ttls are wrong by.
        """
        return time.time_ns()

    def close(self) -> None:  # noqa: B027  # there may be nothing to give back
        """Give everything back. Raises nothing."""


class AsyncListener(ABC):
    """As `SyncListener`, for asyncio."""

    @abstractmethod
    async def ask(self, mark: int) -> None:
        """As in `SyncListener`."""

    @abstractmethod
    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # the same words in both colours
        """As in `SyncListener`; may be cancelled."""

    @abstractmethod
    async def close(self) -> None:
        """As in `SyncListener`."""


class AsyncConnection(ABC):
    """As `SyncConnection`, for asyncio. Every method may be cancelled: then nobody knows what was done."""

    @abstractmethod
    async def read(self, key: str) -> bytes | None:
        """As in `SyncConnection`."""

    @abstractmethod
    async def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        """As in `SyncConnection`."""

    @abstractmethod
    async def forget(self, key: str) -> None:
        """As in `SyncConnection`."""

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """As in `SyncConnection`."""
        return [await self.read(key) for key in keys]

    async def forget_many(self, keys: Sequence[str]) -> None:
        """As in `SyncConnection`."""
        for key in keys:
            await self.forget(key)

    async def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        """As in `SyncConnection`."""
        raw = await self.read(key)
        if raw is None or raw[:VERSION_BYTES] != version:
            return False
        return (await self.swap(key, raw[:TOKEN_BYTES], with_lease(raw, lease), keep, drops=False))[0]

    async def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        """As in `SyncConnection`."""
        raw = await self.read(key)
        if raw is None or raw[:VERSION_BYTES] != version:
            return False
        return (await self.swap(key, raw[:TOKEN_BYTES], with_mark(raw), keep, drops=False))[0]

    async def listen(self, owner: str) -> AsyncListener | None:
        """As in `SyncConnection`."""
        return None

    async def alive(self, owners: Iterable[str]) -> set[str] | None:
        """As in `SyncConnection`."""
        return None

    async def time(self) -> int:
        """As in `SyncConnection`."""
        return time.time_ns()

    async def close(self) -> None:  # noqa: B027  # there may be nothing to give back
        """As in `SyncConnection`."""
