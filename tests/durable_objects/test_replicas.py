"""Readers in front of the owner of a hot key: how old what they serve may be, and what reaches them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.durable_objects.herd import Edge


def reader_of(key: str) -> str:
    """The name of its first reader."""
    return f"\x1f1\x1f{key}"


@pytest.mark.parametrize("replicas", [1, 3])
def test_readers_share_one_load_of_the_owner(edge: Edge, key: str, replicas: int) -> None:
    """A hot key has as many objects as are asked for, and still one load."""
    ask = partial(edge.ask, "Plain", key, front="python", replicas=replicas)
    assert {ask("get")["result"] for _ in range(12)} == {"value 1"}
    assert edge.origin.requests(f"Plain/{key}") == 1
    stats = ask("stats")["result"]
    assert 2 <= stats["loads"] <= 1 + replicas
    assert stats["hits"] + stats["misses"] == 12 + stats["loads"] - 1


def test_an_invalidation_reaches_every_reader(edge: Edge, key: str) -> None:
    """Readers are caches of their own; one that is forgotten would serve the old value for a whole ttl."""
    ask = partial(edge.ask, "Plain", key, front="python", replicas=3)
    assert {ask("get")["result"] for _ in range(12)} == {"value 1"}
    ask("invalidate")
    assert {ask("get")["result"] for _ in range(12)} == {"value 2"}
    ask("put", "by hand")
    assert {ask("get")["result"] for _ in range(12)} == {"by hand"}


def test_a_reader_passes_the_loaders_error_on(edge: Edge, key: str) -> None:
    """Two objects away it is still the loader's message."""
    edge.origin.answers(f"Plain/{key}", "no such user", status=404)
    error = edge.ask("Plain", key, "get", front="python", replicas=1)
    assert error == {"error": "RemoteLoadError", "message": "no such user", "kind": "LookupError"}


def test_a_reader_serves_bytes(edge: Edge) -> None:
    """They cross RPC twice, the second time without the SDK's conversions."""
    assert edge.ask("Sized", "5", "get", front="python", replicas=1) == {"result": repr(bytes(5))}


def test_a_reader_keeps_a_value_as_long_as_its_owner_does(edge: Edge, key: str) -> None:
    """A hit of a reader is no older than `ttl`, as everywhere: not a ttl in the owner and one more in the reader."""
    edge.ask("Plain", key, "get")
    edge.ask("Plain", key, "advance", 50)
    reader = partial(edge.ask, "Plain", reader_of(key))
    assert reader("get") == {"value": '"value 1"'}
    reader("advance", 9)
    assert reader("lookup")["how"] == "hit"
    reader("advance", 2)
    assert reader("peek") == {}


def test_a_reader_heeds_the_ttl_that_a_value_brought(edge: Edge, key: str) -> None:
    """One that is good for five seconds is not good for a minute because it is hot."""
    edge.ask("Plain", key, "put", '"brief"', 5)
    reader = partial(edge.ask, "Plain", reader_of(key))
    assert reader("get") == {"value": '"brief"'}
    reader("advance", 6)
    assert reader("peek") == {}


def test_a_reader_serves_stale_values_as_long_as_its_owner_does(edge: Edge, key: str) -> None:
    """Its stale window begins with the owner's."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "advance", 5)
    reader = partial(edge.ask, "Stale", reader_of(key))
    reader("get")
    reader("advance", 104)
    assert reader("peek")["how"] == "stale"
    reader("advance", 2)
    assert reader("peek") == {}


def test_what_is_stale_in_the_owner_is_soon_asked_for_again(edge: Edge, key: str) -> None:
    """A reader keeps it for `refresh_backoff`: neither as if it were new, nor so that each lookup reaches the owner."""
    edge.ask("Stale", key, "get")
    edge.ask("Stale", key, "advance", 11)
    reader = partial(edge.ask, "Stale", reader_of(key))
    with edge.held("Stale", key):
        assert reader("get") == {"value": '"value 1"'}
        edge.origin.wait_for(f"Stale/{key}", 2)
        for _ in range(3):
            reader("get")
        assert reader("stats")["loads"] == 1
        reader("advance", 1)
        assert reader("peek") == {}
    edge.settled("Stale", key)
    assert reader("get") == {"value": '"value 2"'}


@pytest.mark.parametrize("change", [("invalidate",), ("put", "by hand")], ids=["invalidate", "put"])
def test_a_change_reaches_readers_that_are_loading(edge: Edge, key: str, change: tuple[str, ...]) -> None:
    """The reader's load began before the change, at the owner or on its way; once it is told, nobody gets the old."""
    ask = partial(edge.ask, "Plain", key, front="python", replicas=1)
    with ThreadPoolExecutor() as background, edge.origin.holding(f"Plain/{key}"):
        early = background.submit(ask, "get")
        edge.origin.wait_for(f"Plain/{key}")
        ask(*change)
        late: Future[Any] = background.submit(ask, "get")
        if change == ("invalidate",):
            edge.origin.wait_for(f"Plain/{key}", 2)
            assert not early.done()
    assert early.result()["result"] == ("value 1" if change == ("invalidate",) else "by hand")
    new = "value 2" if change == ("invalidate",) else "by hand"
    assert late.result()["result"] == ask("get")["result"] == new


def test_a_reader_remembers_an_error_as_its_owner_does(edge: Edge, key: str) -> None:
    """A hot key that does not exist is hot, too."""
    edge.origin.answers(f"Negative/{key}", "no such user", status=404)
    reader = partial(edge.ask, "Negative", reader_of(key))
    error = {"error": "LookupError", "message": "no such user"}
    assert [reader("get") for _ in range(3)] == [error] * 3
    assert reader("stats")["loads"] == 1
    assert edge.ask("Negative", key, "stats")["loads"] == 1
