"""What the page calls: text in, text out, so that the browser and Python share no objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from docs.playground.bench import Bench, said, step_view
from docs.playground.tour import RACES, bench_of, tour_view
from herdless._trace.judge import departure
from herdless._trace.reader import NotATrace, Recorded, read_trace
from herdless_core import NANOSECONDS_PER_SECOND, Policy, PolicyError

SHOWN: Final = 1_000
"""Of a longer trace the page shows the first steps."""


@final
class Page:
    """One reader's page: the bench, or a race of the tour on it."""

    def __init__(self) -> None:
        self._bench = Bench(Policy(ttl=60))

    def call(self, name: str, arguments: str) -> str:
        """Call one of the functions below with a list of arguments in JSON; gives JSON."""
        functions: Mapping[str, Callable[..., Any]] = {
            "new": self.new,
            "press": self.press,
            "tour": tour_view,
            "race": self.race,
            "replay": replay,
        }
        return json.dumps(functions[name](*json.loads(arguments)))

    def new(self, policy: Mapping[str, float | int], can_cancel: bool = True) -> Mapping[str, Any]:
        """Begin again with this policy; with {"error": ...} where it is refused.

        policy: arguments of `Policy`; can_cancel: whether the runtime can cancel a load.
        """
        try:
            self._bench = Bench(Policy(**policy), can_cancel)  # type: ignore[arg-type]  # the reader's numbers, judged here
        except PolicyError as error:
            return {"error": str(error)}
        return self._bench.view()

    def press(self, button: str) -> Mapping[str, Any]:
        """Press a button."""
        self._bench.press(button)
        return self._bench.view()

    def race(self, number: int, moves: int) -> Mapping[str, Any]:
        """A race of the tour after so many moves."""
        self._bench = bench_of(RACES[number])
        for button, _ in RACES[number].moves[:moves]:
            self._bench.press(button)
        return self._bench.view()


def replay(text: str) -> Mapping[str, Any]:
    """A trace's steps and whether they are what the machine does; with {"error": ...} where it is no trace."""
    try:
        lines = list(read_trace(text.splitlines(keepends=True)))
        found = departure(lines)
    except NotATrace as error:
        return {"error": str(error)}
    steps = [line for line in lines if isinstance(line, Recorded)]
    if not steps:
        return {"error": "it holds no step, so there is nothing to judge"}
    first = steps[0].at
    return {
        "verdict": f"departs at {found}" if found else f"{len(steps):,} steps are what the machine does",
        "departs": found.line if found else None,
        "left_out": max(0, len(steps) - SHOWN),
        "steps": [
            {
                **step_view(line.by or "somebody", line.step),
                "line": line.line,
                "key": line.key,
                "seconds": (line.at - first) / NANOSECONDS_PER_SECOND,
                "said": said(line.step),
            }
            for line in steps[:SHOWN]
        ],
    }
