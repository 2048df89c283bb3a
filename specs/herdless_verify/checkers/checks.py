"""The checkers: each yields findings, one for every promise that it judged."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import herdless
from herdless_core.invariants import INVARIANTS
from herdless_verify import mistakes
from herdless_verify.checkers.controls import NOT_REFUTED, machine_controls
from herdless_verify.checkers.findings import INSTALL_PURE, Checker, Finding, Task, Work
from herdless_verify.checkers.fleet import fleet_schedules
from herdless_verify.checkers.modelcheck import model_checking
from herdless_verify.crosshair import contracts, samples, symbolic
from herdless_verify.exploration.meaning import UNBOUNDED, Meaning, Requirement
from herdless_verify.exploration.search import ACROSS_STEPS, Exploration, explore
from herdless_verify.exploration.situations import is_possible
from herdless_verify.tlc.toolbox import INSTALL

QUICK: Final = frozenset({"ReadIsGet", "JoinIsGet", "StartIsGet", "Ageing", "Eviction"})
"""What CrossHair confirms in about a second each."""


def exploration(work: Work) -> list[Task]:
    """Everything that can happen to one key, in pure Python."""
    tasks = [Task(f"explore {name}", partial(_explored, work, name)) for name in work.policies]
    return [*tasks, machine_controls(work)]


def symbolic_execution(work: Work) -> list[Task]:
    """The contracts under CrossHair, over all paths; they hold for every policy."""
    if importlib.util.find_spec("crosshair") is None:
        raise ModuleNotFoundError(f"crosshair-tool, which executes symbolically, is not installed: {INSTALL}")
    if herdless.compiled:
        raise ModuleNotFoundError(f"this herdless is compiled, and CrossHair reads Python: {INSTALL_PURE}")

    def is_chosen(contract: Any) -> bool:
        return not work.quick or QUICK.issuperset(contract.promises)

    # One iterator for all tasks: two contracts are under way at a time, whichever task is waited for.
    results = symbolic.results(only=is_chosen)
    reach = samples.reach
    chosen = [contract for contract in contracts.contracts() if is_chosen(contract)]
    tasks = [
        Task(f"CrossHair {contract.name}", partial(confirmed, work, results, reach(contract)), contract.seconds)
        for contract in chosen
    ]
    return [*tasks, Task("the mistake that CrossHair must find", partial(_refuted, work))]


REFUSED: Final = "ReadIsGet"
"""The contract that CrossHair refuses of a machine with a mistake: the quickest of them."""


CHECKERS: Final[Mapping[str, Checker]] = {
    "explore": exploration,
    "tlc": model_checking,
    "crosshair": symbolic_execution,
    "fleet": fleet_schedules,
}


def _explored(work: Work, name: str) -> Iterator[Finding]:
    began = time.process_time()
    meaning = work.meanings[name] = Meaning(work.policies[name])
    found = work.explored[name] = explore(work.policies[name], meaning=meaning)
    seconds = time.process_time() - began
    work.looked["states"] += len(found.states)
    work.looked["steps"] += found.moves
    work.look("predicates", (promise for promise, count in found.judged.items() if count))
    broken = {violation.promise: violation for violation in found.violations}
    for promise in (*INVARIANTS, *ACROSS_STEPS):
        violation = broken.get(promise)
        yield Finding(
            promise,
            "explore",
            name,
            len(found.states),
            "state",
            seconds,
            complaint="" if violation is None else f"broken under {name}",
            counterexample=() if violation is None else violation.lines(),
            tried=found.tried[promise],
            is_possible=is_possible(promise, found.policy),
            is_unfinished=not found.is_complete,
        )
    for required in work.required:
        yield _judged(required, name, meaning, found, seconds)


def _judged(required: Requirement, name: str, meaning: Meaning, found: Exploration, seconds: float) -> Finding:
    """Whether the policy keeps what the user requires, and if not, the shortest way to what breaks it."""
    bound = meaning.bound(required.name)
    is_kept = required.is_kept(meaning)
    complaint, path = "", tuple[str, ...]()
    if not is_kept:
        state, move = meaning.at[required.name]
        path = (" -> ".join((*found.path_to(state), move)),)
        complaint = f"not kept by {name}: {'there is no bound' if bound == UNBOUNDED else f'it is {bound:g}'}"
    return Finding(
        f"--require {required}",
        "explore",
        name,
        len(found.states),
        "state",
        seconds,
        complaint=complaint,
        counterexample=path,
        is_unfinished=not found.is_complete,
    )


def _refuted(work: Work) -> Iterator[Finding]:
    """What CrossHair confirms it must be able to refuse: the same contract, of a machine that breaks it."""
    mistake = mistakes.controls("contracts")[REFUSED]
    machine = mistakes.machine_edits()[mistake].machine()
    (result,) = symbolic.results(machine, lambda contract: contract.promises == (REFUSED,))
    is_refuted = result.verdict == "POST_FAIL"
    work.looked["mistakes refuted"] += is_refuted
    complaint = "" if is_refuted else f"{NOT_REFUTED}: {mistake}: {result.verdict}"
    yield Finding(REFUSED, "CrossHair", f"mistake: {mistake}", 0, "contract", result.seconds, complaint=complaint)


def confirmed(work: Work, results: Iterator[Any], reached: Any) -> Iterator[Finding]:
    """What CrossHair says of the next contract, and what that has been asked on the sample."""
    result = next(results)
    work.look("contracts", [result.contract])
    work.looked["mistakes refuted"] += reached.is_refuted
    complaint = "" if result.is_confirmed or result.is_unfinished else f"{result.verdict}: {result.contract}"
    steps = () if result.is_confirmed else (*result.counterexample, result.note)
    if reached.possible != reached.pinned:
        complaint = f"{result.contract}: {reached.possible} of the sample are possible, {reached.pinned} are pinned"
    elif not reached.is_refuted:
        complaint = f"{result.contract}: {NOT_REFUTED}: {reached.mistake}"
    for promise in result.promises:
        yield Finding(
            promise,
            "CrossHair",
            result.contract,
            1,
            "contract",
            result.seconds,
            complaint=complaint,
            counterexample=steps if complaint else (),
            tried=reached.tried[promise],
            is_possible=False,  # not by every event: that there is one is asked of all contracts together
            is_unfinished=result.is_unfinished,
        )
