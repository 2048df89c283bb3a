"""The graph of the code must equal that of the specification.

    python -m herdless_verify.tlc.graph [--slow] [RUN...]

TLC dumps every state and every labelled step of specs/CacheEntry.tla; `herdless_verify.exploration.search` finds those
of `herdless_core.transition` in the same world. Both are made of the same parts under the same names (`outline_of`),
the orders of the last step among them, so that the two sets of states and the two sets of steps must be equal. Where
they are not, the first step that differs is shown, with the shortest way to it.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from herdless_core import NEVER, _machine
from herdless_core.table import EVENTS
from herdless_verify.exploration.search import Exploration, explore_ticks
from herdless_verify.exploration.world import Machine, Outline
from herdless_verify.tlc.configurations import NEVER_IN_TLA, Run, load_runs
from herdless_verify.tlc.toolbox import HOLDS, ToolMissing, run_tlc
from herdless_verify.tlc.values import parse, parse_state

Steps: TypeAlias = dict[Outline, set[tuple[str, Outline]]]
"""Where each state leads, and by which move."""

VARIABLES: Final = ("entry", "detached", "loads", "clients", "truth", "floor", "generation", "effects")
FLIGHT: Final = ("generation", "age", "due_at", "waiters")
STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Absent": ("flight",),
    "Pending": ("flight",),
    "Fresh": ("value", "lifetime", "age", "refresh_at", "hit_until", "flight"),
    "Stale": ("value", "age", "stale_until", "kept_until", "retry_at", "flight"),
    "Evicted": ("cause", "flight"),
}
"""The fields of each state in the order of the code's outline. `age` is `now - loaded_at`, or `now - started_at`."""
ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Answer": ("outcome",),
    "Join": ("generation", "leads"),
    "Refuse": (),
    "StartLoad": ("generation", "due_at"),
    "CancelLoad": ("generation",),
    "Settle": ("generation", "outcome"),
    "Rearm": ("generation", "due_at"),
    "Save": (),
    "Forget": (),
}
OUTCOME: Final = ("value", "age", "is_stale")
LIFETIME: Final = ("ttl", "early_refresh", "stale_while_revalidate", "stale_if_error")
NO_FLIGHT: Final = (0, 0, 0, 0)
MOVES: Final = [event.__name__ for event in EVENTS]
INSTANTS: Final = frozenset({"due_at", "refresh_at", "hit_until", "stale_until", "kept_until", "retry_at", *LIFETIME})


@final
@dataclass(frozen=True, slots=True)
class Difference:
    """The first state from which the two graphs differ."""

    path: tuple[str, ...]
    state: Outline
    only_code: Set[tuple[str, Outline]]
    only_specification: Set[tuple[str, Outline]]


def outline_of(text: str) -> Outline:
    """A state as TLC prints it, in the words and the order of `herdless_verify.exploration.world`."""
    variables = parse_state(text)
    return tuple(part(name, variables[name]) for name in VARIABLES)


@lru_cache(maxsize=100_000)
def part(variable: str, text: str) -> Any:
    """The value of a variable, as TLC prints it, in the order of `outline_of`."""
    value = parse(text)
    match variable:
        case "entry":
            return _entry(value)
        case "detached":
            return frozenset(_entry(entry) for entry in value)
        case "loads":
            return frozenset((load["generation"], load["read"]) for load in value)
        case "clients":
            return tuple((client["waits_for"], client["since"]) for client in value)
        case "effects":
            return tuple((order["order"], *_fields(order, ORDERS[order["order"]])) for order in value)
        case _:
            return value


def _entry(record: Mapping[str, Any]) -> Outline:
    return (record["state"], *_fields(record, STATES[record["state"]]))


def _fields(record: Mapping[str, Any], names: tuple[str, ...]) -> Outline:
    return tuple(_field(name, record[name]) for name in names)


def _field(name: str, value: Any) -> object:
    if name == "flight":
        return _fields(value, FLIGHT)
    if name == "outcome":
        return _fields(value, OUTCOME)
    if name == "lifetime":
        return _fields(value, LIFETIME)
    return NEVER if name in INSTANTS and value == NEVER_IN_TLA else value


_STEP: Final = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)"')
_STATE: Final = re.compile(r'^(-?\d+) \[label="(.*?)"(?:,style = filled)?\];?$')


