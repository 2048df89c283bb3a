"""The backend does what Django documents of `django.core.cache`, and `get_or_set` loads once.

Django's own tests of backends (BaseCacheTests, CacheMiddlewareTest, TestWithTemplateResponse and CacheHEADTest of
5.2.19) pass on it, but for the two on culling: docs/how-to/django.md.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import CacheHandler, caches
from django.core.cache.backends.base import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from herdless import NOT_MODIFIED, LoadCancelled, Loaded, PolicyError
from herdless.testing import VirtualClock
from tests.django.conftest import BACKEND, CACHES, joined


def backend(alias: str = "default") -> Any:
    """One of the caches of the settings."""
    return caches[alias]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """The clock of the caches in this test."""
    made = VirtualClock()
    for alias in CACHES:
        monkeypatch.setattr(backend(alias)._place.cache, "_clock", made)
    return made


def herd(number: int, call: Callable[[], Any], started: threading.Event, release: threading.Event) -> list[Any]:
    """What so many threads get that call at once, of which one is in the loader until all the others wait."""
    with joined(backend()._place.cache, number - 1) as all_wait, ThreadPoolExecutor(number) as pool:
        futures = [pool.submit(call) for _ in range(number)]
        assert started.wait(60)
        assert all_wait.wait(60)
        release.set()
        return [future.result(60) for future in futures]


def test_get_or_set_loads_once_for_a_herd_of_threads() -> None:
    """Django's own backends call the function in each of them. And each gets a copy that it may change."""
    started, release, calls = threading.Event(), threading.Event(), []

    def load() -> list[int]:
        calls.append(1)
        started.set()
        release.wait(60)
        return [1, 2]

    values = herd(8, lambda: backend().get_or_set("key", load, 60), started, release)
    assert values == [[1, 2]] * 8
    assert len({id(value) for value in values}) == 8
    assert calls == [1]
    assert backend().get("key") == [1, 2]


def test_get_or_set_loads_once_for_sync_and_async_callers_together() -> None:
    """An ASGI server runs both kinds of views in one process; each async caller has a loop of its own here."""
    started, release, calls = threading.Event(), threading.Event(), []

    async def load_async() -> str:
        calls.append("async")
        started.set()
        await asyncio.to_thread(release.wait, 60)
        return "value"

    def load() -> str:
        calls.append("sync")
        started.set()
        release.wait(60)
        return "value"

    async def ask_twice() -> list[str]:
        return list(await asyncio.gather(*(backend().aget_or_set("key", load_async) for _ in range(2))))

    with joined(backend()._place.cache, 2) as all_wait, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(asyncio.run, ask_twice()) for _ in range(2)]
        assert started.wait(60)
        futures += [pool.submit(backend().get_or_set, "key", load) for _ in range(2)]
        assert all_wait.wait(60)
        release.set()
        values = [future.result(60) for future in futures]
    assert values == [["value"] * 2] * 2 + ["value"] * 2
    assert len(calls) == 1


def test_async_loads_that_wait_for_others_do_not_starve() -> None:
    """Two hundred loads, each of which asks for another key: a pool of threads would be full of those who wait."""

    async def inner() -> int:
        await asyncio.sleep(0)
        return 1

    async def outer(number: int) -> int:
        return number + int(await backend().aget_or_set(f"inner-{number % 7}", inner))

    async def main() -> list[int]:
        asked = (backend().aget_or_set(f"outer-{number}", lambda number=number: outer(number)) for number in range(200))
        return list(await asyncio.gather(*asked))

    assert asyncio.run(main()) == list(range(1, 201))


def test_error_of_the_function_reaches_all_and_is_forgotten() -> None:
    """The next request tries again."""

    def fail() -> str:
        raise ConnectionError("down")

    async def fail_async() -> str:
        raise ConnectionError("down")

    with pytest.raises(ConnectionError, match="down"):
        backend().get_or_set("key", fail)
    with pytest.raises(ConnectionError, match="down"):
        asyncio.run(backend().aget_or_set("key", fail_async))
    assert backend().get_or_set("key", lambda: "value") == "value"
    with pytest.raises(TypeError, match="await aget_or_set"):
        backend().get_or_set("other", fail_async)


