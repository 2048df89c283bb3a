"""The loader and the callers of asyncio and trio, which differ in how they sleep, wait and cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from herdless_core import CacheClosed, Loaded
from herdless_verify.soak.foreign import Interrupted
from herdless_verify.soak.model import Caller, Made
from herdless_verify.soak.plan import STUCK, LoadPlan, Visit
from herdless_verify.soak.scene import Scene

LookUp: TypeAlias = Callable[[], Awaitable[Any]]

CALLERS: Final = 32


class Left(Exception):
    """A lookup was cancelled, and the caller goes on to something else."""


@final
@dataclass(frozen=True, slots=True)
class Runtime:
    """What a storm needs of asyncio or trio."""

    sleep: Callable[[float], Awaitable[object]]
    cancelled: type[BaseException]
    within: Callable[[float, LookUp], Awaitable[Any]]
    """The lookup's answer; or Left, the lookup having been cancelled after so many seconds."""


@final
class Storm:
    """A round in an event loop. Give it its cache before it runs."""

    def __init__(self, scene: Scene, runtime: Runtime) -> None:
        self._scene: Final = scene
        self._runtime: Final = runtime
        self.cache: Any = None

    async def load(self, key: str) -> Made | Loaded[Made]:
        """The loader."""
        made, plan = self._scene.load_begins(key)
        try:
            await self._take_time(plan)
            if plan.fault == "load asks for its own key":
                await self._ask(key)
            elif plan.fault == "load asks for another key":
                await self._ask(plan.other_key)
        except self._runtime.cancelled:
            if plan.fault != "load ignores its cancellation":
                raise
            self._scene.findings.fault(plan.fault)
        return self._scene.load_ends(made, plan)

    async def _take_time(self, plan: LoadPlan) -> None:
        if plan.fault == "load hangs":
            await self._scene.origin.recovery.wait()
        elif plan.fault == "load hangs for ever":
            await self._scene.origin.end.wait()
        elif plan.seconds > 0:
            await self._runtime.sleep(plan.seconds)

    async def _ask(self, key: str) -> None:
        with self._scene.oracle.calling(key, is_inside_load=True) as caller:
            await self._judged(caller, Visit("get", key, 0.0, 0.0), lambda: self.cache.get(key))

    async def call(self, number: int) -> None:
        """One caller, from its first visit to its last."""
        try:
            for visit in self._scene.visits(number):
                await self._visit(visit)
                await self._runtime.sleep(visit.pause)
        finally:
            self._scene.went()

    async def stay(self, key: str) -> None:
        """A caller of a key whose loads hang for ever; of the first of these one that does not wait."""
        self._scene.stays(1)
        try:
            if key == STUCK[0]:
                self._scene.change(self.cache, Visit("refresh", key, 0.0, 0.0))
            else:
                await self._visit(Visit("get", key, 0.0, 0.0))
        finally:
            self._scene.stays(-1)

    async def _visit(self, visit: Visit) -> None:
        key = visit.key
        match visit.action:
            case "get" | "lookup":
                with self._scene.oracle.calling(key) as caller:
                    look_up = self.cache.get if visit.action == "get" else self.cache.lookup
                    await self._judged(caller, visit, lambda: look_up(key))
            case "leave":
                with self._scene.oracle.calling(key, visit.patience) as caller:
                    within = self._runtime.within
                    await self._judged(caller, visit, lambda: within(visit.patience, lambda: self.cache.get(key)))
            case _:
                self._scene.change(self.cache, visit)

    async def _judged(self, caller: Caller, visit: Visit, look_up: LookUp) -> None:
        try:
            answer = await look_up()
        except Left:
            self._scene.oracle.left(caller)
        except Interrupted:
            self._scene.interrupted()
        except Exception as error:  # noqa: BLE001  # the oracle judges it
            self._scene.oracle.failed(caller, error)
        else:
            self._scene.judge(caller, visit, answer)

    async def run(self) -> None:
        """The storm and the calm, as far as it goes without the callers."""
        for pause in self._scene.storm():
            await self._runtime.sleep(pause)
        if self._scene.begin_closing():
            await self.close(cancel=self._scene.is_cancelling)
        for pause in self._scene.ending(self.cache):
            await self._runtime.sleep(pause)

    async def close(self, *, cancel: bool) -> None:
        """Close the cache, which must not take for ever, and be refused from then on."""
        patience = self._scene.patience
        self._scene.oracle.is_closing = True
        self._scene.findings.fault("close")
        try:
            await self._runtime.within(patience, lambda: self.cache.close(cancel=cancel))
        except Left:
            self._scene.findings.complain(f"close(cancel={cancel}) did not end within {patience:g} s")
        try:
            self.cache.peek("a")
        except CacheClosed:
            return
        self._scene.findings.complain("a closed cache still answers")
