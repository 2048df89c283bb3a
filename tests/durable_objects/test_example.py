"""docs/examples/edge, as it stands there, in the real runtime: it is what readers copy."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.durable_objects.build import PROJECT
from tests.durable_objects.herd import Edge

EXAMPLE: Final = PROJECT / "docs" / "examples" / "edge"
TOKEN: Final = {"authorization": "Bearer sesame"}

fronts = pytest.mark.parametrize("front", ["edge", "edge-python"])


def _ask(
    edge: Edge, front: str, method: str, target: str, headers: dict[str, str] | None = None
) -> tuple[int, str, HTTPResponse]:
    """Status, body and response to a request for this path, which is sent as it is."""
    connection = HTTPConnection("127.0.0.1", edge.workerd.ports[front])
    try:
        connection.putrequest(method, f"/{target}")
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read().decode(), response
    finally:
        connection.close()


def _how(edge: Edge, front: str, key: str) -> str | None:
    """How a GET was answered."""
    return _ask(edge, front, "GET", key)[2].headers["x-cache"]


@fronts
def test_a_front_serves_and_invalidates(edge: Edge, key: str, front: str) -> None:
    """What a reader copies works: one request to the origin until the user changes."""
    edge.origin.answers(f"users/{key}", {"name": "ada"})
    assert _ask(edge, front, "GET", key)[0] == 200
    status, body, response = _ask(edge, front, "GET", key)
    assert (status, json.loads(body), response.headers["x-cache"]) == (200, {"name": "ada"}, "hit")
    assert edge.origin.requests(f"users/{key}") == 1
    assert _ask(edge, front, "DELETE", key, TOKEN)[0] == 204
    assert _how(edge, front, key) == "loaded"
    assert edge.origin.requests(f"users/{key}") == 2


@fronts
def test_a_head_is_a_get_without_a_body(edge: Edge, key: str, front: str) -> None:
    """Every server has to know it."""
    status, body, response = _ask(edge, front, "HEAD", key)
    assert (status, body, response.headers["content-type"]) == (200, "", "application/json")


@fronts
def test_every_answer_says_who_may_keep_it(edge: Edge, key: str, front: str) -> None:
    """Without a word caches decide by themselves, and an invalidation does not reach them."""
    requests = [("GET", key), ("DELETE", key), ("GET", "%2e%2e%2fsecrets"), ("POST", key)]
    for method, target in requests:
        headers = _ask(edge, front, method, target)[2].headers
        assert headers["cache-control"] == "private, no-cache"
        assert headers["x-content-type-options"] == "nosniff"
    assert _ask(edge, front, "DELETE", key, TOKEN)[2].headers["cache-control"] == "private, no-cache"
    assert _ask(edge, front, "GET", key)[2].headers["age"] == "0"


REFUSED: Final = [
    "",
    ".",
    "..",
    "%2e",
    "%2e%2e",
    "%2e%2e%2fadmin%2fsecrets",
    "ada%2f..%2fsecrets",
    "ada/secrets",
    "ada%5c..",
    "ada%3fadmin=1",
    "ada%23",
    "%1f1%1fada",
    "%1f",
    "ada%00",
    "ada%0a",
    "ada%20b",
    "-ada",
    "%zz",
    "%",
    "%ff",
    "%ed%a0%80",
    quote("zoë"),
    "x" * 101,
    "x" * 5_000,
]


@fronts
@pytest.mark.parametrize("target", REFUSED)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_no_name_reaches_nobody(edge: Edge, front: str, method: str, target: str) -> None:
    """Neither the origin, by another path than a user's, nor an object that would be a reader of another key."""
    before = edge.origin.total
    assert _ask(edge, front, method, target, TOKEN)[:2] == (400, "that is no user's name\n")
    assert edge.origin.total == before


