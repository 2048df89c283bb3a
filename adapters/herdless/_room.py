"""Whether the stack has room for what must not be broken off.

A RecursionError may come at any call. Python 3.11 leaves some room for those who handle it; since 3.12 a handler has
none that the failing call had not, so a load that was begun at the very limit could not be reported. So whoever is
about to begin asks for the room that its end will need, while nothing has happened yet.
"""

from __future__ import annotations

import sys
from typing import Final

FRAMES: Final = 24
"""So many calls, one inside the other, are enough to report a load and to mend what was broken off."""

HAS_ROOM_OF_ITS_OWN: Final = sys.version_info < (3, 12)


def require_room(frames: int = FRAMES) -> None:
    """Raise RecursionError where there is no room."""
    if frames and not HAS_ROOM_OF_ITS_OWN:
        require_room(frames - 1)
