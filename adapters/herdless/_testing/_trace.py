"""Traces in memory: the steps of one cache as its `observe=` saw them, and the judgement whether they can be right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias, final

from herdless._trace.judge import Judge
from herdless._trace.words import describe
from herdless_core import Step

__all__ = ["Observed", "Trace", "TraceInvalid", "assert_trace_valid", "describe"]

Observed: TypeAlias = tuple[Any, Step]
"""A key and a step of its entry."""


class TraceInvalid(AssertionError):
    """A trace that no correct adapter makes. Names the step and what is wrong with it."""


@final
class Trace:
    """The steps of one cache, in their order: give it as `observe=`."""

    def __init__(self) -> None:
        self._steps: Final[list[Observed]] = []

    def __call__(self, key: Any, step: Step) -> None:
        """Note a step."""
        self._steps.append((key, step))

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __str__(self) -> str:
        return "\n".join(f"{number:4} {describe(key, step)}" for number, (key, step) in enumerate(self._steps, 1))


def assert_trace_valid(trace: Iterable[Observed], *, has_ended: bool = False, maxsize: int | None = None) -> None:
    """Raise TraceInvalid unless every step is right by itself, and each follows from those before it.

    By itself: all invariants of docs/invariants hold of it, and `transition` gives the same again. After the others:
    time does not go back, an entry begins as the key's last step left it, no generation is used twice, nobody joins a
    flight after its end, and a caller leaves only where one waits.

    has_ended: the cache was closed, and nobody is left: no flight may have a waiter any more.
    maxsize: that of the cache, if it has one: never more values than this.
    """
    judge = Judge(maxsize)
    for number, (key, step) in enumerate(trace, 1):
        complaint = judge.complaint(key, step)
        if complaint is not None:
            raise TraceInvalid(f"step {number}, {describe(key, step)}\n{complaint}")
    complaint = judge.complaint_at_end() if has_ended else None
    if complaint is not None:
        raise TraceInvalid(complaint)
