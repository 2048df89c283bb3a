"""`herdless trace`: what an adapter recorded, replayed through the machine, and drawn."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

from herdless._command._elsewhere import INSTALL, brought
from herdless._command._errors import CommandError
from herdless._command._source import Source, is_same_file, opened
from herdless._command._terminal import printable, say
from herdless._trace.judge import Departure, departure
from herdless._trace.mermaid import as_mermaid
from herdless._trace.perfetto import as_perfetto
from herdless._trace.reader import Line, Recorded, Section
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

--tlc needs {INSTALL}. It checks every key by itself, and
leaves out, with the reason, what the specification does not know of.

Exit status: 0 the trace is right; 1 it departs, and the line is printed; 2 for
bad input: no such file, not a trace, one of an unknown version, or one of which
nothing can be judged.
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
    add("file", metavar="FILE", help="the trace; - for standard input")
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
    is_right_by_tlc = _tlc() if args.tlc else None
    with opened(args.file) as source:
        _require_other_files(args, source)
        count = _Count()
        found = departure(_counted(source, count), has_ended=args.ended, maxsize=args.maxsize)
        if count.steps == 0:
            raise source.refused("holds no step, so there is nothing to judge")
        say(_verdict(source.name, count, found))
        if args.mermaid is not None:
            lines, remark = _window(args, source, found, args.limit or DRAWN_IN_MERMAID)
            _write("--mermaid", args.mermaid, f"```mermaid\n{as_mermaid(lines, remark=remark)}```\n")
        if args.perfetto is not None:
            lines, remark = _window(args, source, found, args.limit or DRAWN_IN_PERFETTO)
            _write("--perfetto", args.perfetto, json.dumps(as_perfetto(lines, remark=remark)) + "\n")
        if is_right_by_tlc is not None and not is_right_by_tlc(source):
            return 1
    return 0 if found is None else 1


def _tlc() -> Callable[[Source], bool]:
    """What checks a trace against the specification. Raises CommandError where it is not installed."""
    try:
        check: Callable[[Source], bool] = brought("trace-tlc")
    except CommandError as error:
        raise CommandError(f"--tlc: {error}") from error
    return check


def _require_other_files(args: argparse.Namespace, source: Source) -> None:
    """A drawing that took the place of the trace, or of the other drawing, would be no drawing of anything."""
    for option, path in (("--mermaid", args.mermaid), ("--perfetto", args.perfetto)):
        if path is not None and source.is_same(path):
            raise CommandError(f"{option} {printable(path)}: it is the trace itself: give another name")
    if args.mermaid is not None and args.perfetto is not None and is_same_file(args.mermaid, args.perfetto):
        raise CommandError(f"--perfetto {printable(args.perfetto)}: --mermaid names it, too: give another name")


@final
@dataclass(slots=True)
class _Count:
    """What was read up to now."""

    steps: int = 0
    flights: int = 0
    spans: dict[Section, tuple[int, int]] = field(default_factory=dict)
    """The first and the last instant of each section."""

    def seconds(self) -> float:
        """The time from the first to the last step: that of the owner for whom it is longest."""
        return max(last - first for first, last in self.spans.values()) / NANOSECONDS_PER_SECOND


def _counted(source: Source, count: _Count) -> Iterator[Line]:
    for line in source.lines():
        if isinstance(line, Recorded):
            count.steps += 1
            count.flights += sum(isinstance(effect, StartLoad) for effect in line.step.effects)
            began, _ = count.spans.get(line.section, (line.at, 0))
            count.spans[line.section] = began, line.at
        yield line


def _verdict(file: str, count: _Count, found: Departure | None) -> str:
    if found is not None:
        return f"{file} departs at {found}"
    owners = f" of {len(count.spans):,} owners" if len(count.spans) > 1 else ""
    return (
        f"{file}: {count.steps:,} steps and {count.flights:,} loads{owners} in {count.seconds():g} s "
        "are what the machine does"
    )


def _window(
    args: argparse.Namespace, source: Source, found: Departure | None, limit: int
) -> tuple[list[Recorded], str]:
    """The steps to draw, and what is to be said of the others."""
    steps = (
        line for line in source.lines() if isinstance(line, Recorded) and (args.key is None or line.key == args.key)
    )
    if found is None:
        window = list(islice(steps, limit))
        left_out = sum(1 for _ in steps)
        remark = f"{left_out:,} later steps are left out" if left_out else ""
    else:
        before = [line.line for line in steps if line.line <= found.line]
        wanted = set(before[-limit:])
        window = [line for line in source.lines() if isinstance(line, Recorded) and line.line in wanted]
        left_out = len(before) - len(window)
        remark = f"departs at line {found.line}" + (f", {left_out:,} earlier steps are left out" if left_out else "")
    if not window:
        raise CommandError(f"--key {printable(args.key)}: no step of {source.name} is about it")
    return window, remark


def _write(option: str, path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{option} {printable(path)}: {error.strerror}") from error


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give an integer >= 1")
    return count
