"""Reading a trace: line by line, in memory that grows with the errors in it, but not with the steps.

Several processes may have written into it, each of them whole lines under its owner. A line that one could not end, as
it was killed, is left out: it is the last of its owner, and ends with the file or where another line begins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, final

from herdless._trace.plain import VERSION, Decoder, policy_from_plain
from herdless._trace.strict import LINE_LIMIT, SHOWN, WrongLine, parsed, shown
from herdless_core import LONG_AGO, Plain, Policy, PolicyError, Step

BEGINNINGS: Final = ('{"herdless_trace":', '{"owner":', '{"key":', '{"stored":')
"""How lines begin. None of them stands within a line: inner objects begin otherwise, and text escapes its quotes."""

_BEGINNING: Final = re.compile("|".join(f"(?={re.escape(each)})" for each in BEGINNINGS))
_OWNER: Final = re.compile(r'\{"owner":("(?:[^"\\]|\\.)*")')


class NotATrace(ValueError):
    """What was read is not a trace, or one of another version. Names the line."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """What one owner recorded: a cache, or one instance of a durable object. Compared by identity."""

    number: int
    """1 for the first of the trace."""
    policy: Policy
    is_durable: bool
    """Whether the entries outlive their owner."""
    owner: str | None
    is_forked: bool = False
    """Whether it is of a child process, whose cache began with the values that its parent had."""


@final
@dataclass(frozen=True, slots=True)
class Recorded:
    """A step, as it was recorded. Values and errors are stand-ins: the same for the same."""

    line: int
    """Where it stands, from 1."""
    section: Section
    key: str
    by: str
    """The task or thread that took it; empty where the trace does not say."""
    step: Step
    at: int
    """When, in nanoseconds: the step's `now`; that of the step before it, where no clock was asked."""


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """All that was recorded before is on disk."""

    line: int
    section: Section


Line: TypeAlias = Recorded | Stored


def read_trace(trace: str | os.PathLike[str] | Iterable[str]) -> Iterator[Line]:
    """The lines of a trace, in a file or as text line by line. What was cut short is left out.

    Raises NotATrace at the first line that is none of a trace, OSError when the file cannot be read.
    """
    if isinstance(trace, str | os.PathLike):
        with Path(trace).open("rb") as file:
            yield from _lines(text_lines(file))
    else:
        yield from _lines(trace)


def text_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of an open file, none of them longer than the limit. Raises NotATrace for what is no text."""
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise NotATrace(f"line {number} is not text: {error.reason}") from error
        yield text


def steps_of(lines: Iterable[Line]) -> Iterator[tuple[str, Step]]:
    """The keys and steps, as `assert_trace_valid` takes them."""
    return ((line.key, line.step) for line in lines if isinstance(line, Recorded))


def _lines(lines: Iterable[str]) -> Iterator[Line]:
    reading = _Reading()
    number = 0
    try:
        for number, text in enumerate(lines, start=1):
            for plain in reading.records(number, text):
                line = reading.line(number, plain)
                if line is not None:
                    yield line
    except WrongLine as error:
        raise NotATrace(f"line {number} {error}") from error
    if number == 0:
        raise NotATrace("is empty: a trace begins with its header")


@final
class _Reading:
    """What was read so far, as far as it says what the next line means."""

    def __init__(self) -> None:
        self._sections: Final[dict[str | None, Section]] = {}
        self._count = 0
        self._decoder: Final = Decoder()
        self._cut_short: Final[dict[str | None, int]] = {}
        """The owners whose last line was cut short, and its number."""
        self._at: Final[dict[Section, int]] = {}
        """The last instant of each section."""
        self._unended: WrongLine | None = None
        """What is wrong with a line that must be the last one of all."""

    def records(self, number: int, text: str) -> Iterator[Plain]:
        """What stands in one line of the file: one record, or several, of which the first were cut short."""
        if self._unended is not None:
            raise self._unended
        if len(text) > LINE_LIMIT:
            raise WrongLine(f"is longer than {LINE_LIMIT:,} bytes: {shown(text)}")
        try:
            yield parsed(text)
        except WrongLine as error:
            first, *others = [each for each in _BEGINNING.split(text) if each] or [text]
            has_no_end = not text.endswith("\n") and number > 1
            if not others and has_no_end:
                self._unended = error
            elif not others or not first.startswith("{"):
                raise
            else:
                yield from self._torn([first, *others], number, has_no_end)

    def _torn(self, pieces: list[str], number: int, has_no_end: bool) -> Iterator[Plain]:
        for at, piece in enumerate(pieces, start=1):
            try:
                plain = parsed(piece)
            except WrongLine:
                if at == len(pieces) and not has_no_end:
                    raise
                self._note_cut(piece, number)
            else:
                yield plain

    def _note_cut(self, piece: str, number: int) -> None:
        owner = _OWNER.match(piece)
        if owner is not None:
            self._cut_short[parsed(f'{{"owner":{owner[1]}}}')["owner"]] = number
        elif piece.startswith(BEGINNINGS[2:]):
            self._cut_short[None] = number

    def line(self, number: int, plain: Plain) -> Line | None:
        """What a record says; None where it is a header."""
        owner = plain.get("owner")
        if "herdless_trace" in plain:
            self._count += 1
            self._sections[owner] = _section(plain, self._count)
            self._cut_short.pop(owner, None)
            return None
        section = self._sections.get(owner)
        if section is None:
            raise WrongLine(
                f"has no header before it, of the owner {shown(owner)}" if owner else "has no header before it"
            )
        if owner in self._cut_short:
            raise WrongLine(f"goes on after line {self._cut_short[owner]}, which was cut short")
        if "stored" in plain:
            return Stored(number, section)
        return self._recorded(number, plain, section)

    def _recorded(self, number: int, plain: Plain, section: Section) -> Recorded:
        try:
            step = self._decoder.step(plain, section.policy)
            at = step.now if step.now != LONG_AGO else self._at.get(section, 0)
            self._at[section] = at
            return Recorded(number, section, plain["key"], plain.get("by", ""), step, at)
        except (KeyError, TypeError, ValueError) as error:
            raise WrongLine(f"is not a step that herdless writes ({_said(error)})") from error


def _section(plain: Plain, count: int) -> Section:
    version = plain["herdless_trace"]
    if version != VERSION or isinstance(version, bool):
        raise WrongLine(f"says herdless_trace={shown(version)}, which is not accepted: this herdless reads {VERSION}")
    try:
        policy = policy_from_plain(plain["policy"])
        return Section(count, policy, plain["is_durable"], plain.get("owner"), plain.get("is_forked", False))
    except (KeyError, TypeError, ValueError, StopIteration, PolicyError) as error:
        raise WrongLine(f"is not a header that herdless writes ({_said(error)})") from error


def _said(error: Exception) -> str:
    """The error in one line that is not too long."""
    said = repr(error)
    return said if len(said) <= 2 * SHOWN else said[: 2 * SHOWN] + "..."
