"""Daemon threads that are never lost without a word."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import Thread
from typing import Final, TypeAlias, final

Begun: TypeAlias = list[None]
"""Empty until the thread has come to a line from which on an `except` of its own sees whatever is raised there."""


def start_daemon(work: Callable[[Begun], None], name: str, died: Callable[[], None]) -> None:
    """Run `work(begun)` on a daemon thread, which says `begun.append(None)` as the first thing inside its `try`.

    died: called when the thread has ended before that, as by an exception raised at its very first instruction. Raises
    what `Thread.start` raises, and then does not call `died`.
    """
    begun: Begun = []
    target = _Target(work, begun)
    target.tells_of_its_end = _TellsOfItsEnd(died, begun)
    thread = Thread(target=target, name=name, daemon=True)
    del target
    try:
        thread.start()
    except BaseException:
        begun.append(None)  # it never will
        raise


class _Target(functools.partial[None]):
    """What a thread is to call. The thread alone holds it, and no frame of Python's: not even a traceback keeps it."""

    tells_of_its_end: _TellsOfItsEnd


@final
class _TellsOfItsEnd:
    """Let go when the thread has ended."""

    def __init__(self, died: Callable[[], None], begun: Begun) -> None:
        self._died: Final = died
        self._begun: Final = begun

    def __del__(self) -> None:
        if not self._begun:
            self._died()
