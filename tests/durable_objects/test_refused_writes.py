"""A storage that refuses, at every touch in turn: whoever asks is answered, and the object goes on.

The whole object but its runtime, over SQLite, in virtual time. Each scenario is every sequence of a few orders; in each
of them every statement and every order for the alarm fails, once or from then on. After that the disk is whole again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from itertools import count, product
from math import inf
from typing import Any, Final

import pytest

from herdless._durable.wire import NotStored
from herdless_core import Fresh, Policy, Stale
from tests.durable_objects.disk import Disk
from tests.durable_objects.hosted import Hosted, VirtualLoop

POLICY: Final = Policy(ttl=10, stale_while_revalidate=10, stale_if_error=30, negative_ttl=5, load_timeout=20)

ORDERS: Final = (
    "get",
    "put",
    "touch",
    "invalidate",
    "expire",
    "refresh",
    "alarm",
    "load_succeeds",
    "load_fails",
    "deadline",
    "ttl",
)


class Scenario:
    """Versions of the truth are counted; a value IS the version that its load read, or that was put, as JSON text."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.disk: Final = Disk()
        self.object: Final = Hosted(loop, self.disk, POLICY, keeps_warm=True)
        self.truth = 0
        self.object.truth = lambda: self.truth
        self.acknowledged = 0
        """The version that the last change was told to be durable with."""
        self.asked: list[tuple[int, asyncio.Task[Any]]] = []
        """Every lookup, with the truth when it began."""
        self.alarms: list[asyncio.Task[None]] = []

    async def order(self, name: str) -> None:
        """Give an order, and let everything run that it sets off."""
        await getattr(self, name)()
        await self.object.settle()
        assert not self.object.entry.ended, "a flight has ended, and its waiters were not answered"

    async def get(self) -> None:
        """A caller looks up."""
        self.asked.append((self.truth, asyncio.ensure_future(self.object.requests.lookup())))

    async def put(self) -> None:
        """The truth changes, and its new version is put."""
        self.truth += 1
        self._acknowledge(self.object.requests.put(str(self.truth), None, None))

    async def invalidate(self) -> None:
        """The truth changes, and whoever changed it says so."""
        self.truth += 1
        self._acknowledge(self.object.requests.invalidate())

    async def touch(self) -> None:
        """A caller knows that what is held is still true, whether it is or not."""
        self._told(self.object.requests.touch(None))

    async def expire(self) -> None:
        """A caller wants it loaded again soon."""
        self._told(self.object.requests.expire())

    async def refresh(self) -> None:
        """A caller wants it loaded."""
        self._told(self.object.requests.refresh())

    async def alarm(self) -> None:
        """The platform delivers the alarm."""
        self.disk.alarm_at = None
        self.alarms.append(asyncio.ensure_future(self.object.requests.alarm()))

    async def load_succeeds(self) -> None:
        """The oldest load comes back with what it has read."""
        self.object.end_load()

    async def load_fails(self) -> None:
        """The oldest load comes back with an error."""
        self.object.end_load(LookupError("no such user"))

    async def deadline(self) -> None:
        """Every load is past its time."""
        self.object.loop.advance(21)

    async def ttl(self) -> None:
        """Every value is past its ttl."""
        self.object.loop.advance(11)

    async def finish(self) -> None:
        """The disk is whole again; every load comes back. When all that was known is past, a caller looks up."""
        self.disk.heal()
        while self.object.loads:
            await self.order("load_succeeds")
        self.object.loop.advance(60)
        await self.order("get")
        await self.order("load_succeeds")

    def judge(self) -> None:
        """Everybody was answered, with a value that was true then or later, or with an error that says what was."""
        for truth, lookup in self.asked:
            assert lookup.done(), "a caller waits for ever"
            reply = lookup.result()
            if "error" in reply:
                assert reply["error"] in {"NotStored", "LookupError", "LoadTimeout"}
            else:
                assert truth <= int(reply["value"]) <= self.truth
        for alarm in self.alarms:
            assert alarm.done(), "an alarm waits for ever"
            assert alarm.exception() is None or isinstance(alarm.exception(), NotStored)
        assert "value" in self.asked[-1][1].result(), "the object is wedged"
        assert self.object.is_at_rest()
        self.judge_successor()

    def judge_successor(self) -> None:
        """Another instance over the same disk never finds what was said to be gone; what it finds will be freed."""
        stored = self.disk.stored(self.object.clock())
        if isinstance(stored, (Fresh, Stale)) and isinstance(stored.value, str):
            assert int(stored.value) >= self.acknowledged
        assert self.disk.is_empty or self.disk.alarm_at is not None

    def _acknowledge(self, reply: Any) -> None:
        self._told(reply)
        if not reply:
            self.acknowledged = self.truth

    def _told(self, reply: Any) -> None:
        assert reply == {} or {"touched", "started"} & reply.keys() or reply["error"] == "NotStored"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of refusals are logged, each with its traceback."""
    caplog.set_level(logging.CRITICAL, logger="herdless")


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all scenarios."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


async def played(state: tuple[str, ...], orders: tuple[str, ...], first: int, last: float) -> int:
    """In this state, play the orders while the touches from `first` to `last` fail; returns how many there were."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    scenario = Scenario(loop)
    try:
        for order in state:
            await scenario.order(order)
        start = scenario.disk.touches
        scenario.disk.fails = lambda touch, _: first <= touch - start <= last
        for order in orders:
            await scenario.order(order)
        touches = scenario.disk.touches - start
        await scenario.finish()
        scenario.judge()
        return touches
    finally:
        await scenario.object.close()
        scenario.disk.close()


STATES: Final = {
    "nothing": (),
    "a value": ("get", "load_succeeds"),
    "a stale value": ("get", "load_succeeds", "ttl"),
    "a refresh": ("get", "load_succeeds", "ttl", "get"),
    "an awaited load over a value": ("get", "load_succeeds", "ttl", "ttl", "get", "get"),
    "a remembered error": ("get", "load_fails"),
    "a load that was invalidated": ("get", "invalidate", "get"),
}


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("state", STATES)
def test_a_refusal_at_any_touch_strands_nobody(runner: asyncio.Runner, state: str, lasts: bool) -> None:
    """A full disk must not hang a caller, nor leave an object that answers every lookup with KeyError."""
    tried = 0
    for orders in product(ORDERS, repeat=2 if STATES[state] else 3):
        for first in count():
            touches = runner.run(played(STATES[state], orders, first, inf if lasts else first))
            if first >= touches:
                break  # nothing failed: that was all there is to fail
            tried += 1
    assert tried > 3 * len(ORDERS) ** 2
