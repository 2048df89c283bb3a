"""Whether the checkers would notice: the machine with one mistake at a time, and which of them finds it.

    python -m herdless_verify.mutants [--crosshair] [--record FILE] [MUTANT...]
    python -m herdless_verify.mutants --show MUTANT...
    python -m herdless_verify.mutants --edits [--sample N] [--seconds S] [EDIT...]

The mistakes are single edits in `mutants.toml`. Five checkers look for each:

- graph: the code's graph against that of the specification (herdless_verify.tlc.graph);
- explore: the named invariants over the same states (herdless_verify.exploration.search), without the specification;
- Hypothesis: the same invariants on long random walks in a larger world (walks.py);
- TLC: the specification with the same mistake, against its own promises;
- CrossHair: the contracts of herdless_verify.crosshair.contracts, on request.

The exit status is 1 when one of them is not found by two at least. `--show` prints the edit, and the steps by which
the first two checkers find it. `--edits` makes those of everything else instead (edits.py), of a sample that changes
with the commit if that is asked for; the status is 1 when the tests of one do not fall.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from herdless_core import Event
from herdless_core.table import EVENTS
from herdless_verify.exploration.search import Exploration, explore_ticks
from herdless_verify.exploration.world import Machine
from herdless_verify.mistakes import Mutant, load_mutants
from herdless_verify.mutants import edits
from herdless_verify.mutants.walks import JUDGED, random_walks
from herdless_verify.tlc.check import complaint
from herdless_verify.tlc.configurations import Run, load_runs
from herdless_verify.tlc.graph import Steps, describe, difference, specified
from herdless_verify.tlc.toolbox import ToolMissing, run_tlc

if TYPE_CHECKING:
    from rich.table import Table

BROKEN: Final = frozenset({"POST_FAIL", "POST_ERR", "EXEC_ERR"})
"""What CrossHair says of a contract for which it has found numbers that break it."""

CHECKERS: Final = ("graph", "explore", "Hypothesis", "TLC", "CrossHair")

ENOUGH: Final = 2
"""So many checkers must find a mistake."""


@final
class Checkers:
    """The checkers, and the graphs of the specification that they share."""

    def __init__(self, runs: dict[str, Run], *, with_crosshair: bool) -> None:
        self._runs: Final = runs
        self._with_crosshair: Final = with_crosshair
        self._graphs: Final[dict[str, Steps]] = {}

    def found_by(self, mutant: Mutant) -> dict[str, str]:
        """For each checker what it found; empty where it found nothing, "-" where it could not look."""
        machine = mutant.machine()
        graph, explored, suspects = self._explore(machine)
        return {
            "graph": graph,
            "explore": explored,
            "Hypothesis": random_walks(machine),
            "TLC": self._tlc(mutant),
            "CrossHair": crosshair(machine, suspects) if self._with_crosshair else "-",
        }

    def _explore(self, machine: Machine) -> tuple[str, str, list[type[Event]]]:
        """What the graph and what the invariants show, and by which events they were broken."""
        graph = explored = ""
        suspects: list[type[Event]] = []
        for run in self._runs.values():
            if not run.graph or run.slow or (graph and explored):
                continue
            specification = self._graphs.setdefault(run.name, {}) or specified(run)
            self._graphs[run.name] = specification
            found = _explored(run, machine, len(specification))
            if isinstance(found, str):
                return graph or found, explored or found, suspects
            graph = graph or _differs(found, specification)
            if not explored:
                explored = _named(violation.promise for violation in found.violations)
                suspects = [type(violation.step.event) for violation in found.violations]
        return graph, explored, suspects

    def _tlc(self, mutant: Mutant) -> str:
        run = self._runs[mutant.spec_run]
        with tempfile.TemporaryDirectory(prefix="herdless-mutant-") as private:
            mutant.specification(Path(private))
            output = run_tlc(run, folder=Path(private), timeout=edits.SECONDS)
        return complaint(run, output).removesuffix(" is refuted") if output.status != 0 else ""


def _explored(run: Run, machine: Machine, size: int) -> Exploration | str:
    """The exploration, or the name of the exception that the mistake makes the machine raise."""
    policy, bounds = run.machine_policy(), run.bounds()
    try:
        return explore_ticks(policy, bounds, machine=machine, invariants=JUDGED, max_states=2 * size)
    except Exception as error:  # noqa: BLE001 - any of them shows the mistake
        return f"raises {type(error).__name__}"


def _differs(found: Exploration, specification: Steps) -> str:
    differing = difference(found, specification)
    if differing is None:
        return ""
    moves = len(differing.path)
    return f"after {moves} move{'' if moves == 1 else 's'}"


def crosshair(machine: Machine, suspects: Iterable[type[Event]] = ()) -> str:
    """What the first contract says that the machine breaks on some path, or empty. Those of the suspects go first.

    TimeShift is left out: the predicate compares with the machine that has no mistake.
    """
    from herdless_verify.crosshair.contracts import TIME_SHIFT, Named
    from herdless_verify.crosshair.symbolic import NOTHING_CHECKED, results

    for kind in dict.fromkeys((*suspects, None, *EVENTS)):

        def is_next(contract: Named, kind: type[Event] | None = kind) -> bool:
            return contract.kind is kind and TIME_SHIFT not in contract.promises

        for result in results(machine, is_next):
            if result.verdict == "EXEC_ERR":
                return f"raises {result.note.partition(':')[0]}"
            if result.verdict in BROKEN:
                return _named(result.promises)
            if result.verdict == NOTHING_CHECKED:
                raise AssertionError(f"CrossHair has not read the contract {result.contract!r}")
    return ""


def _named(promises: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(promises))


def show(mutant: Mutant, runs: Mapping[str, Run]) -> str:
    """The edit, the first step by which the graphs differ, and the shortest way to each promise that is broken."""
    run = runs[mutant.spec_run]
    specification = specified(run)
    found = _explored(run, mutant.machine(), len(specification))
    lines = [mutant.name, *(f"- {line}" for line in mutant.find.strip("\n").splitlines())]
    lines += [*(f"+ {line}" for line in mutant.replace.strip("\n").splitlines()), "", f"in the world {run.name!r}:", ""]
    if isinstance(found, str):
        return "\n".join([*lines, f"the machine {found}"])
    differing = difference(found, specification)
    lines += ["the graphs are equal" if differing is None else describe(differing)]
    for violation in found.violations:
        lines += ["", f"{violation.promise}, by explore:", *(f"  {line}" for line in violation.lines())]
    return "\n".join(lines)


def record(found: Mapping[str, Mapping[str, str]], file: Path) -> None:
    """Keep what was found in a file, along with what was looked for; what it knows of the others stays."""
    known = {entry["mutant"]: entry for entry in recorded(file)}
    mutants = load_mutants()
    for mutant in mutants:
        if mutant.name in found:
            known[mutant.name] = {"mutant": mutant.name, "digest": mutant.digest, "found": dict(found[mutant.name])}
    entries = [known[mutant.name] for mutant in mutants if mutant.name in known]
    file.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def recorded(file: Path) -> list[dict[str, Any]]:
    """What was kept: an entry for each mistake; none where there is no such file."""
    entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return entries


def main() -> int:
    """Look for the mistakes named, or for all."""
    said = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m herdless_verify.mutants", description=said)
    parser.add_argument("--crosshair", action="store_true", help="the contracts too, which takes half an hour for all")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep what is found; docs/spec/ has mutants.json")
    parser.add_argument("--show", action="store_true", help="the edit, and the steps by which it is found")
    parser.add_argument("--edits", action="store_true", help="the edits of tests/edits.toml, and the project's tests")
    parser.add_argument("--sample", type=int, metavar="N", help="with --edits: N of them, others for each commit")
    parser.add_argument("--seconds", type=float, default=edits.SECONDS, help="with --edits: the time limit of each")
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="a part of its name in specs/mutants.toml")
    arguments = parser.parse_args()
    if arguments.edits:
        return _try_edits(parser, arguments)
    if arguments.record is not None and not arguments.crosshair:
        parser.error("--record is not accepted without --crosshair: the record is of all checkers")
    mutants = [
        each for each in load_mutants() if not arguments.mutants or any(n in each.name for n in arguments.mutants)
    ]
    if not mutants:
        parser.error(f"MUTANT={arguments.mutants[0]!r} is not accepted: give a part of a name in specs/mutants.toml")
    try:
        return (
            _show(mutants)
            if arguments.show
            else _look(mutants, with_crosshair=arguments.crosshair, keep=arguments.record)
        )
    except ToolMissing as missing:
        sys.stdout.write(f"{missing}\n")
        return 2


def _try_edits(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        every = edits.load_source_edits()
    except edits.NoCheckout as missing:
        sys.stdout.write(f"{missing}\n")
        return 2
    chosen = [each for each in every if not arguments.mutants or any(n in each.name for n in arguments.mutants)]
    if not chosen:
        parser.error(f"EDIT={arguments.mutants[0]!r} is not accepted: give a part of a name in tests/edits.toml")
    if arguments.sample is not None:
        chosen = edits.sample(chosen, arguments.sample, edits.commit())
    survived = 0
    for each in chosen:
        verdict, printed = edits.try_out(each, arguments.seconds)
        survived += verdict == edits.SURVIVES
        noticed = [line for line in printed.splitlines() if line.startswith("FAILED")]
        sys.stdout.write(f"{each.name}: {verdict} {' '.join(noticed)}".rstrip() + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - survived} of {len(chosen)} edits are noticed\n")
    return 1 if survived else 0


def _show(mutants: list[Mutant]) -> int:
    runs = load_runs()
    for mutant in mutants:
        sys.stdout.write(f"{show(mutant, runs)}\n")
    return 0


def _look(mutants: list[Mutant], *, with_crosshair: bool, keep: Path | None) -> int:
    checkers = Checkers(load_runs(), with_crosshair=with_crosshair)
    found: dict[str, dict[str, str]] = {}
    for mutant in mutants:
        found[mutant.name] = checkers.found_by(mutant)
        sys.stdout.write(f"{mutant.name}: found by {count(found[mutant.name])}\n")
        sys.stdout.flush()
    from rich.console import Console

    Console().print(_table(found))
    if keep is not None:
        record(found, keep)
    return 1 if any(count(each) < ENOUGH for each in found.values()) else 0


def count(found: Mapping[str, str]) -> int:
    """How many checkers have found it."""
    return sum(what not in {"", "-"} for what in found.values())


def _table(found: Mapping[str, Mapping[str, str]]) -> Table:
    from rich.table import Table

    table = Table("mistake", *CHECKERS, "found by", title="mistakes, and what each checker said of them")
    for name, each in found.items():
        table.add_row(name, *each.values(), str(count(each)))
    return table
