"""What outlives an instance, a process and a deployment, and what the alarm does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.durable_objects.build import Build, build
from tests.durable_objects.herd import Edge, assert_right
from tests.durable_objects.origin import Origin
from tests.durable_objects.packages import Runtime
from tests.durable_objects.workerd import start


@pytest.fixture(scope="module")
def survivors(
    runtime: Runtime, objects: Build, server: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """A second workerd over the storage of one that was killed with everything that the tests below look for in it."""
    disk = tmp_path_factory.mktemp("killed") / "disk"
    server.answers("Negative/survivor", "no such user", status=404)
    with ThreadPoolExecutor() as background, server.holding("Plain/survivor-in-flight"):
        with start(runtime, objects, disk, server.port) as workerd:
            workerd.ask("Plain", "survivor", "get")
            workerd.ask("Sized", "1000", "get")
            workerd.ask("Negative", "survivor", "get")
            workerd.ask("Plain", "survivor-invalidated", "get")
            workerd.ask("Plain", "survivor-invalidated", "invalidate")
            workerd.ask("Brief", "survivor", "put", '"brief"', 1.5)
            orphan = background.submit(workerd.ask, "Plain", "survivor-in-flight", "get")
            server.wait_for("Plain/survivor-in-flight")
            trace = Edge(workerd, server).trace()
        assert orphan.exception() is not None
        with start(runtime, objects, disk, server.port) as workerd:
            edge = Edge(workerd, server)
            yield edge
            assert_right(trace + edge.trace())


def test_a_value_survives_kill_9(survivors: Edge) -> None:
    """A restart must not send every key's herd to the origin: within ttl there is no second load."""
    lookup = survivors.ask("Plain", "survivor", "lookup")
    assert (lookup["value"], lookup["how"]) == ('"value 1"', "hit")
    assert survivors.origin.requests("Plain/survivor") == 1


def test_bytes_survive_kill_9(survivors: Edge) -> None:
    """They come back from the storage as bytes, and not as a view that belongs to JavaScript."""
    lookup = survivors.ask("Sized", "1000", "lookup")
    assert (lookup["value"], lookup["how"]) == ({"bytes": 1000}, "hit")


def test_a_remembered_error_survives_kill_9(survivors: Edge) -> None:
    """Its class is gone with the process; its name and its message are not."""
    assert survivors.ask("Negative", "survivor", "get") == {"error": "LookupError", "message": "no such user"}
    assert survivors.origin.requests("Negative/survivor") == 1


def test_an_invalidation_survives_kill_9(survivors: Edge) -> None:
    """An acknowledged invalidation that is lost would serve what its caller knows to be wrong."""
    assert survivors.ask("Plain", "survivor-invalidated", "get") == {"value": '"value 2"'}


def test_a_load_that_kill_9_ended_leaves_nobody_waiting(survivors: Edge) -> None:
    """The flight died with its process: the next caller starts one, and what was claimed is freed by the alarm."""
    assert survivors.ask("Plain", "survivor-in-flight", "stats")["in_flight"] == 0
    assert survivors.ask("Plain", "survivor-in-flight", "rows") == 1
    assert survivors.ask("Plain", "survivor-in-flight", "alarm_in") > 600
    survivors.ask("Plain", "survivor-in-flight", "ring")
    assert survivors.ask("Plain", "survivor-in-flight", "rows") == 0


def test_an_alarm_survives_kill_9(survivors: Edge) -> None:
    """Nobody asks for the key any more, and still it is freed: the alarm is kept with what it is for."""
    survivors.origin.wait_for("alarm/survivor/0")
    assert survivors.ask("Brief", "survivor", "rows") == 0


def test_what_a_reset_object_was_loading_is_loaded_again(edge: Edge, key: str) -> None:
    """The platform resets objects; their callers get an error that says so, and the next one starts anew."""
    with edge.held("Plain", key) as load:
        waiting = load.lead()
        edge.ask("Plain", key, "crash")
        assert waiting.result()["reset"]
    assert edge.ask("Plain", key, "get") == {"value": '"value 2"'}


def test_a_reset_object_still_has_its_value(edge: Edge, key: str) -> None:
    """The entry is restored in the constructor, before the first caller."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "crash")
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"


def test_a_replaced_instance_cannot_store_over_its_successor(edge: Edge, key: str) -> None:
    """The platform may have started another instance while this one loads; what that one did stands."""
    with edge.held("Plain", key) as load:
        waiting = load.lead()
        edge.ask("Plain", key, "claim_elsewhere")
    assert waiting.result()["value"] == '"value 1"'
    assert edge.ask("Plain", key, "peek") == {}
    assert edge.ask("Plain", key, "get") == {"value": '"value 2"'}


def test_a_replaced_instance_serves_what_its_successor_stored(edge: Edge, key: str) -> None:
    """It adopts what is there, at its next step."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "claim_elsewhere")
    edge.ask("Stale", key, "expire")
    assert edge.ask("Stale", key, "peek") == {}


