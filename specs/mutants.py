"""Whether the checkers would notice: the machine with one mistake at a time, and which of them finds it.

    python -m specs.mutants [--crosshair] [MUTANT...]

The mistakes are single edits in `mutants.toml`. Five checkers look for each:

- graph: the code's graph against that of the specification (specs/graph.py);
- explore: the named invariants over the same states (herdless._verify.explore), without the specification;
- random: the same invariants on long random walks in a larger world, by Hypothesis;
- TLC: the specification with the same mistake, against its own promises;
- CrossHair: the contracts of specs/contracts.py, on request.

The exit status is 1 when one of them is not found by two at least.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final, cast, final

from rich.console import Console
from rich.table import Table

from herdless._verify.explore import Exploration, Judgement, explore_ticks
from herdless._verify.world import Bounds, Machine, commit, first, moves, target
from herdless_core import Step, _machine
from herdless_core._invariants import INVARIANTS
from herdless_core._table import EVENTS

from .configurations import FOLDER, Run, load_runs
from .graph import Steps, difference, specified
from .tlc import complaint
from .toolbox import ToolMissing, run_tlc

JUDGED: Final = {name: holds for name, holds in INVARIANTS.items() if name != "TimeShift"}
"""TimeShift compares with the machine that has no mistake, and would find them all by that."""

BROKEN: Final = frozenset({"POST_FAIL", "POST_ERR", "EXEC_ERR"})
"""What CrossHair says of a contract for which it has found numbers that break it."""

ENOUGH: Final = 2
"""So many checkers must find a mistake."""


class PromiseBroken(Exception):
    """A random walk came to a step that breaks the promise named."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One mistake, in the code and in the specification."""

    name: str
    find: str
    replace: str
    spec_find: str
    spec_replace: str
    spec_run: str

    def module(self) -> ModuleType:
        """The machine with the mistake."""
        source = Path(_machine.__file__).read_text(encoding="utf-8")
        module = ModuleType("herdless_core._machine_with_a_mistake")
        sys.modules[module.__name__] = module  # where dataclasses look for the names in annotations
        code = compile(_edited(source, self.find, self.replace, self.name), _machine.__file__, "exec")
        exec(code, module.__dict__)  # noqa: S102 - our own source, with one edit of our own
        return module

    def specification(self, folder: Path) -> None:
        """A copy of the specification, with the mistake."""
        for module in FOLDER.glob("*.tla"):
            shutil.copy(module, folder)
        entry = folder / "CacheEntry.tla"
        source = entry.read_text(encoding="utf-8")
        entry.write_text(_edited(source, self.spec_find, self.spec_replace, self.name), encoding="utf-8")


def _edited(source: str, find: str, replace: str, name: str) -> str:
    if source.count(find) != 1:
        raise ValueError(f"{name}: {find!r} is there {source.count(find)} times, not once")
    return source.replace(find, replace)


def load_mutants() -> list[Mutant]:
    """Every mistake of `mutants.toml`."""
    document = tomllib.loads((FOLDER / "mutants.toml").read_text(encoding="utf-8"))
    return [Mutant(**entry) for entry in document["mutant"]]


@final
class Checkers:
    """The checkers, and the graphs of the specification that they share."""

    def __init__(self, runs: dict[str, Run], *, with_crosshair: bool) -> None:
        self._runs: Final = runs
        self._with_crosshair: Final = with_crosshair
        self._graphs: Final[dict[str, Steps]] = {}

    def found_by(self, mutant: Mutant) -> dict[str, str]:
        """For each checker what it found; empty where it found nothing, "-" where it could not look."""
        machine = mutant.module()
        graph, explored = self._explore(cast("Machine", machine))
        return {
            "graph": graph,
            "explore": explored,
            "random": random_walks(cast("Machine", machine)),
            "TLC": self._tlc(mutant),
            "CrossHair": crosshair(machine) if self._with_crosshair else "-",
        }

    def _explore(self, machine: Machine) -> tuple[str, str]:
        graph = explored = ""
        for run in self._runs.values():
            if not run.graph or run.slow or (graph and explored):
                continue
            specification = self._graphs.setdefault(run.name, {}) or specified(run)
            self._graphs[run.name] = specification
            found = _explored(run, machine, len(specification))
            if isinstance(found, str):
                return graph or found, explored or found
            graph = graph or _differs(found, specification)
            explored = explored or ", ".join(violation.promise for violation in found.violations)
        return graph, explored

    def _tlc(self, mutant: Mutant) -> str:
        run = self._runs[mutant.spec_run]
        with tempfile.TemporaryDirectory(prefix="herdless-mutant-") as private:
            mutant.specification(Path(private))
            output = run_tlc(run, folder=Path(private))
        return complaint(run, output) if output.status != 0 else ""


