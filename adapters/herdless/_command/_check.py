"""Whether what the origin saw agrees with what the cache says it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from herdless._command._ledger import Load
from herdless._command._plan import Key
from herdless_core import Entry, Evicted, Flight, Step, shown

AFTER_ALL: Final = 1 << 63


@final
@dataclass(frozen=True, slots=True)
class FlightSpan:
    """From when to when a flight was attached to its key's entry. Instants in nanoseconds."""

    key: Key
    generation: int
    attached: int
    detached: int
    """AFTER_ALL: it still was at the end."""


def flights_of(steps: Iterable[tuple[Key, Step]]) -> list[FlightSpan]:
    """The flights that a cache started, in the order of their generations."""
    attached: dict[int, tuple[Key, int]] = {}
    spans = []
    for key, step in steps:
        old, new = _attached(step.before), _attached(step.after)
        if old is not None and (new is None or new.generation != old.generation):
            spans.append(FlightSpan(key, old.generation, attached.pop(old.generation)[1], step.now))
        if new is not None and (old is None or new.generation != old.generation):
            attached[new.generation] = (key, step.now)
    spans += [FlightSpan(key, generation, at, AFTER_ALL) for generation, (key, at) in attached.items()]
    return sorted(spans, key=lambda span: span.generation)


def _attached(entry: Entry) -> Flight | None:
    return None if isinstance(entry, Evicted) else entry.flight


def violations(loads: Sequence[Load], flights: Sequence[FlightSpan], *, is_cold_herd: bool) -> list[str]:
    """Every way in which a key was loaded more often than its generations allow; none when all is well."""
    found = [*_loaded_twice(loads), *_miscounted(loads, flights), *_overlapping(loads, flights)]
    if is_cold_herd and len(loads) != 1:
        found.append(f"the herd on one cold key gave {len(loads)} origin queries instead of 1")
    return found


def _loaded_twice(loads: Sequence[Load]) -> Iterator[str]:
    for (key, generation), count in Counter((load.key, load.generation) for load in loads).items():
        if generation is None:
            yield f"{shown(key)} was loaded {count} times outside of any generation"
        elif count > 1:
            yield f"{shown(key)} was loaded {count} times in generation {generation}"


def _miscounted(loads: Sequence[Load], flights: Sequence[FlightSpan]) -> Iterator[str]:
    seen, started = Counter(load.key for load in loads), Counter(flight.key for flight in flights)
    for key in dict.fromkeys([*seen, *started]):
        if seen[key] != started[key]:
            yield f"{shown(key)}: the origin saw {seen[key]} loads, the cache started {started[key]} generations"


def _overlapping(loads: Sequence[Load], flights: Sequence[FlightSpan]) -> Iterator[str]:
    """Two loads of one key at a time, each counted only while its flight is attached."""
    attached = {flight.generation: flight for flight in flights}
    spans: dict[Key, list[tuple[int, int]]] = {}
    for load in loads:
        flight = None if load.generation is None else attached.get(load.generation)
        ended = load.ended if flight is None else min(load.ended, flight.detached)
        spans.setdefault(load.key, []).append((load.began, ended))
    for key, times in spans.items():
        if any(later[0] < earlier[1] for earlier, later in pairwise(sorted(times))):
            yield f"two loads of {shown(key)} ran at the same time"
