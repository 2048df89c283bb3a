"""What herdless is compared with: a plain ttl cache, a dict of values and when they expire, nothing joined.

As such caches do, a value is stored when its load has ended and lives from then on: a little longer than in herdless,
where its age counts from the start of the load.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, final

from herdless._command._plan import Key


@final
class PlainCache:
    """For threads. `ttl` in seconds."""

    def __init__(self, load: Callable[[Key], object], ttl: float) -> None:
        self._load: Final = load
        self._ttl: Final = ttl
        self._entries: Final[dict[Key, tuple[object, float]]] = {}

    def get(self, key: Key) -> object:
        """The key's value, loaded by every caller who finds none."""
        entry = self._entries.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        value = self._load(key)
        self._entries[key] = (value, monotonic() + self._ttl)
        return value


@final
class PlainAsyncCache:
    """The same for asyncio and trio."""

    def __init__(self, load: Callable[[Key], Awaitable[object]], ttl: float) -> None:
        self._load: Final = load
        self._ttl: Final = ttl
        self._entries: Final[dict[Key, tuple[object, float]]] = {}

    async def get(self, key: Key) -> object:
        """The key's value, loaded by every caller who finds none."""
        entry = self._entries.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        value = await self._load(key)
        self._entries[key] = (value, monotonic() + self._ttl)
        return value
