"""Random walks by Hypothesis, in a world that is larger than those which are searched exhaustively."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from herdless_core import Step
from herdless_core.invariants import INVARIANTS
from herdless_verify.exploration.search import Judgement
from herdless_verify.exploration.world import Machine, commit, first, moves, target
from herdless_verify.tlc.configurations import Run, load_runs

JUDGED: Final = {name: holds for name, holds in INVARIANTS.items() if name != "TimeShift"}
"""TimeShift compares with the machine that has no mistake, and would find them all by that."""


class PromiseBroken(Exception):
    """A random walk came to a step that breaks the promise named."""


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
    """One walk; the promises that its last step broke."""
    policy, bounds = run.machine_policy(), replace(run.bounds(), clients=4, generations=length, truths=4)
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
        if broken := list(judge(world, step, after)):
            return broken
        world = after
    return []
