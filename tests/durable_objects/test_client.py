"""The calling Worker's side, from a Python Worker, in the real runtime."""

from __future__ import annotations

from functools import partial

from tests.durable_objects.herd import Edge


def test_a_python_worker_gets_values(edge: Edge, key: str) -> None:
    """Encoded in the object, sent as a body, decoded by the caller."""
    edge.origin.answers(f"Plain/{key}", {"name": "ada", "langs": ["py", None], "big": 2**60, "half": 0.5})
    ask = partial(edge.ask, "Plain", key, front="python")
    assert ask("get")["result"] == {"name": "ada", "langs": ["py", None], "big": 2**60, "half": 0.5}
    assert ask("lookup")["result"]["how"] == "hit"


def test_a_python_worker_gets_the_loaders_message_and_no_traceback(edge: Edge, key: str) -> None:
    """Over RPC an exception would be the text of a traceback."""
    edge.origin.answers(f"Plain/{key}", "no such user", status=404)
    error = edge.ask("Plain", key, "get", front="python")
    assert error == {"error": "RemoteLoadError", "message": "no such user", "kind": "LookupError"}


def test_herdless_own_errors_come_back_as_themselves(edge: Edge, key: str) -> None:
    """So that a caller can tell what to do by the class, as in the other runtimes."""
    with edge.origin.holding(f"Impatient/{key}"):
        assert edge.ask("Impatient", key, "get", front="python")["error"] == "LoadTimeout"
    assert edge.ask("Sized", "2000001", "get", front="python")["error"] == "ValueTooLarge"


def test_bytes_are_bytes_on_both_sides(edge: Edge) -> None:
    """Neither base64 nor a view of JavaScript's memory."""
    assert edge.ask("Sized", "3", "get", front="python") == {"result": repr(bytes(3))}


def test_a_python_worker_changes_what_is_cached(edge: Edge, key: str) -> None:
    """All methods, by way of the wire."""
    ask = partial(edge.ask, "Stale", key, front="python")
    assert ask("peek")["result"] is None
    ask("put", {"by": "hand"})
    assert ask("peek")["result"] == {"by": "hand"}
    assert ask("touch", 7)["result"] is True
    assert 0 < ask("lookup")["result"]["ttl"] <= 7
    ask("expire")
    with edge.origin.holding(f"Stale/{key}"):
        assert ask("lookup")["result"]["how"] == "stale"
    edge.settled("Stale", key)
    ask("refresh")
    edge.settled("Stale", key)
    assert ask("get")["result"] == "value 2"
    ask("invalidate")
    assert ask("peek")["result"] is None
    assert ask("stats")["result"]["loads"] == 2


def test_a_value_over_two_megabytes_is_refused_before_it_is_sent(edge: Edge, key: str) -> None:
    """The object never hears of it."""
    refused = edge.ask("Plain", key, "put", "x" * 2_000_000, front="python")
    assert refused["error"] == "ValueTooLarge"
    assert edge.ask("Plain", key, "rows") == 0


def test_a_client_asks_a_reset_object_again(edge: Edge, key: str) -> None:
    """The object was reset under the call: the platform says that asking again may help, and it does."""
    edge.ask("Plain", key, "put", '"kept"')
    assert edge.ask("Plain", key, "crash_once", front="python") == {"result": "kept"}
