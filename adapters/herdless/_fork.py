"""What a fork does to the caches of a process: the child keeps the values and has no flights.

The threads and loops that ran the flights are not in the child, so nobody would ever settle them. Every lock is held
across the fork, lest the child inherit one that is locked for ever, or a step half done; `logging` does the same for
its handlers.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Final, Protocol, final
from weakref import WeakSet


class Survivor(Protocol):
    """What is told of a fork: `hold` before it, `release` after it in the parent, `restart` and `release` in the
    child.
    """

    def hold(self) -> None: ...
    def release(self) -> None: ...
    def restart(self) -> None: ...


_SURVIVORS: Final[WeakSet[Survivor]] = WeakSet()
_FORKING: Final = Lock()
_HELD: Final[list[Survivor]] = []


@final
class _Proxy:
    """Stands for a survivor that cannot be referred to weakly, which keeps it."""

    def __init__(self, survivor: Survivor) -> None:
        self.hold: Final = survivor.hold
        self.release: Final = survivor.release
        self.restart: Final = survivor.restart


def survive_forks(survivor: Survivor) -> object:
    """Tell the object of every fork for as long as it lives; it MUST keep what this returns."""
    try:
        _SURVIVORS.add(survivor)
    except TypeError:  # a compiled object: the two keep each other, until the collector finds them
        proxy = _Proxy(survivor)
        _SURVIVORS.add(proxy)
        return proxy
    return None


def _before() -> None:
    _FORKING.acquire()
    _HELD.extend(_SURVIVORS)
    for survivor in _HELD:
        survivor.hold()


def _after_in_parent() -> None:
    for survivor in _HELD:
        survivor.release()
    _HELD.clear()
    _FORKING.release()


def _after_in_child() -> None:
    for survivor in _HELD:
        survivor.restart()
    _after_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
