"""Caches on the pages of Prometheus: a collector, which reads the figures when it is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from herdless._instrument.figures import Figures, Histogram
from herdless._instrument.group import Instrument, filled
from herdless_core import PolicyError

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry
except ModuleNotFoundError as missing:
    raise ImportError(
        "herdless.instrument.prometheus needs prometheus_client: pip install 'herdless[prometheus]'"
    ) from missing

COUNTERS: Final = (
    ("lookups", "outcome", "Lookups, by how they were answered"),
    ("loads", "purpose", "Loads that were started: for a miss, or a refresh"),
    ("ends", "kind", "Loads that gave nothing: failures, timeouts, and those that were given up"),
    ("errors", "error", "Loads that failed, by the class of the error"),
    ("removals", "cause", "Values that were removed, by cause"),
    ("fleet", "event", "What a shared cache met with at its store"),
)
GAUGES: Final = (
    ("size", "Values held"),
    ("maxsize", "The most values that may be held"),
    ("in_flight", "Loads in the air"),
    ("waiters", "Callers who wait for a load"),
)
_PRESENT: Final[WeakKeyDictionary[CollectorRegistry, Instrument]] = WeakKeyDictionary()
"""A registry has each metric once: further calls add to what is there."""
NAMES: Final = {"ends": "failed_loads", "errors": "load_errors", "fleet": "fleet_events"}


@final
class Pages(Collector):
    """What Prometheus asks."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument: Final = instrument

    def describe(self) -> Iterator[Metric]:
        """The metrics by name, without any figure: a registry refuses what it has already."""
        yield from _families({})

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        yield from _families(self._instrument.figures())


def _families(by_name: dict[str, Figures]) -> Iterator[Metric]:
    for field, label, text in COUNTERS:
        counter = CounterMetricFamily(f"herdless_{NAMES.get(field, field)}", text, labels=["cache", label])
        for name, figures in by_name.items():
            for word, number in getattr(figures, field).items():
                counter.add_metric([name, word], number)
        yield counter
    histogram = HistogramMetricFamily("herdless_load_seconds", "How long loads took", labels=["cache", "result"])
    for name, figures in by_name.items():
        for result, seconds in figures.seconds.items():
            histogram.add_metric([name, result], _buckets(seconds), sum_value=seconds.total)
    yield histogram
    for field, text in GAUGES:
        gauge = GaugeMetricFamily(f"herdless_{field}", text, labels=["cache"])
        for name, figures in by_name.items():
            number = getattr(figures, field)
            if number is not None:
                gauge.add_metric([name], number)
        yield gauge


def _buckets(seconds: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(str, seconds.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(seconds.counts)), strict=True))


def register(
    caches: Iterable[Any], name: str | None, registry: CollectorRegistry | None, buckets: tuple[float, ...]
) -> Instrument:
    """See `herdless.instrument.prometheus`."""
    where = REGISTRY if registry is None else registry
    present = _PRESENT.get(where)
    if present is not None and not present.is_closed:
        if present.bounds != buckets:
            raise PolicyError(f"buckets={buckets!r} is not accepted: this registry has {present.bounds!r} already")
        return filled(present, caches, name)
    instrument = Instrument(_checked(buckets))
    pages = Pages(instrument)
    where.register(pages)
    instrument.on_close(lambda: where.unregister(pages))
    _PRESENT[where] = instrument
    try:
        return filled(instrument, caches, name)
    except BaseException:
        instrument.close()
        raise


def _checked(buckets: object) -> tuple[float, ...]:
    is_numbers = isinstance(buckets, tuple) and all(isinstance(each, int | float) for each in buckets)
    if isinstance(buckets, tuple) and buckets and is_numbers and all(a < b for a, b in pairwise((0, *buckets))):
        return buckets
    raise PolicyError(f"buckets={buckets!r} is not accepted: give a tuple of seconds > 0, ascending")
