"""Whoever watches a cache: one observer or several, none of which can break a step."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, TypeAlias, final

from herdless_core import Observer, PolicyError, Step

LOGGER: Final = logging.getLogger("herdless")

Observers: TypeAlias = Observer | Iterable[Observer]
"""What `observe=` takes: one observer, or several, which are called in their order."""


@final
class Guarded:
    """Observers as one that breaks neither a step nor the next observer: what one of them raises is logged."""

    def __init__(self, *observers: Observer) -> None:
        self._observers: Final = observers

    def __call__(self, key: Any, step: Step) -> None:
        for observe in self._observers:
            try:
                observe(key, step)
            except Exception:
                with suppress(Exception):  # a log handler is no more allowed to break a step
                    LOGGER.exception("the observer %r failed", observe)


def guarded(observe: Observers | None) -> Guarded | None:
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
    return Guarded(*observers) if observers else None


def _refused(observer: object) -> PolicyError:
    return PolicyError(
        f"observe={observer!r} is not accepted: give a function of a key and a Step, not async, or a list of them"
    )
