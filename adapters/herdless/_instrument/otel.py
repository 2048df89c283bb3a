"""Caches for OpenTelemetry: observable counters, which read the figures when they are asked, and the spans of loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, final

from herdless._instrument.batch_spans import BatchSpans
from herdless._instrument.figures import BUCKETS, Figures, end_of
from herdless._instrument.group import Instrument, filled
from herdless._instrument.spans import LoaderPlace, Spans
from herdless_core import Step

try:
    from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation, get_meter
    from opentelemetry.trace import TracerProvider, get_tracer
except ModuleNotFoundError as missing:
    raise ImportError("herdless.instrument.opentelemetry needs opentelemetry-api: pip install 'herdless[otel]'") from (
        missing
    )

SCOPE: Final = "herdless"
CACHE: Final = "herdless.cache"
"""The attribute with the cache's name."""

COUNTERS: Final = (
    ("lookups", "herdless.lookups", "outcome", "{lookup}", "Lookups, by how they were answered"),
    ("loads", "herdless.loads", "purpose", "{load}", "Loads that were started: for a miss, or a refresh"),
    ("ends", "herdless.failed_loads", "kind", "{load}", "Loads that gave nothing"),
    ("errors", "herdless.load_errors", "error", "{load}", "Loads that failed, by the class of the error"),
    ("removals", "herdless.removals", "cause", "{value}", "Values that were removed, by cause"),
    ("fleet", "herdless.fleet_events", "event", "{event}", "What a shared cache met with at its store"),
)
GAUGES: Final = (
    ("size", "herdless.size", "{value}", "Values held"),
    ("maxsize", "herdless.maxsize", "{value}", "The most values that may be held"),
    ("in_flight", "herdless.in_flight", "{load}", "Loads in the air"),
    ("waiters", "herdless.waiters", "{caller}", "Callers who wait for a load"),
)

Observe = Callable[[CallbackOptions], Iterable[Observation]]


def register(
    caches: Iterable[Any],
    name: str | None,
    meter_provider: MeterProvider | None,
    tracer_provider: TracerProvider | None,
    *,
    show_keys: bool,
) -> Instrument:
    """See `herdless.instrument.opentelemetry`."""
    meter = get_meter(SCOPE, meter_provider=meter_provider)
    tracer = get_tracer(SCOPE, tracer_provider=tracer_provider)
    seconds = meter.create_histogram(
        "herdless.load.duration", "s", "How long loads took", explicit_bucket_boundaries_advisory=list(BUCKETS)
    )

    def attach(cache: Any, name: str) -> Callable[[], None]:
        place, times = LoaderPlace(cache), Times(seconds, name)
        kind: type[Spans | BatchSpans] = BatchSpans if place.is_bulk else Spans
        spans = kind(tracer, cache, place, name, show_keys=show_keys)
        cache._add_observer(spans)
        cache._add_observer(times)
        spans.surround_loader()

        def detach() -> None:
            spans.leave_loader()
            cache._drop_observer(spans)
            cache._drop_observer(times)

        return detach

    instrument = Instrument(BUCKETS, attach)
    for field, title, attribute, unit, text in COUNTERS:
        counts = partial(_counts, instrument, field, f"herdless.{attribute}")
        meter.create_observable_counter(title, [counts], unit, text)
    for field, title, unit, text in GAUGES:
        meter.create_observable_gauge(title, [partial(_level, instrument, field)], unit, text)
    try:
        return filled(instrument, caches, name)
    except BaseException:
        instrument.close()
        raise


def _counts(instrument: Instrument, field: str, attribute: str, options: CallbackOptions) -> Iterator[Observation]:
    for name, figures in instrument.figures().items():
        for word, number in getattr(figures, field).items():
            yield Observation(number, {CACHE: name, attribute: word})


def _level(instrument: Instrument, field: str, options: CallbackOptions) -> Iterator[Observation]:
    for name, figures in instrument.figures().items():
        number = _number(figures, field)
        if number is not None:
            yield Observation(number, {CACHE: name})


def _number(figures: Figures, field: str) -> int | None:
    number: int | None = getattr(figures, field)
    return number


@final
class Times:
    """The observer that records load times."""

    def __init__(self, seconds: Histogram, name: str) -> None:
        self._seconds: Final = seconds
        self._name: Final = name

    def __call__(self, key: Any, step: Step) -> None:
        """Record the load that the step ended."""
        ended = end_of(step)
        if ended is not None:
            result, seconds = ended
            self._seconds.record(seconds, {CACHE: self._name, "herdless.result": result})
