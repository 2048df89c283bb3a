"""The soaks of several runtimes side by side, each in a process of its own, so that their memory is measured apart."""

from __future__ import annotations

import faulthandler
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Final

from herdless._soak.findings import Soaked, told_nothing
from herdless._soak.run import PATIENCE_SECONDS, soak

STUCK_SECONDS: Final = 4 * PATIENCE_SECONDS
"""After the time of the run. Longer than the judges inside need to find that something hangs."""

TICK_SECONDS: Final = 0.25


def soak_side_by_side(
    runtimes: Sequence[str], seconds: float, seed: int, tick: Callable[[float], None]
) -> list[Soaked]:
    """Soak them all at the same time; `tick` is told now and then how many seconds have passed."""
    context = multiprocessing.get_context("spawn")
    processes: dict[str, SpawnProcess] = {}
    waiting: dict[str, Connection] = {}
    soaked: dict[str, Soaked] = {}
    began = monotonic()
    try:
        for runtime in runtimes:
            waiting[runtime], theirs = context.Pipe(duplex=False)
            processes[runtime] = context.Process(target=_soak_here, args=(theirs, runtime, seconds, seed), daemon=True)
            processes[runtime].start()
            theirs.close()  # the other end is the child's alone, and is closed when that dies
        while waiting:
            tick(monotonic() - began)
            wait(list(waiting.values()), TICK_SECONDS)
            for runtime in [runtime for runtime, ours in waiting.items() if ours.poll()]:
                soaked[runtime] = _result(waiting.pop(runtime), processes[runtime], runtime, seed)
    finally:
        for process in processes.values():
            process.terminate()
    return [soaked[runtime] for runtime in runtimes]


def _result(ours: Connection, process: SpawnProcess, runtime: str, seed: int) -> Soaked:
    try:
        soaked: Soaked = ours.recv()
    except EOFError:
        process.join()
        return told_nothing(runtime, seed, f"its process ended with exit code {process.exitcode} and told nothing")
    return soaked


def _soak_here(theirs: Connection, runtime: str, seconds: float, seed: int) -> None:
    """In the process. An interrupt is the parent's business; a soak that is stuck tells where, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.dump_traceback_later(seconds + STUCK_SECONDS, exit=True)
    theirs.send(soak(runtime, seconds, seed))
