"""Adapters broken on purpose: the kit finds each, shows the steps, and repeats them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import herdless_core._keyspace
from herdless import _primitives
from herdless.adapter import BaseCache, value_of
from herdless.testing import Schedule, ScheduleFailed, explore, replay, sample
from herdless.threads import Cache
from herdless_core import NEVER, Answer, Join, Value, reply_of
from tests.schedules import threads_scene as scenes
from tests.schedules.no_lock import NoLock
from tests.schedules.threads_scene import run_scene

Run = Callable[[Schedule], object]

pytestmark = pytest.mark.pure("breaks adapters by replacing their methods")


def failure(run: Run, *, bound: int = 2, in_every_order: bool = False) -> ScheduleFailed:
    """How the exploration fails, where the natural order does not: so it is the order that is found, and not an adapter
    that cannot run at all. A kit that finds nothing fails the test.
    """
    if not in_every_order:
        replay(run, [])
    with pytest.raises(ScheduleFailed) as caught:
        explore(run, bound=bound)
    return caught.value


def assert_it_repeats(run: Run, failed: ScheduleFailed) -> None:
    """The list in the message leads to the same steps and the same complaint."""
    taken = re.search(r"replay\(run, \[([\d, ]*)\]\)", str(failed))
    assert taken is not None
    with pytest.raises(ScheduleFailed) as again:
        replay(run, [int(each) for each in taken[1].split(",") if each])
    assert str(again.value).partition(":")[2] == str(failed).partition(":")[2]


def test_lost_wake_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter looks whether its load has ended, and only then begins to listen for the end."""
    bells: dict[int, Any] = {}

    def wait(_self: Any, flight: Any, wait: Any, *_until: int) -> Any:
        if wait.outcome is None:
            with bell_of(flight) as bell:
                bell.wait()
        return wait.outcome

    def settle(_self: Any, flight: Any, outcome: Any) -> None:
        flight.wait.outcome = outcome
        with bell_of(flight) as bell:
            bell.notify_all()

    @contextlib.contextmanager
    def bell_of(flight: Any) -> Any:
        bell = bells.setdefault(flight.generation, _primitives.Condition())
        with bell:
            yield bell

    monkeypatch.setattr(Cache, "_wait", wait)
    monkeypatch.setattr(Cache, "_settle", settle)

    def run(schedule: Schedule) -> None:
        bells.clear()
        run_scene(scenes.two_callers, schedule)

    failed = failure(run)
    assert "no thread can go on" in str(failed)
    assert "waits for a condition" in str(failed)
    assert_it_repeats(run, failed)


def test_waiter_registered_outside_the_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller looks for its flight after the critical section of its step, when the flight may be settled already."""

    def answer(self: Any, key: str, _timeout: float | None, _load: object) -> Any:
        with self._lock:
            effects = self._keyspace.get(key, self._clock(), None)
            boarded = self._carry_out(effects)
        reply = reply_of(effects)
        if boarded is not None:
            wait = boarded.wait
            self._run(boarded)
            return wait.outcome, "loaded"
        if isinstance(reply, Join):
            flight = self._flights[reply.generation]
            wait = flight.wait
            wait.park()
            return self._wait(flight, wait, NEVER), "joined"
        assert isinstance(reply, Answer)
        return reply.outcome, "hit"

    monkeypatch.setattr(Cache, "_answer", answer)
    run = partial(run_scene, scenes.two_callers)
    failed = failure(run)
    assert "KeyError" in str(failed)
    assert_it_repeats(run, failed)


def test_step_outside_the_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is locked at all: a switch between two lines of the keyspace gives two loads of one key."""
    init = BaseCache.__init__

    def without_lock(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._lock = NoLock()

    monkeypatch.setattr(BaseCache, "__init__", without_lock)
    run = partial(run_scene, scenes.two_callers, lines_of=[herdless_core._keyspace.__file__])
    failed = failure(run, bound=1)
    assert "reaches line" in str(failed)
    assert_it_repeats(run, failed)


def test_check_outside_the_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller looks whether a load is in flight, and acts upon that in another critical section, when it may not be
    so any more.
    """

    def answer(self: Any, key: str, _timeout: float | None, _load: object) -> Any:
        with self._lock:
            leads = self._keyspace.entry(key).flight is None
        with self._lock:
            asked: Any
            asked, boarded = BaseCache._ask(self, key, None, None)
            wait = None if isinstance(asked, Answer) else asked.wait
            if wait is not None and not leads:
                wait.park()
        if isinstance(asked, Answer):
            return value_of(asked.outcome), "hit"
        if leads:
            self._run(asked)
        return value_of(self._wait(asked, wait, NEVER)), "loaded" if asked is boarded else "joined"

    monkeypatch.setattr(Cache, "_answer", answer)
    run = partial(run_scene, scenes.two_callers)
    failed = failure(run)
    assert "called its loader twice" in str(failed)
    assert_it_repeats(run, failed)


def test_wake_before_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiters are woken first and the value is stored afterwards: who asks again at once does not find it."""
    succeeded = Cache._succeeded

    def wake_first(self: Any, flight: Any, value: object) -> None:
        if flight.wait is not None:
            flight.wait.outcome = Value(value, 0, is_stale=False)
            if flight.wait.done is not None:
                flight.wait.done.set()
        succeeded(self, flight, value)

    monkeypatch.setattr(Cache, "_succeeded", wake_first)
    run = partial(run_scene, scenes.two_callers_who_ask_again)
    failed = failure(run)
    assert "a caller was woken before the value was in the cache" in str(failed)
    assert_it_repeats(run, failed)


def test_stale_value_after_invalidation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that keeps values of its own, beside the entry, serves what was invalidated."""
    kept: dict[str, Any] = {}
    answer = Cache._answer

    def remembering(self: Any, key: str, timeout: float | None, load: Any) -> Any:
        if key not in kept:
            kept[key] = answer(self, key, timeout, load)
        return kept[key]

    monkeypatch.setattr(Cache, "_answer", remembering)

    def run(schedule: Schedule) -> None:
        kept.clear()
        run_scene(scenes.a_removal, schedule)

    assert re.search("NoStaleRead|explains what was seen", str(failure(run, in_every_order=True)))


def test_random_priorities_find_the_lost_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """PCT meets a bug of depth two in few runs, where exploration would be too long."""
    monkeypatch.setattr(Cache, "_settle", lambda _self, flight, outcome: setattr(flight.wait, "outcome", outcome))
    with pytest.raises(ScheduleFailed, match="no thread can go on"):
        sample(partial(run_scene, scenes.three_callers), seeds=range(100), switches=1)
