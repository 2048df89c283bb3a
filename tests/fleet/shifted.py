"""One process of a fleet whose clocks are wrong, all by the same: python -m tests.fleet.shifted SECONDS CONFIG.

Both the wall clock and the monotonic one are shifted before anything else is imported. What C asks for itself (the
client's sockets, the event loop's selector) waits for durations, which are right.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def shift(seconds: int) -> None:
    """All that follows sees another time."""
    for name, unit in {"time": 1, "monotonic": 1, "time_ns": 10**9, "monotonic_ns": 10**9}.items():
        setattr(time, name, shifted(getattr(time, name), seconds * unit))


def shifted(clock: Callable[[], float], by: int) -> Callable[[], float]:
    """A clock that is so much ahead."""
    return lambda: clock() + by


if __name__ == "__main__":
    shift(int(sys.argv[1]))
    from tests.fleet.worker import main

    main(json.loads(sys.argv[2]))
