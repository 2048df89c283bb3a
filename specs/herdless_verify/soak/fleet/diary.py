"""What one process writes down, a line of JSON for each fact, so that a kill -9 takes nothing of it along.

    {"lookup": 7, "key": "a", "at": ...}                       a lookup begins
    {"answer": 7, "at": ..., "value": 3, "how": ..., "age": ...}   its end; or "error", its kind
    {"load": "a", "at": ...}                                   the loader is called
    {"tries": "a", "before": ..., "version": ..., "steps": [...]}  the store is about to be asked to write this
    {"knows": version, "is_written": true}                     the store has said so

Instants are seconds of the machine's monotonic clock, which is one for all processes. Versions are hexadecimal.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from herdless._trace.plain import step_to_plain
from herdless_core._fleet.requests import Swap

Line: TypeAlias = dict[str, Any]


@final
class Diary:
    """path: of the file; lines are appended. Any thread may write."""

    def __init__(self, path: Path) -> None:
        self._file: Final = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, **line: Any) -> None:
        """Write a line, which is in the file when this returns."""
        os.write(self._file, (json.dumps(line, separators=(",", ":")) + "\n").encode())

    # As the witness of a shared cache

    def tries(self, text: str, swap: Swap) -> None:
        """See `Witness`."""
        steps = [step_to_plain(step, _name) for step in swap.steps]
        before, version = swap.before.version.hex(), swap.after.version.hex()
        self.write(tries=text, at=time.monotonic(), before=before, version=version, steps=steps)

    def knows(self, swap: Swap, *, is_written: bool) -> None:
        """See `Witness`."""
        self.write(knows=swap.after.version.hex(), is_written=is_written)


def _name(value: Any) -> str:
    """The value as it is encoded: JSON."""
    return bytes(value).decode()


def lines(path: Path) -> Iterator[Line]:
    """What was written down; the last line may be cut off."""
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if text.endswith("\n"):
            yield json.loads(text)
