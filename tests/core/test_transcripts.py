"""What each input does, as transcripts: written to be read, compared line by line, rewritten by `--rewrite`.

A transcript is a text of lines `<seconds> <input>`, each followed by what it led to, indented: the next entry, and the
effects in their order. `policy name=seconds ...` starts anew from Absent. Generations are numbered from 1; a value is
a word.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    DeadlinePassed,
    Entry,
    Event,
    Evict,
    Expire,
    Get,
    Invalidate,
    Loaded,
    LoadFailed,
    LoadSucceeded,
    Policy,
    Put,
    Refresh,
    Restarted,
    SoftTimeoutPassed,
    Step,
    WaiterLeft,
    transition,
)
from herdless_core.invariants import violated
from tests.core._words import effect_in_words, entry_in_words

TRANSCRIPTS: Final = sorted(Path(__file__).with_name("transcripts").glob("*.txt"))
INDENT: Final = "    "
WITHOUT_WORDS: Final[dict[str, Callable[[], Event]]] = {
    "invalidate": Invalidate,
    "expire": Expire,
    "evict": Evict,
    "restarted": Restarted,
}


class Player:
    """One entry, driven by the lines of a transcript."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.entry: Entry = ABSENT
        self.generation = 0

    def play(self, line: str) -> list[str]:
        """Do what the line says; returns the lines that describe what came of it."""
        if not line or line.startswith("#"):
            return []
        if line.startswith("policy"):
            self.__init__()  # type: ignore[misc]  # a new life: everything starts anew
            self.policy = Policy(**_options(line.split()[1:]))
            return []
        at, name, *words = line.split()
        now = round(float(at) * NANOSECONDS_PER_SECOND)
        event = self._event(name, words)
        after, effects = transition(self.entry, event, now, self.policy)
        assert violated(Step(self.entry, event, now, self.policy, after, effects)) == []
        self.entry = after
        if after.flight is not None:
            self.generation = max(self.generation, after.flight.generation)
        described = [entry_in_words(after), *map(effect_in_words, effects)]
        return [INDENT + line for line in described]

    def _event(self, name: str, words: list[str]) -> Event:
        match name, words:
            case "get", []:
                return Get(self.generation + 1)
            case "refresh", []:
                return Refresh(self.generation + 1)
            case "put", [value, *options]:
                return Put(value, self.policy.lifetime_for(Loaded(value, **_options(options)), 0.0))
            case "succeeded", [generation, value, *options]:
                lifetime = self.policy.lifetime_for(Loaded(value, **_options(options)), 0.0)
                return LoadSucceeded(int(generation), value, lifetime)
            case "failed", [generation]:
                return LoadFailed(int(generation), OSError(), is_answer=False)
            case "deadline", [generation]:
                return DeadlinePassed(int(generation))
            case "left", [generation]:
                return WaiterLeft(int(generation), can_cancel=True)
            case "waited", [generation]:
                return SoftTimeoutPassed(int(generation))
            case "left-in-a-thread", [generation]:
                return WaiterLeft(int(generation), can_cancel=False)
            case _:
                return WITHOUT_WORDS[name]()


def _options(words: list[str]) -> dict[str, Any]:
    pairs = (word.split("=") for word in words)
    return {name: int(number) if name == "max_waiters" else float(number) for name, number in pairs}


def _played(text: str) -> str:
    player = Player()
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith(INDENT):
            lines += [line, *player.play(line)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, pytestconfig: pytest.Config) -> None:
    """The machine still does what somebody read and found right."""
    written = path.read_text(encoding="utf-8")
    played = _played(written)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(played, encoding="utf-8")
    assert played == written, "the machine does something else now; if that is right, run with --rewrite"


def test_every_input_has_a_transcript() -> None:
    """An input without one would have no example."""
    inputs = {word for path in TRANSCRIPTS for line in path.read_text().splitlines() for word in line.split()[1:2]}
    needed = {
        "get",
        "put",
        "invalidate",
        "expire",
        "refresh",
        "evict",
        "succeeded",
        "failed",
        "deadline",
        "left",
        "waited",
    }
    assert needed | {"left", "left-in-a-thread", "restarted"} <= inputs
