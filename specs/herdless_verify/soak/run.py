"""The soak of one runtime, in this process: rounds until the time is up or a promise is broken."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeAlias

from herdless.adapter import LOGGER
from herdless_verify.soak.findings import Findings, Soaked
from herdless_verify.soak.foreign import INJECTIONS, Injection
from herdless_verify.soak.freeze import Frozen, thawed
from herdless_verify.soak.memory import MemoryGauge, leak, living_flights
from herdless_verify.soak.plan import plan_round
from herdless_verify.soak.scene import Scene

PATIENCE_SECONDS: Final = 30.0
STORM_SECONDS: Final = 1.0
THAW_AFTER: Final = 3
"""A round that has not ended after so many times its patience is frozen: what is in it takes turns in being patient."""
LEAST_ROUNDS: Final = 8
LEAST_LOOKUPS: Final = 1_000
"""No run has less, however slow the machine: its memory could not be judged. So a short run has short storms."""


Play: TypeAlias = Callable[[Scene], int]
"""What each runtime's module offers: plays a round, and says how many tasks or threads did not come to an end."""


def play_on(runtime: str) -> Play:
    """The one of this runtime. Raises ModuleNotFoundError where the runtime is not installed."""
    match runtime:
        case "asyncio":
            from herdless_verify.soak.on_asyncio import play
        case "trio":
            from herdless_verify.soak.on_trio import play
        case "threads":
            from herdless_verify.soak.on_threads import play
        case _:
            raise ValueError(f"runtime={runtime!r} is not accepted: give asyncio, trio or threads")
    return play


def soak(
    runtime: str,
    seconds: float,
    seed: int,
    *,
    patience: float = PATIENCE_SECONDS,
    storm_seconds: float | None = None,
    least_rounds: int = LEAST_ROUNDS,
    injections: Collection[Injection] = INJECTIONS,
) -> Soaked:
    """Run rounds for about so many seconds, but at least so many rounds, or until a promise is broken.

    patience: seconds in which a round must come to its end.
    storm_seconds: how long callers come in each round; None: what fits into the time of the run.
    injections: what foreign code may do.
    """
    play, findings, gauge = play_on(runtime), Findings(), MemoryGauge()
    if storm_seconds is None:
        storm_seconds = min(STORM_SECONDS, seconds / LEAST_ROUNDS)
    began = monotonic()
    rounds = flights = callers = left = 0
    with _quiet(), _no_thread_dies(findings):
        gc.collect()
        before = living_flights()
        while not findings.violations and (
            rounds < least_rounds or findings.counts["lookups"] < LEAST_LOOKUPS or monotonic() - began < seconds
        ):
            rounds += 1
            plan = plan_round(seed, rounds, storm_seconds, injections)
            with _told_once(findings), thawed(findings, storm_seconds + THAW_AFTER * patience):
                flights, callers, left = _round(play, Scene(plan, findings, patience))
                gauge.sample()  # in here: what is collected may be frozen too
                flights = max(flights, living_flights() - before)
            if flights and not findings.violations:
                findings.complain(f"round {rounds} is over and its cache forgotten, but {flights} flights are kept")
    memory = gauge.memory()
    complaint = leak(memory)
    if complaint is not None:
        findings.complain(complaint)
    return Soaked(
        runtime=runtime,
        seed=seed,
        seconds=monotonic() - began,
        rounds=rounds,
        lookups=findings.counts["lookups"],
        loads=findings.counts["loads"],
        steps=findings.counts["steps"],
        answers=dict(sorted(findings.answers.items())),
        faults=dict(sorted(findings.faults.items())),
        violations=findings.violations,
        first_violation=findings.first,
        leaked_flights=flights,
        callers_left=callers,
        threads_or_tasks_left=left,
        memory=memory,
    )


def _round(play: Play, scene: Scene) -> tuple[int, int, int]:
    """One round; how many flights, callers, and tasks or threads did not come to an end."""
    left = 0
    try:
        left = play(scene)
    except Exception as error:  # noqa: BLE001  # what no judge has foreseen is told like the rest
        scene.findings.complain(f"the round ended by {error!r}")
    scene.findings.located(scene.plan)
    return scene.flights_left, scene.callers_left, left


@contextmanager
def _told_once(findings: Findings) -> Iterator[None]:
    """What gets a frozen round out is no news: it was told when it was found."""
    try:
        yield
    except (Frozen, BaseExceptionGroup):
        if not findings.violations:
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """The failed refreshes that the storm makes are no news."""
    handler, propagate = logging.NullHandler(), LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        with warnings.catch_warnings():
            # An interrupt may take a coroutine away from whoever was to await it.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = propagate


@contextmanager
def _no_thread_dies(findings: Findings) -> Iterator[None]:
    """A worker of the cache, or whoever closes it, has nobody to raise its error to."""

    def complain(args: threading.ExceptHookArgs) -> None:
        findings.complain(f"a thread ended by {args.exc_value!r}")

    before, threading.excepthook = threading.excepthook, complain
    try:
        yield
    finally:
        threading.excepthook = before
