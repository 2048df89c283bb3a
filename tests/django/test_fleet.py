"""The backend on a fleet's store: one LOCATION is one cache of all processes.

Each alias here stands for a process: backends whose options differ share nothing but the store. Django's own tests of
backends pass on a MemoryStore and on Valkey as they do without a store: docs/how-to/django.md.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from django.core.cache import CacheHandler
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from herdless import codecs
from herdless.stores import MemoryStore, Store, StoreDown
from tests.django.conftest import BACKEND
from tests.fleet.server import PATIENCE, Server, running
from tests.fleet.test_processes import wait_until

Backends = Callable[..., Any]


@pytest.fixture
def store() -> MemoryStore:
    """What the processes share."""
    return MemoryStore()


@pytest.fixture
def process() -> Iterator[Backends]:
    """Makes the backend of one more process, which is closed after the test."""
    made: list[Any] = []

    def make(store: Store | str, location: str = "shop", **options: Any) -> Any:
        options = {"MAX_ENTRIES": 1000 + len(made), "store": store, **options}
        handler = CacheHandler({"default": {"BACKEND": BACKEND, "LOCATION": location, "OPTIONS": options}})
        made.append(handler["default"])
        return made[-1]

    yield make
    for each in made:
        with suppress(StoreDown):
            each._place.cache.close()


def test_a_key_is_loaded_once_in_all_processes(process: Backends, store: MemoryStore) -> None:
    """By sync and async callers together; and each gets a copy that he may change."""
    started, release, calls = threading.Event(), threading.Event(), []

    def load() -> list[int]:
        calls.append("sync")
        started.set()
        assert release.wait(PATIENCE)
        return [1, 2]

    async def load_async() -> list[int]:
        calls.append("async")
        return [1, 2]

    async def ask() -> list[list[int]]:
        return list(await asyncio.gather(*(there.aget_or_set("key", load_async, 60) for _ in range(3))))

    here, there = process(store), process(store)
    with ThreadPoolExecutor(4) as pool:
        first = [pool.submit(here.get_or_set, "key", load, 60) for _ in range(2)]
        assert started.wait(PATIENCE)
        second, third = pool.submit(there.get_or_set, "key", load, 60), pool.submit(asyncio.run, ask())
        wait_until(lambda: there._place.cache.stats().in_flight == 1)
        release.set()
        values = [each.result(PATIENCE) for each in (*first, second)] + third.result(PATIENCE)
    assert values == [[1, 2]] * 6
    assert len({id(value) for value in values}) == 6
    assert calls == ["sync"]
    assert here.get("key") == there.get("key") == [1, 2]


def test_what_one_process_changes_all_see(process: Backends, store: MemoryStore) -> None:
    """What lies in the other's memory is let go."""
    here, there = process(store), process(store)
    here.set("key", "one")
    assert there.get("key") == "one"
    assert there.get_or_set("key", lambda: "never") == "one"
    there.set("key", "two", 60)
    wait_until(lambda: here.get("key") == "two")
    assert here.touch("key", 100)
    assert here.get_or_set("key", lambda: "never") == "two"
    assert (here.delete("key"), here.delete("key"), here.touch("key")) == (True, False, False)
    wait_until(lambda: there.get("key") is None)
    there.set("key", "three", 0)
    assert not here.has_key("key")
    assert here.get_many(["key", "other"]) == {}


def test_add_and_incr_are_one_step_of_all_processes(process: Backends, store: MemoryStore) -> None:
    """A lock that is made of `add`, a counter of what all visitors did."""
    here, there = process(store), process(store)
    here.set("counter", 0, None)
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda number: (here, there)[number % 2].add("lock", number), range(20)))
        list(pool.map(lambda number: (here, there)[number % 2].incr("counter"), range(100)))
    assert added.count(True) == 1
    assert here.get("lock") == there.get("lock") == added.index(True)
    assert here.get("counter") == there.get("counter") == 100
    with pytest.raises(ValueError, match="Key 'none' not found"):
        here.incr("none")


def test_clear_empties_all_processes(process: Backends, store: MemoryStore) -> None:
    """And no other LOCATION."""
    here, there, other = process(store), process(store), process(store, location="other")
    for each in (here, other):
        each.set("key", "value")
    assert there.get_or_set("key", lambda: "never") == "value"
    assert there.get("key") == "value"
    here.clear()
    assert here.get("key") is None
    wait_until(lambda: there.get("key") is None)
    there.set("key", "new")
    assert here.get("key") == "new"
    assert other.get("key") == "value"


