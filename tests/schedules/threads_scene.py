"""One cache for threads, one key, and what the tests do with it under a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from herdless import _primitives
from herdless._workers import MAX_REFRESHERS
from herdless.testing import (
    History,
    Schedule,
    Spawned,
    Threads,
    Trace,
    VirtualClock,
    assert_linearizable,
    assert_trace_valid,
    run_threads,
)
from herdless.threads import Cache
from tests.schedules.oracle import LoadBroke, Made, Oracle

HUNG: Final = "hung"
"""The keys that begin so are loaded when all other callers have been answered, and not before."""

Play: TypeAlias = Callable[["Scene"], object]


class Scene:
    """The cache under test; made anew for each run."""

    def __init__(self, threads: Threads, trace: Trace, history: History, options: dict[str, Any]) -> None:
        self.threads = threads
        self.clock = threads.clock
        self.oracle = Oracle(lambda: self.clock.now, options)
        self.history = history
        self.is_broken = False
        self.recovery = _primitives.Event()
        """What loads of keys that hang wait for."""
        self.cache = Cache(self.load, clock=self.clock, observe=trace, **options)
        self.spawned: list[Spawned[None]] = []

    def load(self, key: str) -> Made:
        """The loader: others may run while it does."""
        made = self.oracle.load_begins(key)
        if key.startswith(HUNG):
            self.recovery.wait()
            return made

        def read() -> Made:
            self.threads.pause("loads")
            if self.is_broken:
                raise LoadBroke(made)
            return made

        return self.history.load(read)

    def start(self, *actions: Callable[[], object]) -> None:
        """Start a thread that does these one after the other."""

        def body() -> None:
            for action in actions:
                action()

        self.spawned.append(self.threads.spawn(body, name=f"{len(self.spawned) + 1}"))

    def get(self) -> None:
        """Look up, and judge what is told."""
        caller = self.oracle.begins("a")
        try:
            made = self.history.get(lambda: self.cache.get("a"))
        except Exception as error:  # noqa: BLE001  # the oracle judges it
            self.oracle.failed(caller, error)
        else:
            self.oracle.answered(caller, made)

    def get_again(self) -> None:
        """Look up, and find at once what was told, since it was committed before anybody was woken."""
        made = self.cache.get("a")
        assert self.cache.peek("a") is made, "a caller was woken before the value was in the cache"

    def invalidate(self) -> None:
        """A removal."""
        with self.oracle.removing("a"), self.history.during("invalidate"):
            self.cache.invalidate("a")

    def put(self) -> None:
        """Another."""
        made = self.oracle.put("a")
        with self.oracle.removing("a", made), self.history.during("put", made):
            self.cache.put("a", made)


def run_scene(play: Play, schedule: Schedule, *, lines_of: Iterable[str] = (), **options: Any) -> None:
    """Run the scene under the schedule, and judge all that can be judged."""
    trace, history, clock = Trace(), History(), VirtualClock()

    def main(threads: Threads) -> Scene:
        scene = Scene(threads, trace, history, options)
        play(scene)
        for spawned in scene.spawned:
            spawned.result()
        return scene

    scene = run_threads(main, schedule, clock=clock, lines_of=lines_of)
    scene.oracle.assert_all_answered()
    scene.oracle.assert_loads_were_ordered(trace)
    assert_trace_valid(trace, has_ended=True, maxsize=options.get("maxsize"))
    if not options:  # the history's register knows neither time nor capacity
        assert_linearizable(history)


def two_callers(scene: Scene) -> None:
    """Two callers of one load."""
    scene.start(scene.get)
    scene.start(scene.get)


def two_callers_who_ask_again(scene: Scene) -> None:
    """Each finds what it was told."""
    scene.start(scene.get_again)
    scene.start(scene.get_again)


def a_removal(scene: Scene) -> None:
    """Who asks after the removal gets what was loaded after it."""
    scene.start(scene.get)
    scene.start(scene.invalidate, scene.get)


def a_put(scene: Scene) -> None:
    """A value is put during the load."""
    scene.start(scene.get)
    scene.start(scene.put, scene.get)


def a_failure(scene: Scene) -> None:
    """Every load fails."""
    scene.is_broken = True
    two_callers(scene)


def a_refresh(scene: Scene) -> None:
    """A worker's thread loads what a caller waits for."""
    scene.start(lambda: scene.cache.refresh("a"), scene.get)
    scene.start(scene.get)


def a_closing(scene: Scene) -> None:
    """The cache is closed while callers come."""
    scene.oracle.is_closing = True
    two_callers_quietly(scene)
    scene.start(lambda: scene.cache.close(cancel=True))


def two_callers_quietly(scene: Scene) -> None:
    """Two callers who may find the cache closed, which the history's register knows nothing of."""

    def get() -> None:
        caller = scene.oracle.begins("a")
        try:
            scene.oracle.answered(caller, scene.cache.get("a"))
        except Exception as error:  # noqa: BLE001  # the oracle judges it
            scene.oracle.failed(caller, error)

    scene.start(get)
    scene.start(get)


def three_callers(scene: Scene) -> None:
    """Three callers of one load."""
    two_callers(scene)
    scene.start(scene.get)


def beside_a_load_that_hangs(scene: Scene) -> None:
    """A load hangs for as long as anybody else asks for anything, and holds up nobody."""
    hung = scene.threads.spawn(lambda: scene.cache.get(HUNG))
    scene.start(scene.get)
    scene.start(scene.invalidate, scene.get)
    _end(scene, hung)


def beside_refreshes_that_hang(scene: Scene) -> None:
    """As many refreshes hang as may run at once: one more is queued behind them, and whoever waits for it is not."""
    for number in range(MAX_REFRESHERS):
        scene.cache.refresh(f"{HUNG} {number}")
    scene.start(lambda: scene.cache.refresh("a"), scene.get)
    scene.start(scene.get)
    _end(scene)


def _end(scene: Scene, *hung: Spawned[Any]) -> None:
    """All others are answered first."""
    for spawned in scene.spawned:
        spawned.result()
    scene.recovery.set()
    for spawned in hung:
        spawned.result()


def everything(scene: Scene) -> None:
    """Three threads that do three things each."""
    scene.start(scene.get, scene.put, scene.get)
    scene.start(scene.get, scene.invalidate, scene.get)
    scene.start(scene.invalidate, scene.get, scene.get)
