"""A shared cache of either colour, in one process, on a store in memory: what callers see of it."""

from __future__ import annotations

import functools
import logging
import pickle
from datetime import timedelta
from typing import Any, Final

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import (
    NOT_MODIFIED,
    Loaded,
    LoadTimeout,
    MisuseError,
    Policy,
    PolicyError,
    RemoteLoadError,
    TooManyWaiters,
)
from herdless.stores import MemoryStore
from tests.fleet.faces import Face, made
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

CLASSES: Final[dict[str, Any]] = {
    "asyncio": herdless.asyncio.SharedCache,
    "threads": herdless.threads.SharedCache,
    "trio": herdless.trio.SharedCache,
}


# What a lookup says


def test_a_lookup_says_how_it_came_to_its_value(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Loaded by the first, fetched by another process's cache, a hit from then on; and the age is the record's."""
    with made(colour, loads, store, ttl=60) as one, made(colour, loads, store, ttl=60) as two:
        first = one.do("lookup", "a")
        second = two.do("lookup", "a")
        again = two.do("lookup", "a")
        assert [each.how for each in (first, second, again)] == ["loaded", "fetched", "hit"]
        assert first.value == second.value == ["a", 1]
        # Two processes know the store's clock to a round trip, one of them what it said before.
        assert first.age >= 0 <= second.age <= again.age < PATIENCE
        assert 0 < again.ttl <= second.ttl < 60 + PATIENCE


def test_who_waits_for_a_load_elsewhere_has_joined(colour: str, store: MemoryStore, loads: Loads) -> None:
    """In the words of the cache of one process."""
    loads.gate.clear()
    with made(colour, loads, store, ttl=60) as one, made(colour, loads, store, ttl=60) as two:
        first = one.begin("lookup", "a")
        until_begun(loads, 1)
        second = two.begin("lookup", "a")
        wait_until(lambda: two.cache.stats().in_flight == 1)
        loads.gate.set()
        assert first.result(PATIENCE).how == "loaded"
        assert second.result(PATIENCE).how in {"joined", "fetched"}
        assert loads.keys == ["a"]


def test_every_caller_gets_what_was_decoded(colour: str, store: MemoryStore, loads: Loads) -> None:
    """The one whose load it was, too: otherwise it depends on the process what a value is."""
    loads.ends = [(1, 2)]
    with made(colour, loads, store, ttl=60) as one, made(colour, loads, store, ttl=60) as two:
        assert one.get("a") == [1, 2] == two.get("a")


def test_hits_are_answered_from_memory(colour: str, store: MemoryStore, loads: Loads) -> None:
    """The same object, as in one process."""
    with made(colour, loads, store, ttl=60) as one:
        value = one.get("a")
        assert one.get("a") is value is one.cache.peek("a")
        assert "a" in one.cache
        assert len(one.cache) == 1
        assert one.cache.stats().hits == 1
        one.cache.clear()
        assert one.cache.peek("a", "nothing") == "nothing"
        assert one.do("lookup", "a").how == "fetched"
        assert loads.keys == ["a"]


def test_without_staleness_nothing_is_answered_from_memory(colour: str, store: MemoryStore, loads: Loads) -> None:
    """`staleness=0`: each lookup asks the store."""
    with made(colour, loads, store, ttl=60, staleness=0) as one, made(colour, loads, store, ttl=60) as two:
        assert one.get("a") == ["a", 1]
        two.do("put", "a", "put")
        assert one.get("a") == "put"
        assert [one.do("lookup", "a").how for _ in range(3)] == ["fetched"] * 3
        assert one.cache.peek("a") is None


def test_a_value_ends_near_when_it_ends_in_the_record(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Its age counts from its load, and not from when it was fetched."""
    loads.ends = [Loaded("short", ttl=0.3)]
    with made(colour, loads, store, ttl=60) as one, made(colour, loads, store, ttl=60) as two:
        assert one.get("a") == "short"
        ages = []
        while (found := two.do("lookup", "a")).value == "short":
            ages.append(found.age)
        assert max(ages, default=0) <= 0.3 + PATIENCE / 100
        assert found.value == ["a", 2]


def test_a_value_that_was_old_already_is_so_old_in_every_process(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Loaded or put: what has come from another cache is not made young by this one."""
    loads.ends = [Loaded("loaded", age=1_000)]
    with made(colour, loads, store, ttl=5_000) as one, made(colour, loads, store, ttl=5_000) as two:
        assert all(1_000 <= each.do("lookup", "a").age < 1_000 + PATIENCE for each in (one, two))
        one.do("put", "b", Loaded("put", age=1_000))
        assert all(1_000 <= each.do("lookup", "b").age < 1_000 + PATIENCE for each in (one, two))
        one.do("put", "c", Loaded("put", age=6_000))
        assert two.get("c") == ["c", 2], "it was past its ttl"


def test_nothing_can_be_not_modified_in_a_fleet(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Its loaders are given no value before."""
    loads.ends = [NOT_MODIFIED]
    with made(colour, loads, store, ttl=60) as one:
        with pytest.raises(PolicyError, match="NOT_MODIFIED is not accepted"):
            one.get("a")
        with pytest.raises(PolicyError, match=r"NOT_MODIFIED is not accepted by put\(\)"):
            one.do("put", "a", NOT_MODIFIED)
        assert one.get("a") == ["a", 2]


def test_errors_are_the_loaders_own_here_and_remote_elsewhere(colour: str, store: MemoryStore, loads: Loads) -> None:
    """The exception object is of this process; what is known of it is of all."""
    loads.ends = [LookupError("no such row")]
    options = {"ttl": 60, "negative_ttl": 60}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        with pytest.raises(LookupError, match="no such row"):
            one.get("a")
        with pytest.raises(RemoteLoadError, match="no such row") as caught:
            two.get("a")
        assert caught.value.kind == "LookupError"
        assert loads.keys == ["a"]


def test_a_load_that_is_overdue_ends_in_load_timeout(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Wherever one waits; what it gives later is not kept."""
    loads.gate.clear()
    options = {"ttl": 60, "load_timeout": 0.3}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        waiting = [one.begin("get", "a")]
        until_begun(loads, 1)
        waiting.append(two.begin("get", "a"))
        for each in waiting:
            with pytest.raises(LoadTimeout):
                each.result(PATIENCE)
        loads.gate.set()
        assert one.get("a") != ["a", 1]


def test_a_stale_value_is_served_while_one_refreshes(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Nobody waits, and there is one refresh."""
    options = {"ttl": 60, "stale_while_revalidate": 600}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        assert one.get("a") == two.get("a") == ["a", 1]
        loads.gate.clear()
        one.do("expire", "a")
        assert one.do("lookup", "a").how == "stale"
        until_begun(loads, 2)
        wait_until(lambda: two.do("lookup", "a").how == "stale")
        loads.gate.set()
        wait_until(lambda: one.get("a") == two.get("a") == ["a", 2])
        assert len(loads.keys) == 2


def test_a_refresh_that_fails_is_logged_and_backs_off(
    colour: str, store: MemoryStore, loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    """No caller sees it, so the log does; the value stays."""
    with made(colour, loads, store, ttl=60, stale_while_revalidate=600, refresh_backoff=600) as one:
        assert one.get("a") == ["a", 1]
        loads.ends = [OSError("the origin is down")]
        with caplog.at_level(logging.WARNING, "herdless"):
            one.do("expire", "a")
            assert one.get("a") == ["a", 1]
            wait_until(lambda: any("failed" in record.getMessage() for record in caplog.records))
        wait_until(lambda: one.cache.stats().load_failures == 1)
        assert one.do("lookup", "a").how == "stale"
        assert len(loads.keys) == 2


def test_many_keys_are_each_one_load(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Those that another process has loaded are fetched, the others loaded; and errors may stand in their places."""
    with made(colour, loads, store, ttl=60) as one, made(colour, loads, store, ttl=60) as two:
        assert two.get("b") == ["b", 1]
        assert list(one.do("get_many", ["c", "b", "c"])) == ["c", "b"]
        assert one.do("get_many", ["b", "c"]) == {"b": ["b", 1], "c": ["c", 2]}
        assert one.do("get_many", []) == {}
        loads.ends = [LookupError("no such row")]
        with pytest.raises(LookupError):
            one.do("get_many", ["b", "d"])
        with pytest.raises(PolicyError):
            one.do("get_many", "abc")


# Values and keys


def test_a_value_that_json_cannot_say_is_the_loaders_mistake(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Said at once, and what to do; nothing is stored, and nothing of the value is in the message."""
    loads.ends = [{"secret": object()}, float("nan")]
    with made(colour, loads, store, ttl=60) as one:
        for _ in range(2):
            with pytest.raises(MisuseError, match="give encode= and decode=") as caught:
                one.get("a")
            assert "secret" not in str(caught.value)
        with pytest.raises(MisuseError, match="of type set"):
            one.do("put", "a", {1})
        assert one.get("a") == ["a", 3]


def test_values_of_any_kind_go_by_an_encoding_of_ones_own(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Bytes are what a store takes."""
    loads.ends = [timedelta(seconds=1)]
    with made(colour, loads, store, ttl=60, encode=pickle.dumps, decode=pickle.loads) as one:
        assert one.get("a") == timedelta(seconds=1)


def test_a_value_that_cannot_be_decoded_is_loaded_again(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Somebody with another encoding has written it, or nobody well-meaning."""
    with (
        made(colour, loads, store, ttl=60, encode=pickle.dumps, decode=pickle.loads) as other,
        made(colour, loads, store, ttl=60) as one,
    ):
        assert other.get("a") == ["a", 1]
        assert one.get("a") == ["a", 2]


def test_keys_of_two_kinds_are_two_keys(colour: str, store: MemoryStore, loads: Loads) -> None:
    """7 and "7" are two in one process; what they are in the store must be two as well."""
    keys: list[Any] = [7, "7", -7, "-7", '"7"', "", "ä", 'x"', "07"]
    with made(colour, loads, store, ttl=600) as one, made(colour, loads, store, ttl=600) as two:
        assert [one.get(key) for key in keys] == [[key, number] for number, key in enumerate(keys, 1)]
        assert [two.get(key) for key in keys] == [[key, number] for number, key in enumerate(keys, 1)]
        for key in keys:  # and what is told of each is told of that one
            one.do("put", key, "put")
            wait_until(functools.partial(is_put, two, key))
        assert len(loads.keys) == len(keys)


def is_put(face: Face, key: Any) -> bool:
    """Whether it gets what was put."""
    return bool(face.get(key) == "put")


@pytest.mark.parametrize("key", [True, 1.5, None, ("a", 1), b"a"])
def test_other_keys_are_refused_until_it_is_said_what_they_are_called(
    colour: str, store: MemoryStore, loads: Loads, key: Any
) -> None:
    """Whoever guesses by `repr` would find that two processes guess differently."""
    with made(colour, loads, store, ttl=60) as one:
        with pytest.raises(PolicyError, match="store_key"):
            one.get(key)
        with pytest.raises(PolicyError, match="store_key"):
            one.do("invalidate", key)
        assert loads.keys == []


def test_store_key_names_keys_of_any_kind(colour: str, store: MemoryStore, loads: Loads) -> None:
    """What is told of a name is told of the keys that have it."""
    options: dict[str, Any] = {"ttl": 600, "store_key": "/".join}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        key = ("users", "7")
        loads.ends = ["seven"]
        assert one.get(key) == two.get(key) == "seven"
        one.do("put", key, "put")
        wait_until(lambda: two.get(key) == "put")
        assert store.read("users/7") is not None


def test_a_store_key_that_is_no_text_is_refused(colour: str, store: MemoryStore, loads: Loads) -> None:
    """One clear error."""
    with made(colour, loads, store, ttl=60, store_key=lambda key: key) as one:
        for key in (3, "\ud800"):
            with pytest.raises(PolicyError, match="is not accepted"):
                one.get(key)


def test_an_unhashable_key_is_a_type_error(colour: str, store: MemoryStore, loads: Loads) -> None:
    """As in every cache."""
    with made(colour, loads, store, ttl=60) as one, pytest.raises(TypeError):
        one.get([])


# Arguments


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("lease", 0),
        ("lease", "10"),
        ("lease", True),
        ("lease", float("nan")),
        ("staleness", -1),
        ("staleness", float("inf")),
        ("store_down", "wait"),
        ("encode", None),
        ("decode", 3),
        ("store_key", "x"),
        ("store", "redis://localhost"),
        ("maxsize", -1),
        ("ttl", -1),
        ("policy", Policy()),
    ],
)
def test_an_argument_out_of_its_range_is_named(colour: str, argument: str, value: object) -> None:
    """One clear error, when the cache is made."""
    cache_class = CLASSES[colour]
    options = {"store": MemoryStore(), "jitter": 0.1, "ttl": 60} | {argument: value}
    with pytest.raises(PolicyError, match=f"{argument}="):
        cache_class(lambda key: key, **options)


def test_a_loader_that_is_none_is_refused(colour: str) -> None:
    """As in every cache."""
    cache_class = CLASSES[colour]
    with pytest.raises(PolicyError, match="load="):
        cache_class(None, store=MemoryStore())


def test_max_waiters_is_of_each_process(colour: str, store: MemoryStore, loads: Loads) -> None:
    """It bounds what one process keeps in memory."""
    loads.gate.clear()
    with made(colour, loads, store, ttl=60, max_waiters=1) as one, made(colour, loads, store, ttl=60) as two:
        waiting = [one.begin("get", "a")]
        until_begun(loads, 1)
        with pytest.raises(TooManyWaiters):
            one.get("a")
        waiting.append(two.begin("get", "a"))
        loads.gate.set()
        assert [each.result(PATIENCE) for each in waiting] == [["a", 1]] * 2
