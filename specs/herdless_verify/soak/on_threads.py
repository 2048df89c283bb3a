"""A round on threads, which the interpreter is told to switch as often as it can."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from threading import enumerate as living_threads
from typing import Any, Final, final

from herdless._workers import Workers
from herdless.threads import Cache
from herdless_core import CacheClosed, Loaded
from herdless_verify.soak.foreign import Interrupted
from herdless_verify.soak.model import Caller, Made
from herdless_verify.soak.plan import STUCK, Visit, next_visit
from herdless_verify.soak.scene import POLL_SECONDS, Scene
from herdless_verify.soak.switching import switching_often

CALLERS: Final = 8
IDLE_SECONDS: Final = 0.02
"""A worker's thread ends after so long without work, that this happens in the storm too, and that none is left over."""


def play(scene: Scene) -> int:
    """Run the round on threads of its own; returns how many of them, or of the cache's workers, were left over."""
    with switching_often():
        return _Storm(scene).run()


class Stopped(BaseException):
    """What a load ends by that stops itself."""


@final
class _Storm:
    def __init__(self, scene: Scene) -> None:
        scene.stops_by = Stopped
        self._scene: Final = scene
        self._before: Final = set(living_threads())
        self._cache: Final = Cache[str, Made](
            self._load, clock=scene.clock, observe=scene.watch, maxsize=scene.plan.maxsize, **scene.plan.policy
        )
        self._cache._workers = Workers(IDLE_SECONDS)

    def run(self) -> int:
        """The storm and the calm."""
        with self._scene.foreign.around(self._cache):
            return self._run()

    def _run(self) -> int:
        scene = self._scene
        for key in STUCK:
            Thread(target=self._stay, args=(key,), daemon=True).start()
        callers = [Thread(target=self._call, args=(number,), daemon=True) for number in range(CALLERS)]
        for caller in callers:
            scene.came()
            caller.start()
        self._call_here()
        for pause in scene.storm():
            time.sleep(pause)
        if scene.begin_closing():
            self._close(cancel=scene.is_cancelling)
        for pause in scene.ending(self._cache):
            time.sleep(pause)
        if not scene.oracle.is_closing:
            self._close(cancel=False)
        return self._threads_left()

    def _load(self, key: str) -> Made | Loaded[Made]:
        made, plan = self._scene.load_begins(key)
        if plan.fault == "load hangs":
            self._scene.origin.recovery.wait()
        elif plan.fault == "load hangs for ever":
            self._scene.origin.end.wait()
        elif plan.seconds > 0:
            time.sleep(plan.seconds)
        if plan.fault == "load asks for its own key":
            self._ask(key)
        elif plan.fault == "load asks for another key":
            self._ask(plan.other_key)
        return self._scene.load_ends(made, plan)

    def _ask(self, key: str) -> None:
        with self._scene.oracle.calling(key, is_inside_load=True) as caller:
            self._judged(caller, Visit("get", key, 0.0, 0.0), lambda: self._cache.get(key))

    def _call(self, number: int) -> None:
        try:
            for visit in self._scene.visits(number):
                with suppress(Stopped):  # where this caller ran a load that stopped itself
                    self._visit(visit)
                time.sleep(visit.pause)
        except BaseException as error:  # noqa: BLE001  # a thread has nobody to raise it to
            self._scene.findings.complain(f"a caller ended by {error!r}")
        finally:
            self._scene.went()

    def _stay(self, key: str) -> None:
        """A caller of a key whose loads hang for ever; of the first of these one that does not wait."""
        self._scene.stays(1)
        try:
            with suppress(Stopped):
                self._visit(Visit("refresh" if key == STUCK[0] else "get", key, 0.0, 0.0))
        except BaseException as error:  # noqa: BLE001  # as in `_call`
            self._scene.findings.complain(f"a caller ended by {error!r}")
        finally:
            self._scene.stays(-1)

    def _call_here(self) -> None:
        """The main thread, which alone is sent signals, is a caller too where there are any."""
        scene = self._scene
        if not scene.foreign.injections & {"signals", "interrupts"}:
            return
        dice, end = scene.plan.dice("main"), time.monotonic() + scene.plan.storm_seconds / 2
        while not scene.is_over and time.monotonic() < end:
            with suppress(Stopped):
                visit = next_visit(dice)
                if visit.action != "refresh" or not scene.origin.is_down:
                    self._visit(replace(visit, action="leave" if visit.action in {"get", "lookup"} else visit.action))

    def _visit(self, visit: Visit) -> None:
        key = visit.key
        match visit.action:
            case "get" | "lookup":
                with self._scene.oracle.calling(key) as caller:
                    look_up: Callable[[str], Any] = self._cache.get if visit.action == "get" else self._cache.lookup
                    self._judged(caller, visit, lambda: look_up(key))
            case "leave":
                with self._scene.oracle.calling(key, visit.patience) as caller:
                    self._judged(caller, visit, lambda: self._cache.get(key, timeout=visit.patience))
            case _:
                self._scene.change(self._cache, visit)

    def _judged(self, caller: Caller, visit: Visit, look_up: Callable[[], Any]) -> None:
        try:
            answer = look_up()
        except Interrupted:
            self._scene.interrupted()
        except Exception as error:  # noqa: BLE001  # the oracle judges it
            self._scene.oracle.failed(caller, error)
        else:
            self._scene.judge(caller, visit, answer)

    def _close(self, *, cancel: bool) -> None:
        scene = self._scene
        patience = scene.patience
        scene.oracle.is_closing = True
        scene.findings.fault("close")
        closer = Thread(target=self._cache.close, kwargs={"cancel": cancel}, daemon=True)
        closer.start()
        closer.join(patience)
        if closer.is_alive():
            scene.findings.complain(f"close(cancel={cancel}) did not end within {patience:g} s")
        try:
            self._cache.peek("a")
        except CacheClosed:
            return
        scene.findings.complain("a closed cache still answers")

    def _threads_left(self) -> int:
        end = time.monotonic() + self._scene.patience
        while (left := set(living_threads()) - self._before) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if left:
            names = ", ".join(sorted(thread.name for thread in left))
            self._scene.findings.complain(f"{len(left)} threads are left over: {names}")
        return len(left)
