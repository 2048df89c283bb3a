"""Reading a trace: line by line, in memory that grows with the errors in it, but not with the steps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from herdless._trace.plain import VERSION, Decoder, policy_from_plain
from herdless_core import Plain, Policy, PolicyError, Step

SHOWN: Final = 60
"""So many characters of a bad line are shown."""


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


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """All that was recorded before is on disk."""

    line: int
    section: Section


Line: TypeAlias = Recorded | Stored


def read_trace(trace: str | os.PathLike[str] | Iterable[str]) -> Iterator[Line]:
    """The lines of a trace, in a file or as text line by line. A last line that was cut short is left out.

    Raises NotATrace at the first line that is none of a trace, OSError when the file cannot be read.
    """
    if not isinstance(trace, str | os.PathLike):
        yield from _lines(trace)
        return
    with Path(trace).open(encoding="utf-8") as lines:
        try:
            yield from _lines(lines)
        except UnicodeDecodeError as error:
            raise NotATrace(f"is not text: {error.reason}") from error


def steps_of(lines: Iterable[Line]) -> Iterator[tuple[str, Step]]:
    """The keys and steps, as `assert_trace_valid` takes them."""
    return ((line.key, line.step) for line in lines if isinstance(line, Recorded))


def _lines(lines: Iterable[str]) -> Iterator[Line]:
    sections: dict[str | None, Section] = {}
    decoder = Decoder()
    number = count = 0
    cut_short: NotATrace | None = None
    for number, text in enumerate(lines, start=1):
        if cut_short is not None:
            raise cut_short  # it was not the last one
        try:
            plain = _plain(number, text)
        except NotATrace as error:
            if number == 1 or text.endswith("\n"):
                raise
            cut_short = error
            continue
        owner = plain.get("owner")
        if "herdless_trace" in plain:
            count += 1
            sections[owner] = _section(number, plain, count)
            continue
        section = sections.get(owner)
        if section is None:
            expected = "the first line of a trace" if owner is None else f"a header of the owner {owner!r}"
            raise NotATrace(f"line {number}: {expected} is missing: {_shown(text)}")
        if "stored" in plain:
            yield Stored(number, section)
        else:
            yield _recorded(number, plain, section, decoder)
    if number == 0:
        raise NotATrace("is empty: a trace begins with its header")


def _plain(number: int, text: str) -> Plain:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise NotATrace(f"line {number} is not JSON: {_shown(text)}") from error
    if not isinstance(plain, dict):
        raise NotATrace(f"line {number} is not a JSON object: {_shown(text)}")
    return plain


def _section(number: int, plain: Plain, count: int) -> Section:
    version = plain["herdless_trace"]
    if version != VERSION:
        raise NotATrace(f"line {number}: herdless_trace={version!r} is not accepted: this herdless reads {VERSION}")
    try:
        policy = policy_from_plain(plain["policy"])
        return Section(count, policy, bool(plain["is_durable"]), plain.get("owner"))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, PolicyError) as error:
        raise NotATrace(f"line {number} is not a header that herdless writes ({error!r})") from error


def _recorded(number: int, plain: Plain, section: Section, decoder: Decoder) -> Recorded:
    try:
        step = decoder.step(plain, section.policy)
        return Recorded(number, section, str(plain["key"]), str(plain.get("by", "")), step)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotATrace(f"line {number} is not a step that herdless writes ({_said(error)})") from error


def _said(error: Exception) -> str:
    """The error in one line that is not too long."""
    said = repr(error)
    return said if len(said) <= 2 * SHOWN else said[: 2 * SHOWN] + "..."


def _shown(text: Any) -> str:
    text = str(text).rstrip("\n")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