def test_new_code_keeps_what_the_old_code_stored(
    runtime: Runtime, objects: Build, server: Origin, disk: Path, key: str
) -> None:
    """A deployment restarts every object; it must not empty the cache. A value keeps the lifetime it was given."""
    with start(runtime, objects, disk, server.port) as workerd:
        workerd.ask("Plain", key, "get")
    update = build(runtime, lambda source: source.replace("Policy(ttl=60)", "Policy(ttl=0)"))
    with start(runtime, update, disk, server.port) as workerd:
        assert workerd.ask("Plain", key, "lookup")["how"] == "hit"
        workerd.ask("Plain", key, "invalidate")
        assert workerd.ask("Plain", key, "lookup")["how"] == "loaded"
        assert workerd.ask("Plain", key, "lookup")["how"] == "loaded"


def test_an_entry_that_this_version_cannot_read_is_dropped(edge: Edge, key: str) -> None:
    """It is a cache: what cannot be read is loaded again, and nobody's object is broken for good."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "garble")
    edge.ask("Plain", key, "crash")
    assert edge.ask("Plain", key, "get") == {"value": '"value 2"'}


def test_the_alarm_frees_the_storage_of_an_expired_value(edge: Edge, key: str) -> None:
    """A key that nobody asks for any more costs nothing. The real alarm, at its real time."""
    edge.ask("Brief", key, "get")
    edge.origin.wait_for(f"alarm/{key}/0")
    assert edge.ask("Brief", key, "rows") == 0
    assert edge.ask("Brief", key, "alarm_in") is None


def test_an_alarm_whose_handler_failed_comes_again(edge: Edge, key: str) -> None:
    """The platform promises at least once; nothing is left behind by a delivery that fails."""
    edge.ask("Redelivered", key, "get")
    edge.origin.wait_for(f"alarm/{key}/0")
    assert edge.ask("Redelivered", key, "rows") == 0


def test_an_alarm_that_comes_twice_does_no_harm(edge: Edge, key: str) -> None:
    """At least once may be more than once."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "advance", 61)
    edge.ask("Plain", key, "ring")
    edge.ask("Plain", key, "ring")
    assert edge.ask("Plain", key, "rows") == 0
    assert edge.ask("Plain", key, "get") == {"value": '"value 2"'}


def test_an_alarm_that_comes_early_changes_nothing_and_is_set_again(edge: Edge, key: str) -> None:
    """It only says what time it is."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "ring")
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"
    assert 50 < edge.ask("Plain", key, "alarm_in") <= 60


def test_an_object_that_keeps_warm_refreshes_without_traffic(edge: Edge, key: str) -> None:
    """The first caller of the morning finds a value that is not from yesterday."""
    edge.ask("Warm", key, "get")
    assert 25 < edge.ask("Warm", key, "alarm_in") <= 30
    edge.ask("Warm", key, "advance", 31)
    edge.ask("Warm", key, "ring")
    lookup = edge.ask("Warm", key, "lookup")
    assert (lookup["value"], lookup["how"]) == ('"value 2"', "hit")
    assert 25 < edge.ask("Warm", key, "alarm_in") <= 30


def test_real_alarms_keep_an_object_warm(edge: Edge, key: str) -> None:
    """The real alarm, at its real time, again and again: three loads for one caller."""
    edge.ask("Breathing", key, "get")
    edge.origin.wait_for(f"Breathing/{key}", 3)
    edge.ask("Breathing", key, "invalidate")
    assert edge.ask("Breathing", key, "stats")["misses"] == 1


def test_a_refresh_by_alarm_that_fails_is_tried_again(edge: Edge, key: str) -> None:
    """The value is kept, and the alarm set to the end of the back-off."""
    edge.ask("Warm", key, "get")
    edge.ask("Warm", key, "advance", 31)
    edge.origin.answers(f"Warm/{key}", "out of order", status=500)
    edge.ask("Warm", key, "ring")
    assert edge.ask("Warm", key, "lookup")["value"] == '"value 1"'
    assert edge.ask("Warm", key, "alarm_in") <= 1
