"""A lock that locks nothing, for adapters that are broken on purpose."""

from __future__ import annotations

from types import TracebackType


class NoLock:
    """Whoever comes gets it at once."""

    def acquire(self) -> bool:
        """At once."""
        return True

    def release(self) -> None:
        """Nothing was held."""

    def _is_owned(self) -> bool:
        """Nobody is inside of anything."""
        return False

    def __enter__(self) -> bool:
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing was held."""
