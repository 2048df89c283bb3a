"""`cache_page` without a stampede: of requests that find no page, one runs the view.

The others wait until it is done, and look again, each for himself: whether they may have the page is decided by
Django's own middleware, by the headers that the page varies on. Where it was not stored (it sets a cookie, say, or is
private), or the view failed, each runs the view, at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, Final, final

from django.conf import settings
from django.core.cache import caches
from django.middleware.cache import CacheMiddleware
from django.utils.cache import _generate_cache_header_key, get_cache_key
from django.views.decorators.cache import cache_page as django_cache_page

import herdless.asyncio
import herdless.threads
from herdless_core import StoreDown

View = Callable[..., Any]

_FLIGHTS: Final = herdless.threads.Cache[Any, None](maxsize=0, max_loads=None)
_ASYNC_FLIGHTS: Final = herdless.asyncio.Cache[Any, None](maxsize=0)
"""They keep nothing: they are what the others wait for."""


def cache_page(
    timeout: float | None, *, cache: str | None = None, key_prefix: str | None = None
) -> Callable[[View], View]:
    """Cache a view's pages as `django.views.decorators.cache.cache_page` does, and let one request make each.

    timeout: seconds; cache: which of CACHES; key_prefix: before each key. A template response is rendered at once,
    before the middlewares that would change it. For sync and async views.
    """

    def decorate(view: View) -> View:
        is_async = inspect.iscoroutinefunction(view)
        inner = django_cache_page(timeout, cache=cache, key_prefix=key_prefix)(
            _noted_async(view) if is_async else _noted(view)
        )
        pages = CacheMiddleware(view, page_timeout=timeout, cache_alias=cache, key_prefix=key_prefix)
        decorated = _async if is_async else _sync
        return wraps(view)(decorated(inner, pages))

    return decorate


# A page that the store does not take is a page all the same: the view's response is noted on its request.


def _noted(view: View) -> View:
    @wraps(view)
    def noting(request: Any, *args: Any, **kwargs: Any) -> Any:
        request._herdless_response = response = view(request, *args, **kwargs)
        return response

    return noting


def _noted_async(view: View) -> View:
    @wraps(view)
    async def noting(request: Any, *args: Any, **kwargs: Any) -> Any:
        request._herdless_response = response = await view(request, *args, **kwargs)
        return response

    return noting


def _unstored(request: Any, down: StoreDown) -> Any:
    response = getattr(request, "_herdless_response", None)
    if response is None:
        raise down
    return _rendered(response)


def _sync(inner: View, pages: CacheMiddleware) -> View:
    def made(request: Any, args: Any, kwargs: Any) -> Any:
        try:
            return _rendered(inner(request, *args, **kwargs))
        except StoreDown as down:
            return _unstored(request, down)

    def view(request: Any, *args: Any, **kwargs: Any) -> Any:
        response = pages.process_request(request)
        if response is not None or not _may_be_stored(request):
            return response or inner(request, *args, **kwargs)
        own = _Own()

        def lead(_: object) -> None:
            with own.told():
                own.response = made(request, args, kwargs)

        with suppress(Exception):  # of another request's view, or our own, which is raised below
            _FLIGHTS.get(_flight_of(request, pages), load=lead)
        return own.result() or pages.process_request(request) or made(request, args, kwargs)

    return view


def _async(inner: View, pages: CacheMiddleware) -> View:
    async def made(request: Any, args: Any, kwargs: Any) -> Any:
        try:
            return _rendered(await inner(request, *args, **kwargs))
        except StoreDown as down:
            return _unstored(request, down)

    async def view(request: Any, *args: Any, **kwargs: Any) -> Any:
        response = pages.process_request(request)
        if response is not None or not _may_be_stored(request):
            return response or await inner(request, *args, **kwargs)
        own = _Own()

        async def lead(_: object) -> None:
            with own.told():
                own.response = await made(request, args, kwargs)

        with suppress(Exception):  # as above
            await _ASYNC_FLIGHTS.get(_flight_of(request, pages), load=lead)
        return own.result() or pages.process_request(request) or await made(request, args, kwargs)

    return view


@final
class _Own:
    """What became of the request's own view, if it was the one that ran."""

    response: Any = None
    error: Exception | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around the view: its exception is noted, as it is; the others who wait get copies."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def result(self) -> Any:
        """The response, or None where another request's view ran. Raises the view's own exception."""
        if self.error is not None:
            raise self.error
        return self.response


def _may_be_stored(request: Any) -> bool:
    return bool(getattr(request, "_cache_update_cache", False))


def _flight_of(request: Any, pages: CacheMiddleware) -> tuple[object, ...]:
    """For what requests wait together: the page, or its address where it is not known yet what the page varies on."""
    prefix = settings.CACHE_MIDDLEWARE_KEY_PREFIX if pages.key_prefix is None else pages.key_prefix
    page = get_cache_key(request, prefix, request.method, cache=caches[pages.cache_alias])
    return pages.cache_alias, request.method, page or _generate_cache_header_key(prefix, request)


def _rendered(response: Any) -> Any:
    """The response, stored if it may be: a template response is stored when it is rendered."""
    if callable(getattr(response, "render", None)) and not response.is_rendered:
        response.render()
    return response
