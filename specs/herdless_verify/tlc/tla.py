"""The specification as text: its operators, what is said of each in English, and which promise each is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, final

from herdless_core.invariants import INVARIANTS
from herdless_verify.files import FOLDER
from herdless_verify.tlc.configurations import Run

_BEGIN: Final = re.compile(r"^(?:RECURSIVE .*\n)?(\w+)(?:\([^=]*?\))? ==", re.MULTILINE)
_END: Final = re.compile(r"\n(?:\n|\\\*|\(\*|---|===)")
_SUFFIX: Final = re.compile(r"(Inv|Prop|Live)$")

LIVENESS: Final = ("EveryGetAnswered", "StaleIsRefreshed")
"""The promises of whole behaviours, which no predicate of one step can state."""


@final
@dataclass(frozen=True, slots=True)
class Operator:
    """One definition of a module."""

    name: str
    said: str
    """The comment above it, as one line; empty where there is none."""
    text: str
    """The definition itself, as it stands in the module."""
    module: str
    line: int

    @property
    def promise(self) -> str:
        """The promise that it states, alone or with others; else its own name without the suffix."""
        first = re.match(r"\w+", self.said)
        if first is not None and (first[0] in INVARIANTS or first[0] in LIVENESS):
            return first[0]
        return _SUFFIX.sub("", self.name)


@cache
def operators(module: str) -> dict[str, Operator]:
    """Every operator of a module by its name, in the order of the file."""
    text = (FOLDER / f"{module}.tla").read_text(encoding="utf-8")
    found = {}
    for match in _BEGIN.finditer(text):
        end = _END.search(text, match.end())
        body = text[match.start() : end.start() if end else None].rstrip()
        line = text.count("\n", 0, match.start()) + 1
        found[match[1]] = Operator(match[1], _comment_before(text[: match.start()]), body, module, line)
    return found


def operator(name: str, module: str) -> Operator:
    """The operator of this name in a module, or in those that it extends. Raises KeyError where there is none."""
    if name in operators(module):
        return operators(module)[name]
    for extended in _extended(module):
        if (FOLDER / f"{extended}.tla").exists():
            return operator(name, extended)
    raise KeyError(f"{name} is not defined in {module}")


def stated(run: Run) -> list[Operator]:
    """The operators that a run of TLC judges."""
    return [operator(name, run.module) for name in (*run.invariants, *run.properties)]


def _comment_before(text: str) -> str:
    lines: list[str] = []
    for line in reversed(text.splitlines()):
        if not line.startswith("\\*"):
            break
        lines.append(line[2:].strip())
    return " ".join(reversed(lines))


@cache
def _extended(module: str) -> tuple[str, ...]:
    found = re.search(r"^EXTENDS (.*)$", (FOLDER / f"{module}.tla").read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(found[1].split(", ")) if found else ()
