"""A round on trio: one task for each caller."""

from __future__ import annotations

from threading import get_ident
from typing import Any, Final, Literal

import trio

from herdless.trio import Cache
from herdless_verify.soak.meddler import meddler
from herdless_verify.soak.model import Made
from herdless_verify.soak.origin import Origin
from herdless_verify.soak.plan import STUCK
from herdless_verify.soak.scene import Scene
from herdless_verify.soak.storm import CALLERS, Left, LookUp, Runtime, Storm

CHECKPOINTS: Final[tuple[Literal["fair", "always", "never"], ...]] = ("fair", "always", "never")


def play(scene: Scene) -> int:
    """Run the round in a trio run of its own; returns how many tasks were left over: its nurseries leave none."""
    trio.run(_play, scene)
    return 0


async def _play(scene: Scene) -> None:
    scene.origin = Origin(trio.Event, scene.most_hung)
    storm = Storm(scene, Runtime(trio.sleep, trio.Cancelled, _within))
    cache = Cache[str, Made](
        storm.load,
        clock=scene.clock,
        checkpoint=CHECKPOINTS[scene.plan.number % len(CHECKPOINTS)],
        observe=scene.watch,
        maxsize=scene.plan.maxsize,
        **scene.plan.policy,
    )
    storm.cache = cache
    scene.loop_thread = get_ident()
    with trio.CancelScope() as everything:
        async with cache:
            async with trio.open_nursery() as nursery:
                for key in STUCK:
                    nursery.start_soon(storm.stay, key)
                for number in range(CALLERS):
                    scene.came()
                    nursery.start_soon(storm.call, number)
                with scene.foreign.around(cache), meddler(scene, cache):
                    await storm.run()
                nursery.cancel_scope.cancel()  # whoever has been found to hang
            if not scene.oracle.is_closing:
                await storm.close(cancel=False)
            everything.deadline = trio.current_time() + scene.patience
    if everything.cancelled_caught:
        scene.findings.complain("the cache's nursery did not end after its close")


async def _within(seconds: float, look_up: LookUp) -> Any:
    with trio.move_on_after(seconds):
        return await look_up()
    raise Left
