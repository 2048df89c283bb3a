"""The store on Redis or Valkey: four scripts, one channel, and the client of redis-py for both colours.

SWAP is a compare-and-set, RENEW and MARK change a record in place, FORGET deletes it. None of them knows what a record
says. Who expects nothing and finds something will nearly always wait for it: so a SWAP that is lost in this way marks
what is there, and a MARK of its own is spared. What is told goes over one channel for each name; whoever listens also
subscribes to a channel of its own, by which `PUBSUB NUMSUB` shows that it is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, final

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
from herdless.stores._redis_homes import KINDS, connection_class, homes_of
from herdless_core import PolicyError, StoreDown
from herdless_core._fleet.record import VERSION_BYTES

SWAP: Final = """
local head = ''
if ARGV[1] == '' then
  local there = redis.call('GET', KEYS[1])
  if there and there ~= '' then
    if string.sub(there, 17, 17) == '\\0' then redis.call('SETRANGE', KEYS[1], 16, '\\1') end
    return {0, there}
  end
else
  head = redis.call('GETRANGE', KEYS[1], 0, 16)
  if string.sub(head, 1, 16) ~= ARGV[1] then return {0, redis.call('GET', KEYS[1])} end
end
local kind = ARGV[5]
if kind == '' and string.sub(head, 17, 17) == '\\1' then kind = 'w' end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if kind ~= '' then redis.call('PUBLISH', ARGV[4], kind .. string.sub(ARGV[2], 1, 8) .. ARGV[6]) end
return {1}"""

RENEW: Final = """
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SETRANGE', KEYS[1], 8, ARGV[2])
local kept = redis.call('PTTL', KEYS[1])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1])
elseif kept >= 0 and kept < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1"""

MARK: Final = """
local head = redis.call('GETRANGE', KEYS[1], 0, 16)
if string.sub(head, 1, 8) ~= ARGV[1] then return 0 end
if string.sub(head, 17, 17) ~= '\\1' then redis.call('SETRANGE', KEYS[1], 16, '\\1') end
return 1"""

FORGET: Final = """
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[1], 'd\\0\\0\\0\\0\\0\\0\\0\\0' .. ARGV[2])
return 1"""

MANY: Final = 500
"""So many keys at most in one question."""
NO_VERSION: Final = bytes(VERSION_BYTES)
DROPS: Final = b"d"
KEY_AT: Final = 1 + VERSION_BYTES
SUBSCRIBES_IN: Final = 5.0
"""So many seconds at most are waited for the confirmation that a channel is listened to."""


@final
class RedisStore(Store):
    """Records in Redis (6.2 and later) or Valkey. Needs the extra `redis`.

    url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password, database and whatever `redis.from_url` reads;
    or `redis+sentinel://host:port,host:port/service` or `redis+cluster://host:port,host:port`: see docs/fleet.md;
    name: the prefix of all keys, and of the channels; one for each cache, the same in all its processes;
    timeout: for how many seconds a reply is waited for; connections: how many there are at most for each process,
    beside the one that listens. Raises PolicyError for an argument that is not accepted.
    """

    def __init__(self, url: str, *, name: str, timeout: float = 1.0, connections: int = 16) -> None:
        _check(url, name, timeout, connections)
        self._homes: Final = homes_of(url)
        is_cluster = self._homes is not None and self._homes.kind == "cluster"
        if is_cluster and {"{", "}"} & set(name):
            raise PolicyError(f"name={name!r} is not accepted: in a Cluster it may have no braces")
        self.prefix: Final = f"{{{name}}}" if is_cluster else name
        """With which all keys and channels begin; in braces where they have to be on one server."""
        self._url: Final = url if self._homes is None else self._homes.url
        self.name: Final = name
        self.timeout: Final = timeout
        self.connections: Final = connections

    def __repr__(self) -> str:
        """Without the address, in which a password may be."""
        return f"RedisStore(name={self.name!r})"

    def connect(self) -> SyncConnection:
        """See `Store`. Raises PolicyError where redis-py is not installed."""
        return _SyncRedis(self, self._pool("redis"))

    def connect_async(self) -> AsyncConnection:
        """See `Store`. Raises PolicyError where redis-py is not installed."""
        return _AsyncRedis(self, self._pool("redis.asyncio"))

    @property
    def patience(self) -> float:
        """Seconds for one question as a whole: several servers may have to be asked first where the right one is."""
        return self.timeout if self._homes is None else self.timeout * (2 + len(self._homes.nodes))

    def _pool(self, module: str) -> tuple[Any, Any]:
        """Two clients: one for commands, one that listens."""
        client, retry = _imported(module), _imported(f"{module}.retry").Retry
        no_backoff = _imported("redis.backoff").NoBackoff()
        homes, found = self._homes, dict[str, Any]()
        if homes is not None:
            found["connection_class"] = connection_class(homes, module, self.name, self.timeout)
        pool_class, bounds = client.ConnectionPool, dict[str, Any](socket_timeout=None)
        if module == "redis":  # the other is bounded by `_AsyncRedis`: its waits that have a timeout are tasks
            pool_class = client.BlockingConnectionPool
            bounds = {"max_connections": self.connections, "timeout": self.timeout, "socket_timeout": self.timeout}
        pool = pool_class.from_url(
            self._url,
            socket_connect_timeout=self.timeout,
            retry=retry(no_backoff, 1),
            **bounds,
            **found,
        )
        listening = client.Redis.from_url(
            self._url,
            socket_connect_timeout=self.timeout,
            socket_timeout=self.timeout,
            retry=retry(no_backoff, 0),
            **found,
        )
        return client.Redis.from_pool(pool), listening


def _check(url: object, name: object, timeout: object, connections: object) -> None:
    schemes = tuple(f"{scheme}://" for scheme in ("redis", "rediss", "unix", *KINDS))
    if not isinstance(url, str) or not url.startswith(schemes):
        # Not what it is: a password may be in it.
        raise PolicyError("url is not accepted: give text that begins with redis://, rediss:// or unix://")
    if not isinstance(name, str) or not name:
        raise PolicyError(f"name={name!r} is not accepted: give text, which is the prefix of the keys")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise PolicyError(f"timeout={timeout!r} is not accepted: give a number of seconds > 0")
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise PolicyError(f"connections={connections!r} is not accepted: give an integer >= 1")


class _Redis:
    """What both colours say to Redis, in words; what is returned has to be awaited in one of them."""

    def __init__(self, store: RedisStore, clients: tuple[Any, Any]) -> None:
        self._name: Final = store.prefix
        self._client, self._listening = clients
        self._channel: Final = f"{store.prefix}:told".encode()
        self._swap: Final = self._client.register_script(SWAP)
        self._renew: Final = self._client.register_script(RENEW)
        self._mark: Final = self._client.register_script(MARK)
        self._forget: Final = self._client.register_script(FORGET)

    def _key(self, key: str) -> bytes:
        return f"{self._name}:{key}".encode()

    def _alive(self, owner: str) -> bytes:
        return f"{self._name}:alive:{owner}".encode()

    def _reading(self, key: str) -> Any:
        return self._client.get(self._key(key))

    def _reading_many(self, keys: Sequence[str]) -> Any:
        return self._client.mget([self._key(key) for key in keys])

    def _swapping(self, key: str, expected: bytes, record: bytes, keep: int | None, drops: bool) -> Any:
        told = [self._channel, DROPS if drops else b"", key.encode()]
        return self._swap(keys=[self._key(key)], args=[expected, record, _kept(keep), *told])

    def _forgetting(self, key: str) -> Any:
        return self._forget(keys=[self._key(key)], args=[self._channel, key.encode()])

    def _forgetting_many(self, keys: Sequence[str]) -> Any:
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.execute_command("EVAL", FORGET, 1, self._key(key), self._channel, key.encode())
        return pipe.execute()

    def _renewing(self, key: str, version: bytes, lease: int, keep: int | None) -> Any:
        return self._renew(keys=[self._key(key)], args=[version, lease.to_bytes(8), _kept(keep)])

    def _marking(self, key: str, version: bytes) -> Any:
        return self._mark(keys=[self._key(key)], args=[version])

    def _counting(self, owners: list[str]) -> Any:
        return self._client.execute_command("PUBSUB", "NUMSUB", *map(self._alive, owners))


@final
class _SyncRedis(_Redis, SyncConnection):
    """See `SyncConnection` for every method."""

    def read(self, key: str) -> bytes | None:
        with _told():
            return _bytes_or_none(self._reading(key))

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with _told():
            return [_bytes_or_none(found) for chunk in _chunks(keys) for found in self._reading_many(chunk)]

    def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        with _told():
            return _swapped(self._swapping(key, expected, record, keep, drops))

    def forget(self, key: str) -> None:
        with _told():
            self._forgetting(key)

    def forget_many(self, keys: Sequence[str]) -> None:
        with _told():
            for chunk in _chunks(keys):
                self._forgetting_many(chunk)

    def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        with _told():
            return bool(self._renewing(key, version, lease, keep) == 1)

    def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        with _told():
            return bool(self._marking(key, version) == 1)

    def listen(self, owner: str) -> SyncListener:
        listener = _SyncListener(self._listening.pubsub())
        with _told():
            listener.begin(self._channel, self._alive(owner))
        return listener

    def alive(self, owners: Iterable[str]) -> set[str]:
        asked = list(owners)
        with _told():
            return _alive_of(asked, self._counting(asked))

    def time(self) -> int:
        with _told():
            return _nanoseconds(self._client.time())

    def close(self) -> None:
        for client in (self._client, self._listening):
            with contextlib.suppress(Exception):
                client.close()


@final
class _SyncListener(SyncListener):
    def __init__(self, pubsub: Any) -> None:
        self._pubsub: Final = pubsub

    def begin(self, *channels: bytes) -> None:
        """Return when what is told from now on will be heard."""
        try:
            self._pubsub.subscribe(*channels)
            for _ in channels:
                _require_subscribed(self._pubsub.get_message(timeout=SUBSCRIBES_IN))
        except BaseException:
            self.close()
            raise

    def ask(self, mark: int) -> None:
        with _told():
            self._pubsub.ping(str(mark))

    def next(self, timeout: float) -> News | None:
        with _told():
            return _news_of(self._pubsub.get_message(timeout=timeout))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._pubsub.close()


@final
class _AsyncRedis(_Redis, AsyncConnection):
    """See `AsyncConnection` for every method."""

    def __init__(self, store: RedisStore, clients: tuple[Any, Any]) -> None:
        super().__init__(store, clients)
        self._patience: Final = store.patience
        self._free: Final = asyncio.Semaphore(store.connections)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """One question, for which there is a connection; StoreDown where it is not answered in time."""
        with _told():
            async with asyncio.timeout(self._patience), self._free:
                yield

    async def read(self, key: str) -> bytes | None:
        async with self._asking():
            return _bytes_or_none(await self._reading(key))

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for chunk in _chunks(keys):
            async with self._asking():
                found += map(_bytes_or_none, await self._reading_many(chunk))
        return found

    async def swap(self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool) -> Swapped:
        async with self._asking():
            return _swapped(await self._swapping(key, expected, record, keep, drops))

    async def forget(self, key: str) -> None:
        async with self._asking():
            await self._forgetting(key)

    async def forget_many(self, keys: Sequence[str]) -> None:
        for chunk in _chunks(keys):
            async with self._asking():
                await self._forgetting_many(chunk)

    async def renew(self, key: str, version: bytes, lease: int, keep: int | None) -> bool:
        async with self._asking():
            return bool(await self._renewing(key, version, lease, keep) == 1)

    async def mark(self, key: str, version: bytes, keep: int | None) -> bool:
        async with self._asking():
            return bool(await self._marking(key, version) == 1)

    async def listen(self, owner: str) -> AsyncListener:
        listener = _AsyncListener(self._listening.pubsub())
        with _told():
            await listener.begin(self._channel, self._alive(owner))
        return listener

    async def alive(self, owners: Iterable[str]) -> set[str]:
        asked = list(owners)
        async with self._asking():
            return _alive_of(asked, await self._counting(asked))

    async def time(self) -> int:
        async with self._asking():
            return _nanoseconds(await self._client.time())

    async def close(self) -> None:
        for client in (self._client, self._listening):
            with contextlib.suppress(Exception):
                await client.aclose()


@final
class _AsyncListener(AsyncListener):
    def __init__(self, pubsub: Any) -> None:
        self._pubsub: Final = pubsub

    async def begin(self, *channels: bytes) -> None:
        """Return when what is told from now on will be heard."""
        try:
            await self._pubsub.subscribe(*channels)
            for _ in channels:
                _require_subscribed(await self._pubsub.get_message(timeout=SUBSCRIBES_IN))
        except BaseException:
            await self.close()
            raise

    async def ask(self, mark: int) -> None:
        with _told():
            await self._pubsub.ping(str(mark))

    async def next(self, timeout: float) -> News | None:  # noqa: ASYNC109  # as in `AsyncListener`
        with _told():
            return _news_of(await self._pubsub.get_message(timeout=timeout))

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self._pubsub.aclose()


# What Redis says, in our words


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever keeps the client from an answer is StoreDown."""
    try:
        yield
    except (_imported("redis.exceptions").RedisError, OSError) as error:
        raise StoreDown(f"{type(error).__name__}: {str(error) or 'no answer in time'}") from error


