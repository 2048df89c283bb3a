"""An event loop on a daemon thread, for loads that shall outlive the loops of their callers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, final

from herdless import _primitives


@final
class LoopThread:
    """Runs until nobody holds this object any more; the thread itself holds the loop alone."""

    def __init__(self) -> None:
        self.loop: Final = asyncio.new_event_loop()
        _primitives.Thread(target=_run, args=(self.loop,), name="herdless loads", daemon=True).start()

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed already, with the interpreter
            self.loop.call_soon_threadsafe(self.loop.stop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
