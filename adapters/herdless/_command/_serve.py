"""What the three runtimes share: the order for one run of one plan, its measurements, and the async caller."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias, final

from herdless._command._plan import Key, Plan, Visit
from herdless_core import Observer

Get: TypeAlias = Callable[[Key], Awaitable[object]]


@final
@dataclass(frozen=True, slots=True)
class Order:
    """Run this plan through a cache over this loader."""

    plan: Plan
    load: Callable[[Key], Any]
    is_async: bool
    observe: Observer | None
    """For herdless; None: through the plain cache."""


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """What the callers saw."""

    latencies: list[float]
    """Seconds of each lookup, from the call to the return."""
    started_at: int
    """Nanoseconds of `monotonic_ns`."""
    elapsed: float
    """Seconds until the last caller was done."""


class Serve(Protocol):
    """What each runtime's module offers."""

    def __call__(self, order: Order) -> Measured: ...


def serve_on(runtime: str) -> Serve:
    """The one of this runtime, imported only now: raises ModuleNotFoundError where the runtime is not installed."""
    serve: Serve = importlib.import_module(f"herdless._command._on_{runtime}").serve
    return serve


@final
class AsyncCallers:
    """The callers in asyncio and trio, which differ in how they sleep."""

    def __init__(self, get: Get, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._get: Final = get
        self._sleep: Final = sleep
        self._started_at: Final = perf_counter()
        self.latencies: Final[list[float]] = []

    async def call(self, visits: tuple[Visit, ...]) -> None:
        """One caller, from its first visit to its last."""
        for visit in visits:
            pause = self._started_at + visit.at - perf_counter()
            if pause > 0:
                await self._sleep(pause)
            began = perf_counter()
            await self._get(visit.key)
            self.latencies.append(perf_counter() - began)

    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._started_at
