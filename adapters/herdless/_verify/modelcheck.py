"""The TLA+ specification under TLC: its own configurations, or the user's policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from herdless._verify.findings import HAPPENS, HOLDS, POLICIES, Finding, Task
from herdless._verify.specs import specs
from herdless._verify.ticks import TICK, in_ticks
from herdless_core import NEVER, Policy


def model_checking(policies: Mapping[str, Policy], quick: bool) -> list[Task]:
    """A task for each run of TLC."""
    toolbox = specs("toolbox")
    try:
        toolbox.find_java(), toolbox.find_jar()
    except toolbox.ToolMissing as missing:
        raise ModuleNotFoundError(str(missing)) from missing
    runs = specs("configurations").load_runs()
    if policies is POLICIES:
        chosen = [run for run in runs.values() if not run.slow and (not quick or run.name == "ttl")]
    else:
        chosen = [run for name, policy in policies.items() for run in _of_policy(runs, name, policy, quick=quick)]
    parts = [part for run in chosen for part in specs("tlc").parts(run)]
    return [Task(f"TLC {run.name}", partial(_model_checked, run)) for run in parts]


def _of_policy(runs: Mapping[str, Any], name: str, policy: Policy, *, quick: bool) -> Iterator[Any]:
    """The runs for a user's policy: every step, and, with time to spare, that everything comes to an end."""
    yield _with_policy(runs["ttl"], name, policy)
    if not quick:
        live = runs["loads_end"] if policy.load_timeout >= NEVER else runs["loads_hang"]
        yield _with_policy(live, f"{name} ({live.name})", policy)


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
    return replace(run, name=name, policy=in_tla, world=world, distinct=None, depth=None)


def _model_checked(run: Any) -> Iterator[Finding]:
    result = specs("tlc").check(run)
    stated = specs("tla").stated(run)
    named = {operator.promise for operator in stated if operator.name in result.complaint}
    for promise in dict.fromkeys(_promise(run, operator) for operator in stated) or (run.why,):
        # TLC stops at the first promise that is broken, and then says nothing of the others.
        if result.complaint and named and promise not in named and run.expect == "holds":
            continue
        yield Finding(
            promise,
            "TLC",
            run.name,
            result.output.distinct,
            "state",
            result.output.seconds,
            verdict=HAPPENS if run.expect == "refuted" else HOLDS,
            complaint=f"{run.name}: {result.complaint}" if result.complaint else "",
            counterexample=tuple(_steps(result.output.text)) if result.complaint else (),
        )


def _promise(run: Any, operator: Any) -> str:
    """What is to be refuted is no promise: it is named as in the specification, after its run."""
    return str(run.name if run.expect == "refuted" else operator.promise)


def _steps(text: str) -> Iterator[str]:
    """TLC's counterexample as lines of text."""
    table = specs("counterexample").counterexample(text)
    if table is None:
        yield from text.splitlines()[-20:]
        return
    from rich.console import Console

    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    yield from (line.rstrip() for line in capture.get().splitlines())
