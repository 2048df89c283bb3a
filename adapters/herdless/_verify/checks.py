"""The checkers, behind one face: each yields findings, one for every promise that it judged."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias, final

from herdless._verify.explore import Violation, explore
from herdless._verify.specs import specs
from herdless._verify.ticks import TICK, in_ticks
from herdless._verify.world import Bounds
from herdless_core import NEVER, Policy
from herdless_core._invariants import INVARIANTS

INSTALL: Final = "pip install 'herdless[verify]'"
ACROSS_STEPS: Final = {
    "Table": "A step leads only where the table of moves allows.",
    "ReadIsGet": "The hot path answers exactly what a lookup would, without a step.",
}

POLICIES: Final[Mapping[str, Policy]] = {
    "ttl=60": Policy(ttl=60),
    "ttl=60,stale_while_revalidate=300": Policy(ttl=60, stale_while_revalidate=300),
    "ttl=60,stale_if_error=300,early_refresh=0.5": Policy(ttl=60, stale_if_error=300, early_refresh=0.5),
    "ttl=60,negative_ttl=5,load_timeout=10,max_waiters=1": Policy(
        ttl=60, negative_ttl=5, load_timeout=10, max_waiters=1
    ),
}
"""Explored where the user names no policy of theirs."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """What one checker found of one promise."""

    promise: str
    checker: str
    examined: str
    """How much was looked at: states, or paths."""
    seconds: float
    """Of the run in which it was judged, along with others."""
    complaint: str = ""
    """Empty when the promise holds; else what is wrong, in a line."""
    counterexample: tuple[str, ...] = ()
    """The steps that lead to it."""


@final
@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work of one checker."""

    name: str
    run: Callable[[], Iterator[Finding]]


Checker: TypeAlias = Callable[[Mapping[str, Policy], bool], list[Task]]
"""From the policies to verify, and whether in a hurry, to tasks. Raises ModuleNotFoundError for a missing tool."""


def exploration(policies: Mapping[str, Policy], _quick: bool) -> list[Task]:
    """Everything that can happen to one key, in pure Python."""
    bounds = Bounds(clients=1)
    return [Task(f"explore {name}", partial(_explored, name, policy, bounds)) for name, policy in policies.items()]


def model_checking(policies: Mapping[str, Policy], quick: bool) -> list[Task]:
    """The TLA+ specification under TLC: its own configurations, and the user's policies."""
    toolbox = specs("toolbox")
    try:
        toolbox.find_java(), toolbox.find_jar()
    except toolbox.ToolMissing as missing:
        raise ModuleNotFoundError(str(missing)) from missing
    runs = specs("configurations").load_runs()
    if policies is POLICIES:
        chosen = [run for run in runs.values() if not run.slow and (not quick or run.name == "ttl")]
    else:
        chosen = [_with_policy(runs["ttl"], name, policy) for name, policy in policies.items()]
    parts = [part for run in chosen for part in specs("tlc").parts(run)]
    return [Task(f"TLC {run.name}", partial(_model_checked, run)) for run in parts]


def symbolic_execution(policies: Mapping[str, Policy], quick: bool) -> list[Task]:
    """The contracts under CrossHair, over all paths; they hold for every policy."""
    if importlib.util.find_spec("crosshair") is None:
        raise ModuleNotFoundError(f"crosshair-tool, which executes symbolically, is not installed: {INSTALL}")
    contracts = specs("contracts")
    prefix = "read is" if quick else ""
    return [Task("CrossHair", partial(_confirmed, contracts, prefix))]


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
        complaint = unfinished if violation is None else f"broken under {name}"
        examined = f"{len(found.states):,} states"
        yield Finding(promise, "explore", examined, seconds, complaint, _path(violation))


def _path(violation: Violation | None) -> tuple[str, ...]:
    if violation is None:
        return ()
    step = violation.step
    return (*violation.path, f"before: {step.before}", f"after: {step.after}", f"orders: {step.effects}")


def _with_policy(run: Any, name: str, policy: Policy) -> Any:
    """A run of TLC for the user's policy, in ticks, in a world of one caller."""
    ticks = in_ticks(policy)
    lifetime = ticks.lifetime
    of_policy = {
        "ttl": lifetime.ttl,
        "early_refresh": lifetime.early_refresh,
        "stale_while_revalidate": lifetime.stale_while_revalidate,
        "stale_if_error": lifetime.stale_if_error,
        "negative_ttl": ticks.negative_lifetime.ttl,
        "load_timeout": ticks.load_timeout,
        "refresh_backoff": ticks.refresh_backoff,
    }
    in_tla: dict[str, Any] = {key: "never" if value >= NEVER else value // TICK for key, value in of_policy.items()}
    in_tla["max_waiters"] = "never" if ticks.max_waiters >= NEVER else ticks.max_waiters
    world = {**run.world, "clients": 1}
    return replace(run, name=name, policy=in_tla, world=world, distinct=None, depth=None, covers_all_actions=False)


def _model_checked(run: Any) -> Iterator[Finding]:
    result = specs("tlc").check(run)
    examined = f"{result.output.distinct:,} states"
    complaint = f"{run.name}: {result.complaint}" if result.complaint else ""
    steps = tuple(_steps(result.output.text)) if complaint else ()
    for name in (*run.invariants, *run.properties):
        promise = re.sub(r"(Inv|Prop|Live)$", "", name)
        if run.expect == "refuted":
            promise = f"{promise} (can happen)"
        yield Finding(promise, "TLC", examined, result.output.seconds, complaint, steps)


def _steps(text: str) -> Iterator[str]:
    """TLC's counterexample as lines of text, where rich is there to lay out its table."""
    table = specs("counterexample").counterexample(text)
    if table is None:
        yield from text.splitlines()[-20:]
        return
    from rich.console import Console

    console = Console(width=120, record=True, file=None, quiet=True)
    console.print(table)
    yield from console.export_text().splitlines()


def _confirmed(contracts: Any, prefix: str) -> Iterator[Finding]:
    for result in contracts.results(prefix=prefix):
        complaint = "" if result.is_confirmed else f"{result.verdict} {result.note}".strip()
        yield Finding(result.contract, "CrossHair", "all paths", result.seconds, complaint)
