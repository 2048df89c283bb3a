"""Symbolic execution: the contracts of contracts.py under CrossHair.

    python -m herdless_verify.crosshair

Prints each contract with CrossHair's verdict and seconds of processor time; 1 unless every one of them is confirmed.
"""

from __future__ import annotations

import ast
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

from herdless._trace.words import step_in_words
from herdless_core import Step, _machine
from herdless_core.invariants import INVARIANTS
from herdless_verify.crosshair.contracts import Named, Numbers, contracts, entry_of, event_of, policy_of
from herdless_verify.exploration.world import Machine

SECONDS_PER_CONTRACT: Final = 300.0
SECONDS_PER_PATH: Final = 120.0
"""Both of processor time, and many times what is needed: how busy a machine is changes nothing."""

UNDECIDED: Final = "CANNOT_CONFIRM"
"""The verdict where CrossHair came to no end within these."""

NOTHING_CHECKED: Final = "NOTHING CHECKED"
"""The verdict where CrossHair said nothing at all, which it also calls a success."""


@dataclass(frozen=True)
class Result:
    """What CrossHair says of one contract."""

    contract: str
    promises: tuple[str, ...]
    """Those that are confirmed, or, where numbers were found that break it, those that they break."""
    verdict: str
    seconds: float
    """Of processor time, which does not depend on what else runs."""
    note: str
    counterexample: tuple[str, ...] = ()
    """The step that breaks it, in lines."""

    @property
    def is_confirmed(self) -> bool:
        """Whether it holds on all paths."""
        return self.verdict == "CONFIRMED"

    @property
    def is_unfinished(self) -> bool:
        """Whether nothing is known: it was not refuted, and not all paths were looked at."""
        return self.verdict == UNDECIDED


def results(machine: Machine = _machine, only: Callable[[Named], bool] = bool) -> Iterator[Result]:
    """Run the contracts against this module, a mutated copy for instance; the results in the order of the contracts.

    only: those contracts alone of which it is true. Those that have not begun are dropped with the iterator.
    """
    chosen = [contract.name for contract in contracts(machine) if only(contract)]
    _UNDER_TEST.append(machine)
    try:
        # Forked, so that a module that exists only in memory is there too.
        with ProcessPoolExecutor(max_workers=2, mp_context=get_context("fork")) as pool:
            try:
                yield from pool.map(_run, chosen)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        _UNDER_TEST.pop()


_UNDER_TEST: Final[list[Machine]] = []


NEEDED: Final = {
    "crosshair",
    "herdless",
    "herdless_core",
    "herdless_verify",
    "z3",
    "typing_extensions",
    "typing_inspect",
}
"""The packages that a child works with, beside the standard library."""


def _forget_the_others() -> None:
    """CrossHair looks at every attribute of every module that is loaded, for classes. What a program has loaded beside
    the machine may do anything then: Django's settings raise where they are not complete.
    """
    for name in list(sys.modules):
        if (package := name.partition(".")[0]) not in NEEDED and package not in sys.stdlib_module_names:
            del sys.modules[name]


def _run(name: str) -> Result:
    from crosshair.core_and_libs import analyze_function, run_checkables
    from crosshair.options import AnalysisKind, AnalysisOptionSet

    _forget_the_others()
    machine = _UNDER_TEST[-1]
    contract = next(each for each in contracts(machine) if each.name == name)
    options = AnalysisOptionSet(
        analysis_kind=[AnalysisKind.PEP316],
        per_condition_timeout=SECONDS_PER_CONTRACT,
        per_path_timeout=SECONDS_PER_PATH,
        report_all=True,
    )
    began = time.process_time()
    with warnings.catch_warnings(action="ignore"):  # it walks over all that `typing` has, deprecated names included
        messages = run_checkables(analyze_function(contract.holds, options))
    seconds = time.process_time() - began
    if not messages:
        return Result(name, contract.promises, NOTHING_CHECKED, seconds, "")
    worst = max(messages, key=lambda message: message.state)
    if worst.state.name == "CONFIRMED":
        return Result(name, contract.promises, worst.state.name, seconds, "")
    step = _step_in(worst.message, contract, machine)
    if step is None:
        return Result(name, contract.promises, worst.state.name, seconds, worst.message)
    broken = tuple(promise for promise in contract.promises if not INVARIANTS[promise](step))
    return Result(name, broken, worst.state.name, seconds, worst.message, step_in_words(step))


def _step_in(message: str, contract: Named, machine: Any) -> Step | None:
    """The step that CrossHair's numbers stand for, so that no reader need put it together; None where there is none."""
    found = re.search(r"Numbers\(([^()]*)\)", message)
    if found is None or contract.kind is None:
        return None
    n = Numbers(*ast.literal_eval(f"({found[1]},)"))
    before, event, policy = entry_of(n, contract.part), event_of(contract.kind, n), policy_of(n)
    try:
        return Step(before, event, n.now, policy, *machine.transition(before, event, n.now, policy))
    except Exception:  # noqa: BLE001 - what it raises is in CrossHair's message already
        return None


def main() -> int:
    """Print the table; 1 unless every contract is confirmed."""
    count = confirmed = 0
    for result in results():
        count += 1
        confirmed += result.is_confirmed
        line = f"{result.contract:60} {result.verdict:10} {result.seconds:6.1f} s  {result.note}"
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{confirmed} of {count} contracts confirmed over all paths\n")
    return 0 if confirmed == count else 1
