"""The record of one key, as all processes have written it: whether the machine has made it, step by step.

Every write says which version it was to take the place of. So the versions are a chain, which orders the steps of all
processes, though no clock does: each link begins with the entry that the one before it has left, and no record has two
successors. Links whose writer does not know whether they were written count as soon as somebody has seen them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final

from herdless._trace.judge import complaint_of_itself
from herdless._trace.plain import Decoder
from herdless._trace.words import describe
from herdless_core import ABSENT, Evicted, Policy, StartLoad, Step, to_plain

NOTHING: Final = ""
"""The version of a record that is not there."""


@final
@dataclass(frozen=True, slots=True)
class Link:
    """One write, and what it was to take the place of."""

    key: str
    process: str
    before: str
    version: str
    steps: tuple[Step, ...]
    at: float
    """When it was tried, in seconds of the machine's clock."""

    @property
    def starts(self) -> list[int]:
        """The generations of the loads that it claims."""
        return [e.generation for step in self.steps for e in step.effects if isinstance(e, StartLoad)]


@final
@dataclass(slots=True)
class Chains:
    """What was asked of the store, and what it has done, for all keys. decoder: the same for all steps of a run."""

    policy: Policy
    tried: dict[str, Link] = field(default_factory=dict)
    """By the version that is written."""
    written: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    decoder: Decoder = field(default_factory=Decoder)

    def note(self, process: str, line: dict[str, Any]) -> None:
        """A line of a diary; others than those about writes are left alone."""
        if "tries" in line:
            steps = tuple(self.decoder.step(step, self.policy) for step in line["steps"])
            self.tried[line["version"]] = Link(
                line["tries"], process, line["before"], line["version"], steps, line["at"]
            )
        elif "knows" in line:
            (self.written if line["is_written"] else self.refused).add(line["knows"])

    def links(self) -> list[Link]:
        """What was written, as far as anybody knows."""
        seen = {link.before for link in self.tried.values()}
        return [link for link in self.tried.values() if link.version in self.written | seen]

    def complaints(self) -> Iterator[str]:
        """What no correct fleet does."""
        links = self.links()
        successors: dict[str, Link] = {}
        started: dict[int, Link] = {}
        for link in links:
            yield from self._of_link(link)
            other = successors.setdefault(link.before, link)
            if other is not link and link.before != NOTHING:
                yield f"two writes took the place of one record of {link.key}: {_said(other)}; {_said(link)}"
            for generation in link.starts:
                first = started.setdefault(generation, link)
                if first is not link:
                    yield f"generation {generation} of {link.key} is started twice: {_said(first)}; {_said(link)}"

    def _of_link(self, link: Link) -> Iterator[str]:
        for step in link.steps:
            wrong = complaint_of_itself(step)
            if wrong is not None:
                yield f"{describe(link.key, step)}: {wrong}"
        entries = [self._entry_before(link), *(_plain(step.after) for step in link.steps[:-1])]
        for step, entry in zip(link.steps, entries, strict=True):
            if entry is None:
                yield f"nobody has written the record that {_said(link)} took the place of"
            elif _plain(step.before) != entry:
                yield f"{describe(link.key, step)}: it begins with {step.before}, and what was there is {entry}"

    def _entry_before(self, link: Link) -> Any:
        """What the record held that the link has seen, or None where nobody wrote it."""
        if link.before == NOTHING:
            return _plain(ABSENT)
        if link.before not in self.tried:
            return None
        after = self.tried[link.before].steps[-1].after
        return _plain(ABSENT if isinstance(after, Evicted) else after)


def claimed(links: Iterable[Link], process: str, key: str) -> int:
    """How many loads of this key the process has claimed."""
    return sum(len(link.starts) for link in links if link.process == process and link.key == key)


def _plain(entry: Any) -> Any:
    return to_plain(entry, str)


def _said(link: Link) -> str:
    return f"{link.process}: {'; '.join(describe(link.key, step) for step in link.steps)}"
