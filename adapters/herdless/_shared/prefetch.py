"""What `get_many` has read of many keys at once, until the near cache's loader of each takes it.

It counts as a fetch that is in flight: whoever lets go of what is held of a key lets go of this too, which is why a key
is noted BEFORE the store is asked for it. What was let go of is asked for again, by its key's own loader.
"""

from __future__ import annotations

from typing import Final, final

from herdless_core._fleet.requests import Seen


@final
class Prefetched:
    """What was read of one key, if it was yet."""

    def __init__(self, text: str, seen: Seen | None = None) -> None:
        self.text: Final = text
        self.seen: Seen | None = seen


@final
class Prefetches:
    """Of all keys. Each method is one step on a dictionary."""

    def __init__(self) -> None:
        self._by_key: Final[dict[object, Prefetched]] = {}

    def begin(self, key: object, text: str) -> Prefetched | None:
        """Note that it will be read; None where somebody else reads it just now."""
        mine = Prefetched(text)
        return mine if self._by_key.setdefault(key, mine) is mine else None

    def take(self, key: object) -> Prefetched | None:
        """What was read of it, for one who uses it; None where nothing was yet."""
        found = self._by_key.get(key)
        if found is None or found.seen is None:
            return None
        return self._by_key.pop(key, None)

    def drop(self, key: object) -> None:
        """It is not to be used any more."""
        self._by_key.pop(key, None)

    def clear(self) -> None:
        """Nor anything else."""
        self._by_key.clear()

    def keys(self) -> set[object]:
        """Those of which anything is noted."""
        return set(self._by_key)

    def end(self, key: object, mine: Prefetched) -> None:
        """Whoever began it needs it no more."""
        if self._by_key.get(key) is mine:
            self.drop(key)
