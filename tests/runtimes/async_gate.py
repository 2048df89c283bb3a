"""A loader whose loads wait for a gate, on asyncio and trio."""

from __future__ import annotations

from typing import Any, Final


class AsyncGate:
    """event: what the loads wait for; cancelled_by: what the runtime raises in one that is cancelled."""

    def __init__(self, event: Any, cancelled_by: type[BaseException]) -> None:
        self.open: Final = event
        self.keys: Final[list[str]] = []
        self.cancelled: Final[list[str]] = []
        self._cancelled_by: Final = cancelled_by

    async def load(self, key: str) -> str:
        """Wait for the gate."""
        self.keys.append(key)
        try:
            await self.open.wait()
        except self._cancelled_by:
            self.cancelled.append(key)
            raise
        return key.upper()
