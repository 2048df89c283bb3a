"""Whoever watches a cache: one observer or several, none of which can break a step."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final, TypeAlias, final

from herdless._log import UNNAMED, Log
from herdless_core import Observer, PolicyError, Step

Observers: TypeAlias = Observer | Iterable[Observer]
"""What `observe=` takes: one observer, or several, which are called in their order."""


@final
class Guarded:
    """Observers as one that breaks neither a step nor the next observer: what one of them raises is logged."""

    def __init__(self, *observers: Observer, log: Log = UNNAMED) -> None:
        self._observers: Final = observers
        self._log: Final = log

    def __call__(self, key: Any, step: Step) -> None:
        for observe in self._observers:
            try:
                observe(key, step)
            except Exception as error:  # noqa: BLE001  # of foreign code
                self._log.tell_failure("observer_failed", "the observer %r failed", observe, error=error)

    def and_by(self, observer: Observer) -> Guarded:
        """These and one more."""
        return Guarded(*self._observers, observer, log=self._log)

    def but_by(self, observer: Observer) -> Guarded | None:
        """These without that one; None where it was the only one."""
        rest = [each for each in self._observers if each is not observer]
        return Guarded(*rest, log=self._log) if rest else None


def guarded(observe: Observers | None, log: Log = UNNAMED) -> Guarded | None:
    """The observers that `observe=` names, or None where it names none.

    Raises PolicyError, which names what can be no observer: it cannot be called, or its answer would be awaited.
    """
    if observe is None:
        return None
    if callable(observe):
        observers: tuple[Any, ...] = (observe,)
    elif isinstance(observe, Iterable):
        observers = tuple(observe)
    else:
        raise _refused(observe)
    for each in observers:
        if not callable(each) or inspect.iscoroutinefunction(each):
            raise _refused(each)
    return Guarded(*observers, log=log) if observers else None


def _refused(observer: object) -> PolicyError:
    return PolicyError(
        f"observe={observer!r} is not accepted: give a function of a key and a Step, not async, or a list of them"
    )
