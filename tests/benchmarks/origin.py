"""The database behind the flash sale: each query takes 20 ms of its work, and it may stall, or queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LOAD_SECONDS: Final = 0.020


@dataclass(frozen=True, slots=True)
class Stall:
    """No query moves from `start` to `end`, in seconds of the loop's time."""

    start: float
    end: float

    def finish(self, now: float) -> float:
        """When a query that begins its work now ends it."""
        end = now + LOAD_SECONDS
        if end <= self.start or now >= self.end:
            return end
        done = max(0.0, self.start - now)
        return self.end + LOAD_SECONDS - done


@dataclass
class Origin:
    """Counts what it is asked. `connections` queries are worked at a time, the others queue; None: any number."""

    stall: Stall | None = None
    connections: int | None = None
    loads: Counter[int] = field(default_factory=Counter)
    peak: Counter[int] = field(default_factory=Counter)
    """The most simultaneous loads of each key."""
    _now: Counter[int] = field(default_factory=Counter)
    _queue: asyncio.Semaphore | None = None

    def __post_init__(self) -> None:
        if self.connections is not None:
            self._queue = asyncio.Semaphore(self.connections)

    async def load(self, key: int) -> int:
        """One query."""
        self.loads[key] += 1
        self._now[key] += 1
        self.peak[key] = max(self.peak[key], self._now[key])
        if self._queue is None:
            await self._work()
        else:
            async with self._queue:
                await self._work()
        self._now[key] -= 1
        return key

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + LOAD_SECONDS if self.stall is None else self.stall.finish(loop.time())
        await asyncio.sleep(end - loop.time())