def test_loop_that_ends_takes_no_waiter_along() -> None:
    """A request that is cancelled with its loop must not leave a key that hangs."""
    started = threading.Event()

    async def hang() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    async def main() -> None:
        caller = asyncio.create_task(backend().aget_or_set("key", hang))
        assert await asyncio.to_thread(started.wait, 60)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)

    asyncio.run(main())
    try:
        assert backend().get_or_set("key", lambda: "value") == "value"
    except LoadCancelled:  # it came while the load that was struck was still there
        assert backend().get_or_set("key", lambda: "value") == "value"


@contextmanager
def held_up(value: str) -> Iterator[tuple[Future[Any], threading.Event]]:
    """A `get_or_set` of "key" on a thread of its own, whose load has begun and gives the value once it is released."""
    started, release = threading.Event(), threading.Event()

    def load() -> str:
        started.set()
        release.wait(60)
        return value

    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(backend().get_or_set, "key", load)
        assert started.wait(60)
        yield caller, release


def test_function_may_say_for_how_long(clock: VirtualClock) -> None:
    """A token lasts for as long as whoever gives it says."""
    assert backend().get_or_set("token", lambda: Loaded("secret", ttl=100, age=40), 3600) == "secret"
    assert backend().get_or_set("once", lambda: Loaded("value", keep=False)) == "value"
    assert backend().get_or_set("default", lambda: Loaded("value", age=40), 100) == "value"
    with pytest.raises(PolicyError, match="NOT_MODIFIED"):
        backend().get_or_set("nothing", lambda: NOT_MODIFIED)
    assert "once" not in backend()
    clock.advance(59)
    assert backend().get("token") == "secret"
    assert backend().get("default") == "value"
    clock.advance(1)
    assert backend().get("token") is None
    assert backend().get("default") is None


def test_set_during_a_load_is_what_all_get() -> None:
    """The load read the database before the change that was set."""
    with held_up("old") as (caller, release):
        backend().set("key", "new")
        release.set()
        assert caller.result(60) == "new"
    assert backend().get("key") == "new"


def test_get_waits_for_no_load() -> None:
    """Django's `get` answers at once."""
    with held_up("value") as (caller, release):
        assert backend().get("key", "default") == "default"
        assert "key" not in backend()
        release.set()
        assert caller.result(60) == "value"


def test_timeouts(clock: VirtualClock) -> None:
    """Seconds, None for ever, 0 and less not at all, and the setting's where none is given."""
    cache = backend("other")
    cache.set("setting", 1)
    cache.set("own", 1, 100)
    cache.set("ever", 1, None)
    cache.set("zero", 1, 0)
    cache.set("less", 1, -5)
    assert cache.get_or_set("unkept", lambda: "value", 0) == "value"
    clock.advance(59)
    assert sorted(cache.get_many(["setting", "own", "ever", "zero", "less", "unkept"])) == ["ever", "own", "setting"]
    clock.advance(1)
    assert not cache.has_key("setting")
    assert cache.touch("own", 1000) is True
    assert cache.touch("setting") is False
    clock.advance(999)
    assert cache.get("own") == cache.get("ever") == 1
    clock.advance(1)
    assert cache.get("own") is None
    cache.set("ever", 1, None)
    cache.set("ever", 1, 0)
    assert cache.get("ever") is None, "what was there is gone too"


def test_incr_keeps_the_time(clock: VirtualClock) -> None:
    """A counter for a rate limit must end when it was to end."""
    cache = backend()
    cache.set("counter", 5, 60)
    clock.advance(30)
    assert (cache.incr("counter"), cache.decr("counter", 3)) == (6, 3)
    clock.advance(30)
    for change in (cache.incr, cache.decr):
        with pytest.raises(ValueError, match="Key 'counter' not found"):
            change("counter")
    cache.set("text", "a")
    with pytest.raises(TypeError):
        cache.incr("text")


def test_add_and_incr_are_one_step() -> None:
    """A lock that is made of `add`, a counter that many threads count."""
    cache = backend()
    cache.set("counter", 0, None)
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda number: cache.add("lock", number), range(50)))
        list(pool.map(lambda _: cache.incr("counter"), range(200)))
    assert added.count(True) == 1
    assert cache.get("lock") == added.index(True)
    assert cache.get("counter") == 200


