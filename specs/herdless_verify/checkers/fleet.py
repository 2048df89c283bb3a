"""The processes of a fleet under controlled schedules, as a checker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from herdless_verify.checkers.findings import POLICIES, Finding, Task, Work
from herdless_verify.fleet.scenes import LARGE, SCENES, Scene
from herdless_verify.fleet.search import Found, every_order, walks

PROMISES = ("SingleFlight", "NoStaleSet", "NoStaleRead", "EveryGetAnswered")
"""What is judged of every order."""

QUICK = ("get, get", "put, get", "a reply is lost", "the holder is killed")
"""The scenes that are over at once."""

SCENES_OF_ALL = (*QUICK, "get, invalidate", "expire, get", "a late holder", "the record is forgotten")
"""Those that take seconds; all of them are tried by `python -m herdless_verify.fleet`."""

WALKS, QUICK_WALKS = 1_000, 100


def fleet_schedules(work: Work) -> list[Task]:
    """A task for each scene, and one for orders by luck; none where policies are named, for scenes have their own."""
    if work.policies is not POLICIES:
        return []
    chosen = QUICK if work.quick else SCENES_OF_ALL
    number = QUICK_WALKS if work.quick else WALKS
    tasks = [Task(f"fleet: {name}", partial(_scene, work, name, SCENES[name])) for name in chosen]
    return [*tasks, Task("fleet: orders by luck", partial(_walks, work, number))]


def _scene(work: Work, name: str, scene: Scene) -> Iterator[Finding]:
    began = time.process_time()
    yield from _findings(work, name, every_order(scene), time.process_time() - began)


def _walks(work: Work, number: int) -> Iterator[Finding]:
    began = time.process_time()
    yield from _findings(work, f"{number} orders by luck", walks(LARGE, number, seed=1), time.process_time() - began)


def _findings(work: Work, name: str, found: Found, seconds: float) -> Iterator[Finding]:
    work.looked["states"] += found.states
    broken = [promise for promise in PROMISES if promise in found.violation] or list(PROMISES)
    steps = tuple(f"{move} {process} {run}" for move, process, run in found.path)
    for promise in broken if found.violation else PROMISES:
        yield Finding(
            promise,
            "fleet",
            name,
            found.states,
            "state",
            seconds,
            complaint=f"{name}: {found.violation}" if found.violation else "",
            counterexample=steps,
        )
