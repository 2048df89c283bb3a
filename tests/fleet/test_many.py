"""Many keys at once, reload, and what is refused: a shared cache of each runtime, in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, final

import pytest

from herdless import Loaded, PolicyError, RemoteLoadError, StoreDown
from herdless.stores import AsyncConnection, MemoryStore, Store, SyncConnection
from herdless_core._fleet.record import parse
from tests.fleet.faces import made
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until
from tests.fleet.test_shared import CLASSES


@final
class Counting(Store):
    """A store in memory that notes which questions it is asked, and may hold a reply to `read_many` back."""

    def __init__(self) -> None:
        self.memory: Final = MemoryStore()
        self.asked: Final[list[tuple[str, Any]]] = []
        self.has_read: Final = threading.Event()
        self.replies: Final = threading.Event()
        self.replies.set()

    def connect(self) -> SyncConnection:
        """For threads, and for trio by them."""
        return _Counting(self)

    def connect_async(self) -> AsyncConnection:
        """For asyncio."""
        raise NotImplementedError

    def count(self, question: str) -> int:
        """How often it was asked this."""
        return sum(asked == question for asked, _ in self.asked)


@final
class _Counting(SyncConnection):
    def __init__(self, store: Counting) -> None:
        self._store = store
        self._inner = store.memory.connect()

    def read(self, key: str) -> bytes | None:
        self._store.asked.append(("read", key))
        return self._inner.read(key)

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._store.asked.append(("read_many", list(keys)))
        found = self._inner.read_many(keys)
        self._store.has_read.set()
        assert self._store.replies.wait(PATIENCE)
        return found

    def forget_many(self, keys: Sequence[str]) -> None:
        self._store.asked.append(("forget_many", list(keys)))
        self._inner.forget_many(keys)

    def forget(self, key: str) -> None:
        self._inner.forget(key)

    def swap(self, *args: Any, **options: Any) -> Any:
        return self._inner.swap(*args, **options)

    def listen(self, owner: str) -> Any:
        return self._inner.listen(owner)

    def alive(self, owners: Iterable[str]) -> Any:
        return self._inner.alive(owners)

    def time(self) -> int:
        return self._inner.time()


BRIDGED = pytest.mark.parametrize("bridged", ["threads", "trio"])


@BRIDGED
def test_the_store_is_asked_once_for_many_keys(bridged: str, loads: Loads) -> None:
    """A page of fifty rows must not be fifty round trips; what is held here is not asked for at all."""
    store = Counting()
    keys = [f"key {number}" for number in range(50)]
    with made(bridged, loads, store, ttl=60) as one, made(bridged, loads, store, ttl=60) as two:
        first = one.do("get_many", keys)
        store.asked.clear()
        assert two.do("get_many", keys) == first
        assert store.asked == [("read_many", keys)]
        store.asked.clear()
        assert two.do("get_many", keys) == first
        assert store.asked == []


@BRIDGED
def test_what_is_invalidated_while_many_are_read_is_not_answered(bridged: str, loads: Loads) -> None:
    """The reply is on its way, and older than the invalidation: it counts as a fetch in flight, which is dropped."""
    store = Counting()
    with made(bridged, loads, store, ttl=600) as one, made(bridged, loads, store, ttl=600) as two:
        assert [one.get(key) for key in "ab"] == [["a", 1], ["b", 2]]
        store.replies.clear()
        reading = two.begin("get_many", ["a", "b"])
        assert store.has_read.wait(PATIENCE)
        two.do("invalidate", "a")
        store.replies.set()
        assert reading.result(PATIENCE) == {"a": ["a", 3], "b": ["b", 2]}
        assert two.get("a") == ["a", 3]
        wait_until(lambda: one.get("a") == ["a", 3])  # it is told


@BRIDGED
def test_a_store_that_fails_at_many_keys_is_asked_for_each(bridged: str, loads: Loads) -> None:
    """`store_down` decides for each, as for `get`."""

    @final
    class Fails(Store):
        def __init__(self) -> None:
            self.memory = MemoryStore()

        def connect(self) -> SyncConnection:
            connection = self.memory.connect()

            def read_many(keys: Sequence[str]) -> list[bytes | None]:
                raise StoreDown(f"not for {len(keys)}")

            connection.read_many = read_many  # type: ignore[method-assign]  # what goes wrong
            return connection

    with made(bridged, loads, Fails(), ttl=60) as one:
        assert [value[0] for value in one.do("get_many", ["a", "b"]).values()] == ["a", "b"]


def test_many_are_put_and_invalidated(colour: str, store: MemoryStore, loads: Loads) -> None:
    """For all processes, as one by one."""
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        one.do("put_many", {"a": 1, "b": Loaded(2, ttl=500)})
        assert two.do("get_many", ["a", "b"]) == {"a": 1, "b": 2}
        one.do("invalidate_many", ["a", "b", "c"])
        loaded = one.do("get_many", ["a", "b"])
        assert [value[0] for value in loaded.values()] == ["a", "b"]
        wait_until(lambda: two.do("get_many", ["a", "b"]) == loaded)
        with pytest.raises(PolicyError, match="values="):
            one.do("put_many", ["a"])
        with pytest.raises(PolicyError):
            one.do("invalidate_many", "abc")


# Reload and refresh


def test_reload_is_a_load_that_begins_after_it(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Whoever has just written wants what is true now; the others go on with what is held."""
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        assert one.get("a") == two.get("a") == ["a", 1]
        assert one.do("reload", "a") == ["a", 2]
        assert one.get("a") == ["a", 2]
        assert two.get("a") == ["a", 1], "within its ttl, as after a refresh"
        assert two.do("reload", "a") == ["a", 3]


