"""The soaks of several runtimes side by side, each in a process of its own, so that their memory is measured apart."""

from __future__ import annotations

import faulthandler
import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Final

from herdless_verify.soak.findings import Soaked, told_nothing
from herdless_verify.soak.foreign import INJECTIONS, Injection
from herdless_verify.soak.run import PATIENCE_SECONDS, soak

STUCK_SECONDS: Final = 4 * PATIENCE_SECONDS
"""After the time of the run. Longer than the judges inside need to find that something hangs."""

TICK_SECONDS: Final = 0.25


def soak_side_by_side(
    runtimes: Sequence[str],
    seconds: float,
    seed: int,
    tick: Callable[[float], None],
    injections: Collection[Injection] = INJECTIONS,
) -> list[Soaked]:
    """Soak them all at the same time; `tick` is told now and then how many seconds have passed."""
    began = monotonic()
    processes: list[SpawnProcess] = []
    waiting: dict[str, Connection] = {}
    soaked: dict[str, Soaked] = {}
    try:
        with _uninterrupted():
            for runtime in runtimes:
                waiting[runtime], process = _start(runtime, seconds, seed, injections)
                processes.append(process)
        while waiting:
            tick(monotonic() - began)
            wait(list(waiting.values()), TICK_SECONDS)
            for runtime in [runtime for runtime, ours in waiting.items() if ours.poll()]:
                soaked[runtime] = _result(waiting.pop(runtime), processes[runtimes.index(runtime)], runtime, seed)
    finally:
        for process in processes:
            process.terminate()
    return [soaked[runtime] for runtime in runtimes]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Whoever is started meanwhile never sees an interrupt, which is the parent's business; that sees it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else it would be started by the first process, and end the blocking with it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start(
    runtime: str, seconds: float, seed: int, injections: Collection[Injection]
) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_soak_here, args=(theirs, runtime, seconds, seed, injections), daemon=True)
    process.start()
    theirs.close()  # the other end is the process's alone, and is closed when that dies
    return ours, process


def _result(ours: Connection, process: SpawnProcess, runtime: str, seed: int) -> Soaked:
    try:
        soaked: Soaked = ours.recv()
    except EOFError:
        process.join()
        return told_nothing(runtime, seed, f"its process ended with exit code {process.exitcode} and told nothing")
    return soaked


def _soak_here(theirs: Connection, runtime: str, seconds: float, seed: int, injections: Collection[Injection]) -> None:
    """In the process. A soak that is stuck tells where, and ends."""
    faulthandler.dump_traceback_later(seconds + STUCK_SECONDS, exit=True)
    theirs.send(soak(runtime, seconds, seed, injections=injections))
