"""How often in a row the refresh of a key has failed, while its value is kept."""

from __future__ import annotations

from typing import Final, Generic, TypeVar, final

from herdless_core._events import DeadlinePassed, Event, LoadFailed
from herdless_core._states import Entry, Failure, Fresh, Stale

K = TypeVar("K")


def is_failure(event: Event) -> bool:
    """Whether a load fails by it, if by anything."""
    return isinstance(event, DeadlinePassed) or (isinstance(event, LoadFailed) and not event.is_answer)


def failures_after(failures: int, before: Entry, after: Entry, *, failed: bool) -> int:
    """How many failures in a row there are after a step. failures: how many there were; failed: whether the key's load
    failed by it, or was given up.
    """
    is_kept = isinstance(before, Fresh | Stale) and isinstance(after, Fresh | Stale) and after.value is before.value
    if not is_kept or isinstance(after.value, Failure):  # type: ignore[union-attr]  # what is kept has a value
        return 0
    return failures + failed


@final
class Streaks(Generic[K]):
    """The failures in a row by key, where the policy asks for them."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: Final[dict[K, int]] = {}

    def of(self, key: K) -> int:
        """How many failures came before; 0 where the key itself cannot be asked any more."""
        try:
            return self._failures.get(key, 0)
        except Exception:  # noqa: BLE001  # of the key's own `__eq__` or `__hash__`
            return 0

    def follow(self, key: K, before: Entry, after: Entry, *, failed: bool) -> None:
        """Take note of a step. failed: whether the key's load failed by it, or was given up."""
        try:
            failures = failures_after(self._failures.get(key, 0), before, after, failed=failed)
            if failures:
                self._failures[key] = failures
            else:
                self._failures.pop(key, None)
        except Exception:  # noqa: BLE001  # as above
            return

    def clear(self) -> None:
        """Nothing is held any more."""
        self._failures.clear()