@fronts
@pytest.mark.parametrize("name", ["ada.b", "a@b.example", "a+b", "a..b", "A_1", "x" * 100])
def test_a_name_arrives_at_the_origin_as_one_part_of_the_path(edge: Edge, front: str, name: str) -> None:
    """Whatever it contains."""
    path = f"users/{quote(name, safe='')}"
    edge.origin.answers(path, {"name": name})
    assert json.loads(_ask(edge, front, "GET", quote(name))[1]) == {"name": name}


@fronts
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer wrong"}, {"authorization": "sesame"}]
)
def test_a_stranger_invalidates_nothing(edge: Edge, key: str, front: str, headers: dict[str, str]) -> None:
    """Whoever may empty a cache may send its herd to the origin."""
    _ask(edge, front, "GET", key)
    status, _, response = _ask(edge, front, "DELETE", key, headers)
    assert (status, response.headers["www-authenticate"]) == (401, "Bearer")
    assert _how(edge, front, key) == "hit"


@pytest.mark.parametrize("headers", [TOKEN, {"authorization": "Bearer undefined"}, {"authorization": "Bearer "}, {}])
def test_without_its_secret_nobody_invalidates(edge: Edge, key: str, headers: dict[str, str]) -> None:
    """A deployment that forgot the secret is closed, and not open."""
    assert _ask(edge, "edge-closed", "DELETE", key, headers)[0] == 401


@fronts
@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
def test_other_methods_are_refused(edge: Edge, key: str, front: str, method: str) -> None:
    """They are no lookups."""
    status, _, response = _ask(edge, front, method, key, {"content-length": "0"})
    assert (status, response.headers["allow"]) == (405, "GET, HEAD, DELETE")
    assert edge.origin.requests(f"users/{key}") == 0


@fronts
@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [((404, "gone"), 404, "no such user"), ((410, "gone"), 502, "the origin answered 410")],
)
def test_a_front_tells_the_loaders_error(
    edge: Edge, key: str, front: str, answer: tuple[int, str], status: int, told: str
) -> None:
    """One sentence, and no traceback."""
    edge.origin.answers(f"users/{key}", answer[1], status=answer[0])
    assert _ask(edge, front, "GET", key)[:2] == (status, f"{told}\n")


@fronts
def test_a_front_tells_no_stranger_what_it_did_not_mean_to(edge: Edge, key: str, front: str) -> None:
    """The message of an error that nobody expected may say anything."""
    edge.origin.answers_text(f"users/{key}", "this is no JSON: secret")
    status, body, _ = _ask(edge, front, "GET", key)
    assert (status, body) == (502, "the user cannot be had now\n")


def test_both_fronts_reach_the_same_object(edge: Edge, key: str) -> None:
    """The key is the name of the object, whoever asks."""
    _ask(edge, "edge", "GET", key)
    assert _how(edge, "edge-python", key) == "hit"


def test_only_the_javascript_front_has_an_address() -> None:
    """A front that nobody thinks of is one that nobody protects."""
    front, objects = _configuration("front"), _configuration("objects")
    assert front["workers_dev"] is True
    assert objects["workers_dev"] is objects["preview_urls"] is False
    assert "routes" not in objects
    (binding,) = front["durable_objects"]["bindings"]
    assert binding["script_name"] == objects["name"]


def test_both_fronts_accept_the_same_names() -> None:
    """Each is a copy of the other's rule."""
    javascript = re.search(r"const NAME = /\^(.*)\$/;", (EXAMPLE / "front" / "front.js").read_text())
    python = re.search(r'NAME = re\.compile\(r"(.*)"\)', (EXAMPLE / "objects" / "main.py").read_text())
    assert javascript is not None
    assert python is not None
    assert javascript[1] == python[1]


def _configuration(worker: str) -> Any:
    """JSON with comments of their own lines, and commas behind the last of a list."""
    text = Path(EXAMPLE / worker / "wrangler.jsonc").read_text()
    without_comments = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", without_comments))
