"""The checkers: each yields findings, one for every promise that it judged."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import herdless
from herdless._verify.explore import explore
from herdless._verify.findings import INSTALL, INSTALL_PURE, Checker, Finding, Task
from herdless._verify.modelcheck import model_checking
from herdless._verify.shortcuts import SHORT_CUTS
from herdless._verify.specs import specs
from herdless._verify.world import Bounds
from herdless_core import Policy
from herdless_core._invariants import INVARIANTS

ACROSS_STEPS: Final = {"Table": "A step leads only where the table of moves allows."} | SHORT_CUTS
"""What the exploration judges beside the invariants."""


QUICK: Final = frozenset({"ReadIsGet", "JoinIsGet", "StartIsGet", "Ageing", "Eviction"})
"""What CrossHair confirms in about a second each."""


def exploration(policies: Mapping[str, Policy], _quick: bool) -> list[Task]:
    """Everything that can happen to one key, in pure Python."""
    bounds = Bounds(clients=1)
    return [Task(f"explore {name}", partial(_explored, name, policy, bounds)) for name, policy in policies.items()]


def symbolic_execution(_policies: Mapping[str, Policy], quick: bool) -> list[Task]:
    """The contracts under CrossHair, over all paths; they hold for every policy."""
    if importlib.util.find_spec("crosshair") is None:
        raise ModuleNotFoundError(f"crosshair-tool, which executes symbolically, is not installed: {INSTALL}")
    if herdless.compiled:
        raise ModuleNotFoundError(f"this herdless is compiled, and CrossHair reads Python: {INSTALL_PURE}")

    def is_chosen(contract: Any) -> bool:
        return not quick or QUICK.issuperset(contract.promises)

    # One iterator for all tasks: two contracts are under way at a time, whichever task is waited for.
    results = specs("symbolic").results(only=is_chosen)
    names = [contract.name for contract in specs("contracts").contracts() if is_chosen(contract)]
    return [Task(f"CrossHair {name}", partial(_confirmed, results)) for name in names]


CHECKERS: Final[Mapping[str, Checker]] = {
    "explore": exploration,
    "tlc": model_checking,
    "crosshair": symbolic_execution,
}


def _explored(name: str, policy: Policy, bounds: Bounds) -> Iterator[Finding]:
    began = time.perf_counter()
    found = explore(policy, bounds)
    seconds = time.perf_counter() - began
    broken = {violation.promise: violation for violation in found.violations}
    unfinished = "" if found.is_complete else "more states than can be explored"
    for promise in (*INVARIANTS, *ACROSS_STEPS):
        violation = broken.get(promise)
        yield Finding(
            promise,
            "explore",
            name,
            len(found.states),
            "state",
            seconds,
            complaint=unfinished if violation is None else f"broken under {name}",
            counterexample=() if violation is None else violation.lines(),
        )


def _confirmed(results: Iterator[Any]) -> Iterator[Finding]:
    result = next(results)
    complaint = "" if result.is_confirmed else f"{result.verdict}: {result.contract}"
    steps = () if result.is_confirmed else (*result.counterexample, result.note)
    for promise in result.promises:
        yield Finding(
            promise,
            "CrossHair",
            result.contract,
            1,
            "contract",
            result.seconds,
            complaint=complaint,
            counterexample=steps,
        )
