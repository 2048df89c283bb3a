"""A progress bar on stderr, where somebody looks at it and rich is installed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields what is to be told of each of `total` pieces of work before it begins."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield _ignore
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    # Few redraws in between: what is measured shares the interpreter with the bar.
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=total)
        begun = 0

        def announce(what: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=what, refresh=True)
            begun += 1

        yield announce


def _ignore(what: str) -> None:
    """Nobody looks."""
