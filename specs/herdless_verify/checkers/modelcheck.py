"""The TLA+ specification under TLC: its own configurations, or the user's policies."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from herdless_core import NEVER, Policy
from herdless_verify import mistakes
from herdless_verify.checkers.controls import NOT_REFUTED, SAME_STEPS, steps_control
from herdless_verify.checkers.findings import HAPPENS, HOLDS, POLICIES, Finding, Task, Work
from herdless_verify.exploration.search import bounds_of, explore
from herdless_verify.exploration.situations import is_possible
from herdless_verify.exploration.ticks import in_ticks
from herdless_verify.tlc import check as tlc
from herdless_verify.tlc import configurations, counterexample, mistaken, tla, toolbox, watched


def model_checking(work: Work) -> list[Task]:
    """A task for each run of TLC, those of the policies first."""
    if importlib.util.find_spec("rich") is None:
        raise ModuleNotFoundError(f"rich, which draws counterexamples, is not installed: {toolbox.INSTALL}")
    try:
        toolbox.find_java(), toolbox.find_jar()
    except toolbox.ToolMissing as missing:
        raise ModuleNotFoundError(str(missing)) from missing
    tried: dict[str, Counter[str]] = {}
    tasks = [Task(f"TLC {name}", partial(_watched, work, name, tried)) for name in work.policies]
    tasks.append(Task("the mistakes that TLC must find", partial(_formulas, work)))
    if work.quick:
        return tasks
    runs = configurations.load_runs()
    tasks += [Task(f"TLC {run.name}", partial(_live, run, name, work, tried)) for name, run in _live_runs(runs, work)]
    unfair = tlc.parts(runs["nothing_need_happen"])
    tasks += [Task(f"TLC {run.name}", partial(_live_control, work, run)) for run in unfair]
    if work.policies is POLICIES:
        parts = [
            part
            for run in runs.values()
            if not run.slow and run.name != "nothing_need_happen"
            for part in tlc.parts(run)
        ]
        results = _two_at_a_time(tlc.check, parts)
        tasks += [Task(f"TLC {run.name}", partial(_model_checked, results)) for run in parts]
    return tasks


def _two_at_a_time(check: Callable[[Any], Any], parts: list[Any]) -> Iterator[Any]:
    """The results in the order of the parts; none is begun before the first is asked for."""
    with ThreadPoolExecutor(2) as pool:
        try:
            yield from pool.map(check, parts)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _live_runs(runs: Mapping[str, Any], work: Work) -> Iterator[tuple[str, Any]]:
    """For each policy the run which shows that everything comes to an end."""
    for name, policy in work.policies.items():
        live = runs["loads_end"] if policy.load_timeout >= NEVER else runs["loads_hang"]
        yield name, watched.live_run(live, name, in_ticks(policy), bounds_of(policy))


def _watched(work: Work, name: str, tried: dict[str, Counter[str]]) -> Iterator[Finding]:
    """The specification under a policy, judged by TLC and compared with the code."""
    if name not in work.explored:
        work.explored[name] = explore(work.policies[name], invariants={})
    exploration = work.explored[name]
    run = watched.watched_run(name, exploration.policy, bounds_of(work.policies[name]))
    found = watched.watch(run)
    tried[name] = found.tried
    complaint = tlc.complaint(run, found.output)
    yield from _judged(run, found.output, complaint, exploration.policy, found.tried)
    work.look("formulas", (*run.invariants, *run.properties))
    if complaint:
        return
    differing = tuple(watched.differences(exploration, found))
    steps = len(found.steps)
    yield Finding(
        SAME_STEPS,
        "graph",
        name,
        steps,
        "step",
        found.output.seconds,
        complaint=f"code and specification part under {name}" if differing else "",
        counterexample=differing,
        tried=steps,
    )
    yield steps_control(work, name, found.steps)


def _formulas(work: Work) -> Iterator[Finding]:
    """Every formula has to refute a specification that breaks it."""
    found = mistaken.look()
    work.looked["mistakes refuted"] += found.refuted
    for formula, mistake in mistakes.controls("formulas").items():
        promise = tla.operator(formula, "CacheEntryInv").promise
        why = found.failure or NOT_REFUTED
        complaint = f"{formula}: {why}: {mistake}" if formula in found.blind else ""
        yield Finding(promise, "TLC", f"mistake: {mistake}", 0, "state", 0.0, complaint=complaint)


def _live(run: Any, name: str, work: Work, tried: Mapping[str, Counter[str]]) -> Iterator[Finding]:
    result = tlc.check(run)
    work.look("formulas", run.properties)
    yield from _judged(run, result.output, result.complaint, in_ticks(work.policies[name]), tried.get(name))


def _live_control(work: Work, run: Any) -> Iterator[Finding]:
    """A formula of whole behaviours has to refute a world in which nothing need ever happen."""
    result = tlc.check(run)
    work.looked["mistakes refuted"] += not result.complaint
    (operator,) = tla.stated(run)
    complaint = f"{run.name}: {NOT_REFUTED}" if result.complaint else ""
    yield Finding(operator.promise, "TLC", run.name, 0, "state", result.output.seconds, complaint=complaint)


def _judged(
    run: Any, output: Any, complaint: str, policy: Policy, tried: Mapping[str, int] | None
) -> Iterator[Finding]:
    """What TLC found of the promises of a policy."""
    is_unfinished = output.status == toolbox.TOO_LONG
    stated: dict[str, list[Any]] = {}
    for operator in tla.stated(run):
        stated.setdefault(operator.promise, []).append(operator.name)
    named = {promise for promise, names in stated.items() if any(name in complaint for name in names)}
    for promise, names in stated.items():
        # TLC stops at the first promise that is broken, and then says nothing of the others.
        if complaint and named and promise not in named:
            continue
        yield Finding(
            promise,
            "TLC",
            run.name,
            output.distinct,
            "state",
            output.seconds,
            complaint=f"{run.name}: {complaint}" if complaint and not is_unfinished else "",
            counterexample=tuple(_steps(output.text)) if complaint else (),
            tried=None if complaint or tried is None else min(tried[name] for name in names),
            is_possible=is_possible(promise, policy),
            is_unfinished=is_unfinished,
        )


def _model_checked(results: Iterator[Any]) -> Iterator[Finding]:
    result = next(results)
    run = result.run
    stated = tla.stated(run)
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
    table = counterexample.counterexample(text)
    if table is None:
        yield from text.splitlines()[-20:]
        return
    from rich.console import Console

    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    yield from (line.rstrip() for line in capture.get().splitlines())
