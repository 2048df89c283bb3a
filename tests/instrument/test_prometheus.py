"""`instrument.prometheus`: what stands on a real `/metrics` page."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import herdless.asyncio
import herdless.threads
from herdless import NOT_MODIFIED, Loaded, PolicyError, Previous, instrument
from herdless.testing import VirtualClock


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    """A registry of the test's own; what is shown in it is shown no more afterwards."""
    made = CollectorRegistry()
    yield made
    instrument.prometheus(registry=made).close()


def samples(page: str) -> dict[tuple[str, ...], float]:
    """Every line of the page: the name, the values of its labels, and the number."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def read(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """The page of this registry."""
    return samples(generate_latest(registry).decode())


def test_page_of_a_running_service(registry: CollectorRegistry) -> None:
    """What an operator sees who asks the service's own port: every kind of lookup, load, failure and removal."""
    clock, is_down = VirtualClock(), False

    def load(key: str) -> str:
        clock.advance(0.2)
        if is_down:
            raise ConnectionError("down")
        return key.upper()

    cache = herdless.threads.Cache(
        load, ttl=60, stale_while_revalidate=60, stale_if_error=3600, maxsize=2, clock=clock, name="users"
    )
    instrument.prometheus(cache, registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        for key in "aab":
            cache.get(key)
        clock.advance(70)
        cache.get("a")  # stale, and a refresh
        cache.settled()
        is_down = True
        cache.invalidate("b")
        with pytest.raises(ConnectionError):
            cache.get("b")
        cache.put("c", "C")
        cache.put("d", "D")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=30) as answer:
            page = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    lines = samples(page)
    assert "# HELP herdless_lookups_total Lookups, by how they were answered" in page
    assert {word: lines["herdless_lookups_total", "users", word] for word in ("hit", "stale", "joined", "loaded")} == {
        "hit": 1,
        "stale": 1,
        "joined": 0,
        "loaded": 3,
    }
    assert lines["herdless_loads_total", "users", "miss"] == 3
    assert lines["herdless_loads_total", "users", "refresh"] == 1
    assert lines["herdless_failed_loads_total", "users", "failure"] == 1
    assert lines["herdless_failed_loads_total", "users", "timeout"] == 0
    assert lines["herdless_load_errors_total", "users", "ConnectionError"] == 1
    assert lines["herdless_removals_total", "users", "replaced"] == 1
    assert lines["herdless_removals_total", "users", "invalidated"] == 1
    assert lines["herdless_removals_total", "users", "evicted"] == cache.stats().evictions == 1
    assert lines["herdless_load_seconds_count", "users", "value"] == 3
    assert lines["herdless_load_seconds_sum", "users", "value"] == pytest.approx(0.6)
    assert lines["herdless_load_seconds_bucket", "users", "0.1", "value"] == 0
    assert lines["herdless_load_seconds_bucket", "users", "0.25", "value"] == 3
    assert lines["herdless_load_seconds_bucket", "users", "+Inf", "failure"] == 1
    assert lines["herdless_size", "users"] == lines["herdless_maxsize", "users"] == 2
    assert lines["herdless_in_flight", "users"] == lines["herdless_waiters", "users"] == 0


def test_those_who_wait_are_shown(registry: CollectorRegistry) -> None:
    """A thousand waiters of one load are what an operator has to see while it hangs, not afterwards."""

    async def main() -> None:
        gate = asyncio.Event()

        async def load(key: str) -> str:
            await gate.wait()
            return key

        cache = herdless.asyncio.Cache(load, name="slow")
        instrument.prometheus(cache, registry=registry)
        callers = [asyncio.create_task(cache.get("a")) for _ in range(3)]
        await asyncio.sleep(0)
        page = read(registry)
        assert (page["herdless_in_flight", "slow"], page["herdless_waiters", "slow"]) == (1, 3)
        gate.set()
        await asyncio.gather(*callers)
        page = read(registry)
        assert (page["herdless_in_flight", "slow"], page["herdless_waiters", "slow"]) == (0, 0)
        assert page["herdless_lookups_total", "slow", "joined"] == 2
        assert ("herdless_maxsize", "slow") not in page, "it has none"

    asyncio.run(main())


def test_all_named_caches_are_shown_and_no_other(registry: CollectorRegistry) -> None:
    """One call at the start of a service, whatever is imported before or after it."""
    before, nameless = herdless.threads.Cache(str.upper, name="before"), herdless.threads.Cache(str.upper)
    instrument.prometheus(registry=registry)

    @herdless.threads.cached(ttl=60, name="after")
    def after(key: str) -> str:
        return key

    for get in (before.get, nameless.get, after):
        get("a")
    names = {labels[1] for labels in read(registry) if labels[0] == "herdless_size"}
    assert {"before", "after"} <= names
    assert None not in names


def test_a_counter_never_falls(registry: CollectorRegistry) -> None:
    """A fall looks like a restart, and makes a rate jump: neither a cache that goes nor `cache_clear` is one."""
    instrument.prometheus(registry=registry)

    @herdless.threads.cached(name="same")
    def function(key: str) -> str:
        return key

    for key in "abc":
        function(key)
    first = read(registry)["herdless_loads_total", "same", "miss"]
    function.cache_clear()
    function("a")
    assert read(registry)["herdless_loads_total", "same", "miss"] == first + 1
    other = herdless.threads.Cache(str.upper, name="same")
    other.get("x")
    assert read(registry)["herdless_loads_total", "same", "miss"] == first + 2
    del other
    gc.collect()
    assert read(registry)["herdless_loads_total", "same", "miss"] == first + 2
    assert read(registry)["herdless_load_seconds_count", "same", "value"] == first + 2


