"""A trace as a Mermaid sequence diagram: callers, entries and their loads, from left to right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, assert_never, final

from herdless._trace.reader import Recorded, Section
from herdless._trace.strict import escaped
from herdless._trace.waiting import Waiting
from herdless._trace.words import change_as_story, effect_as_story, event_as_story
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    CancelLoad,
    DeadlinePassed,
    Effect,
    Evict,
    Expire,
    Forget,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Put,
    Rearm,
    Refresh,
    Refuse,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    StartLoad,
    WaiterLeft,
)

CALLERS: Final = 12
"""So many callers have a column of their own; the others share one."""

ARROWS: Final = 6
"""So many of the waiters of a flight are told by an arrow each; of the others the number is said."""

OTHERS: Final = "others"


def as_mermaid(lines: Sequence[Recorded], *, remark: str = "") -> str:
    """The steps as the text of a diagram, without a fence around it; `remark` is said at its end.

    Instants are in seconds since the first of the steps, to the millisecond.
    """
    drawing = _Drawing(lines[0].at if lines else 0)
    body = [drawn for line in lines for drawn in drawing.of(line)]
    if remark and drawing.entries:
        body.append(f"Note over {next(iter(drawing.entries.values()))}: {_text(remark)}")
    return "\n    ".join(["sequenceDiagram", *drawing.participants(), *body]) + "\n"


@final
class _Drawing:
    def __init__(self, origin: int) -> None:
        self._origin: Final = origin
        self._waiting: Final = Waiting()
        self._callers: Final[dict[str, str]] = {}
        self.entries: Final[dict[tuple[Section, str], str]] = {}
        """The column of each key, by what it is called in the diagram."""
        self._loading: Final[set[str]] = set()
        """The columns whose loads are in the diagram."""
        self._said = ""
        """The instant that was said last."""

    def participants(self) -> Iterator[str]:
        """The columns, callers to the left of entries, loads beside their entries."""
        for name, column in self._callers.items():
            yield f"participant {column} as {_text(name)}"
        for (section, key), column in self.entries.items():
            yield f"participant {column} as {_text(_of_section(section, key))}"
            if _loads(column) in self._loading:
                yield f"participant {_loads(column)} as {_text(f'loads of {key}')}"

    def of(self, line: Recorded) -> Iterator[str]:
        """What one step looks like."""
        entry = self.entries.setdefault((line.section, line.key), f"E{len(self.entries) + 1}")
        at = f"at {(line.at - self._origin) / NANOSECONDS_PER_SECOND:.3f}".rstrip("0").rstrip(".") + " s"
        if at != self._said:
            self._said = at
            yield f"Note over {entry}: {at}"
        yield self._event(line, entry)
        change = change_as_story(line.step.before, line.step.after)
        if change:
            yield f"Note over {entry}: {change}"
        for effect in line.step.effects:
            yield from self._effect(effect, line, entry)
        self._waiting.follow(line)

    def _event(self, line: Recorded, entry: str) -> str:
        event, said = line.step.event, _text(event_as_story(line.step.event))
        match event:
            case LoadSucceeded():
                return f"{self._load(entry)}->>{entry}: {said}"
            case LoadFailed():
                return f"{self._load(entry)}-x{entry}: {said}"
            case Evict() | DeadlinePassed() | Restarted():
                return f"Note over {entry}: {said}"
            case Get() | Put() | Invalidate() | Expire() | Refresh() | WaiterLeft() | SoftTimeoutPassed():
                return f"{self._caller(line, line.by)}->>{entry}: {said}"
        assert_never(event)

    def _effect(self, effect: Effect, line: Recorded, entry: str) -> Iterator[str]:
        said = _text(effect_as_story(effect))
        match effect:
            case Answer():
                yield f"{entry}-->>{self._caller(line, line.by)}: {said}"
            case Join():
                yield f"Note left of {entry}: {_text(line.by or 'a caller')} {said}"
            case Refuse():
                yield f"{entry}--x{self._caller(line, line.by)}: {said}"
            case StartLoad():
                yield f"{entry}->>{self._load(entry)}: {said}"
            case CancelLoad():
                yield f"{entry}-x{self._load(entry)}: {said}"
            case Settle():
                yield from self._settled(effect, line, entry)
            case Rearm():
                yield f"Note over {entry}: {said}"
            case Save() | Forget():
                pass

    def _settled(self, settle: Settle, line: Recorded, entry: str) -> Iterator[str]:
        waiters = self._waiting.of(line, settle.generation)
        for name in waiters[:ARROWS]:
            yield f"{entry}-->>{self._caller(line, name)}: {_text(effect_as_story(settle))}"
        if len(waiters) > ARROWS:
            yield f"Note over {entry}: and {len(waiters) - ARROWS} more are told the same"

    def _caller(self, line: Recorded, name: str) -> str:
        name = _of_section(line.section, name or "a caller")
        if name not in self._callers and len(self._callers) >= CALLERS:
            name = OTHERS
        return self._callers.setdefault(name, f"C{len(self._callers) + 1}")

    def _load(self, entry: str) -> str:
        self._loading.add(_loads(entry))
        return _loads(entry)


def _loads(entry: str) -> str:
    return f"L{entry[1:]}"


def _of_section(section: Section, name: str) -> str:
    return name if section.number == 1 else f"{name} of {section.owner or f'cache {section.number}'}"


def _text(text: str) -> str:
    """What Mermaid takes for text: one line, its special characters as codes."""
    line = escaped(" ".join(text.split()))
    return re.sub(r"[#;:<>%{}\\\"]", lambda special: f"#{ord(special[0])};", line) or "(empty)"
