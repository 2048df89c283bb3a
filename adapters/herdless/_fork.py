"""What a fork does to the caches of a process: the child keeps the values and has no flights.

The threads and loops that ran the flights are not in the child, so nobody would ever settle them. Whichever thread was
inside a cache's lock is not there either: to the child it is as if it had been interrupted there, which every cache
survives (`BaseCache._mend`). So nothing is held across the fork, where it could be held for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, final
from weakref import WeakMethod, WeakSet


@final
class _Survivor:
    """What is told of a fork, in the child."""

    def __init__(self, restart: Callable[[], None]) -> None:
        self.restart: Final = restart


_SURVIVORS: Final[WeakSet[_Survivor]] = WeakSet()


def survive_forks(restart: Callable[[], None]) -> object:
    """Call the bound method in every forked child, for as long as its object lives. It MUST keep what this returns."""
    survivor = _Survivor(_weakly(restart))
    _SURVIVORS.add(survivor)
    return survivor


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """The method, without keeping its object, where that can be referred to weakly. A compiled object cannot, and
    keeps itself until the collector comes.
    """
    try:
        reference = WeakMethod(method)
    except TypeError:
        return method

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call


def _after_in_child() -> None:
    for survivor in list(_SURVIVORS):
        survivor.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