def _imported(module: str) -> Any:
    """redis-py is needed by nobody who does not use this store, and so is imported by its use."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise PolicyError("store=RedisStore(...) needs redis-py: pip install 'herdless[redis]'") from missing


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many at once that no reply keeps others waiting for long."""
    for start in range(0, len(keys), MANY):
        yield keys[start : start + MANY]


def _kept(keep: int | None) -> bytes | int:
    return b"" if keep is None else max(keep, 1)


def _bytes_or_none(found: Any) -> bytes | None:
    return found if isinstance(found, bytes) else None


def _swapped(reply: list[Any]) -> Swapped:
    return bool(reply[0] == 1), _bytes_or_none(reply[1]) if len(reply) > 1 else None


def _alive_of(owners: list[str], counted: list[Any]) -> set[str]:
    return {owner for owner, listeners in zip(owners, counted[1::2], strict=True) if listeners}


def _nanoseconds(said: tuple[int, int]) -> int:
    seconds, microseconds = said
    return int(seconds) * 1_000_000_000 + int(microseconds) * 1_000


def _require_subscribed(message: Any) -> None:
    if message is None or message["type"] != "subscribe":
        raise StoreDown("the store did not confirm in time that it is listened to")


def _news_of(message: Any) -> News | None:
    """What a message says; StoreDown where the client has silently connected anew, for what was told meanwhile is
    lost.
    """
    match message and message["type"]:
        case None:
            return None
        case "message":
            data: bytes = message["data"]
            version = data[1:KEY_AT]
            key = data[KEY_AT:].decode("utf-8", "replace")
            return Told(key, b"" if version == NO_VERSION else version, data[:1] == DROPS)
        case "pong" if message["data"]:
            return Heard(int(message["data"]))
        case "subscribe":
            raise StoreDown("the connection was lost for a moment")
        case _:
            return None
