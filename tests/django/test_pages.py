"""`herdless.django.cache_page`: of requests that find no page, one runs the view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import caches
from django.http import HttpResponse
from django.test import AsyncClient, Client

from herdless._django import pages
from herdless_core import StoreDown
from tests.django import urls
from tests.django.conftest import joined


@pytest.fixture(autouse=True)
def _views() -> Iterator[None]:
    urls.ran.clear()
    urls.entered.clear()
    urls.gate.clear()
    yield
    urls.gate.set()


def herd(paths: list[str], flights: Any = pages._FLIGHTS) -> list[HttpResponse]:
    """The responses to requests at once, each on a thread, as under WSGI: the first view is held until all the others
    wait for it. flights: the cache in which they do.
    """

    def ask(path: str) -> HttpResponse:
        return Client(raise_request_exception=False).get(path)

    with joined(flights, len(paths) - 1) as all_wait, ThreadPoolExecutor(len(paths)) as pool:
        futures: list[Future[HttpResponse]] = [pool.submit(ask, path) for path in paths]
        assert urls.entered.wait(60)
        assert all_wait.wait(60)
        urls.gate.set()
        return [future.result(60) for future in futures]


def test_one_request_of_a_herd_makes_the_page() -> None:
    """Django's own `cache_page` lets each of them make it."""
    responses = herd(["/plain"] * 8)
    assert urls.ran == ["plain"]
    assert {response.content for response in responses} == {b"page 1"}
    assert Client().get("/plain").content == b"page 1"
    assert "max-age=60" in responses[0]["Cache-Control"]


def test_page_that_varies_is_another_page() -> None:
    """Who waited for a page that he may not have makes his own."""
    urls.gate.set()
    for shop in ("de", "en", "de"):
        response = Client(headers={"X-Shop": shop}).get("/shops")
        assert response.content == f"page of {shop}".encode()
    assert urls.ran == ["de", "en"]


def test_private_page_is_given_to_nobody_else() -> None:
    """However many asked for it while it was made: each gets one that was made for him."""
    responses = herd(["/private"] * 3)
    assert urls.ran == ["private"] * 3
    assert [response.content for response in responses] == [b"page of nobody"] * 3
    assert Client().get("/private?user=ada").content == b"page of ada"


def test_error_is_each_request_s_own() -> None:
    """One visitor's failing view is no answer for the others."""
    responses = herd(["/missing"] * 3)
    assert [response.status_code for response in responses] == [404] * 3
    assert urls.ran == ["missing"] * 3


def test_template_response_is_stored_too() -> None:
    """It is rendered at once, or who waits would find nothing."""
    responses = herd(["/template"] * 4)
    assert {response.content for response in responses} == {b"rendered 1"}
    assert urls.ran == ["template"]


def test_post_is_never_shared() -> None:
    """It changes something, and waits for no other."""
    with ThreadPoolExecutor(2) as pool:
        contents = list(pool.map(lambda _: Client(raise_request_exception=False).post("/posted").content, range(2)))
    assert contents == [b"posted"] * 2


def test_async_view() -> None:
    """In one event loop, as under ASGI."""

    async def main() -> list[bytes]:
        responses = await asyncio.gather(*(AsyncClient().get("/asynchronous") for _ in range(5)))
        return [response.content for response in responses]

    assert asyncio.run(main()) == [b"page 1"] * 5
    assert urls.ran == ["async"]


@pytest.mark.parametrize("name", ["plain", "template", "asynchronous"])
def test_page_that_the_store_does_not_take_is_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site without its store is slow, and not gone."""
    urls.gate.set()

    def fail(*arguments: object) -> None:
        raise StoreDown("no connection")

    monkeypatch.setattr(caches["default"]._place, "store", fail)
    pages = [Client().get(f"/{name}").content for _ in range(2)]
    assert [page.rpartition(b" ")[2] for page in pages] == [b"1", b"2"]


def test_async_views_under_wsgi_share_a_page() -> None:
    """There each request has a thread, and an event loop of its own that ends with it."""
    responses = herd(["/held_up"] * 6, pages._ASYNC_FLIGHTS)
    assert {response.content for response in responses} == {b"page 1"}
    assert urls.ran == ["held up"]


def test_async_views_under_wsgi_share_a_load() -> None:
    """Six loops wait for the load of one of them."""
    responses = herd(["/value"] * 6, caches["default"]._async_loads._tasks)
    assert {response.content for response in responses} == {b"value 1"}
    assert urls.ran == ["value"]
    assert Client().get("/value").content == b"value 1"
