"""A span for each call of a bulk loader, for caches that have one.

Its keys have no spans of their own. The span is below that of the caller who was first to ask for one of the keys, and
the spans of all others who wait for any of them are linked to it: those who came before when it begins, the others as
they come. What belongs together here is looked at and changed inside the cache's lock, as by every observer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import Any, Final, final

from opentelemetry import context
from opentelemetry.trace import INVALID_SPAN, Link, Span, Tracer, get_current_span

from herdless._instrument.figures import end_of, purpose_of
from herdless._instrument.spans import LoaderPlace, current, end, surrounding
from herdless._section import LOADING
from herdless_core import Join, RunningLoad, StartLoad, Step


@final
@dataclass(slots=True)
class _Batch:
    """A call of the loader."""

    span: Span
    linked: set[int]
    """The spans that lead to it, by their numbers."""

    def link(self, caller: Span, how: str) -> None:
        """Whoever waits leads to it, once."""
        number = caller.get_span_context().span_id
        if number not in self.linked and caller.is_recording():
            self.linked.add(number)
            caller.add_link(self.span.get_span_context(), {"herdless.how": how})


@final
@dataclass(slots=True)
class _Asked:
    """A load that was started, and who gave rise to it."""

    key: Any
    context: context.Context
    caller: Span
    is_waited_for: bool
    purpose: str
    waiting: list[Span] = field(default_factory=list)
    """Of those who joined before it was called for."""
    batch: _Batch | None = None


@final
class BatchSpans:
    """The observer of one cache with a bulk loader, and what goes around that."""

    def __init__(self, tracer: Tracer, cache: Any, place: LoaderPlace, name: str, *, show_keys: bool) -> None:
        self._tracer: Final = tracer
        self._cache: Final = cache
        self._shown: Final[Callable[[object], str]] = cache._shown
        self._place: Final = place
        self._name: Final = name
        self._show_keys: Final = show_keys
        self._asked: Final[dict[int, _Asked]] = {}
        """The loads in the air, by generation."""
        self._latest: Final[dict[Any, int]] = {}
        """Of each key's loads the last, by which its batch knows it."""

    def __call__(self, key: Any, step: Step) -> None:
        """Note who waits for what."""
        flight = step.before.flight
        if flight is not None and end_of(step) is not None:
            self._asked.pop(flight.generation, None)
            if self._latest.get(key) == flight.generation:
                del self._latest[key]
        started = next((effect for effect in step.effects if isinstance(effect, StartLoad)), None)
        reply = step.effects[0] if step.effects else None
        if started is not None:
            here, is_waited_for = context.get_current(), isinstance(reply, Join)
            self._asked[started.generation] = _Asked(key, here, get_current_span(here), is_waited_for, purpose_of(step))
            self._latest[key] = started.generation
        elif isinstance(reply, Join) and (asked := self._asked.get(reply.generation)) is not None:
            if asked.batch is None:
                asked.waiting.append(get_current_span())
            else:
                asked.batch.link(get_current_span(), "joined")

    # Around the loaders

    def surround_loader(self) -> None:
        """From now on the span of a call is the current one inside the bulk loader."""
        self._place.put(partial(surrounding, self._called))
        self._cache._surround = partial(surrounding, self._called_alone)

    def leave_loader(self) -> None:
        """The loader is as it was. A call that is in the air ends its span all the same."""
        self._place.put_back()
        self._cache._surround = None

    def _called(self, keys: list[Any]) -> AbstractContextManager[object]:
        return self._batch(f"load_many {self._name}", keys, lambda: [self._latest.get(key) for key in keys])

    def _called_alone(self, key: Any) -> AbstractContextManager[object]:
        """Around a loader that a caller brings, which loads one key."""
        loading: RunningLoad | None = LOADING.get()
        if loading is None:
            return nullcontext()
        return self._batch(f"load {self._name}", [key], lambda: [loading.generation])

    @contextmanager
    def _batch(self, title: str, keys: list[Any], generations: Callable[[], list[int | None]]) -> Iterator[None]:
        try:
            span = self._cache._look(lambda: self._begin(title, keys, generations()))
        except Exception as failed:  # noqa: BLE001  # of a tracer: the load is none of its business
            self._cache._log.tell_failure("observer_failed", "the observer %r failed", self, error=failed)
            span = INVALID_SPAN
        result, error = "cancelled", None
        try:
            with current(span):
                yield
            result = "value"
        except Exception as raised:
            is_answer = self._cache._keyspace.policy.is_answer(raised)
            result, error = "answer" if is_answer else "failure", raised
            raise
        finally:
            with suppress(Exception):  # as above; there is nobody to tell
                end(span, result, error, time_ns())
            del error  # it knows this frame

    def _begin(self, title: str, keys: list[Any], generations: list[int | None]) -> Span:
        """Inside the lock: whoever joins meanwhile comes before or after."""
        loads = [load for number in generations if number is not None and (load := self._asked.get(number)) is not None]
        first = next((load for load in loads if load.is_waited_for), None)
        callers = [load.caller for load in loads if not load.is_waited_for]
        is_refresh = all(load.purpose == "refresh" for load in loads)
        batch = self._begun(title, keys, first, callers, "refresh" if is_refresh else "miss")
        for load in loads:
            load.batch = batch
            if load.is_waited_for:
                batch.link(load.caller, "loaded")
            for caller in load.waiting:
                batch.link(caller, "joined")
            load.waiting.clear()
        return batch.span

    def _begun(self, title: str, keys: list[Any], first: _Asked | None, refreshers: list[Span], purpose: str) -> _Batch:
        """The span of these keys.

        title: its name; first: below whose caller it is; refreshers: who gave rise to refreshes, and do not wait;
        purpose: what it is for.
        """
        attributes: dict[str, Any] = {"herdless.cache": self._name, "herdless.keys": len(keys)}
        attributes["herdless.purpose"] = purpose
        if self._show_keys:
            attributes["herdless.key"] = [self._shown(key) for key in keys]
        contexts = [caller.get_span_context() for caller in refreshers]
        links = [Link(told) for told in {told.span_id: told for told in contexts if told.is_valid}.values()]
        below = context.Context() if first is None else first.context
        span = self._tracer.start_span(title, below, attributes=attributes, links=links)
        parent = set() if first is None else {first.caller.get_span_context().span_id}
        return _Batch(span, parent)