def test_what_is_deleted_is_deleted_by_a_process_that_has_not_heard_of_a_clear(
    process: Backends, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would delete what nobody looks at any more, and the old value would be served."""
    here, there = process(store), process(store)
    there.set("key", "old")
    assert there.get("key") == "old"
    monkeypatch.setattr(there._place.cache, "_told", lambda told: None)
    here.clear()
    here.get_or_set("key", lambda: "old")
    assert there.delete("key") is True
    wait_until(lambda: here.get("key") is None)


@pytest.mark.parametrize("timeout", [None, 30])
def test_loads_on_other_threads_close_old_connections(
    process: Backends, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    """There no request begins or ends."""
    closed: list[str] = []
    monkeypatch.setattr(
        "herdless._django.places.close_old_connections", lambda: closed.append(threading.current_thread().name)
    )
    ran: list[str] = []
    process(store, load_timeout=timeout).get_or_set("key", lambda: ran.append(threading.current_thread().name))
    assert closed == ([] if timeout is None else ran * 2)
    assert (ran == [threading.current_thread().name]) is (timeout is None)


def test_error_of_the_function_reaches_its_caller(process: Backends, store: MemoryStore) -> None:
    """As it is, and the next one tries again."""

    def fail() -> str:
        raise ConnectionError("down")

    here = process(store)
    with pytest.raises(ConnectionError, match="down"):
        here.get_or_set("key", fail)
    assert here.get_or_set("key", lambda: "value") == "value"


def test_async_methods_do_the_same(process: Backends, store: MemoryStore) -> None:
    """On a thread, for the store has to be waited for."""
    here = process(store)

    async def main() -> None:
        await here.aset("a", 1)
        assert await here.aget("a") == 1
        assert await here.ahas_key("a")
        assert await here.aadd("a", 2) is False
        assert await here.aincr("a") == 2
        assert await here.atouch("a", 60) is True
        assert await here.aget_many(["a", "b"]) == {"a": 2}
        assert await here.aget_or_set("b", 7) == 7
        assert await here.aget_or_set("b", 8) == 7
        assert await here.adelete("a") is True
        await here.aclear()
        assert await here.aget("b") is None

    asyncio.run(main())


def test_value_that_another_release_wrote_is_loaded_again(process: Backends, store: MemoryStore) -> None:
    """During a deployment a class has two shapes; a page must not fail of it."""
    packed = codecs.json()
    old, new = process(store), process(store, encode=packed.encode, decode=packed.decode)
    old.set("key", "old")
    with pytest.raises(ValueError, match="decode"):
        packed.decode(old._place.encode("old"))
    assert new.get("key") is None
    assert new.get_or_set("key", lambda: ["new"]) == ["new"]
    assert new.get("key") == ["new"]
    wait_until(lambda: old.get("key") is None)


class _Runs:
    """What runs code when it is unpickled."""

    ran: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return _Runs.ran.append, ("ran",)


@pytest.mark.parametrize(
    "forged",
    [pickle.dumps(_Runs()), b"\0" * 32 + pickle.dumps(_Runs()), b"short", b""],
    ids=["bare", "marked", "short", "empty"],
)
def test_what_this_site_has_not_signed_is_not_unpickled(process: Backends, store: MemoryStore, forged: bytes) -> None:
    """Whoever can write to the store would run code in every process."""
    here, forger = process(store), process(store, encode=lambda value: forged, decode=lambda encoded: None)
    forger.set("key", "anything")
    assert here.get("key") is None
    assert here.get_or_set("key", lambda: "value") == "value"
    assert here.get("key") == "value"
    assert not _Runs.ran


def test_secret_key_may_be_replaced(process: Backends, store: MemoryStore) -> None:
    """By Django's way: the old one is kept among the fallbacks for a while."""
    here = process(store)
    here.set("key", "value")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["for tests"]):  # noqa: S106  # of nothing
        assert here.get("key") == "value"
        here.set("other", "new")
    assert here.get("other") is None
    assert here.get("key") == "value"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may kill."""
    with running() as server:
        yield server


def test_while_the_store_is_down_reads_go_on_and_changes_say_so(process: Backends, server: Server) -> None:
    """A site without its cache is slow, and not gone; but nobody may believe that a value was deleted."""
    here, strict = process(server.url), process(server.url, store_down="raise")
    here.set("key", "value")
    assert here.get("key") == strict.get("key") == "value"
    server.kill()
    wait_until(lambda: here.get("key") is None)
    assert here.get_or_set("other", lambda: "alone") == "alone"
    for change in (lambda: here.set("key", 1), lambda: here.delete("key"), lambda: here.add("key", 1), here.clear):
        with pytest.raises(StoreDown):
            change()
    with pytest.raises(StoreDown):
        strict.get("key")
    server.start()
    wait_until(lambda: _succeeds(lambda: here.set("key", "again")))
    wait_until(lambda: _succeeds(lambda: strict.get("key")))
    assert strict.get("key") == "again"
    assert here.delete("key") is True
    wait_until(lambda: strict.get("key") is None)


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreDown:
        return False
    return True


@pytest.mark.parametrize(
    ("location", "options", "message"),
    [
        ("", {"store": "redis://127.0.0.1"}, "LOCATION='' is not accepted with a store"),
        ("shop", {"store": "http://user:secret@127.0.0.1"}, "url is not accepted"),
        ("shop", {"store": 5}, "store=5 is not accepted"),
        ("shop", {"store": "redis://127.0.0.1", "observe": print}, "observe"),
        ("shop", {"store": "redis://127.0.0.1", "lease": -1}, "lease=-1 is not accepted"),
    ],
)
def test_bad_option_is_named_by_django(location: str, options: dict[str, Any], message: str) -> None:
    """And no password is shown."""
    handler = CacheHandler({"default": {"BACKEND": BACKEND, "LOCATION": location, "OPTIONS": options}})
    with pytest.raises(ImproperlyConfigured, match=message) as refused:
        handler["default"].get("key")
    assert "secret" not in str(refused.value)
