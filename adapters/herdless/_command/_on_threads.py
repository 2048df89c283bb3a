"""The herd on threads: one for each caller, all of which start at one instant.

A barrier lets its threads go one after the other, each with the barrier's lock, which takes longer than a load. So it
only makes sure that all are there, and agrees on the instant to which every thread then sleeps by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Barrier, BrokenBarrierError, Thread
from time import monotonic_ns, perf_counter
from typing import Final, final

from herdless._command._baseline import PlainCache
from herdless._command._errors import CommandError
from herdless._command._plan import Key, Plan, Visit
from herdless._command._serve import Measured, Order
from herdless.threads import Cache
from herdless_core import NANOSECONDS_PER_SECOND


def serve(order: Order) -> Measured:
    """Run the plan on threads of its own."""
    if order.observe is None:
        return _Callers(order.plan, PlainCache(order.load, order.plan.ttl).get).run()
    with Cache[Key, object](order.load, ttl=order.plan.ttl, observe=order.observe) as cache:
        return _Callers(order.plan, cache.get).run()


SECONDS_TO_LEAVE_THE_BARRIER: Final = 0.0003
"""For each thread."""


@final
class _Callers:
    def __init__(self, plan: Plan, get: Callable[[Key], object]) -> None:
        self._plan: Final = plan
        self._get: Final = get
        self._barrier: Final = Barrier(len(plan.callers), action=self._start)
        self._latencies: Final[list[float]] = []
        self._errors: Final[list[BaseException]] = []
        self._started = 0.0
        self._started_at = 0

    def run(self) -> Measured:
        # Daemons, so that after Ctrl-C nobody waits for a thousand of them.
        threads = [Thread(target=self._call, args=(visits,), daemon=True) for visits in self._plan.callers]
        self._start_all(threads)
        for thread in threads:
            thread.join()
        elapsed = perf_counter() - self._started
        if self._errors:
            raise self._errors[0]
        return Measured(self._latencies, self._started_at, elapsed)

    def _start_all(self, threads: list[Thread]) -> None:
        for number, thread in enumerate(threads):
            try:
                thread.start()
            except RuntimeError as error:
                self._barrier.abort()
                for waiting in threads[:number]:
                    waiting.join()
                raise CommandError(
                    f"--callers {len(threads)}: this machine starts no more than {number} threads; ask for fewer"
                ) from error

    def _start(self) -> None:
        """By the last thread to come to the barrier, before any goes on."""
        seconds = SECONDS_TO_LEAVE_THE_BARRIER * len(self._plan.callers)
        self._started_at = monotonic_ns() + round(seconds * NANOSECONDS_PER_SECOND)
        self._started = perf_counter() + seconds

    def _call(self, visits: tuple[Visit, ...]) -> None:
        try:
            self._barrier.wait()
            for visit in visits:
                pause = self._started + visit.at - perf_counter()
                if pause > 0:
                    time.sleep(pause)
                began = perf_counter()
                self._get(visit.key)
                self._latencies.append(perf_counter() - began)
        except BrokenBarrierError:
            pass  # too few threads could be had, which the main thread says
        except Exception as error:  # noqa: BLE001  # raised by the main thread
            self._errors.append(error)
