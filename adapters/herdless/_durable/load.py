"""The record of a load of an object: a timer, and one future for each of its waiters."""

from __future__ import annotations

import asyncio
from typing import Final, TypeAlias, final

from herdless_core import Outcome, RunningLoad

Waiter: TypeAlias = asyncio.Future[Outcome]


@final
class DurableLoad(RunningLoad):
    """A load and what an object needs for it, from its step until its waiters are answered."""

    def __init__(self, key: str, generation: int, due_at: int) -> None:
        super().__init__(key, generation, due_at)
        self.timer: asyncio.TimerHandle | None = None
        self.waiters: Final[list[Waiter]] = []
