"""Recorded traces under the model checker: whether what adapters did is a behaviour of the specification.

    python -m herdless_verify.tlc.traces FILE...

The exit status is 0 when all are, 1 when one is not, and 2 for what is no trace, has nothing in it that can be checked,
or a tool that is missing.

Every key of every trace becomes a sequence of moves of specs/TraceCacheEntry.tla. Traces of one policy go into one
generated module and one run of TLC, so that hundreds of them take seconds. The mapping, per key:

    generations    1, 2, 3 ... in the order in which the key's flights start
    values         1, 2, 3 ...: one for each load and each put; its name in the trace is kept beside it
    errors         -1 what `negative_ttl` may remember, -2 what it may not, -3 the machine's own LoadTimeout
    callers        any client that is free; who leaves is any that waits
    instants       ticks from now: see scale.py
    other keys     are left out: generations are the cache's, all else is the key's own

What the specification does not know is left out, with the reason: a cache that could cancel its loads at one time and
not at another, a key of which a forked process had a value from its parent, and durations that have no common measure
worth the name, as those which jitter makes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from herdless._trace.reader import Line, NotATrace, Recorded, Section, read_trace
from herdless._trace.strict import escaped
from herdless._trace.words import describe
from herdless_core import ABSENT, NEVER, WaiterLeft
from herdless_verify.files import FOLDER
from herdless_verify.tlc.moves import Moves, lifetime_text
from herdless_verify.tlc.scale import END_OF_TIME, OutsideOfSpecification, Scale
from herdless_verify.tlc.toolbox import HOLDS, REFUTED, Output, ToolMissing, find_jar, find_java, run_module

MODULE: Final = "RecordedTraces"
PROCESSES: Final = 2
MOVES_IN_A_RUN: Final = 20_000
"""So many moves are examined in one run of TLC; a key with more of them is left out."""

CHECKED: Final = (
    "INVARIANT PassIsTickInv",
    "INVARIANT WellFormedInv",
    "INVARIANT HitUntilInv",
    "INVARIANT BoundedInv",
    "INVARIANT GenerationInv",
)
OF_ONE_OWNER: Final = (
    "INVARIANT AnsweredOnceInv",
    "INVARIANT WaiterCountInv",
    "INVARIANT NoStaleSetInv",
    "PROPERTY NoStaleReadProp",
    "PROPERTY SameOutcomeProp",
)
"""Not examined where an owner may find an entry of which the trace does not know how it came there."""


@final
@dataclass(frozen=True, slots=True)
class Departed:
    """A trace that is no behaviour of the specification."""

    trace: str
    line: int
    step: str
    """In words."""
    complaint: str

    def __str__(self) -> str:
        return f"{self.trace} departs at line {self.line}, {self.step}\n{self.complaint}"


@final
@dataclass(slots=True)
class Validation:
    """What came of validating traces."""

    followed: int = 0
    """How many sequences of moves, one for each trace and key, are behaviours of the specification."""
    departed: list[Departed] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """With the reasons."""
    moves: int = 0
    runs: int = 0
    """Of TLC."""


@final
@dataclass(frozen=True, slots=True)
class _Setting:
    """What one run of TLC is about: the constants that all its traces share."""

    durations: tuple[tuple[str, int], ...]
    """In units of the scale."""
    lifetimes: tuple[tuple[int, ...], ...]
    """Those that values have, likewise."""
    max_waiters: int
    has_answers: bool
    remember_timeouts: bool
    can_cancel: bool
    is_durable: bool


@final
@dataclass(frozen=True, slots=True)
class _Sequence:
    """One key of one trace, before it is known with which others it is examined."""

    trace: str
    steps: list[Recorded]
    scale: Scale


def validate(traces: Mapping[str, Iterable[Line]]) -> Validation:
    """Check traces, by name, against the specification.

    Raises ToolMissing where TLC is not installed, RuntimeError where it does not run.
    """
    find_java(), find_jar()
    validation = Validation()
    groups: defaultdict[_Setting, list[_Sequence]] = defaultdict(list)
    for name, lines in traces.items():
        for (section, key), steps in _by_key(lines).items():
            try:
                scale = Scale(section.policy, [line.step for line in steps])
                groups[_setting(section, steps, scale)].append(_Sequence(name, steps, scale))
            except OutsideOfSpecification as reason:
                validation.left_out.append(f"{name}, key {key} of section {section.number}: {reason}")
    batches = [
        (setting, batch) for setting, group in groups.items() for batch in _batches(_moves(group, validation.left_out))
    ]
    with ThreadPoolExecutor(PROCESSES) as pool:
        for done in pool.map(lambda each: _examine(*each), batches):
            validation.followed += done.followed
            validation.departed += done.departed
            validation.moves += done.moves
            validation.runs += done.runs
    validation.departed.sort(key=lambda departed: (departed.trace, departed.line))
    return validation


def _by_key(lines: Iterable[Line]) -> dict[tuple[Section, str], list[Recorded]]:
    steps: dict[tuple[Section, str], list[Recorded]] = {}
    for line in lines:
        if isinstance(line, Recorded):
            dated = replace(line, step=replace(line.step, now=line.at))  # the specification has one clock for all
            steps.setdefault((line.section, line.key), []).append(dated)
    return steps


def _setting(section: Section, steps: Sequence[Recorded], scale: Scale) -> _Setting:
    if section.is_forked and steps[0].step.before != ABSENT:
        raise OutsideOfSpecification("a forked process began with what its parent had, which its lines do not tell")
    if any(line.step.policy.derived_from is not None for line in steps):
        raise OutsideOfSpecification("a failure rests for a time of its own")
    can_cancel = {line.step.event.can_cancel for line in steps if isinstance(line.step.event, WaiterLeft)}
    if len(can_cancel) > 1:
        raise OutsideOfSpecification("loads can be cancelled at one time and not at another")
    durations = tuple(scale.durations.items())
    policy = section.policy
    return _Setting(
        durations=durations,
        lifetimes=tuple(sorted(map(scale.units, scale.lifetimes))),
        max_waiters=policy.max_waiters,
        has_answers=policy.answers is not None,
        remember_timeouts=policy.remember_timeouts,
        can_cancel=False not in can_cancel,
        is_durable=section.is_durable,
    )


def _moves(group: list[_Sequence], left_out: list[str]) -> Iterator[Moves]:
    """The moves of all, on the largest of their scales where the numbers allow it."""
    largest = max(each.scale.size for each in group)
    for each in group:
        each.scale.size = largest if each.scale.has_room_for(largest) else each.scale.size
        moves = Moves(each.trace, each.steps, each.scale)
        if len(moves.written) > MOVES_IN_A_RUN:
            left_out.append(f"{each.trace}, key {each.steps[0].key}: it has more than {MOVES_IN_A_RUN:,} moves")
        else:
            yield moves


def _batches(all_moves: Iterable[Moves]) -> Iterator[list[Moves]]:
    """Such as are on one scale, and not too many."""
    for_size: defaultdict[int, list[Moves]] = defaultdict(list)
    for moves in all_moves:
        batch = for_size[moves.size]
        if sum(len(each.written) for each in batch) + len(moves.written) > MOVES_IN_A_RUN:
            yield batch.copy()
            batch.clear()
        batch.append(moves)
    yield from for_size.values()


def _examine(setting: _Setting, batch: Sequence[Moves]) -> Validation:
    """One run of TLC; where a promise is broken another one, for those that are not the culprit."""
    with tempfile.TemporaryDirectory(prefix="herdless-traces-") as private:
        folder = Path(private)
        (folder / f"{MODULE}.tla").write_text(_module(setting, batch), encoding="utf-8")
        output = run_module(folder, MODULE, _cfg(setting, batch), library=FOLDER)
    if output.status in REFUTED:
        culprit, departed = _broken(output, batch)
        others = [moves for moves in batch if moves is not culprit]
        validation = _examine(setting, others) if others else Validation()
        validation.departed.append(departed)
        validation.runs += 1
        return validation
    if output.status != HOLDS:
        raise RuntimeError(f"TLC ended with status {output.status}:\n{output.text[-3000:]}")
    reached: defaultdict[int, int] = defaultdict(int)
    for trace, at in re.findall(r'^<<"reached", (\d+), (\d+)>>$', output.text, re.MULTILINE):
        reached[int(trace)] = max(reached[int(trace)], int(at))
    validation = Validation(moves=sum(len(moves.written) for moves in batch), runs=1)
    for number, moves in enumerate(batch, start=1):
        if reached[number] == len(moves.written) + 1:
            validation.followed += 1
        else:
            validation.departed.append(_departed(moves, reached[number], "the specification does something else"))
    return validation


def _broken(output: Output, batch: Sequence[Moves]) -> tuple[Moves, Departed]:
    """The trace, and the move of it, by which a promise is broken."""
    promises = re.findall(r"(?:Invariant|property) (\w+) is violated", output.text)
    trace, at = (int(re.findall(rf"^/\\ {name} = (\d+)$", output.text, re.MULTILINE)[-1]) for name in ("t", "i"))
    moves = batch[trace - 1]
    return moves, _departed(moves, at - 1, f"{', '.join(promises) or 'a promise'} is violated")


def _departed(moves: Moves, at: int, complaint: str) -> Departed:
    line = moves.line(at)
    return Departed(moves.trace, line.line, describe(line.key, line.step), complaint)


def _module(setting: _Setting, batch: Sequence[Moves]) -> str:
    sequences = ",\n".join("<<\n  " + ",\n  ".join(moves.written) + " >>" for moves in batch)
    names = ",\n".join(f"<<{', '.join(map(str, moves.names))}>>" for moves in batch)
    lifetimes = ",\n".join(lifetime_text(batch[0].scale, units) for units in setting.lifetimes)
    return (
        f"---- MODULE {MODULE} ----\nEXTENDS TraceCacheEntry\n"
        f"RecordedMoves == <<\n{sequences} >>\nRecordedNames == <<\n{names} >>\n"
        f"RecordedLifetimes == {{\n{lifetimes} }}\n====\n"
    )


def _cfg(setting: _Setting, batch: Sequence[Moves]) -> str:
    size = batch[0].size
    constants = {name: END_OF_TIME if units >= NEVER else units * size for name, units in setting.durations} | {
        "NumberOfClients": max(moves.clients for moves in batch) + 1,
        "MaxGeneration": max(moves.generations for moves in batch) + 1,
        "MaxTruth": max(len(moves.names) for moves in batch) + 1,
        "MaxWaiters": min(setting.max_waiters, END_OF_TIME),
        "Answers": str(setting.has_answers).upper(),
        "MayNotKeep": "TRUE",
        "MayReload": "TRUE",
        "HasSoftTimeout": "TRUE",
        "Ages": f"{{{', '.join(map(str, sorted({0, *(age for moves in batch for age in moves.ages)})))}}}",
        "RememberTimeouts": str(setting.remember_timeouts).upper(),
        "CanCancel": f"{{{str(setting.can_cancel).upper()}}}",
    }
    lines = ["SPECIFICATION TraceSpec", "CONSTRAINT Reached", "CONSTANTS"]
    lines += [f"  {name} = {value}" for name, value in constants.items()]
    lines += ["  Ttls = {}", "  Lifetimes <- RecordedLifetimes"]
    lines += ["  Never <- EndOfTime", "  Traces <- RecordedMoves", "  Names <- RecordedNames"]
    return "\n".join([*lines, *CHECKED, *(() if setting.is_durable else OF_ONE_OWNER), ""])


def _read(file: str) -> Iterator[Line]:
    try:
        yield from read_trace(file)
    except NotATrace as error:
        raise NotATrace(f"{file}: {error}") from error


def main() -> int:
    """Validate the traces in these files, and say which of them depart."""
    from rich.console import Console

    said = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m herdless_verify.tlc.traces", description=said)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a trace, as herdless.trace.TraceFile has written it")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        validation = validate({file: _read(file) for file in arguments.files})
    except (OSError, NotATrace, ToolMissing) as error:
        console.print(f"python -m herdless_verify.tlc.traces: {error}")
        return 2
    for reason in validation.left_out:
        console.print(f"left out: {escaped(reason)}")
    for departed in validation.departed:
        console.print(str(departed))
    keys = validation.followed + len(validation.departed)
    if keys == 0:
        console.print("python -m herdless_verify.tlc.traces: all keys are left out, so that nothing was checked")
        return 2
    console.print(
        f"{validation.followed} of {keys} keys in {len(arguments.files)} traces are behaviours of the specification: "
        f"{validation.moves:,} moves in {validation.runs} runs of TLC"
    )
    return 1 if validation.departed else 0


if __name__ == "__main__":
    sys.exit(main())