def read_dump(dump: Path, outline: Callable[[str], Outline] = outline_of) -> Steps:
    """The graph that TLC has written. outline: what a state is, of its text."""
    outlines: dict[str, Outline] = {}
    steps: list[tuple[str, str, str]] = []
    with dump.open(encoding="utf-8") as lines:
        for line in lines:
            if step := _STEP.match(line):
                steps.append((step[1], step[3], step[2]))
            elif state := _STATE.match(line.rstrip()):
                outlines[state[1]] = outline(state[2].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\"))
    graph: Steps = {outline: set() for outline in outlines.values()}
    for begin, name, end in steps:
        graph[outlines[begin]].add((name, outlines[end]))
    return graph


def specified(run: Run, outline: Callable[[str], Outline] = outline_of) -> Steps:
    """The graph of the specification. Raises AssertionError when a promise does not hold on the way. outline: as for
    `read_dump`.
    """
    with tempfile.TemporaryDirectory(prefix="herdless-graph-") as private:
        dump = Path(private) / "graph.dot"
        output = run_tlc(run, dump=dump)
        if output.status != HOLDS:
            raise AssertionError(f"TLC ended with status {output.status}:\n{output.text}")
        return read_dump(dump, outline)


def difference(exploration: Exploration, specification: Steps) -> Difference | None:
    """The first difference, in the order in which the code's states were found; None when the graphs are equal."""
    outlines = list(exploration.states)
    steps: defaultdict[int, set[tuple[str, Outline]]] = defaultdict(set)
    for begin, name, end in exploration.edges:
        steps[begin].add((name, outlines[end]))
    for number, outline in enumerate(outlines):
        ours, theirs = steps[number], specification.get(outline, set())
        if ours != theirs:
            return Difference(exploration.path_to(number), outline, ours - theirs, theirs - ours)
    return None


def compare(run: Run, specification: Steps, machine: Machine = _machine) -> Difference | None:
    """Explore the code and compare."""
    exploration = explore_ticks(run.machine_policy(), run.bounds(), machine=machine, invariants={})
    return difference(exploration, specification)


def describe(difference: Difference) -> str:
    """The way to the first state from which the two differ, and what each side does there by the first such move."""
    differing = {name for name, _ in difference.only_code | difference.only_specification}
    first, *others = sorted(
        differing, key=lambda name: (name not in MOVES, MOVES.index(name) if name in MOVES else 0, name)
    )
    lines = ["after: " + (" -> ".join(difference.path) or "nothing"), *_words(difference.state, difference.state)]
    for side, steps in (("the code", difference.only_code), ("the specification", difference.only_specification)):
        taken = sorted((after for name, after in steps if name == first), key=str)
        lines += [f"{first}, by {side}:" if taken else f"{first}, by {side}: nothing that the other does not"]
        for after in taken[:1]:
            lines += _words(after, difference.state)
    if others:
        lines.append(f"they differ there by {', '.join(others)}, too")
    return "\n".join(lines)


def _words(outline: Outline, before: Outline) -> Iterator[str]:
    """The parts of a state that differ from those before; all of it where it is that itself."""
    for name, part, old in zip(VARIABLES, outline, before, strict=True):
        if part != old or outline is before:
            yield f"  {name}: {in_words(name, part)}"


def in_words(variable: str, part: Any) -> str:
    """A part of a state, for a reader."""
    match variable:
        case "entry":
            return _record(part, STATES[part[0]])
        case "detached":
            return "; ".join(_record(entry, STATES[entry[0]]) for entry in sorted(part)) or "none"
        case "effects":
            return "; ".join(_record(order, ORDERS[order[0]]) for order in part) or "none"
        case "loads":
            return ", ".join(f"{g} has read {read}" if read else f"{g}" for g, read in sorted(part)) or "none"
        case "clients":
            return ", ".join(f"waits for {g}" if g else "idle" for g, _ in part)
        case _:
            return str(part)


def _record(part: Outline, names: tuple[str, ...]) -> str:
    """The kind, and its fields by their names in the specification; no flight is not told."""
    told = (
        f"{name} {_content(name, value)}" for name, value in zip(names, part[1:], strict=True) if value != NO_FLIGHT
    )
    return ", ".join((str(part[0]), *told))


def _content(name: str, value: Any) -> str:
    if name == "lifetime":
        return "/".join(_content("", duration) for duration in value)
    if name in ("flight", "outcome"):
        return f"({_record((value[0], *value[1:]), (FLIGHT if name == 'flight' else OUTCOME)[1:])})"
    return "never" if value == NEVER else str(value)


def main() -> int:
    """Compare the graphs of the runs named, or of all that are not slow."""
    from rich.console import Console
    from rich.table import Table

    said = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m herdless_verify.tlc.graph", description=said)
    parser.add_argument("--slow", action="store_true", help="the large worlds too")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="of specs/configurations.toml")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    table = Table("run", "states", "steps", "verdict", title="the code against the specification")
    different = 0
    for run in select(load_runs(), arguments.runs, slow=arguments.slow):
        try:
            specification = specified(run)
        except ToolMissing as missing:
            console.print(str(missing))
            return 2
        found = compare(run, specification)
        table.add_row(run.name, *_size(specification), "equal" if found is None else "DIFFERENT")
        if found is not None:
            different += 1
            console.print(f"{run.name}: {describe(found)}")
    console.print(table)
    return 1 if different else 0


def select(runs: Mapping[str, Run], names: list[str], *, slow: bool) -> Iterator[Run]:
    """The runs that have a graph: those named, or all."""
    graphs = [run.name for run in runs.values() if run.graph]
    for name in names:
        if name not in graphs:
            raise SystemExit(f"RUN={name!r} is not accepted: give one of {', '.join(graphs)}")
    for run in runs.values():
        if run.graph and (run.name in names or (not names and (slow or not run.slow))):
            yield run


def _size(steps: Steps) -> tuple[str, str]:
    return f"{len(steps):,}", f"{sum(map(len, steps.values())):,}"


if __name__ == "__main__":
    sys.exit(main())
