"""An event loop on a daemon thread, for loads that shall outlive the loops of their callers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Final, final

from herdless import _primitives
from herdless._daemons import Begun


@final
class LoopThread:
    """Runs until nobody holds this object any more; the thread itself holds the loop alone.

    What a loader does in it (SystemExit, `loop.stop()`), or what interrupts the thread, does not end it: the loads of
    others run there too.
    """

    def __init__(self) -> None:
        self.loop: Final = asyncio.new_event_loop()
        self._over: Final[list[None]] = []
        _start(self.loop, self._over)

    def __del__(self) -> None:
        self._over.append(None)
        with contextlib.suppress(RuntimeError):  # closed already, with the interpreter
            self.loop.call_soon_threadsafe(self.loop.stop)


def _start(loop: asyncio.AbstractEventLoop, over: list[None]) -> None:
    _primitives.start_daemon(
        functools.partial(_work, loop, over), "herdless loads", functools.partial(_start, loop, over)
    )


def _run(loop: asyncio.AbstractEventLoop, over: list[None]) -> None:
    while not over and not loop.is_closed():
        with contextlib.suppress(BaseException):  # asyncio's own way to end a loop; the task has told of it
            loop.run_forever()


def _work(loop: asyncio.AbstractEventLoop, over: list[None], begun: Begun) -> None:
    try:
        begun.append(None)
        _run(loop, over)
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    except BaseException:
        if begun and not over:
            _start(loop, over)  # another thread goes on from here
        raise
