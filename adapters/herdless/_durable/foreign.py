"""Foreign code - a clock, an observer, a log handler -, called so that nothing it raises decides anything.

A step that is taken has to be carried out: its load started, its waiters answered. So nothing that can raise may stand
between the two, and a report about a load must come to its end. Foreign code stands there all the same; here it is
called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, final

from herdless_core import Observer, PolicyError, Step

LOGGER: Final = logging.getLogger("herdless")


def warn(message: str, *arguments: object, error: BaseException | None = None) -> None:
    """Log a warning, with the error's traceback. What a handler raises is dropped."""
    with suppress(BaseException):
        LOGGER.warning(message, *arguments, exc_info=error)


@final
class Clock:
    """The object's clock. Where it fails, the instant that it told last, and a warning.

    Raises what the clock raises, and PolicyError, when it is made: so an object whose clock never worked is not made.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock: Final[Callable[[], object]] = clock
        self._last: int = self._told()

    def __call__(self) -> int:
        try:
            self._last = self._told()
        except BaseException as error:  # noqa: BLE001  # whatever it is
            warn("the clock %s failed; it is taken for as late as before", type(self._clock), error=error)
        return self._last

    def _told(self) -> int:
        now = self._clock()
        if type(now) is not int:
            raise PolicyError(f"clock() returned {now!r}, which is not accepted: give integer nanoseconds since 1970")
        return now


@final
class Watched:
    """An observer that cannot break a step, not even by an exception that is no `Exception`."""

    def __init__(self, observe: Observer) -> None:
        self._observe: Final = observe

    def __call__(self, key: Any, step: Step) -> None:
        try:
            self._observe(key, step)
        except BaseException as error:  # noqa: BLE001  # a SystemExit would end the whole Worker
            warn("the observer failed", error=error)
