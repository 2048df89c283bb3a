"""A span for each load.

A span begins in the step that starts the load, in the context of the caller who gave rise to it. It ends with the
flight, but outside of the cache's lock, since whoever exports it may take his time: what leaves the cache is let go
after the lock, and `_Ending` leaves it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial, wraps
from time import time_ns
from typing import Any, Final, TypeAlias, final

from opentelemetry import context
from opentelemetry.trace import Link, Span, StatusCode, Tracer, get_current_span, use_span

from herdless._bulk import Batches
from herdless._call import Calls
from herdless._instances import InstanceCalls
from herdless._instrument.figures import end_of, purpose_of
from herdless._section import LOADING
from herdless_core import Join, LoadFailed, RunningLoad, StartLoad, Step


@final
class Spans:
    """The observer of one cache that makes them, and what goes around its loader, inside which they are current."""

    def __init__(self, tracer: Tracer, cache: Any, place: LoaderPlace, name: str, *, show_keys: bool) -> None:
        self._tracer: Final = tracer
        self._shown: Final[Callable[[object], str]] = cache._shown
        self._leaving: Final[list[object]] = cache._leaving
        self._cache: Final = cache
        self._place: Final = place
        self._name: Final = name
        self._show_keys: Final = show_keys
        self._spans: Final[dict[int, Span]] = {}
        """Of the loads in the air, by generation."""

    def __call__(self, key: Any, step: Step) -> None:
        """Begin and end spans, and link those who wait to them."""
        ended = end_of(step)
        if ended is not None and step.before.flight is not None:
            span = self._spans.pop(step.before.flight.generation, None)
            if span is not None:
                error = step.event.error if isinstance(step.event, LoadFailed) else None
                self._leaving.append(_Ending(span, ended[0], error))
        started = next((effect for effect in step.effects if isinstance(effect, StartLoad)), None)
        reply = step.effects[0] if step.effects else None
        if started is not None:
            self._begin(started.generation, key, purpose_of(step), is_waited_for=isinstance(reply, Join))
        elif isinstance(reply, Join) and (span := self._spans.get(reply.generation)) is not None:
            get_current_span().add_link(span.get_span_context(), {"herdless.how": "joined"})

    def _begin(self, generation: int, key: Any, purpose: str, *, is_waited_for: bool) -> None:
        attributes = {"herdless.cache": self._name, "herdless.purpose": purpose}
        if self._show_keys:
            attributes["herdless.key"] = self._shown(key)
        title, caller = f"load {self._name}", get_current_span().get_span_context()
        if is_waited_for:
            span = self._tracer.start_span(title, attributes=attributes)
        else:
            links = [Link(caller)] if caller.is_valid else []
            span = self._tracer.start_span(title, context.Context(), attributes=attributes, links=links)
        self._spans[generation] = span

    # Around the loader

    def surround_loader(self) -> None:
        """From now on the span of a load is the current one inside its loader."""
        around = partial(surrounding, self._current)
        self._place.put(around)
        self._cache._surround = around  # for what callers bring

    def leave_loader(self) -> None:
        """The loader is as it was, unless somebody else has surrounded it since."""
        self._place.put_back()
        self._cache._surround = None
        for span in list(self._spans.values()):
            span.end()
        self._spans.clear()

    def _current(self, *args: Any) -> AbstractContextManager[object]:
        loading: RunningLoad | None = LOADING.get()
        span = None if loading is None else self._spans.get(loading.generation)
        return nullcontext() if span is None else current(span)


Around: TypeAlias = Callable[..., AbstractContextManager[object]]
"""From the arguments of a loader to what it runs inside."""


def current(span: Span) -> AbstractContextManager[Span]:
    """Inside, the span is the current one; what is raised there is told elsewhere."""
    return use_span(span, record_exception=False, set_status_on_exception=False)


def surrounding(around: Around, load: Callable[..., Any]) -> Callable[..., Any]:
    """The loader, async or not, inside of what `around` gives for each call."""
    if inspect.iscoroutinefunction(load):

        @wraps(load)
        async def traced_async(*args: Any, **kwargs: Any) -> Any:
            with around(*args):
                return await load(*args, **kwargs)

        return traced_async

    @wraps(load)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            stack.enter_context(around(*args))
            returned = load(*args, **kwargs)
            return _awaited(returned, stack.pop_all()) if inspect.isawaitable(returned) else returned

    return traced


async def _awaited(awaitable: Any, inside: ExitStack) -> Any:
    with inside:
        return await awaitable


@final
class _Ending:
    """The end of a span, told when this is let go."""

    def __init__(self, span: Span, result: str, error: BaseException | None) -> None:
        self._end: Final = partial(end, span, result, error, time_ns())

    def __del__(self) -> None:
        with suppress(Exception):  # of foreign code, which has nobody to tell
            self._end()


def end(span: Span, result: str, error: BaseException | None, at: int) -> None:
    """End it. result: of the load; error: by which it ended, if any; at: when, in nanoseconds since 1970."""
    span.set_attribute("herdless.result", result)
    if error is not None and result != "answer":
        span.record_exception(error, timestamp=at)
    if result in {"failure", "timeout"}:
        span.set_status(StatusCode.ERROR, type(error).__qualname__ if error is not None else "LoadTimeout")
    span.end(at)


@final
class LoaderPlace:
    """Where a cache has its loader: `cached` calls the function itself, and not what it gave the cache."""

    def __init__(self, cache: Any) -> None:
        calls = getattr(cache._load, "__self__", None)
        is_function = isinstance(calls, Calls | InstanceCalls)
        self.is_bulk: Final = isinstance(calls, Batches)
        self._owner: Final[Any] = calls if is_function or self.is_bulk else cache
        self._attribute: Final = "function" if is_function else "load_many" if self.is_bulk else "_load"
        self._before: Final = getattr(self._owner, self._attribute)
        self._put: Any = None

    def put(self, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put something around it."""
        self._put = around(self._before)
        setattr(self._owner, self._attribute, self._put)

    def put_back(self) -> None:
        """Undo it, unless somebody else has put something around it since."""
        if getattr(self._owner, self._attribute) is self._put:
            setattr(self._owner, self._attribute, self._before)
