"""The views that the tests ask for; each notes that it ran, and can be made to wait."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.urls import path
from django.views.decorators.vary import vary_on_headers

from herdless.django import cache_page

ran: list[str] = []
entered = threading.Event()
gate = threading.Event()
together = threading.Barrier(2)


def _enter(name: str) -> None:
    ran.append(name)
    entered.set()
    gate.wait(60)


@cache_page(60)
def plain(request: HttpRequest) -> HttpResponse:
    """A page for all."""
    _enter("plain")
    return HttpResponse(f"page {len(ran)}")


@cache_page(60)
@vary_on_headers("X-Shop")  # type: ignore[untyped-decorator]  # Django has no types
def shops(request: HttpRequest) -> HttpResponse:
    """A page for each shop."""
    shop = request.headers.get("X-Shop", "")
    _enter(shop)
    return HttpResponse(f"page of {shop}")


@cache_page(60)
def private(request: HttpRequest) -> HttpResponse:
    """A page for one visitor."""
    _enter("private")
    response = HttpResponse(f"page of {request.GET.get('user', 'nobody')}")
    response["Cache-Control"] = "private"
    return response


@cache_page(60)
def missing(request: HttpRequest) -> HttpResponse:
    """No page."""
    _enter("missing")
    raise Http404("none")


@cache_page(60)
def template(request: HttpRequest) -> Any:
    """A page that is rendered later."""
    _enter("template")
    return SimpleTemplateResponse(engines["django"].from_string("rendered {{ number }}"), {"number": len(ran)})


@cache_page(60)
def posted(request: HttpRequest) -> HttpResponse:
    """Two requests have to be in here at a time."""
    together.wait(30)
    return HttpResponse("posted")


@cache_page(60)
async def asynchronous(request: HttpRequest) -> HttpResponse:
    """An async view."""
    ran.append("async")
    for _ in range(20):
        await asyncio.sleep(0)
    return HttpResponse(f"page {len(ran)}")


@cache_page(60)
async def held_up(request: HttpRequest) -> HttpResponse:
    """An async view that waits."""
    await asyncio.to_thread(_enter, "held up")
    return HttpResponse(f"page {len(ran)}")


async def value(request: HttpRequest) -> HttpResponse:
    """An async view that asks the cache."""

    async def load() -> int:
        await asyncio.to_thread(_enter, "value")
        return len(ran)

    return HttpResponse(f"value {await cache.aget_or_set('value', load, 60)}")


VIEWS: Any = (plain, shops, private, missing, template, posted, asynchronous, held_up, value)
urlpatterns = [path(view.__name__, view) for view in VIEWS]
