"""What may be a value, how it is put, and how it grows old, in the real runtime."""

from __future__ import annotations

import pytest

from tests.durable_objects.herd import Edge


def test_none_is_a_value_like_any_other(edge: Edge) -> None:
    """A loader that says "there is none" must not be asked again by every caller."""
    assert edge.ask("Odd", "none", "lookup")["value"] == "null"
    assert edge.ask("Odd", "none", "lookup")["how"] == "hit"


def test_a_value_that_json_cannot_say_is_the_loaders_error(edge: Edge) -> None:
    """It must be told, and nothing of it stored."""
    reply = edge.ask("Odd", "unencodable", "get")
    assert reply == {"error": "TypeError", "message": "Object of type set is not JSON serializable"}
    assert edge.ask("Odd", "unencodable", "rows") == 0


def test_a_value_with_tags_is_the_loaders_error(edge: Edge) -> None:
    """Nobody could invalidate it by them: a tag that does nothing would be believed to."""
    reply = edge.ask("Odd", "tagged", "get")
    assert reply["error"] == "PolicyError"
    assert "an object is one key" in reply["message"]
    assert edge.ask("Odd", "tagged", "rows") == 0


@pytest.mark.parametrize("size", ["2000000", "1999998t"])
def test_a_value_of_two_megabytes_is_stored(edge: Edge, size: str) -> None:
    """The limit is the platform's: what is said to fit must fit, as bytes and as text."""
    assert "error" not in edge.ask("Sized", size, "get")
    assert edge.ask("Sized", size, "lookup")["how"] == "hit"


@pytest.mark.parametrize("size", ["2000001", "1999999t"])
def test_a_value_over_two_megabytes_is_refused_before_anything_is_written(edge: Edge, size: str) -> None:
    """The platform's own error would come after the fact. JSON text has two quotes more than its value."""
    reply = edge.ask("Sized", size, "get")
    assert reply["error"] == "ValueTooLarge"
    assert "at most 2000000 fit" in reply["message"]
    assert edge.ask("Sized", size, "rows") == 0


def test_put_stores_a_value_and_answers_those_who_wait(edge: Edge, key: str) -> None:
    """Whoever knows the value need not wait for the origin, nor those who already do."""
    with edge.held("Plain", key) as load:
        waiting = load.lead()
        assert edge.ask("Plain", key, "put", '"put"') == {}
        assert waiting.result()["value"] == '"put"'
    assert edge.ask("Plain", key, "get") == {"value": '"put"'}
    assert edge.origin.requests(f"Plain/{key}") == 1


def test_a_put_can_bring_its_own_ttl(edge: Edge, key: str) -> None:
    """One value among many may be good for less time than the others."""
    edge.ask("Plain", key, "put", '"brief"', 5)
    edge.ask("Plain", key, "advance", 6)
    assert edge.ask("Plain", key, "peek") == {}


def test_a_loader_can_give_its_value_a_ttl(edge: Edge) -> None:
    """What an origin's own Cache-Control says has to find its way in."""
    edge.ask("Odd", "loaded", "get")
    edge.ask("Odd", "loaded", "advance", 6)
    assert edge.ask("Odd", "loaded", "peek") == {}


@pytest.mark.parametrize("value", [7, None, {"json": "object"}])
def test_a_put_of_what_is_no_body_is_refused(edge: Edge, key: str, value: object) -> None:
    """JavaScript callers put encoded values, and may forget to."""
    reply = edge.ask("Plain", key, "put", value)
    assert reply["error"] == "PolicyError"
    assert "give JSON text or bytes" in reply["message"]


@pytest.mark.parametrize("text", ["value", "{'json': 'no'}", "NaN", '"\ud800"'])
def test_a_put_of_text_that_is_no_json_is_refused(edge: Edge, key: str, text: str) -> None:
    """Every reader would fail to parse it; a lone surrogate would not even reach the disk."""
    edge.ask("Plain", key, "put", '"kept"')
    reply = edge.ask("Plain", key, "put", text)
    assert reply["error"] == "PolicyError"
    assert reply["message"].startswith("value=")
    assert edge.ask("Plain", key, "get") == {"value": '"kept"'}


def test_a_put_of_nothing_is_refused(edge: Edge, key: str) -> None:
    """A caller who forgets the value is told so by data, not by a traceback."""
    assert edge.ask("Plain", key, "put")["error"] == "PolicyError"