def _explored(run: Run, machine: Machine, size: int) -> Exploration | str:
    """The exploration, or the name of the exception that the mistake makes the machine raise."""
    policy, bounds = run.machine_policy(), run.bounds()
    try:
        return explore_ticks(policy, bounds, machine=machine, invariants=JUDGED, max_states=2 * size)
    except Exception as error:  # noqa: BLE001 - any of them shows the mistake
        return f"raises {type(error).__name__}"


def _differs(found: Exploration, specification: Steps) -> str:
    differing = difference(found, specification)
    return "" if differing is None else f"after {len(differing.path)} moves"


def random_walks(machine: Machine, *, walks: int = 200, length: int = 60) -> str:
    """The promise that a random walk has broken, or empty. The same walks each time."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    runs = [run for run in load_runs().values() if run.graph]
    judge = Judgement(machine, JUDGED)

    # Nothing is shrunk: that a promise breaks is all that is asked.
    @settings(
        max_examples=walks,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(runs), st.randoms(use_true_random=False))
    def walk(run: Run, chance: Random) -> None:
        if broken := _walk(run, chance, machine, judge, length):
            raise PromiseBroken(broken[0])

    try:
        walk()
    except PromiseBroken as broken:
        return str(broken)
    except Exception as error:  # noqa: BLE001 - any of them shows the mistake
        return f"raises {type(error).__name__}"
    return ""


def _walk(run: Run, chance: Random, machine: Machine, judge: Judgement, length: int) -> list[str]:
    """One walk, in a world that is larger than those which are searched exhaustively."""
    policy, bounds = run.machine_policy(), Bounds(4, length, 4, can_cancel=run.bounds().can_cancel)
    world = first(bounds)
    for _ in range(length):
        move = chance.choice(list(moves(world, policy, bounds)))
        if move.event is None:
            world = move.after or world
            continue
        before = target(world, move.event)
        entry, effects = machine.transition(before, move.event, world.now, policy)
        after = commit(world, move, before, entry, effects)
        step = Step(before, move.event, world.now, policy, entry, effects)
        if broken := list(judge(world, move, step, after)):
            return broken
        world = after
    return []


def crosshair(module: ModuleType) -> str:
    """The first contract that the module breaks on some path, or empty.

    TimeShift is left out: the predicate compares with the machine that has no mistake.
    """
    from .contracts import check

    for event in EVENTS:
        for result in check(module, f"{event.__name__}: all"):
            if result.verdict in BROKEN:
                return result.contract
    return ""


def main() -> int:
    """Look for the mistakes named, or for all."""
    parser = argparse.ArgumentParser(prog="python -m specs.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--crosshair", action="store_true", help="the contracts too, which takes minutes for each")
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="a part of its name in specs/mutants.toml")
    arguments = parser.parse_args()
    console = Console()
    mutants = [
        each for each in load_mutants() if not arguments.mutants or any(n in each.name for n in arguments.mutants)
    ]
    if not mutants:
        parser.error(f"MUTANT={arguments.mutants[0]!r} is not accepted: give a part of a name in specs/mutants.toml")
    checkers = Checkers(load_runs(), with_crosshair=arguments.crosshair)
    table = Table("mistake", "graph", "explore", "random", "TLC", "CrossHair", "found by", title="mistakes")
    missed = 0
    for mutant in mutants:
        try:
            found = checkers.found_by(mutant)
        except ToolMissing as missing:
            console.print(str(missing), markup=False, soft_wrap=True)
            return 2
        count = sum(what not in ("", "-") for what in found.values())
        missed += count < ENOUGH
        table.add_row(mutant.name, *found.values(), str(count))
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
