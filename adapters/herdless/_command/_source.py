"""Where the command reads a trace: a file, a pipe, or standard input; more than once, if it must."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, final

from herdless._command._errors import CommandError
from herdless._command._terminal import printable
from herdless._trace.reader import Line, NotATrace, read_trace, text_lines

STANDARD_INPUT: Final = "-"


@final
class Source:
    """The trace that FILE names. What cannot be read is a CommandError that names it, in one line."""

    def __init__(self, name: str, file: BinaryIO, copy: BinaryIO | None) -> None:
        """copy: where what was read is kept, for a file that can be read only once."""
        self.name: Final = name
        self._file: Final = file
        self._copy: Final = copy

    def lines(self) -> Iterator[Line]:
        """All lines of the trace, from the first one; one reader at a time."""
        try:
            yield from read_trace(self._text())
        except OSError as error:
            raise self.refused(error.strerror or "cannot be read") from error
        except NotATrace as error:
            raise self.refused(str(error)) from error

    def _text(self) -> Iterator[str]:
        if self._copy is None:
            self._file.seek(0)
            yield from text_lines(self._file)
            return
        self._copy.seek(0)
        yield from text_lines(self._copy)
        for text in text_lines(self._file):
            self._copy.write(text.encode())
            yield text

    def is_same(self, path: str) -> bool:
        """Whether the path, or what it links to, is this file."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(path))
        except OSError:  # there is none yet
            return False

    def refused(self, why: str) -> CommandError:
        """What is wrong with the file."""
        return CommandError(f"FILE {self.name}: {printable(why)}")


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The source, open. Raises CommandError where it cannot be."""
    name = printable(path)
    with ExitStack() as stack:
        if path == STANDARD_INPUT and sys.stdin is None:
            raise CommandError("FILE -: standard input is closed")
        try:
            file: BinaryIO = sys.stdin.buffer if path == STANDARD_INPUT else stack.enter_context(Path(path).open("rb"))
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            copy = None if is_file else stack.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            raise CommandError(f"FILE {name}: {error.strerror}") from error
        yield Source(name, file, copy)


def is_same_file(one: str, other: str) -> bool:
    """Whether both paths name the same file, or would once it is written."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).resolve() == Path(other).resolve()
