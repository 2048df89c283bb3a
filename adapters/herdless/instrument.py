"""Metrics and spans of caches, for Prometheus and for OpenTelemetry.

    from herdless import instrument
    instrument.prometheus()                     # all caches with a name, those to come included
    instrument.opentelemetry(users, name="u")   # this cache, by this name

Nothing is imported before it is asked for, and a hit costs what it cost before: hits are read from `stats()` when
somebody collects. What is measured, and under which names: docs/observing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from herdless._instrument.figures import BUCKETS
from herdless._instrument.group import Instrument

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client.registry import CollectorRegistry

__all__ = ["BUCKETS", "Instrument", "opentelemetry", "prometheus"]


def prometheus(
    *caches: Any,
    name: str | None = None,
    registry: CollectorRegistry | None = None,
    buckets: tuple[float, ...] = BUCKETS,
) -> Instrument:
    """Show caches on the pages of Prometheus.

    caches: caches, or functions made by `cached`; none: all caches that have a name, those to come included.
    name: what they are called, where it is not their own name.
    registry: where they are collected; None: the one of the process.
    buckets: the upper bounds in seconds of the histogram of load times, ascending.

    Call it once for all caches with a name, or for each cache: a second call for a registry adds to the first, and
    returns the same. Raises ImportError without prometheus_client, PolicyError for what is no cache or has no name.
    """
    from herdless._instrument.prometheus import register

    return register(caches, name, registry, buckets)


def opentelemetry(
    *caches: Any,
    name: str | None = None,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    show_keys: bool = False,
) -> Instrument:
    """Give caches to the meters and tracers of OpenTelemetry: metrics as above, and a span for each load.

    caches, name: as above.
    meter_provider, tracer_provider: None: those of the process.
    show_keys: whether a span says which key is loaded, by `show_key`. Keys may be secrets.

    The span of a load is below that of the caller who started it; whoever waits for it as well has a link to it on his
    own span. A refresh, for which nobody waits, has a trace of its own, with a link to whoever gave rise to it. Inside
    the loader the span is the current one.

    Raises ImportError without opentelemetry-api, PolicyError for what is no cache or has no name.
    """
    from herdless._instrument.otel import register

    return register(caches, name, meter_provider, tracer_provider, show_keys=show_keys)
