"""What metrics say of a cache that processes share."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from herdless import PolicyError, StoreDown, instrument
from herdless.stores import MemoryStore, Store, SyncConnection
from herdless.testing import clear_all, disabled
from herdless.threads import SharedCache

EVENTS = ("fetched", "takeovers", "fenced", "soft_answers", "store_errors", "blind")


class NamedStore(Store):
    """One with a name."""

    def __init__(self, name: str, connection: SyncConnection) -> None:
        self.name = name
        self.connection = connection

    def connect(self) -> SyncConnection:
        """See there."""
        return self.connection


class Down(SyncConnection):
    """It cannot be asked."""

    def read(self, key: str) -> bytes | None:
        """See there."""
        raise StoreDown("it is down")

    def swap(self, *args: Any, **options: Any) -> Any:
        """See there."""
        raise StoreDown("it is down")

    def forget(self, key: str) -> None:
        """See there."""
        raise StoreDown("it is down")


def events(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """By cache and event."""
    page = generate_latest(registry).decode()
    return {
        (sample.labels["cache"], sample.labels["event"]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "herdless_fleet_events_total"
    }


def test_events_of_a_fleet_are_counted_by_the_name_of_its_store() -> None:
    """Who looks at all named caches sees the shared ones too; several of one name are one sum."""
    memory, registry = MemoryStore(), CollectorRegistry()
    store = NamedStore("users", memory.connect())
    with instrument.prometheus(registry=registry):
        others = events(registry).keys()  # of tests before this one, whose caches are not collected yet
    registry = CollectorRegistry()
    with (
        instrument.prometheus(registry=registry),
        SharedCache(str.upper, ttl=60, store=store) as one,
        SharedCache(str.upper, ttl=60, store=store) as two,
        SharedCache(str.upper, ttl=60, store=memory),  # without a name
    ):
        assert (one.name, one.get("a"), two.get("a"), two.get("a")) == ("users", "A", "A", "A")
        own = {named: count for named, count in events(registry).items() if named not in others}
        assert own == {("users", event): float(event == "fetched") for event in EVENTS}
        page = generate_latest(registry).decode()
        assert 'herdless_loads_total{cache="users",purpose="any"} 1.0' in page
        assert 'herdless_lookups_total{cache="users",outcome="hit"} 1.0' in page
        assert 'herdless_size{cache="users"} 2.0' in page


def test_a_store_that_is_down_is_seen() -> None:
    """The counters are those of `stats()`."""
    registry = CollectorRegistry()
    with (
        SharedCache(str.upper, ttl=60, store=NamedStore("users", Down())) as cache,
        instrument.prometheus(cache, name="people", registry=registry),
    ):
        assert cache.get("a") == "A"
        assert events(registry)["people", "store_errors"] == 1


def test_opentelemetry_has_the_same() -> None:
    """And no spans: a load of a fleet is whichever process's it is."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    memory = MemoryStore()
    with (
        SharedCache(str.upper, ttl=60, store=memory) as one,
        SharedCache(str.upper, ttl=60, store=memory) as two,
        instrument.opentelemetry(one, two, name="users", meter_provider=meters, tracer_provider=TracerProvider()),
    ):
        one.get("a")
        two.get("a")
        data = reader.get_metrics_data()
        assert data is not None
        counted = {
            (metric.name, point.attributes["herdless.event"]): point.value  # type: ignore[index, union-attr]  # counters have both
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == "herdless.fleet_events"
            for point in metric.data.data_points
        }
    meters.shutdown()
    assert counted == {("herdless.fleet_events", event): int(event == "fetched") for event in EVENTS}


def test_a_shared_cache_without_a_name_needs_one() -> None:
    """As any other."""
    with SharedCache(str.upper, ttl=60, store=MemoryStore()) as cache, pytest.raises(PolicyError, match="has no name"):
        instrument.prometheus(cache, registry=CollectorRegistry())


def test_what_tests_do_with_all_caches_is_done_with_the_part_of_this_process() -> None:
    """`clear_all` and `disabled` find shared caches among the others."""
    memory, keys = MemoryStore(), list[str]()

    def load(key: str) -> str:
        keys.append(key)
        return key

    with SharedCache(load, ttl=60, store=memory) as cache:
        cache.get("a")
        assert len(cache) == 1
        clear_all()
        assert len(cache) == 0
        with disabled():
            assert cache.get("a") == "a"
            assert len(cache) == 0
        assert (cache.get("a"), keys) == ("a", ["a"])
