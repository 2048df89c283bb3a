"""`instrument.opentelemetry`: the metrics and spans that the real SDK exports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import instrument
from herdless.testing import VirtualClock
from tests.django.conftest import joined


class Told(NamedTuple):
    """What the SDK was told, and the arguments that send it there."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by name; of equal ones the last."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self) -> dict[tuple[Any, ...], Any]:
        """Every point of every metric, by its name and the values of its attributes."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            (metric.name, *(point.attributes or {}).values()): point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


@pytest.fixture
def told() -> Iterator[Told]:
    """Providers of the test's own."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield Told(tracers, meters, exporter, reader)
    tracers.shutdown()
    meters.shutdown()


def show(told: Told, cache: Any, **options: Any) -> instrument.Instrument:
    """Instrument the cache."""
    return instrument.opentelemetry(
        cache, tracer_provider=told.tracer_provider, meter_provider=told.meter_provider, **options
    )


def test_load_is_a_span_below_its_caller_and_linked_by_those_who_wait(told: Told) -> None:
    """Of three requests that share one load the trace of each must lead to it."""
    tracer = told.tracer_provider.get_tracer("test")

    async def main() -> None:
        gate = asyncio.Event()

        async def load(key: str) -> str:
            with tracer.start_as_current_span("query"):
                await gate.wait()
            return key.upper()

        cache = herdless.asyncio.Cache(load, name="users")
        show(told, cache)

        async def request(name: str) -> str:
            with tracer.start_as_current_span(name):
                return await cache.get("a")

        callers = [asyncio.create_task(request(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*callers) == ["A"] * 3

    asyncio.run(main())
    spans = told.spans()
    load, query = spans["load users"], spans["query"]
    assert load.context is not None
    assert load.parent is not None
    assert load.parent == spans["first"].context
    assert query.parent is not None
    assert query.parent.span_id == load.context.span_id
    for name in ("second", "third"):
        (link,) = spans[name].links
        assert link.context.span_id == load.context.span_id
    assert not spans["first"].links
    assert dict(load.attributes or {}) == {
        "herdless.cache": "users",
        "herdless.purpose": "miss",
        "herdless.result": "value",
    }


def test_refresh_has_a_trace_of_its_own_with_a_link(told: Told) -> None:
    """It outlives the request, whose trace must not look as if it had waited."""
    tracer, clock = told.tracer_provider.get_tracer("test"), VirtualClock()
    cache = herdless.threads.Cache(str.upper, ttl=60, stale_while_revalidate=60, clock=clock, name="users")
    cache.get("a")
    show(told, cache)
    clock.advance(61)
    with tracer.start_as_current_span("request") as request:
        assert cache.lookup("a").how == "stale"
    cache.settled()
    load = told.spans()["load users"]
    assert load.parent is None
    assert [link.context.span_id for link in load.links] == [request.get_span_context().span_id]
    assert (load.attributes or {})["herdless.purpose"] == "refresh"


def test_reload_is_a_refresh_below_its_caller(told: Told) -> None:
    """He waits for it; and it counts as in the metrics."""
    tracer = told.tracer_provider.get_tracer("test")
    cache = herdless.threads.Cache(str.upper, name="users")
    show(told, cache)
    with tracer.start_as_current_span("request"):
        cache.reload("a")
    load = told.spans()["load users"]
    assert load.parent == told.spans()["request"].context
    assert (load.attributes or {})["herdless.purpose"] == "refresh"


class _Row(Exception):
    """No such row."""


@pytest.mark.parametrize(
    ("error", "result", "code", "events"),
    [
        (ConnectionError("down"), "failure", StatusCode.ERROR, ["exception"]),
        (_Row("none"), "answer", StatusCode.UNSET, []),
    ],
)
def test_failure_is_an_error_of_the_span_and_an_answer_is_none(
    told: Told, error: Exception, result: str, code: StatusCode, events: list[str]
) -> None:
    """A row that does not exist is no incident."""

    def load(key: str) -> str:
        raise error

    cache = herdless.threads.Cache(load, answers=_Row, name="users", show_key=lambda key: "hidden")
    show(told, cache, show_keys=True)
    with pytest.raises(type(error)):
        cache.get("s3cr3t")
    span = told.spans()["load users"]
    assert (span.attributes or {})["herdless.result"] == result
    assert (span.attributes or {})["herdless.key"] == "hidden"
    assert span.status.status_code is code
    assert [event.name for event in span.events] == events


def names_of_current(told: Told) -> tuple[list[str], Any]:
    """A loader that notes which span is the current one, and what it noted."""
    noted: list[str] = []

    def load(key: str) -> str:
        noted.append(getattr(get_current_span(), "name", ""))
        return key

    return noted, load


def test_span_is_current_in_every_kind_of_load(told: Told) -> None:
    """What the loader asks of a database belongs below it, on whichever thread or runtime it runs."""
    noted, load = names_of_current(told)

    async def load_async(key: str) -> str:
        return str(load(key))

    caches = [
        herdless.threads.Cache(load, name="own thread"),
        herdless.threads.Cache(load, load_timeout=30, name="other thread"),
    ]
    for cache in caches:
        show(told, cache)
        cache.get("a")
    bare = herdless.threads.Cache[str, str](name="brought")
    show(told, bare)
    bare.get("a", load=load)
    decorated = herdless.threads.cached(name="decorated")(load)
    show(told, decorated)
    decorated("a")
    decorated_async = herdless.asyncio.cached(name="decorated async")(load_async)
    show(told, decorated_async)
    asyncio.run(decorated_async("a"))

    async def in_trio() -> None:
        async with herdless.trio.Cache(load_async, name="trio") as cache:
            show(told, cache)
            await cache.get("a")

    trio.run(in_trio)
    assert noted == [
        f"load {name}" for name in ("own thread", "other thread", "brought", "decorated", "decorated async", "trio")
    ]
    assert set(noted) <= told.spans().keys()


async def bulk_on_asyncio(told: Told, request: Any) -> None:
    """Two requests whose misses are one batch, and a third that joins while it is loaded."""
    begun, gate = asyncio.Event(), asyncio.Event()

    async def load_many(keys: list[str]) -> dict[str, str]:
        with told.tracer_provider.get_tracer("test").start_as_current_span("query"):
            begun.set()
            await gate.wait()
        return {key: key.upper() for key in keys}

    async with herdless.asyncio.Cache[str, str](load_many=load_many, name="users") as cache:
        show(told, cache, show_keys=True)
        first = asyncio.create_task(request("first", cache, "ab"))
        second = asyncio.create_task(request("second", cache, "bcd"))
        await begun.wait()
        third = asyncio.create_task(request("third", cache, "ad"))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, second, third)


async def bulk_on_trio(told: Told, request: Any) -> None:
    """The same."""
    begun, gate = trio.Event(), trio.Event()

    async def load_many(keys: list[str]) -> dict[str, str]:
        with told.tracer_provider.get_tracer("test").start_as_current_span("query"):
            begun.set()
            await gate.wait()
        return {key: key.upper() for key in sorted(keys)}

    async with herdless.trio.Cache[str, str](load_many=load_many, name="users") as cache:
        show(told, cache, show_keys=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(request, "first", cache, "ab")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(request, "third", cache, "ab")
            await begun.wait()
            gate.set()


@pytest.mark.parametrize("runtime", [asyncio, trio], ids=lambda runtime: runtime.__name__)
def test_batch_is_one_span_linked_by_all_who_wait(told: Told, runtime: Any) -> None:
    """A page of fifty keys is one query, and one span; whoever waits for one of its keys finds it."""
    tracer = told.tracer_provider.get_tracer("test")

    async def request(name: str, cache: Any, keys: str) -> None:
        with tracer.start_as_current_span(name):
            assert await cache.get_many(list(keys)) == {key: key.upper() for key in keys}

    if runtime is asyncio:
        asyncio.run(bulk_on_asyncio(told, request))
    else:
        trio.run(bulk_on_trio, told, request)
    _judge_batch(told, 4 if runtime is asyncio else 2)


def _judge_batch(told: Told, keys: int) -> None:
    finished = told.exporter.get_finished_spans()
    (load,) = [span for span in finished if span.name.startswith("load")]
    spans = told.spans()
    attributes = dict(load.attributes or {})
    assert load.name == "load_many users"
    shown: Any = attributes.pop("herdless.key")
    assert sorted(shown) == [repr(key) for key in "abcd"[:keys]]
    assert attributes == {
        "herdless.cache": "users",
        "herdless.keys": keys,
        "herdless.purpose": "miss",
        "herdless.result": "value",
    }
    assert load.context is not None
    assert spans["query"].parent is not None
    assert spans["query"].parent.span_id == load.context.span_id
    assert load.parent == spans["first"].context
    assert not spans["first"].links
    waited = [span for name, span in spans.items() if name in {"second", "third"}]
    assert waited
    for span in waited:
        assert [link.context.span_id for link in span.links] == [load.context.span_id]


def test_batch_of_threads_is_one_span_too(told: Told) -> None:
    """There whoever calls get_many loads; another thread waits."""
    tracer = told.tracer_provider.get_tracer("test")
    begun, gate = threading.Event(), threading.Event()

    def load_many(keys: list[str]) -> dict[str, str]:
        with tracer.start_as_current_span("query"):
            begun.set()
            assert gate.wait(60)
        return {key: key.upper() for key in keys}

    cache = herdless.threads.Cache[str, str](load_many=load_many, name="users")
    shown = show(told, cache, show_keys=True)

    def request(name: str) -> None:
        with tracer.start_as_current_span(name):
            assert cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(request, "first")
        assert begun.wait(60)
        with joined(cache, 2) as all_wait:
            second = pool.submit(request, "second")
            assert all_wait.wait(60) or second.done()
            gate.set()
            first.result(60)
            second.result(60)
    _judge_batch(told, 2)
    shown.close()
    assert cache._load.__self__.load_many is load_many  # type: ignore[attr-defined]  # of the batches


def test_failing_batch_is_an_error_of_its_span(told: Told) -> None:
    """And a loader that a caller brings, to a cache with a bulk loader, has a span of its own."""

    def load_many(keys: list[str]) -> dict[str, str]:
        raise ConnectionError("down")

    noted, load = names_of_current(told)
    cache = herdless.threads.Cache[str, str](load_many=load_many, name="users")
    show(told, cache)
    with pytest.raises(ConnectionError):
        cache.get("a")
    span = told.spans()["load_many users"]
    assert (span.attributes or {})["herdless.result"] == "failure"
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    cache.get("b", load=load)
    assert noted == ["load users"]
    assert (told.spans()["load users"].attributes or {})["herdless.result"] == "value"


@pytest.mark.parametrize("place", ["on_start", "on_end"])
@pytest.mark.parametrize("argument", ["load", "load_many"])
def test_tracer_that_fails_fails_no_load(told: Told, place: str, argument: str) -> None:
    """A processor is foreign code, and nobody's page must go wrong by it."""

    class Fails(SpanProcessor):
        pass

    def fail(*arguments: object) -> None:
        raise RuntimeError("no disk")

    setattr(Fails, place, fail)
    told.tracer_provider.add_span_processor(Fails())
    loaders: dict[str, Any] = {"load": str.upper, "load_many": lambda keys: {key: key.upper() for key in keys}}
    cache = herdless.threads.Cache[str, str](**{argument: loaders[argument]}, name="users")
    show(told, cache)
    assert cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}
    assert cache.stats().in_flight == 0


def test_refresh_by_a_bulk_loader_has_a_trace_of_its_own(told: Told) -> None:
    """As for any other refresh."""
    tracer, clock = told.tracer_provider.get_tracer("test"), VirtualClock()
    cache = herdless.threads.Cache[str, str](
        load_many=lambda keys: {key: key.upper() for key in keys},
        ttl=60,
        stale_while_revalidate=60,
        clock=clock,
        name="users",
    )
    cache.get("a")
    show(told, cache)
    clock.advance(61)
    with tracer.start_as_current_span("request") as request:
        assert cache.lookup("a").how == "stale"
    cache.settled()
    load = told.spans()["load_many users"]
    assert load.parent is None
    assert [link.context.span_id for link in load.links] == [request.get_span_context().span_id]
    assert (load.attributes or {})["herdless.purpose"] == "refresh"


def test_spans_end_outside_of_the_lock(told: Told) -> None:
    """An exporter may itself use a cached token: it must not find the cache locked by its own thread."""
    cache = herdless.threads.Cache(str.upper, name="users")
    seen: list[object] = []

    class Uses(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            seen.append(cache.get("a"))

    told.tracer_provider.add_span_processor(Uses())
    show(told, cache)
    assert cache.get("a") == "A"
    assert seen == ["A"]


def test_load_that_is_given_up_ends_its_span(told: Told) -> None:
    """A span that never ends is never exported, and the trace has a hole where the trouble is."""

    async def main() -> None:
        async def load(key: str) -> str:
            await asyncio.Event().wait()
            return key

        cache = herdless.asyncio.Cache(load, name="users")
        show(told, cache)
        caller = asyncio.create_task(cache.get("a"))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await cache.settled()

    asyncio.run(main())
    assert (told.spans()["load users"].attributes or {})["herdless.result"] == "cancelled"


def test_metrics_are_those_of_the_cache(told: Told) -> None:
    """Hits are read when they are asked for; load times are recorded as they come."""
    clock = VirtualClock()

    def load(key: str) -> str:
        clock.advance(2)
        return key

    cache = herdless.threads.Cache(load, clock=clock, name="users", maxsize=5)
    shown = show(told, cache)
    for key in "aaab":
        cache.get(key)
    points = told.points()
    assert points["herdless.lookups", "users", "hit"].value == 2
    assert points["herdless.lookups", "users", "loaded"].value == 2
    assert points["herdless.size", "users"].value == 2
    assert points["herdless.maxsize", "users"].value == 5
    assert points["herdless.in_flight", "users"].value == points["herdless.waiters", "users"].value == 0
    duration = points["herdless.load.duration", "users", "value"]
    assert (duration.count, duration.sum) == (2, 4)
    shown.close()
    cache.get("c")
    assert cache._keyspace.observe is None
    assert cache._load is load
