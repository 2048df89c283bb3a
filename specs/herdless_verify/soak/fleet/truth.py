"""What is true of each key: integers in a file that all processes have in their memory. Truths only grow."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final, final

KEYS: Final = ("a", "b", "c", "d")
"""The keys that a fleet is asked for."""

_NUMBER: Final = struct.Struct("=q")  # of eight bytes at a multiple of eight, which are written at once


@final
class Truth:
    """path: of the file, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_NUMBER.pack(1) * len(KEYS))
        with path.open("r+b") as file:
            self._memory: Final = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, key: str) -> int:
        (number,) = _NUMBER.unpack_from(self._memory, KEYS.index(key) * _NUMBER.size)
        return int(number)

    def __setitem__(self, key: str, number: int) -> None:
        _NUMBER.pack_into(self._memory, KEYS.index(key) * _NUMBER.size, number)
