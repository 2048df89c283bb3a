"""Whether the stack has room for what must not be broken off.

A RecursionError may come at any call, and a handler has hardly more room than the call that failed: a load that was
begun at the very limit could not be reported, nor a lock be given back. So whoever is about to begin asks for the room
that its end will need, while nothing has happened yet.
"""

from __future__ import annotations

import contextlib
from sys import _getframe, getrecursionlimit, setrecursionlimit
from typing import Final

FRAMES: Final = 24
"""So many calls, one inside the other, are enough to report a load and to mend what was broken off."""


def require_room(frames: int = FRAMES) -> None:
    """Raise RecursionError where there is no room. Quick where the stack is far from its limit, as it mostly is."""
    try:
        _getframe(getrecursionlimit() >> 2)  # calls from C count too, of which there may be as many
    except ValueError:  # not so deep
        return
    _descend(frames)


def give_room_back() -> None:
    """After `FRAMES` more than the recursion limit were taken. Where the stack is too deep for that, it stays so."""
    with contextlib.suppress(RecursionError):
        setrecursionlimit(getrecursionlimit() - FRAMES)


def _descend(frames: int) -> None:
    if frames:
        _descend(frames - 1)