def test_versions_prefixes_and_many() -> None:
    """One LOCATION is one store; keys are told apart by prefix and version."""
    cache, prefixed = backend(), backend("prefixed")
    assert cache._place.cache is prefixed._place.cache is not backend("other")._place.cache
    cache.set("key", "one")
    assert prefixed.get("key") is None
    prefixed.set_many({"a": 1, "b": 2})
    assert prefixed.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert prefixed.get("a", version=1) is None
    assert prefixed.incr_version("a") == 3
    assert (prefixed.get("a"), prefixed.get("a", version=3)) == (None, 1)
    prefixed.delete_many(["a", "b"])
    assert prefixed.get("b") is None
    assert (cache.delete("key"), cache.delete("key")) == (True, False)
    cache.set("none", None)
    assert cache.get("none", "default") is None
    assert cache.get_or_set("none", "default") is None
    cache.clear()
    assert prefixed.get("a", version=3) is None, "the whole LOCATION"


def test_async_methods_do_the_same() -> None:
    """Without a thread for each call: none of them waits."""

    async def main() -> None:
        cache = backend()
        await cache.aset("a", 1)
        assert await cache.aget("a") == 1
        assert await cache.ahas_key("a")
        assert await cache.aadd("a", 2) is False
        assert await cache.aincr("a") == 2
        assert await cache.adecr("a") == 1
        assert await cache.atouch("a", 60) is True
        assert await cache.aget_many(["a", "b"]) == {"a": 1}
        assert await cache.aget_or_set("b", 7) == 7
        assert await cache.aget_or_set("c", lambda: 8) == 8
        assert await cache.adelete("a") is True
        await cache.aclear()
        assert await cache.aget("b") is None

    asyncio.run(main())


def test_stale_values_are_for_get_or_set_alone(clock: VirtualClock) -> None:
    """What was set for a minute (a one-time password) is gone after a minute."""
    cache = backend("stale")
    cache.set("set", "value")
    assert cache.get_or_set("loaded", lambda: "first") == "first"
    clock.advance(61)
    assert cache.get("set") is None
    assert cache.get_or_set("loaded", lambda: "second") == "first"
    cache._place.cache.settled()
    assert cache.get_or_set("loaded", lambda: "third") == "second"


def test_refresh_closes_old_connections(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on a thread that no request begins or ends."""
    closed: list[str] = []
    monkeypatch.setattr(
        "herdless._django.places.close_old_connections", lambda: closed.append(threading.current_thread().name)
    )
    cache = backend("stale")

    def load() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return int(cursor.fetchone()[0])

    cache.get_or_set("key", load)
    assert closed == [], "a request's own thread is Django's affair"
    clock.advance(61)
    cache.get_or_set("key", load)
    cache._place.cache.settled()
    assert len(closed) == 2
    assert threading.current_thread().name not in closed


def test_what_a_key_may_be_is_as_ever() -> None:
    """Django warns of keys that memcached would refuse, and of values that cannot be pickled says so."""
    with pytest.warns(CacheKeyWarning):
        backend().set("with space", 1)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        backend().set("key", lambda: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load_timeout": -1}, "load_timeout=-1 is not accepted"),
        ({"ttl": 5}, "TIMEOUT says for how long"),
        ({"no_such": 5}, "no_such"),
    ],
)
def test_bad_option_is_named_by_django(options: dict[str, Any], message: str) -> None:
    """As every mistake in the settings."""
    handler = CacheHandler({"default": {"BACKEND": BACKEND, "LOCATION": message, "OPTIONS": options}})
    with pytest.raises(ImproperlyConfigured, match=message):
        handler["default"].get("key")


def test_entries_are_bounded() -> None:
    """By MAX_ENTRIES, 300 unless given."""
    handler = CacheHandler({"default": {"BACKEND": BACKEND, "LOCATION": "bound", "OPTIONS": {"MAX_ENTRIES": 10}}})
    for number in range(50):
        handler["default"].set(str(number), number)
    assert handler["default"]._place.cache.stats().size == 10
    assert backend()._place.cache.stats().maxsize == 300
    assert backend()._place.cache.name == "tests"
