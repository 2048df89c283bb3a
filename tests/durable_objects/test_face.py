"""What can be reached of an object from outside, and by which names, in the real runtime."""

from __future__ import annotations

import re

import pytest

from tests.durable_objects.herd import Edge


@pytest.mark.parametrize(
    "method",
    ["load", "encode", "observe", "clock", "_load", "__init__", "__setattr__", "__getattribute__", "_methods", "env"],
)
def test_rpc_reaches_no_hook_and_no_private_method(edge: Edge, key: str, method: str) -> None:
    """Whoever is bound to the class could load without single flight, feed the recorder, or change the object."""
    reply = edge.ask("Plain", key, method, "policy", "none")
    assert re.search(f'Method {method} does not exist|does not implement the method "{method}"', reply["thrown"])
    assert edge.origin.requests(f"Plain/{key}") == 0
    assert edge.ask("Plain", key, "lookup")["how"] == "loaded"


def test_rpc_reaches_the_public_methods_of_a_subclass(edge: Edge, key: str) -> None:
    """A class may have more to offer than a cache."""
    assert edge.ask("Plain", key, "rows") == 0


@pytest.mark.parametrize("replicas", [0, 1])
def test_the_longest_key_works(edge: Edge, key: str, replicas: int) -> None:
    """What is said to be accepted is."""
    longest = key.ljust(1024 - 3 * replicas, "x")
    assert edge.ask("Plain", longest, "get", front="python", replicas=replicas) == {"result": "value 1"}
    assert edge.ask("Plain", longest, "get") == {"value": '"value 1"'}


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_longer_key_is_refused(edge: Edge, key: str, replicas: int) -> None:
    """By the client, before anything is sent; and by the object, to whom the platform tells no such name."""
    longer = key.ljust(1025 - 3 * replicas, "x")
    refused = edge.ask("Plain", longer, "get", front="python", replicas=replicas)
    assert refused["error"] == "PolicyError"
    assert f"it has {len(longer)} bytes, give at most {len(longer) - 1}" in refused["message"]
    if not replicas:
        assert "with at most 1024 bytes" in edge.ask("Plain", longer, "get")["thrown"]


@pytest.mark.parametrize("name", ["\x1fkey", "\x1f0\x1fkey", "\x1f1"])
def test_a_name_like_a_readers_is_refused(edge: Edge, name: str) -> None:
    """It would be an object that no invalidation reaches."""
    assert "is not accepted" in edge.ask("Plain", name, "get")["thrown"]
