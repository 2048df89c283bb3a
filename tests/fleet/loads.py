"""A loader under the orders of a test, in the test's own process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, final

from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

ROOT = Path(__file__).parents[2]


@final
class Loads:
    """A loader that counts, and can be held up."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.ends: list[Any] = []
        """What the next loads give, or raise; the key and a number otherwise."""

    def __call__(self, key: Any) -> Any:
        """The loader."""
        self.keys.append(key)
        number = len(self.keys)
        end = self.ends.pop(0) if self.ends else [key, number]
        assert self.gate.wait(PATIENCE), "nobody let it go"
        if isinstance(end, BaseException):
            raise end
        return end


def until_begun(loads: Loads, count: int) -> None:
    """Until so many loads have begun."""
    wait_until(lambda: len(loads.keys) >= count)
