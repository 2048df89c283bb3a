"""Recording into a file, beside other processes that record into the same one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, final

from herdless._trace.plain import Name
from herdless._trace.reader import BEGINNINGS
from herdless._trace.writer import TraceWriter
from herdless_core import Step


@final
class TraceFile:
    """Records the steps of ONE cache in a file, after what is there: give it as `observe=`, close it after the cache.

    Any number of processes and caches may have a recorder of their own for the same file at the same time: a line is
    appended as a whole, by one system call, and names its owner. A forked child goes on as an owner of its own. A line
    is with the operating system before the step's lock is released: killing the process loses none. The arguments are
    TraceWriter's.

    Raises FileExistsError when the file holds something that is no trace, OSError when it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        key: Callable[[Any], str] = repr,
        value: Callable[[Any], Name] | None = None,
        by: Callable[[], str] | None = None,
    ) -> None:
        _require_a_trace(Path(path))
        self._file: Final = Path(path).open("ab", buffering=0)  # noqa: SIM115  # closed by `close`
        self._key: Final = key
        self._value: Final = value
        self._by: Final = by
        self._process = os.getpid()
        self._writer = self._new_writer(is_forked=False)

    def __call__(self, key: Any, step: Step) -> None:
        """Write a step. One that comes after `close` is not recorded."""
        if self._file.closed:
            return
        if os.getpid() != self._process:
            self._process = os.getpid()
            self._writer = self._new_writer(is_forked=True)
        self._writer(key, step)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new_writer(self, *, is_forked: bool) -> TraceWriter:
        # Numbers of processes come again, and are the same in two containers that share a folder.
        owner = f"{self._process}-{os.urandom(4).hex()}"
        return TraceWriter(self._write, key=self._key, value=self._value, by=self._by, owner=owner, is_forked=is_forked)

    def _write(self, line: str) -> None:
        rest = line.encode("ascii")
        while rest:  # a pipe may take less than all at a time; a file does only where the disk is full
            rest = rest[self._file.write(rest) :]


def _require_a_trace(path: Path) -> None:
    """Raises FileExistsError where a mistaken name would have a file of the user's grow by the lines of a trace."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(max(map(len, BEGINNINGS))).decode("utf-8", "replace")
        if not any(start.startswith(each[: len(start)]) for each in BEGINNINGS):
            raise FileExistsError(errno.EEXIST, "it holds something that is no trace", str(path))
