"""What an adapter may rely on: a step, what it ordered and the answers to questions are in one critical section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from herdless.adapter import LOADING, BaseCache, RunningLoad, value_of
from herdless_core import NEVER, Failure, Outcome, Value

T = TypeVar("T")


class Flight(RunningLoad):
    """A load whose outcome is kept."""

    outcome: Outcome | None = None


class Cache(BaseCache[str, str, Flight]):
    """A runtime in which nothing goes on by itself: loads run when the test says so. Notes where it is called."""

    def __init__(self, **options: Any) -> None:
        self.inside: list[tuple[str, bool]] = []
        self.launched: list[Flight] = []
        BaseCache.__init__(self, lambda key: key.upper(), Flight, clock=lambda: self.now, **options)

    now = 0

    def note(self, what: str) -> None:
        """Whether this thread has the lock now."""
        self.inside.append((what, self._is_inside()))

    def begin(self, key: str) -> Flight:
        """A caller comes, who will wait."""
        asked, _, _ = self._enter(key)
        assert isinstance(asked, Flight)
        return asked

    def end(self, flight: Flight) -> None:
        """Its load gives the value."""
        token = LOADING.set(flight)
        try:
            value = self._load(flight.key)
        finally:
            LOADING.reset(token)
        self._succeeded(flight, value)

    def _launch(self, flight: Flight) -> None:
        self.note("launch")
        flight.is_launched = True
        self.launched.append(flight)

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        self.note("settle")
        flight.outcome = outcome

    def _cancel(self, flight: Flight) -> None:
        self.note("cancel")

    def _arm(self, flight: Flight) -> None:
        self.note("arm")

    def _equip(self, flight: Flight) -> None:
        self.note("equip")

    def _look(self, question: Callable[[], T]) -> T:
        def asked() -> T:
            self.note("question")
            return question()

        return super()._look(asked)

    def _park(self, flight: Flight, boarded: Flight | None, place: object, loading: RunningLoad | None) -> None:
        self.note("park")


def loads(cache: Cache) -> None:
    """A value is loaded, bare."""
    cache.end(cache.begin("a"))


def loads_what_is_refused(cache: Cache) -> None:
    """A load fails."""
    cache._failed(cache.begin("a"), OSError())


def puts(cache: Cache) -> None:
    """A value is put during a load."""
    cache.begin("a")
    cache.put("a", "put")


def removes(cache: Cache) -> None:
    """A load that nobody waits for is removed."""
    cache.refresh("a")
    cache.invalidate("a")


def leaves(cache: Cache) -> None:
    """The only caller leaves."""
    cache._left(cache.begin("a"), can_cancel=True)


def is_late(cache: Cache) -> None:
    """The timer goes off."""
    flight = cache.begin("a")
    cache.now = flight.due_at
    cache._deadline_passed(flight)


def closes(cache: Cache) -> None:
    """The cache is closed during a load."""
    cache.begin("a")
    cache._refuse_more(cancel=True)


@pytest.mark.parametrize(
    ("play", "orders"),
    [
        (loads, {"equip", "arm", "park", "settle"}),
        (loads_what_is_refused, {"equip", "arm", "park", "settle"}),
        (puts, {"equip", "arm", "park", "settle", "cancel"}),
        (removes, {"equip", "arm", "settle", "cancel"}),
        (leaves, {"equip", "arm", "park", "settle", "cancel"}),
        (is_late, {"equip", "arm", "park", "settle", "cancel"}),
        (closes, {"equip", "arm", "park", "settle", "cancel"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_a_step_orders_is_done_before_the_lock_is_given_back(
    play: Callable[[Cache], None], orders: set[str]
) -> None:
    """Between a step and its orders another thread would find a cache that says what is not so yet."""
    cache = Cache(load_timeout=1)
    play(cache)
    assert {what for what, _ in cache.inside} == {*orders, "launch"}
    assert {what for what, is_inside in cache.inside if not is_inside} == {"launch"}
    assert not cache._is_inside()


@pytest.mark.parametrize(
    "ask",
    [
        lambda cache: cache.peek("a"),
        lambda cache: "a" in cache,
        len,
        lambda cache: cache.stats(),
    ],
    ids=["peek", "in", "len", "stats"],
)
def test_a_question_is_asked_inside_the_lock(ask: Callable[[Cache], object]) -> None:
    """Another thread may be between two tables just then: a key that has a value would be in neither, or in both."""
    cache = Cache()
    loads(cache)
    cache.inside.clear()
    ask(cache)
    assert cache.inside == [("question", True)]


def test_one_who_was_answered_does_not_leave() -> None:
    """The key may have another flight by then, and the count of those who wait for that one is its own."""
    cache = Cache()
    early = cache.begin("a")
    cache.end(early)
    cache.invalidate("a")
    late = cache.begin("a")
    cache._left(early, can_cancel=True)
    assert cache._keyspace.waiters(late.generation) == 1
    assert isinstance(early.outcome, Value)
    assert value_of(early.outcome).value == "A"
    assert not isinstance(early.outcome, Failure)
    assert late.due_at == NEVER
