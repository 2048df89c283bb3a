"""What a value weighs, as the user's own function says: asked outside of the lock, before the step that stores it.

Where it does not say so - it raises, or returns what is no weight - a load has its value all the same. That is for
those who wait for it, and is not held, as one that is too heavy is not: a total in which something is missing is no
bound. The log tells. A caller of `put` is told by the exception, and nothing is changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

from herdless._log import UNNAMED, Log
from herdless_core import Loaded, PolicyError, ShowKey
from herdless_core._checks import check_count
from herdless_core._previous import is_not_modified

Weigh: TypeAlias = Callable[[Any, Any], int]
"""What `weigh=` takes: a function of a key and a value."""


@final
class Weigher:
    """The function `weigh` of a cache with `maxweight`. shown: from a key to the text that stands for it."""

    def __init__(self, weigh: Weigh, maxweight: int, shown: ShowKey, log: Log = UNNAMED) -> None:
        self._log: Final = log
        self._weigh: Final = weigh
        self._too_heavy: Final = maxweight + 1
        self._shown: Final = shown

    def weighed(self, key: Any, value: Any) -> Any:
        """The value with its weight, where it is to be kept and does not say so itself.

        key: what it is the value of; value: it, or `Loaded(value, ...)`. Raises what `weigh` raises, and PolicyError
        where that returns no weight.
        """
        loaded = value if isinstance(value, Loaded) else Loaded(value)
        if not loaded.keep or loaded.weight is not None or is_not_modified(loaded):
            return loaded
        return loaded.with_weight(self.weight_of(key, loaded.value))

    def weight_of(self, key: Any, value: Any) -> int:
        """What the value of this key weighs. Raises as `weighed` does."""
        weight: object = self._weigh(key, value)
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 1:
            if inspect.iscoroutine(weight):
                weight.close()
            raise PolicyError(
                f"weigh={self._weigh!r} is not accepted, it returned {weight!r} for {self._shown(key)}: give a "
                "function that returns an integer >= 1, not async"
            )
        return weight

    def weighed_after_load(self, key: Any, value: Any) -> Any:
        """The same of what was loaded. What cannot be weighed is too heavy, and the log tells of it."""
        try:
            return self.weighed(key, value)
        except Exception as error:  # noqa: BLE001  # of foreign code
            text = "a loaded value is not held, for it could not be weighed: %s"
            self._log.tell("weigh_failed", text, self._shown(key), error=error)
        return (value if isinstance(value, Loaded) else Loaded(value)).with_weight(self._too_heavy)


def weigher(weigh: object, maxweight: object, shown: ShowKey, log: Log = UNNAMED) -> Weigher | None:
    """What weighs the values, or None where they are not weighed. Raises PolicyError where one argument is there
    without the other, and for what is no function.
    """
    if weigh is None and maxweight is None:
        return None
    if weigh is None:
        raise PolicyError(f"maxweight={maxweight!r} is not accepted without weigh, which says what a value weighs")
    if maxweight is None:
        raise PolicyError(f"weigh={weigh!r} is not accepted without maxweight, up to which it counts")
    if not callable(weigh) or inspect.iscoroutinefunction(weigh):
        raise PolicyError(
            f"weigh={weigh!r} is not accepted: give a function of a key and a value that returns an integer >= 1, not "
            "async"
        )
    return Weigher(weigh, check_count("maxweight", maxweight, least=1), shown, log)
