"""docs/examples/edge, as it stands there, in the real runtime."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest

from tests.durable_objects.herd import Edge


def _ask(edge: Edge, front: str, method: str, key: str) -> tuple[int, str, str | None]:
    connection = HTTPConnection("127.0.0.1", edge.workerd.ports[front])
    try:
        connection.request(method, f"/{key}")
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers["x-cache"]
    finally:
        connection.close()


@pytest.mark.parametrize("front", ["edge", "edge-python"])
def test_a_front_serves_and_invalidates(edge: Edge, key: str, front: str) -> None:
    """What a reader copies works: one request to the origin until the user changes."""
    edge.origin.answers(f"users/{key}", {"name": "ada"})
    assert _ask(edge, front, "GET", key)[0::2] == (200, "loaded")
    status, body, how = _ask(edge, front, "GET", key)
    assert (status, body.replace(" ", ""), how) == (200, '{"name":"ada"}', "hit")
    assert edge.origin.requests(f"users/{key}") == 1
    assert _ask(edge, front, "DELETE", key)[0] == 204
    assert _ask(edge, front, "GET", key)[2] == "loaded"
    assert edge.origin.requests(f"users/{key}") == 2


@pytest.mark.parametrize("front", ["edge", "edge-python"])
def test_a_front_tells_the_loaders_error(edge: Edge, key: str, front: str) -> None:
    """A bad gateway with one sentence, and no traceback."""
    edge.origin.answers(f"users/{key}", "gone", status=410)
    assert _ask(edge, front, "GET", key)[:2] == (502, "the origin answered 410")


def test_both_fronts_reach_the_same_object(edge: Edge, key: str) -> None:
    """The key is the name of the object, whoever asks."""
    _ask(edge, "edge", "GET", key)
    assert _ask(edge, "edge-python", "GET", key)[2] == "hit"