def test_reload_waits_for_the_load_of_another_process_and_loads_anew(
    colour: str, store: MemoryStore, loads: Loads
) -> None:
    """That one may have read what was true before; and two of one key are not in the air at once."""
    loads.gate.clear()
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        older = one.begin("get", "a")
        until_begun(loads, 1)
        newer = two.begin("reload", "a")
        wait_until(lambda: parse(store.read("a")).is_awaited)
        assert len(loads.keys) == 1
        loads.gate.set()
        assert older.result(PATIENCE) == ["a", 1]
        assert newer.result(PATIENCE) == ["a", 2]


def test_those_who_reload_while_one_is_in_flight_share_the_next_load(
    colour: str, store: MemoryStore, loads: Loads
) -> None:
    """Ten that reload are not ten loads more. Those of one process who came while it was waiting already need another
    one, and so may those of the other process whose question came while that ran.
    """
    loads.gate.clear()
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        first = one.begin("get", "a")
        until_begun(loads, 1)
        reloads = [each.begin("reload", "a") for each in (one, two) for _ in range(5)]
        wait_until(lambda: parse(store.read("a")).is_awaited)
        wait_until(lambda: two.cache.stats().in_flight == 1)
        loads.gate.set()
        assert first.result(PATIENCE) == ["a", 1]
        values = {tuple(each.result(PATIENCE)) for each in reloads}
        assert all(number > 1 for _, number in values)
        assert len(loads.keys) < len(reloads)


def test_a_reload_that_fails_says_so_and_leaves_the_value_to_others(
    colour: str, store: MemoryStore, loads: Loads
) -> None:
    """The error is what was asked about; nobody else is worse off."""
    with made(colour, loads, store, ttl=600, stale_if_error=600) as one, made(colour, loads, store, ttl=600) as two:
        assert one.get("a") == ["a", 1]
        loads.ends = [LookupError("gone")]
        with pytest.raises(LookupError, match="gone"):
            one.do("reload", "a")
        assert one.get("a") == two.get("a") == ["a", 1]


def test_a_reload_that_joins_a_failing_one_elsewhere_gets_an_error(
    colour: str, store: MemoryStore, loads: Loads
) -> None:
    """Its own, or what is known of the other's."""
    loads.gate.clear()
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        loads.ends = [["a", 0], LookupError("first"), LookupError("second")]
        older = one.begin("get", "a")
        until_begun(loads, 1)
        reloads = [each.begin("reload", "a") for each in (one, two)]
        wait_until(lambda: parse(store.read("a")).is_awaited)
        loads.gate.set()
        assert older.result(PATIENCE) == ["a", 0]
        for each in reloads:
            with pytest.raises((LookupError, RemoteLoadError), match=r"first|second"):
                each.result(PATIENCE)


def test_refresh_says_whether_it_began(colour: str, store: MemoryStore, loads: Loads) -> None:
    """None begins where one is in flight in any process."""
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        loads.gate.clear()
        assert one.do("refresh", "a") is True
        until_begun(loads, 1)
        assert two.do("refresh", "a") is False
        assert one.do("refresh", "a") is False
        loads.gate.set()
        wait_until(lambda: one.get("a") == two.get("a") == ["a", 1])
        assert len(loads.keys) == 1


# What is not there


@pytest.mark.parametrize("option", ["load_many", "on_remove", "maxweight", "previous", "name", "clock", "max_loads"])
def test_what_only_a_cache_of_one_process_has_is_refused_by_name(colour: str, option: str) -> None:
    """And not by a complaint about an argument of something else."""
    with pytest.raises(PolicyError, match=f"{option}= is not accepted by a shared cache"):
        CLASSES[colour](lambda key: key, store=MemoryStore(), **{option: None})


def test_tags_are_refused(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Who gives them will invalidate by them, and nothing would be."""
    loads.ends = [Loaded("value", tags=["t"])]
    with made(colour, loads, store, ttl=60) as one:
        with pytest.raises(PolicyError, match="tags="):
            one.get("a")
        with pytest.raises(PolicyError, match="tags="):
            one.do("put", "a", Loaded("value", tags=["t"]))
        assert one.get("a") == ["a", 2]
