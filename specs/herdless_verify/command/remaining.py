"""What is running and for how long still: in the bar where somebody looks at it, or a line on stderr now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

from herdless._command._progress import progress

BETWEEN_LINES: Final = 10.0
"""Seconds: a log has no use for more lines, and what takes less time needs none."""


@final
class Remaining:
    """How long all of it takes still, by how long what is done has taken.

    seconds: what each piece of work takes, about; only its share of the whole counts.
    """

    def __init__(self, seconds: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds: Final = seconds
        self._clock: Final = clock
        self._began: Final = clock()
        self._told = self._began
        self._begun = 0

    def begin(self, what: str) -> str:
        """The next piece of work begins: what there is to say of it."""
        done, all_of_it = sum(self._seconds[: self._begun]), sum(self._seconds)
        elapsed = self._clock() - self._began
        slowness = elapsed / done if done else 1.0
        self._begun += 1
        return f"{self._begun} of {len(self._seconds)}: {what}, {in_words((all_of_it - done) * slowness)} left"

    def begin_quietly(self, what: str) -> str:
        """The same, empty where a line was told a moment ago."""
        line, now = self.begin(what), self._clock()
        if now - self._told < BETWEEN_LINES:
            return ""
        self._told = now
        return line


@contextlib.contextmanager
def remaining(seconds: Sequence[float]) -> Iterator[Callable[[str], None]]:
    """Yields what is to be told of each piece of work before it begins."""
    left = Remaining(seconds)
    if sys.stderr.isatty():
        with progress(len(seconds)) as announce:
            yield lambda what: announce(left.begin(what))
        return

    def tell(what: str) -> None:
        line = left.begin_quietly(what)
        if line:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    yield tell


def in_words(seconds: float) -> str:
    """A time, as roughly as it is known."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(1, round(seconds))} s"
