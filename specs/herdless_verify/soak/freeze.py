"""The thread that plays a round may wait for itself inside a cache. Another one sees that, and gets it out."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from herdless_verify.soak.findings import Findings

AGAIN_SECONDS: Final = 0.2
FRAMES_TOLD: Final = 4
NUMBER: Final = getattr(signal, "SIGUSR1", None)


class Frozen(SystemExit):
    """Raised where the round is frozen. An event loop lets such an exception out."""


@contextmanager
def thawed(findings: Findings, seconds: float) -> Iterator[None]:
    """Complain of what takes longer than this, and raise Frozen in it until it ends.

    Only in a main thread that can be sent signals; elsewhere nothing is done.
    """
    main = threading.main_thread()
    if NUMBER is None or threading.current_thread() is not main:
        yield
        return
    has_ended = threading.Event()

    def watch() -> None:
        if has_ended.wait(seconds):
            return
        stack = traceback.extract_stack(sys._current_frames()[main.ident or 0])
        told = " < ".join(f"{frame.name}, line {frame.lineno}" for frame in reversed(stack[-FRAMES_TOLD:]))
        findings.complain(f"the round is frozen after {seconds:g} s, in {told}")
        while not has_ended.wait(AGAIN_SECONDS):
            signal.pthread_kill(main.ident or 0, NUMBER)

    def thaw(_number: int, _frame: FrameType | None) -> None:
        if not has_ended.is_set():
            raise Frozen

    before = signal.signal(NUMBER, thaw)
    watcher = threading.Thread(target=watch, name="watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        while not has_ended.is_set():
            with suppress(Frozen):  # the last one may come just now
                has_ended.set()
        watcher.join()
        signal.signal(NUMBER, before)
