"""The specification under the model checker.

    python -m herdless_verify.tlc [--slow] [RUN...]
    python -m herdless_verify.tlc --show RUN...

Runs every configuration of `configurations.toml` and shows what came of it. The exit status is 0 when all came out as
expected, 1 when one did not - a promise broken, a situation never reached, an action never taken, another number of
states than the pinned one - and 2 when a tool is missing. `--show` prints the behaviours that refute what is to be
refuted, instead of the table.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.counterexample import counterexample
from herdless_verify.tlc.toolbox import HOLDS, REFUTED, Output, ToolMissing, find_jar, find_java, run_tlc

if TYPE_CHECKING:
    from rich.table import Table

PROCESSES: Final = 2
"""So many runs at a time; each is small, and has one worker."""


@final
@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    run: Run
    output: Output
    complaint: str
    """Empty when it came out as expected."""


def parts(run: Run) -> list[Run]:
    """The runs of TLC that a configuration stands for: what is to be refuted is refuted one by one."""
    return run.singly() if run.expect == "refuted" else [run]


def check(run: Run) -> Result:
    """Run TLC, and compare with what the configuration expects."""
    output = run_tlc(run, workers=PROCESSES if run.slow else 1)
    return Result(run, output, complaint(run, output))


def complaint(run: Run, output: Output) -> str:
    """What is not as expected; empty when all is."""
    if run.expect == "refuted":
        if output.status == HOLDS:
            return "holds, but must be refuted"
        return "" if output.status in REFUTED else _failure(run, output)
    if output.status != HOLDS:
        return _failure(run, output)
    if run.distinct not in (None, output.distinct) or run.depth not in (None, output.depth):
        return f"{run.distinct} states at depth {run.depth} are pinned"
    never = sorted(never_taken(output.text)) if run.covers_all_actions else []
    return f"never taken: {', '.join(never)}" if never else ""


def never_taken(text: str) -> Iterator[str]:
    """The actions that, by TLC's coverage, led to no state at all."""
    taken: dict[str, int] = {}
    for name, total in re.findall(r"^<(\w+) line .*>: \d+:(\d+)$", text, re.MULTILINE):
        taken[name] = int(total)
    return (name for name, total in taken.items() if total == 0)


def _failure(run: Run, output: Output) -> str:
    errors: list[str] = re.findall(r"^Error: (.*)$", output.text, re.MULTILINE)
    if not errors:
        return f"TLC ended with status {output.status}"
    if named := re.match(r"(?:Invariant|Action property) (\w+) is violated", errors[0]):
        return f"{named[1]} is refuted"
    if errors[0].startswith("Temporal properties were violated"):
        return f"{' or '.join(run.properties)} is refuted"
    return errors[0]


def select(names: list[str], *, slow: bool) -> list[Run]:
    """The runs of TLC for the configurations named, or for all that are not slow. A part of one has a name, too."""
    runs = load_runs()
    known = {name: parts(run) for name, run in runs.items()}
    known |= {part.name: [part] for run in runs.values() for part in parts(run)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"RUN={unknown[0]!r} is not accepted: give one of {', '.join(runs)}")
    chosen = names or [run.name for run in runs.values() if slow or not run.slow]
    return [part for name in chosen for part in known[name]]


def main() -> int:
    """Run the configurations named, or all that are not slow."""
    from rich.console import Console

    said = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m herdless_verify.tlc", description=said)
    parser.add_argument("--slow", action="store_true", help="the large worlds too")
    parser.add_argument("--show", action="store_true", help="the behaviours that refute what is to be refuted")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="of specs/configurations.toml")
    arguments = parser.parse_args()
    console = Console()
    try:
        find_java(), find_jar()
    except ToolMissing as missing:
        console.print(str(missing), soft_wrap=True, markup=False)
        return 2
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = list(pool.map(check, select(arguments.runs, slow=arguments.slow)))
    wrong = [result for result in results if result.complaint]
    if not arguments.show:
        console.print(_table(results))
    for result in results if arguments.show else wrong:
        console.print(f"\n{result.run.name}: {result.complaint or result.run.expect}", markup=False, highlight=False)
        console.print(counterexample(result.output.text) or result.output.text[-2000:], markup=False)
    return 1 if wrong else 0


def _table(results: list[Result]) -> Table:
    from rich.table import Table

    table = Table(title="the specification under TLC")
    table.add_column("configuration", overflow="fold")
    table.add_column("expectation")
    for column in ("distinct states", "depth", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for result in results:
        output = result.output
        numbers = (f"{output.distinct:,}", str(output.depth), f"{output.seconds:.1f}")
        table.add_row(result.run.name, result.run.expect, *numbers, result.complaint or "as expected")
    return table
