"""What the processes of a real fleet wrote, under the model checker: whether it is a behaviour of Fleet.tla.

Of each key the writes are followed in the order of their versions, by specs/TraceFleet.tla:

    processes      1, 2, 3 ... in the order in which they write first
    generations    1, 2, 3 ... in the order in which the key's flights are claimed
    values         1, 2, 3 ... in the order in which they are written first; -1: an error
    durations      0, or two ticks, of which none passes
    invalidations  are not in a diary: where a write found nothing, what was there before is gone
    kill -9        likewise: whoever holds a flight that another takes over is gone

A key is left out, with the reason, where time did what the trace does not say: something expired in between.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, assert_never, final

from herdless_core import (
    ABSENT,
    NEVER,
    DeadlinePassed,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Get,
    Invalidate,
    LoadFailed,
    LoadSucceeded,
    Policy,
    Put,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    WaiterLeft,
    age,
)
from herdless_verify.soak.fleet.chain import NOTHING, Link
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.scale import OutsideOfSpecification
from herdless_verify.tlc.toolbox import HOLDS, REFUTED, run_module

MODULE: Final = "RecordedFleet"
LOADER_ERROR: Final = -1
"""`LoaderError` of CacheEntry.tla."""
TICKS: Final = 2


@final
@dataclass(frozen=True, slots=True)
class Write:
    """One write, as TraceFleet.tla has it."""

    kind: str
    process: int
    state: str
    value: int
    generation: int

    def text(self) -> str:
        """In TLA+."""
        return f'Wrote("{self.kind}", {self.process}, "{self.state}", {self.value}, {self.generation})'


@final
@dataclass(slots=True)
class Numbers:
    """The numbers that stand for names, from 1 in the order in which these come."""

    known: dict[object, int] = field(default_factory=dict)

    def of(self, name: object) -> int:
        """The name's number."""
        return self.known.setdefault(name, len(self.known) + 1)


def follows(links: Iterable[Link], policy: Policy) -> bool:
    """Whether the writes of one key are a behaviour of Fleet.tla.

    links: in any order; policy: of the fleet. Raises OutsideOfSpecification for what it has no words for, and
    RuntimeError where TLC does not run.
    """
    every = list(links)
    ordered = in_order(every)
    if len(ordered) < len(every):
        return False  # two took the place of one record, or of one that nobody wrote
    writes = list(writes_of(ordered))
    if not writes:
        raise OutsideOfSpecification("nothing was written")
    with tempfile.TemporaryDirectory(prefix="herdless-fleet-") as place:
        folder = Path(place)
        (folder / f"{MODULE}.tla").write_text(_module(writes), encoding="utf-8")
        output = run_module(folder, MODULE, f"{_run(writes, policy).cfg()}CONSTANT Writes <- TheWrites\n")
    if output.status != HOLDS and output.status not in REFUTED:
        raise RuntimeError(f"TLC did not run:\n{output.text}")
    return output.status in REFUTED


def in_order(links: Iterable[Link]) -> list[Link]:
    """The writes one after the other: each takes the place of the one before it, or finds nothing there."""
    tried = sorted(links, key=lambda link: link.at)
    following = {link.before: link for link in tried if link.before != NOTHING}
    ordered: list[Link] = []
    for first in (link for link in tried if link.before == NOTHING):
        link: Link | None = first
        while link is not None:
            ordered.append(link)
            link = following.get(link.version)
    return ordered


def writes_of(links: Sequence[Link]) -> Iterator[Write]:
    """The same in numbers, with what is not in a diary put in between."""
    processes, generations, values = Numbers(), Numbers(), Numbers()
    entry: Entry = ABSENT
    holder = ""
    for link in links:
        if not link.steps:
            continue  # who left has voided a claim of its own
        if link.before == NOTHING and entry is not ABSENT:
            yield Write("gone", 1, "Absent", 0, 0)
            entry = ABSENT
        for step in link.steps:
            if type(age(step.before, step.now)) is not type(step.before):
                raise OutsideOfSpecification("something expired, and time is not in the trace")
        kind = _kind(link.steps[-1].event)
        if len(link.steps) > 1 and isinstance(link.steps[0].event, Restarted) and kind != "leave":
            yield _write("killed", processes.of(holder), entry, generations, values)
        after = link.steps[-1].after
        entry = ABSENT if isinstance(after, Evicted) else after
        holder = link.process if kind == "claim" else holder
        yield _write(kind, processes.of(link.process), entry, generations, values)


def _write(kind: str, process: int, entry: Entry, generations: Numbers, values: Numbers) -> Write:
    flight = entry.flight
    value = getattr(entry, "value", None)
    number = 0 if value is None else LOADER_ERROR if isinstance(value, Failure) else values.of(value)
    return Write(
        kind, process, type(entry).__name__, number, 0 if flight is None else generations.of(flight.generation)
    )


def _kind(event: Event) -> str:
    match event:
        case Get():
            return "claim"
        case LoadSucceeded() | LoadFailed():
            return "end"
        case Put():
            return "put"
        case Expire():
            return "expire"
        case WaiterLeft() | Restarted():
            return "leave"
        case Refresh() | DeadlinePassed() | SoftTimeoutPassed() | Invalidate() | Evict():
            raise OutsideOfSpecification(f"Fleet.tla has no {type(event).__name__}")
    assert_never(event)


def _module(writes: Sequence[Write]) -> str:
    listed = ",\n  ".join(write.text() for write in writes)
    return f"---- MODULE {MODULE} ----\nEXTENDS TraceFleet\nTheWrites == <<\n  {listed}\n>>\n====\n"


def _run(writes: Sequence[Write], policy: Policy) -> Run:
    """The configuration: a world that is just large enough."""

    def counted(*kinds: str) -> int:
        return sum(write.kind in kinds for write in writes)

    everyone = f"{{{', '.join(str(1 + number) for number in range(max(write.process for write in writes)))}}}"
    run = load_runs()["fleet"]
    return replace(
        run,
        name="a real fleet",
        specification="TraceSpec",
        invariants=("NeverFollowed",),
        properties=(),
        policy={
            **run.policy,
            "ttl": _ticks(policy.lifetime.ttl),
            "stale_while_revalidate": _ticks(policy.lifetime.stale_while_revalidate),
            "stale_if_error": _ticks(policy.lifetime.stale_if_error),
            "negative_ttl": _ticks(policy.negative_lifetime.ttl),
        },
        world={
            **run.world,
            "generations": max(write.generation for write in writes),
            "truths": max(1, *(write.value for write in writes)),
        },
        fleet={
            **run.fleet,
            "processes": everyone,
            "slots": "{1, 2}",
            "askers": everyone,
            "listeners": "{}",
            "invalidators": everyone,
            "putters": everyone,
            "expirers": everyone,
            "max_crashes": counted("killed"),
            "max_changes": counted("gone", "put", "expire"),
            "max_leaves": counted("leave"),
            "may_fail": True,
            "knows_the_living": True,
        },
    )


def _ticks(nanoseconds: int) -> int | str:
    return "never" if nanoseconds >= NEVER else TICKS * bool(nanoseconds)
