"""A trace in the format of Chrome's tracing, which ui.perfetto.dev and chrome://tracing show.

A process for each cache, a row for each key with its flights as slices, a further row where an evicted flight is still
awaited while the next one is in the air, a counter of the waiters, and an instant for every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from herdless._trace.reader import Recorded, Section
from herdless._trace.waiting import FlightId, Waiting
from herdless._trace.words import named
from herdless_core import CancelLoad, Entry, Evicted, Plain, Settle, StartLoad

NANOSECONDS_PER_MICROSECOND: Final = 1_000


def as_perfetto(lines: Sequence[Recorded], *, remark: str = "") -> Plain:
    """The steps as one JSON object. Instants count from the first step; `remark` is kept with the metadata."""
    drawing = _Drawing(lines[0].at if lines else 0)
    events = [event for line in lines for event in drawing.of(line)]
    events += drawing.unfinished()
    return {"traceEvents": [*drawing.rows(), *events], "displayTimeUnit": "ms", "otherData": {"remark": remark}}


@final
@dataclass(slots=True)
class _Bar:
    """What is drawn of one flight."""

    row: int
    began: int
    by: str


@final
class _Drawing:
    def __init__(self, origin: int) -> None:
        self._origin: Final = origin
        self._last = origin
        self._waiting: Final = Waiting()
        self._rows: Final[dict[tuple[Section, str, int], int]] = {}
        """The number of a row, by its key and how many rows the key had before it."""
        self._flights: Final[dict[FlightId, _Bar]] = {}

    def rows(self) -> Iterator[Plain]:
        """The names of processes and rows."""
        for section in dict.fromkeys(section for section, _, _ in self._rows):
            name = section.owner or f"cache {section.number}"
            yield {"ph": "M", "name": "process_name", "pid": section.number, "tid": 0, "args": {"name": name}}
        for (section, key, lane), row in self._rows.items():
            name = key if lane == 0 else f"{key}, evicted"
            yield {"ph": "M", "name": "thread_name", "pid": section.number, "tid": row, "args": {"name": name}}

    def of(self, line: Recorded) -> Iterator[Plain]:
        """The events of one step."""
        self._last = line.at
        self._row(line.section, line.key, 0)
        yield self._instant(line)
        waiters = {generation: list(self._waiting.of(line, generation)) for generation in _generations(line)}
        self._waiting.follow(line)
        for effect in line.step.effects:
            if isinstance(effect, Settle | CancelLoad):
                yield from self._ended(line, effect.generation, waiters[effect.generation])
            elif isinstance(effect, StartLoad):
                self._flights[line.section, effect.generation] = _Bar(self._lane(line), line.at, line.by)
        if _waiters(line.step.before) != _waiters(line.step.after):
            yield {
                "ph": "C",
                "name": f"waiters of {line.key}",
                "pid": line.section.number,
                "ts": self._microseconds(line.at),
                "args": {"waiters": 0 if isinstance(line.step.after, Evicted) else _waiters(line.step.after)},
            }

    def unfinished(self) -> Iterator[Plain]:
        """The flights whose end was not recorded, up to the last step."""
        for (section, generation), flight in self._flights.items():
            yield self._slice(section, generation, flight, {"end": "not in the trace"})

    def _ended(self, line: Recorded, generation: int, waiters: list[str]) -> Iterator[Plain]:
        flight = self._flights.pop((line.section, generation), None)
        if flight is not None:
            end = type(line.step.event).__name__
            yield self._slice(line.section, generation, flight, {"end": end, "line": line.line, "told": waiters})

    def _slice(self, section: Section, generation: int, flight: _Bar, args: dict[str, Any]) -> Plain:
        return {
            "ph": "X",
            "name": f"load {generation}",
            "cat": "flight",
            "pid": section.number,
            "tid": flight.row,
            "ts": self._microseconds(flight.began),
            "dur": (self._last - flight.began) / NANOSECONDS_PER_MICROSECOND,
            "args": {"started by": flight.by, **args},
        }

    def _instant(self, line: Recorded) -> Plain:
        return {
            "ph": "i",
            "s": "t",
            "name": type(line.step.event).__name__,
            "cat": "step",
            "pid": line.section.number,
            "tid": self._row(line.section, line.key, 0),
            "ts": self._microseconds(line.at),
            "args": {"line": line.line, "by": line.by, "ordered": named(line.step.effects)},
        }

    def _lane(self, line: Recorded) -> int:
        """The first row of the key in which no flight is in the air."""
        taken = {flight.row for flight in self._flights.values()}
        lane = 0
        while (row := self._row(line.section, line.key, lane)) in taken:
            lane += 1
        return row

    def _row(self, section: Section, key: str, lane: int) -> int:
        return self._rows.setdefault((section, key, lane), len(self._rows) + 1)

    def _microseconds(self, now: int) -> float:
        return (now - self._origin) / NANOSECONDS_PER_MICROSECOND


def _generations(line: Recorded) -> list[int]:
    return [effect.generation for effect in line.step.effects if isinstance(effect, Settle | CancelLoad)]


def _waiters(entry: Entry) -> int:
    return 0 if entry.flight is None else entry.flight.waiters
