"""Another thread, which changes the cache of an event loop from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

from herdless.adapter import BaseCache
from herdless_verify.soak.model import Made
from herdless_verify.soak.plan import next_visit
from herdless_verify.soak.scene import Scene

MEDDLES_EVERY_SECONDS: Final = 0.001


@contextmanager
def meddler(scene: Scene, cache: BaseCache[str, Made, Any]) -> Iterator[None]:
    """Meanwhile another thread puts, invalidates, expires and clears, if foreign threads are wanted."""

    def meddle() -> None:
        dice = scene.plan.dice("meddler")
        while not scene.is_calm and not scene.is_over:
            visit = next_visit(dice)
            if visit.action in {"put", "invalidate", "expire", "clear"}:
                scene.change(cache, visit)
                time.sleep(MEDDLES_EVERY_SECONDS)

    thread = Thread(target=meddle, daemon=True)
    if "threads" in scene.foreign.injections:
        thread.start()
    try:
        yield
    finally:
        scene.is_calm = True
        if thread.ident is not None:
            thread.join(scene.patience)
            if thread.is_alive():
                scene.findings.complain("another thread that changes the cache is stuck in it")
