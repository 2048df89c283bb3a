"""A step in words: every event, effect and state can be said, in each of the three ways."""

from __future__ import annotations

import pytest

from herdless._trace.words import (
    change_as_story,
    describe,
    effect_as_story,
    effect_in_words,
    entry_in_words,
    event_as_story,
    name_of,
    step_in_words,
)
from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    CancelLoad,
    Cause,
    DeadlinePassed,
    Effect,
    Entry,
    Event,
    Evict,
    Evicted,
    Expire,
    Failure,
    Flight,
    Forget,
    Fresh,
    Get,
    Invalidate,
    Join,
    LoadFailed,
    LoadSucceeded,
    Pending,
    Policy,
    Put,
    Rearm,
    Refresh,
    Refuse,
    Restarted,
    Save,
    Settle,
    Stale,
    StartLoad,
    Step,
    Value,
    WaiterLeft,
    transition,
)

SECOND = NANOSECONDS_PER_SECOND
NOW = 100 * SECOND
POLICY = Policy(ttl=60)
FLIGHT = Flight(2, NOW - SECOND, NEVER, 1)
BROKEN = Failure(LookupError("no such row"), None)

EVENTS: tuple[tuple[Event, str, str], ...] = (
    (Get(1), "Get 1", "get"),
    (Put("milk", POLICY.lifetime), "Put", "put 'milk'"),
    (Invalidate(), "Invalidate", "invalidate"),
    (Expire(), "Expire", "expire"),
    (Refresh(1), "Refresh 1", "refresh"),
    (Get(1, reloads=True), "Get 1", "reload"),
    (Evict(), "Evict", "evicted, for want of room or because it has expired"),
    (LoadSucceeded(1, "milk", POLICY.lifetime), "LoadSucceeded 1", "load 1 gave 'milk'"),
    (LoadSucceeded(1, "milk", None), "LoadSucceeded 1", "load 1 gave 'milk', not to be kept"),
    (LoadSucceeded(1, "milk", POLICY.lifetime, 2 * SECOND), "LoadSucceeded 1", "load 1 gave 'milk', 2 s old"),
    (Put("milk", POLICY.lifetime, 2 * SECOND), "Put", "put 'milk', 2 s old"),
    (LoadFailed(1, BROKEN.error, is_answer=False), "LoadFailed 1", "load 1 failed, no such row"),
    (LoadFailed(1, BROKEN.error, is_answer=True), "LoadFailed 1", "load 1 answered, no such row"),
    (DeadlinePassed(1), "DeadlinePassed 1", "the timer of load 1 goes off"),
    (WaiterLeft(1, can_cancel=True), "WaiterLeft 1", "leaves, waits no longer for load 1"),
    (Restarted(), "Restarted", "restarted, no flight is left"),
)

EFFECTS: tuple[tuple[Effect, str, str], ...] = (
    (Answer(Value("milk", NOW, False)), "Answer with value 'milk' loaded now", "'milk'"),
    (Join(1, True), "Join 1 as its first waiter", "waits for load 1"),
    (Join(1, False), "Join 1 as one more waiter", "waits for load 1"),
    (Refuse(3), "Refuse", "refused, 3 wait already"),
    (StartLoad(1, NEVER), "StartLoad 1, due never", "start load 1"),
    (CancelLoad(1), "CancelLoad 1", "cancel load 1"),
    (
        Settle(1, Value("milk", NOW - SECOND, True)),
        "Settle 1 with value 'milk' loaded 1 s ago, stale",
        "'milk', stale",
    ),
    (Settle(1, BROKEN), "Settle 1 with LookupError('no such row')", "no such row"),
    (Rearm(1, NOW + SECOND), "Rearm 1, due in 1 s", "not due yet"),
    (Save(), "Save", ""),
    (Forget(), "Forget", ""),
)

ENTRIES: tuple[tuple[Entry, str], ...] = (
    (ABSENT, "Absent"),
    (Pending(FLIGHT), "Pending, flight 2 started 1 s ago, due never, 1 waiting"),
    (
        Fresh("milk", NOW, POLICY.lifetime, NOW + SECOND, None, NOW + SECOND),
        "Fresh, value 'milk', loaded now, ttl 60 s, refresh_at in 1 s, hit_until in 1 s",
    ),
    (
        Stale("milk", NOW - 1, NOW, NOW + SECOND, NEVER, None),
        "Stale, value 'milk', loaded 1 ns ago, stale_until now, kept_until in 1 s, retry_at never",
    ),
    (Evicted(Cause.INVALIDATED, FLIGHT), "Evicted, invalidated, flight 2 started 1 s ago, due never, 1 waiting"),
)


@pytest.mark.parametrize(("event", "name", "story"), EVENTS, ids=lambda each: each if isinstance(each, str) else "")
def test_event_is_said_by_name_and_as_a_story(event: Event, name: str, story: str) -> None:
    """Complaints name the flight that an event is about; drawings are for readers who know no class."""
    assert name_of(event) == name
    assert event_as_story(event) == story


@pytest.mark.parametrize(("effect", "words", "story"), EFFECTS, ids=lambda each: each if isinstance(each, str) else "")
def test_effect_is_said_in_full_and_as_a_story(effect: Effect, words: str, story: str) -> None:
    """Counterexamples give what was ordered and for when; drawings what a caller sees of it."""
    assert effect_in_words(effect, NOW) == words
    assert effect_as_story(effect) == story


@pytest.mark.parametrize(("entry", "words"), ENTRIES, ids=lambda each: each if isinstance(each, str) else "")
def test_entry_is_said_with_all_that_it_holds(entry: Entry, words: str) -> None:
    """What decides the next step must be there to read, each instant as counted from now."""
    assert entry_in_words(entry, NOW) == words


def test_step_is_said_the_same_way_in_each_run() -> None:
    """A complaint that differs from run to run cannot be searched for: keys are shown, objects are named by type."""
    step = Step(ABSENT, Get(1), NOW, POLICY, *transition(ABSENT, Get(1), NOW, POLICY))
    assert describe("a", step) == f"{NOW} ns 'a': Get 1: Absent -> Pending: Join 1, StartLoad 1"
    assert step_in_words(step) == (
        "before: Absent",
        "event:  Get 1",
        "after:  Pending, flight 1 started now, due never, 1 waiting",
        "orders: Join 1 as its first waiter; StartLoad 1, due never",
    )
    assert change_as_story(step.before, step.after) == "absent to pending"
    assert change_as_story(step.before, step.before) == ""
