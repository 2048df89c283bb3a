"""The interpreter's own switches between threads, as often as it can."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SWITCH_INTERVAL_SECONDS: Final = 1e-6


@contextmanager
def switching_often() -> Iterator[None]:
    """Meanwhile a thread that waits for its turn is given it after a microsecond, not after five milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