def test_second_call_adds_and_closing_ends(registry: CollectorRegistry) -> None:
    """One call per cache, as each module may make its own; afterwards nothing is left on the cache."""
    users, prices = herdless.threads.Cache(str.upper), herdless.threads.Cache(str.upper)
    shown = instrument.prometheus(users, name="users", registry=registry)
    assert instrument.prometheus(prices, name="prices", registry=registry) is shown
    assert {name for name, _ in [key for key in read(registry) if key[0] == "herdless_size"]} == {"herdless_size"}
    assert {key[1] for key in read(registry) if key[0] == "herdless_size"} == {"users", "prices"}
    shown.close()
    assert users._keyspace.observe is None
    assert read(registry) == {}
    instrument.prometheus(users, name="again", registry=registry)
    assert ("herdless_size", "again") in read(registry)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"caches": (str.upper,)}, "is not accepted: give a cache"),
        ({"caches": (herdless.threads.Cache(str.upper),)}, "has no name: give name="),
        ({"name": "users"}, "name='users' is not accepted without a cache"),
        ({"buckets": (2.0, 1.0)}, "is not accepted: give a tuple of seconds > 0, ascending"),
        ({"buckets": ()}, "is not accepted: give a tuple of seconds > 0, ascending"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments: Any, message: str) -> None:
    """At the start, and not as a hole in a graph."""
    registry, caches = CollectorRegistry(), arguments.pop("caches", ())
    with pytest.raises(PolicyError, match=message):
        instrument.prometheus(*caches, registry=registry, **arguments)
    assert read(registry) == {}


def test_a_key_that_fails_hides_no_other_cache(registry: CollectorRegistry) -> None:
    """A page that answers by an error is a service that looks dead."""

    class Key:
        fails = False

        def __hash__(self) -> int:
            if self.fails:
                raise ValueError("no hash")
            return 1

    async def main() -> None:
        gate, key = asyncio.Event(), Key()

        async def load(key: Key) -> int:
            await gate.wait()
            return 1

        broken, healthy = herdless.asyncio.Cache(load, name="broken"), herdless.threads.Cache(str.upper, name="healthy")
        instrument.prometheus(broken, healthy, registry=registry)
        caller = asyncio.create_task(broken.get(key))
        await asyncio.sleep(0)
        key.fails = True
        assert ("herdless_size", "healthy") in read(registry)
        key.fails = False
        gate.set()
        await caller

    asyncio.run(main())


def test_pages_are_read_while_caches_are_made(registry: CollectorRegistry) -> None:
    """Prometheus asks in a thread of its own, whenever it likes."""
    instrument.prometheus(registry=registry)
    is_over = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not is_over.is_set():
                read(registry)
        except BaseException as error:  # noqa: BLE001  # shown below
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    kept = [herdless.threads.Cache(str.upper, name=f"number {number % 5}") for number in range(200)]
    for cache in kept:
        cache.get("a")
    is_over.set()
    asking.join()
    assert failures == []
    page = read(registry)
    assert sum(page["herdless_loads_total", f"number {number}", "miss"] for number in range(5)) == 200


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    """Who has no metrics pays for none, and `herdless.instrument` itself needs neither library."""
    script = (
        "import sys, herdless.threads, herdless.instrument\n"
        "print([name for name in ('prometheus_client', 'opentelemetry') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
    script = (
        "import sys; sys.modules['prometheus_client'] = sys.modules['prometheus_client.core'] = None\n"
        "from herdless import instrument\n"
        "try: instrument.prometheus()\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'herdless[prometheus]'" in done.stdout


def test_value_that_is_renewed_has_not_gone(registry: CollectorRegistry) -> None:
    """`on_remove` is not told of it either. A reload is a refresh, for it was no lookup."""
    clock = VirtualClock()

    def load(key: str, previous: Previous[str] | None) -> Any:
        return Loaded(key.upper(), age=5) if previous is None else NOT_MODIFIED

    gone: list[object] = []
    cache = herdless.threads.Cache(
        load, ttl=60, clock=clock, name="users", on_remove=lambda key, value, cause: gone.append(cause)
    )
    instrument.prometheus(cache, registry=registry)
    assert cache.lookup("a").headers("users") == {"Age": "5", "Cache-Status": "users; fwd=miss; stored; ttl=55"}
    clock.advance(10)
    assert cache.reload("a") == "A"
    assert cache.refresh("a")
    cache.settled()
    cache.touch("a", ttl=10)
    assert cache.lookup("a").headers("users") == {"Age": "0", "Cache-Status": "users; hit; ttl=10"}
    page = read(registry)
    assert not gone
    assert not any(name == "herdless_removals_total" for name, *_ in page)
    assert page["herdless_loads_total", "users", "miss"] == 1
    assert page["herdless_loads_total", "users", "refresh"] == 2
