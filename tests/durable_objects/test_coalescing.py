"""What the callers of one key see of each other, in the real runtime."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from http.client import HTTPConnection

from tests.durable_objects.herd import Edge, ask_together, until


def test_a_cold_herd_of_500_is_one_request_to_the_origin(edge: Edge, key: str) -> None:
    """The promise of the whole library, over real connections and through the real router of objects."""
    path = f"Plain/{key}"

    async def herd() -> list[dict[str, object]]:
        with edge.origin.holding(path):
            asked = asyncio.ensure_future(ask_together(edge.workerd.ports["javascript"], [f"/{path}/lookup"] * 500))
            await asyncio.to_thread(until, lambda: edge.ask("Plain", key, "stats")["joins"] == 499)
        return await asked

    replies = asyncio.run(herd())
    assert Counter(reply["how"] for reply in replies) == {"joined": 499, "loaded": 1}
    assert {reply["value"] for reply in replies} == {'"value 1"'}
    assert edge.origin.requests(path) == 1


def test_a_second_caller_joins_the_load_in_flight(edge: Edge, key: str) -> None:
    """Two requests await one future inside of one object, which the runtime must allow."""
    with edge.held("Plain", key) as load:
        first, second = load.lead(), load.join()
        assert not first.done()
    assert first.result()["how"] == "loaded"
    assert second.result()["how"] == "joined"
    assert first.result()["value"] == second.result()["value"] == '"value 1"'


def test_an_error_goes_to_all_who_wait_and_is_then_forgotten(edge: Edge, key: str) -> None:
    """Without `negative_ttl`, a failure costs one request to the origin a herd, and the next caller tries again."""
    edge.origin.answers(f"Plain/{key}", "no such user", status=404)
    with edge.held("Plain", key) as load:
        calls = [load.lead(), load.join(), load.join()]
    assert [call.result() for call in calls] == [{"error": "LookupError", "message": "no such user"}] * 3
    edge.origin.answers(f"Plain/{key}", "found")
    assert edge.ask("Plain", key, "get") == {"value": '"found"'}
    assert edge.origin.requests(f"Plain/{key}") == 2


def test_a_load_that_failed_leaves_nothing_stored(edge: Edge, key: str) -> None:
    """A caller who asks for many keys that do not exist must not fill the account with empty databases."""
    edge.origin.answers(f"Plain/{key}", "no such user", status=404)
    edge.ask("Plain", key, "get")
    assert edge.ask("Plain", key, "rows") == 0
    assert edge.ask("Plain", key, "alarm_in") is None


def test_negative_ttl_remembers_an_error(edge: Edge, key: str) -> None:
    """A key that does not exist is asked for as often as others."""
    edge.origin.answers(f"Negative/{key}", "no such user", status=404)
    error = {"error": "LookupError", "message": "no such user"}
    assert edge.ask("Negative", key, "get") == edge.ask("Negative", key, "lookup") == error
    assert edge.origin.requests(f"Negative/{key}") == 1
    edge.ask("Negative", key, "advance", 31)
    edge.ask("Negative", key, "get")
    assert edge.origin.requests(f"Negative/{key}") == 2


def test_one_caller_more_than_max_waiters_is_refused(edge: Edge, key: str) -> None:
    """An object that is asked faster than its origin answers says so, instead of collecting callers."""
    with edge.held("Crowded", key) as load:
        load.lead()
        load.join()
        assert edge.ask("Crowded", key, "get")["error"] == "TooManyWaiters"


def test_a_load_past_its_timeout_is_given_up_and_its_late_result_dropped(edge: Edge, key: str) -> None:
    """The timer runs inside of the object; nobody else comes by who could notice."""
    with edge.held("Impatient", key) as load:
        given_up = load.lead().result()
        assert given_up["error"] == "LoadTimeout"
        assert "load_timeout=0.25" in given_up["message"]
    assert edge.ask("Impatient", key, "peek") == {}
    assert edge.ask("Impatient", key, "get") == {"value": '"value 2"'}


def test_the_load_goes_on_when_the_leaders_client_disconnects(edge: Edge, key: str) -> None:
    """The first caller is one of many: whoever joined must not pay for its broken connection."""
    path = f"Plain/{key}"
    with edge.held("Plain", key) as load:
        leader = HTTPConnection("127.0.0.1", edge.workerd.ports["javascript"])
        leader.request("POST", f"/{path}/lookup")
        edge.origin.wait_for(path)
        follower = load.join()
        leader.close()
    assert follower.result()["value"] == '"value 1"'
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"
    assert edge.origin.requests(path) == 1


def test_a_load_whose_only_client_disconnects_is_stored(edge: Edge, key: str) -> None:
    """A load that was paid for is not thrown away."""
    path = f"Plain/{key}"
    with edge.origin.holding(path):
        leader = HTTPConnection("127.0.0.1", edge.workerd.ports["javascript"])
        leader.request("POST", f"/{path}/lookup")
        edge.origin.wait_for(path)
        leader.close()
    until(lambda: edge.ask("Plain", key, "stats")["in_flight"] == 0)
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"


def test_two_keys_know_nothing_of_each_other(edge: Edge, key: str) -> None:
    """Each key is an object of its own: one that waits for its origin holds no other up."""
    other = f"{key}-other"
    with edge.held("Plain", key) as load:
        waiting = load.lead()
        assert edge.ask("Plain", other, "get") == {"value": '"value 1"'}
        edge.ask("Plain", other, "invalidate")
        assert not waiting.done()
    assert waiting.result()["value"] == '"value 1"'


def test_a_loader_that_asks_for_its_own_key_is_told_so(edge: Edge) -> None:
    """It would wait for itself for ever."""
    told = json.loads(edge.ask("Odd", "itself", "get")["value"])
    assert told == "the loader of 'itself' asks for 'itself', whose load waits for it"


def test_however_a_loader_ends_its_caller_is_answered(edge: Edge) -> None:
    """A SystemExit that left the load would end the whole Worker, and every other object in it."""
    assert edge.ask("Odd", "exit", "get")["error"] == "LoadCancelled"
    assert edge.ask("Odd", "exit", "stats")["load_cancellations"] == 1


def test_an_origin_that_is_down_is_an_error_with_its_message(edge: Edge, key: str) -> None:
    """What the runtime says of a broken connection is the loader's exception, like any other."""
    reply = edge.ask("Unreachable", key, "get")
    assert "error" in reply
    assert "Traceback" not in reply["message"]
    assert edge.ask("Unreachable", key, "stats")["load_failures"] == 1