def test_a_class_that_encodes_otherwise_is_put_what_it_says(edge: Edge, key: str) -> None:
    """What its texts are is the class's business."""
    assert edge.ask("Csv", key, "put", "a,b") == {}
    assert edge.ask("Csv", key, "get") == {"value": "a,b"}


def test_a_loaded_value_with_a_lone_surrogate_is_stored(edge: Edge, key: str) -> None:
    """JavaScript's strings may have them, and JSON can say them."""
    edge.origin.answers(f"Plain/{key}", "\ud800")
    assert edge.ask("Plain", key, "get") == {"value": '"\\ud800"'}
    edge.ask("Plain", key, "crash")
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"


def test_a_message_with_a_lone_surrogate_is_told(edge: Edge, key: str) -> None:
    """It crosses RPC as text, and so it has to be text."""
    assert edge.ask("Odd", "surrogate", "get") == {"error": "LookupError", "message": "no user \\ud800"}


def test_a_value_is_a_hit_up_to_its_ttl(edge: Edge, key: str) -> None:
    """Age counts in the object as it does everywhere."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "advance", 50)
    hit = edge.ask("Plain", key, "lookup")
    assert hit["how"] == "hit"
    assert 50 <= hit["age"] < 60
    edge.ask("Plain", key, "advance", 10)
    assert edge.ask("Plain", key, "lookup")["how"] == "loaded"


def test_a_stale_value_is_served_while_it_is_refreshed(edge: Edge, key: str) -> None:
    """Nobody waits for the origin while there is something to serve."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "advance", 11)
    with edge.held("Stale", key):
        assert edge.ask("Stale", key, "lookup")["how"] == "stale"
        edge.origin.wait_for(f"Stale/{key}", 2)
        assert edge.ask("Stale", key, "lookup")["value"] == '"value 1"'
    edge.settled("Stale", key)
    assert edge.ask("Stale", key, "get") == {"value": '"value 2"'}
    assert edge.origin.requests(f"Stale/{key}") == 2


def test_a_stale_value_is_served_when_its_load_fails(edge: Edge, key: str) -> None:
    """`stale_if_error` reaches past `stale_while_revalidate`: there the caller waits, and may get the old value."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "advance", 500)
    edge.origin.answers(f"Stale/{key}", "out of order", status=500)
    reply = edge.ask("Stale", key, "lookup")
    assert (reply["value"], reply["how"]) == ('"value 1"', "stale")
    edge.ask("Stale", key, "advance", 1000)
    assert edge.ask("Stale", key, "get") == {"error": "LookupError", "message": "out of order"}


def test_an_expired_value_is_served_as_stale(edge: Edge, key: str) -> None:
    """`expire` is the soft one of the two ways to say that a value has changed."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "expire")
    assert edge.ask("Stale", key, "lookup")["how"] == "stale"


def test_refresh_loads_without_being_waited_for(edge: Edge, key: str) -> None:
    """It answers at once; the value is there for the next caller."""
    with edge.origin.holding(f"Plain/{key}"):
        assert edge.ask("Plain", key, "refresh") == {"started": True}
        assert edge.ask("Plain", key, "refresh") == {"started": False}
        edge.origin.wait_for(f"Plain/{key}")
    edge.settled("Plain", key)
    assert edge.ask("Plain", key, "lookup")["how"] == "hit"


def test_nobody_who_asks_after_an_invalidation_gets_what_was_being_loaded(edge: Edge, key: str) -> None:
    """The load began before the change it does not know of. Who asked before gets it, who asks later does not."""
    with edge.held("Plain", key) as load:
        early = load.lead()
        edge.ask("Plain", key, "invalidate")
        late = load.lead()
    assert {early.result()["value"], late.result()["value"]} == {'"value 1"', '"value 2"'}
    assert early.result()["how"] == late.result()["how"] == "loaded"
    assert edge.ask("Plain", key, "get")["value"] == late.result()["value"]


def test_stats_count_every_lookup_once(edge: Edge, key: str) -> None:
    """What is charged by the request should be seen by the request."""
    with edge.held("Stale", key) as load:
        load.lead()
        load.join()
    edge.settled("Stale", key)
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "advance", 11)
    edge.ask("Stale", key, "get")
    edge.settled("Stale", key)
    stats = edge.ask("Stale", key, "stats")
    assert {name: count for name, count in stats.items() if count} == {
        "hits": 1,
        "stale_hits": 1,
        "joins": 1,
        "misses": 1,
        "loads": 2,
        "size": 1,
        "maxsize": 1,
    }
