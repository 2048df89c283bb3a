"""`herdless trace`: what an adapter recorded, replayed through the machine, and drawn."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

from herdless._command._errors import CommandError
from herdless._trace.judge import Departure, departure
from herdless._trace.mermaid import as_mermaid
from herdless._trace.perfetto import as_perfetto
from herdless._trace.reader import Line, NotATrace, Recorded, read_trace
from herdless._verify.findings import INSTALL
from herdless._verify.specs import specs
from herdless_core import NANOSECONDS_PER_SECOND, StartLoad

DRAWN_IN_MERMAID: Final = 100
DRAWN_IN_PERFETTO: Final = 10_000

DESCRIPTION: Final = """\
Replay a trace through the machine: whether every step is what the machine does,
follows from the steps before it, and keeps the promises of herdless. A trace is
what `observe=herdless.trace.TraceFile(FILE)` has recorded of a cache.
"""

EPILOG: Final = f"""\
Of a long trace a drawing shows the first steps, or the last ones before the
line at which it departs: {DRAWN_IN_MERMAID} in the diagram, {DRAWN_IN_PERFETTO:,} in the Perfetto file,
unless --limit says otherwise. What is left out is said in the drawing.

--tlc needs pip install 'herdless[verify]'. It checks every key by itself, and
leaves out, with the reason, what the specification does not know of.

Exit status: 0 the trace is right; 1 it departs, and the line is printed; 2 for
bad input: no such file, not a trace, or one of an unknown version.
"""


def add_arguments(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add this subcommand's parser."""
    parser = subparsers.add_parser(
        "trace",
        help="replay what an adapter recorded, and draw it",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="the trace")
    add("--mermaid", metavar="OUT.md", help="write a sequence diagram: callers, entries, loads")
    add("--perfetto", metavar="OUT.json", help="write a file for ui.perfetto.dev or chrome://tracing")
    add("--tlc", action="store_true", help="check it against the TLA+ specification as well")
    add("--key", metavar="KEY", help="draw this key only, written as in the trace: \"'a'\" for the text a")
    add("--limit", type=_count, metavar="N", help="draw at most so many steps")
    add("--ended", action="store_true", help="the cache was closed: nobody may be left waiting at the end")
    add("--maxsize", type=_count, metavar="N", help="the maxsize of the cache: never more values than this")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, report and draw; 1 if the trace departs."""
    count = _Count()
    found = departure(_counted(args.file, count), has_ended=args.ended, maxsize=args.maxsize)
    sys.stdout.write(_verdict(args.file, count, found))
    if args.mermaid is not None:
        lines, remark = _window(args, found, args.limit or DRAWN_IN_MERMAID)
        _write("--mermaid", args.mermaid, f"```mermaid\n{as_mermaid(lines, remark=remark)}```\n")
    if args.perfetto is not None:
        lines, remark = _window(args, found, args.limit or DRAWN_IN_PERFETTO)
        _write("--perfetto", args.perfetto, json.dumps(as_perfetto(lines, remark=remark)) + "\n")
    if args.tlc and not _is_right_by_tlc(args.file):
        return 1
    return 0 if found is None else 1


@final
@dataclass(slots=True)
class _Count:
    """What was read up to now."""

    steps: int = 0
    flights: int = 0
    began: int | None = None
    ended: int = 0


def _counted(file: str, count: _Count) -> Iterator[Line]:
    for line in _read(file):
        if isinstance(line, Recorded):
            count.steps += 1
            count.flights += sum(isinstance(effect, StartLoad) for effect in line.step.effects)
            count.began = line.step.now if count.began is None else count.began
            count.ended = line.step.now
        yield line


def _read(file: str) -> Iterator[Line]:
    """The lines. Raises CommandError where they cannot be read."""
    try:
        yield from read_trace(file)
    except OSError as error:
        raise CommandError(f"FILE {file}: {error.strerror}") from error
    except NotATrace as error:
        raise CommandError(f"FILE {file}: {error}") from error


def _verdict(file: str, count: _Count, found: Departure | None) -> str:
    if found is not None:
        return f"{file} departs at {found}\n"
    seconds = (count.ended - (count.began or 0)) / NANOSECONDS_PER_SECOND
    return f"{file}: {count.steps:,} steps and {count.flights:,} loads in {seconds:g} s are what the machine does\n"


def _window(args: argparse.Namespace, found: Departure | None, limit: int) -> tuple[list[Recorded], str]:
    """The steps to draw, and what is to be said of the others."""
    steps = (
        line for line in _read(args.file) if isinstance(line, Recorded) and (args.key is None or line.key == args.key)
    )
    if found is None:
        window = list(islice(steps, limit))
        left_out = sum(1 for _ in steps)
        remark = f"{left_out:,} later steps are left out" if left_out else ""
    else:
        before = [line.line for line in steps if line.line <= found.line]
        wanted = set(before[-limit:])
        window = [line for line in _read(args.file) if isinstance(line, Recorded) and line.line in wanted]
        left_out = len(before) - len(window)
        remark = f"departs at line {found.line}" + (f", {left_out:,} earlier steps are left out" if left_out else "")
    if not window:
        raise CommandError(f"--key {args.key}: no step of {args.file} is about it" if args.key else "nothing to draw")
    return window, remark


def _is_right_by_tlc(file: str) -> bool:
    """Check every key of the trace against the specification, and report."""
    try:
        traces, toolbox = specs("traces"), specs("toolbox")
        validation = traces.validate({file: _read(file)})
    except ModuleNotFoundError as error:
        raise CommandError(f"--tlc: {error}: {INSTALL}") from error
    except toolbox.ToolMissing as missing:
        raise CommandError(f"--tlc: {missing}") from missing
    for reason in validation.left_out:
        sys.stdout.write(f"TLC: left out: {reason}\n")
    for departed in validation.departed:
        sys.stdout.write(f"TLC: {departed}\n")
    keys = validation.followed + len(validation.departed)
    sys.stdout.write(f"TLC: {validation.followed} of {keys} keys are behaviours of the specification\n")
    return not validation.departed


def _write(option: str, path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{option} {path}: {error.strerror}") from error


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give an integer >= 1")
    return count
