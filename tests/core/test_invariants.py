"""Each invariant is broken on purpose, by a step that no machine should take: a check must be able to fail."""

from __future__ import annotations

from typing import Final

import pytest

from herdless_core import (
    ABSENT,
    LONG_AGO,
    NEVER,
    Absent,
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
    Lifetime,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Pending,
    Policy,
    Put,
    Refresh,
    Refuse,
    Restarted,
    Save,
    Settle,
    SoftTimeoutPassed,
    Stale,
    StartLoad,
    Step,
    Value,
    WaiterLeft,
    age,
    transition,
)
from herdless_core.invariants import INVARIANTS, shift, violated

NOW: Final = 100
POLICY: Final = Policy(max_waiters=1)
LIFETIME: Final = Lifetime(ttl=50, early_refresh=50, stale_while_revalidate=50, stale_if_error=100)
FLIGHT: Final = Flight(3, NOW - 10, NEVER, waiters=1)
LONELY: Final = Flight(3, NOW - 10, NEVER, waiters=0)
CROWD: Final = Flight(3, NOW - 10, NEVER, waiters=2)
OVERDUE: Final = Flight(3, NOW - 10, NOW, waiters=1)
NEWER: Final = Flight(4, NOW, NEVER, waiters=1)
ERROR: Final = OSError("failed")
JOIN_NEWER: Final = Join(4, leads=True)
START_NEWER: Final = StartLoad(4, NEVER)
GET: Final = Get(4)


def _fresh(value: object, flight: Flight | None = None) -> Fresh:
    return Fresh(value, NOW, LIFETIME, NOW + 50, flight, NOW + 50)


def _stale(value: object, flight: Flight | None = None, *, stale_until: int = NOW + 50) -> Stale:
    return Stale(value, NOW - 50, stale_until, NOW + 100, LONG_AGO, flight)


def _given(value: object, *, is_stale: bool = False) -> Value:
    return Value(value, NOW, is_stale=is_stale)


Broken = tuple[str, Entry, Event, Entry, tuple[Effect, ...]]

SUCCEEDED: Final = LoadSucceeded(3, "new", LIFETIME)
REMOVED: Final = Evicted(Cause.INVALIDATED, FLIGHT)

BROKEN: Final[dict[str, Broken]] = {
    "a hit that lasts longer than its ttl": (
        "WellFormed",
        ABSENT,
        Put("new", LIFETIME),
        Fresh("new", NOW, LIFETIME, NOW + 50, None, NOW + 51),
        (Save(),),
    ),
    "fewer than no waiters": ("WellFormed", ABSENT, GET, Pending(Flight(4, NOW, NEVER, -1)), ()),
    "a remembered error that the hot path would answer with": (
        "WellFormed",
        Pending(FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        Fresh(Failure(ERROR, None), NOW, LIFETIME, NOW + 50, None, NOW + 50),
        (Save(), Settle(3, Failure(ERROR, None))),
    ),
    "a timeout that is remembered": (
        "WellFormed",
        Pending(FLIGHT),
        DeadlinePassed(3),
        Fresh(Failure(LoadTimeout(), None), NOW, LIFETIME, NOW + 50, None, LONG_AGO),
        (Save(), Settle(3, Failure(LoadTimeout(), None))),
    ),
    "a value kept for less time than it is served": (
        "WellFormed",
        ABSENT,
        Expire(),
        Stale("old", NOW, NOW + 2, NOW + 1, NOW, None),
        (),
    ),
    "a second load beside the first": ("SingleFlight", Pending(FLIGHT), GET, Pending(NEWER), (JOIN_NEWER, START_NEWER)),
    "two loads in one step": ("SingleFlight", ABSENT, GET, Pending(NEWER), (JOIN_NEWER, START_NEWER, START_NEWER)),
    "a load that nothing keeps": ("SingleFlight", ABSENT, GET, ABSENT, (JOIN_NEWER, START_NEWER)),
    "a superseded value is stored": (
        "NoStaleSet",
        _fresh("old"),
        LoadSucceeded(2, "older", LIFETIME),
        _fresh("older"),
        (Save(), Settle(2, _given("older"))),
    ),
    "a removed entry stores a value": (
        "NoStaleSet",
        REMOVED,
        SUCCEEDED,
        _fresh("new"),
        (Save(), Settle(3, _given("new"))),
    ),
    "a lookup is answered with what the entry does not hold": (
        "NoStaleRead",
        _fresh("new"),
        GET,
        _fresh("new"),
        (Answer(_given("old")),),
    ),
    "an invalidation that leaves the flight to be joined": (
        "NoStaleRead",
        Pending(FLIGHT),
        Invalidate(),
        Pending(FLIGHT),
        (Forget(),),
    ),
    "a flight that outlives its owner": ("NoDoomedJoin", Pending(FLIGHT), Restarted(), Pending(FLIGHT), ()),
    "a lookup is answered out of nothing": ("NoStaleRead", ABSENT, GET, ABSENT, (Answer(_given(None)),)),
    "a lookup without a reply": ("AnsweredOnce", _fresh("new"), GET, _fresh("new"), ()),
    "a lookup with two replies": (
        "AnsweredOnce",
        Pending(FLIGHT),
        GET,
        Pending(CROWD),
        (Join(3, leads=False), Refuse(1)),
    ),
    "a flight settled twice": (
        "AnsweredOnce",
        Pending(FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        ABSENT,
        (Settle(3, Failure(ERROR, None)),) * 2,
    ),
    "waiters who are forgotten": ("AnsweredOnce", Pending(FLIGHT), LoadFailed(3, ERROR, is_answer=False), ABSENT, ()),
    "waiters who are answered and kept": (
        "AnsweredOnce",
        Pending(FLIGHT),
        SUCCEEDED,
        Pending(FLIGHT),
        (Settle(3, _given("new")),),
    ),
    "waiters who get another value than was loaded": (
        "SameOutcome",
        Pending(FLIGHT),
        SUCCEEDED,
        _fresh("new"),
        (Save(), Settle(3, _given("other"))),
    ),
    "waiters who get another value than was put": (
        "SameOutcome",
        Pending(FLIGHT),
        Put("new", LIFETIME),
        _fresh("new"),
        (Save(), Settle(3, _given("other"))),
    ),
    "waiters who get another error than was raised": (
        "SameOutcome",
        Pending(FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        ABSENT,
        (Settle(3, Failure(ValueError(), None)),),
    ),
    "a late load that ends as anything but LoadTimeout": (
        "SameOutcome",
        Pending(OVERDUE),
        DeadlinePassed(3),
        ABSENT,
        (Settle(3, Failure(ERROR, None)),),
    ),
    "waiters who are answered by a restart": (
        "SameOutcome",
        Pending(FLIGHT),
        Restarted(),
        ABSENT,
        (Settle(3, _given("old")),),
    ),
    "a caller joins a load that is late": (
        "NoDoomedJoin",
        Pending(OVERDUE),
        GET,
        Pending(Flight(3, NOW - 10, NOW, 2)),
        (Join(3, leads=False),),
    ),
    "a caller joins a flight that is not there": ("NoDoomedJoin", ABSENT, GET, ABSENT, (JOIN_NEWER,)),
    "a hit past its ttl": ("HitAge", _stale("old", NEWER), GET, _stale("old", NEWER), (Answer(_given("old")),)),
    "a stale hit without a refresh": (
        "HitAge",
        _stale("old"),
        GET,
        _stale("old"),
        (Answer(_given("old", is_stale=True)),),
    ),
    "a stale hit past its window": (
        "HitAge",
        _stale("old", NEWER, stale_until=NOW),
        GET,
        _stale("old", NEWER, stale_until=NOW),
        (Answer(_given("old", is_stale=True)),),
    ),
    "a stale hit on a fresh value": (
        "HitAge",
        _fresh("new"),
        GET,
        _fresh("new"),
        (Answer(_given("new", is_stale=True)),),
    ),
    "an error over a usable value": (
        "StaleIfError",
        _stale("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        ABSENT,
        (Settle(3, Failure(ERROR, None)),),
    ),
    "an error to waiters who could have had a value": (
        "StaleIfError",
        _stale("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        _stale("old"),
        (Settle(3, Failure(ERROR, None)),),
    ),
    "a value in the place of an answer": (
        "AnswersReplace",
        _stale("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=True),
        _stale("old"),
        (Settle(3, Failure(ERROR, None)),),
    ),
    "a value to waiters who are to be told the answer": (
        "AnswersReplace",
        _stale("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=True),
        ABSENT,
        (Settle(3, _given("old", is_stale=True)),),
    ),
    "a value that is kept all the same": (
        "NotKept",
        Pending(FLIGHT),
        LoadSucceeded(3, "new", None),
        _fresh("new"),
        (Save(), Settle(3, _given("new"))),
    ),
    "a value that takes the one before along": (
        "NotKept",
        _fresh("old", FLIGHT),
        LoadSucceeded(3, "new", None),
        ABSENT,
        (Settle(3, _given("new")),),
    ),
    "an old value that is taken for a new one": (
        "HitAge",
        Pending(FLIGHT),
        LoadSucceeded(3, "new", LIFETIME, 7),
        Fresh("new", NOW - 10, LIFETIME, NOW + 40, None, NOW + 40),
        (Save(), Settle(3, _given("new"))),
    ),
    "an old value that is put as a new one": (
        "HitAge",
        ABSENT,
        Put("new", LIFETIME, 7),
        _fresh("new"),
        (Save(),),
    ),
    "a value that lives longer than was said": (
        "HitAge",
        ABSENT,
        Put("new", Lifetime(ttl=1, early_refresh=1, stale_while_revalidate=0, stale_if_error=0)),
        _fresh("new"),
        (Save(),),
    ),
    "a reload that is answered by what is held": (
        "ReloadIsNew",
        _fresh("old"),
        Get(4, reloads=True),
        _fresh("old"),
        (Answer(_given("old")),),
    ),
    "a soft timeout that answers nobody": (
        "SoftAnswer",
        _stale("old", FLIGHT),
        SoftTimeoutPassed(3),
        _stale("old", FLIGHT),
        (),
    ),
    "a soft timeout that answers where nothing is kept": (
        "SoftAnswer",
        Pending(FLIGHT),
        SoftTimeoutPassed(3),
        Pending(FLIGHT),
        (Answer(_given("new")),),
    ),
    "no rest after a failed refresh": (
        "BacksOff",
        _stale("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        _stale("old"),
        (Settle(3, _given("old")),),
    ),
    "no rest after a failed early refresh": (
        "BacksOff",
        _fresh("old", FLIGHT),
        LoadFailed(3, ERROR, is_answer=False),
        _fresh("old"),
        (Settle(3, _given("old")),),
    ),
    "a refresh while another backs off": (
        "BacksOff",
        Stale("old", NOW - 50, NOW + 50, NOW + 100, NOW + 1, None),
        GET,
        Stale("old", NOW - 50, NOW + 50, NOW + 100, NOW + 1, NEWER),
        (Answer(_given("old", is_stale=True)), START_NEWER),
    ),
    "an early refresh before its time": (
        "BacksOff",
        _fresh("old"),
        GET,
        _fresh("old", NEWER),
        (Answer(_given("old")), START_NEWER),
    ),
    "a refresh behind a value that is not there": (
        "HitAge",
        ABSENT,
        GET,
        Pending(NEWER),
        (Answer(_given("old")), START_NEWER),
    ),
    "a generation out of nowhere": ("GenerationMonotone", ABSENT, Expire(), Pending(NEWER), ()),
    "a generation that goes back": (
        "GenerationMonotone",
        Pending(NEWER),
        Get(3),
        Pending(FLIGHT),
        (Join(3, leads=True),),
    ),
    "an entry that comes back": ("EvictedIsFinal", REMOVED, Put("new", LIFETIME), _fresh("new"), (Save(),)),
    "an entry that changes its cause": ("EvictedIsFinal", REMOVED, Evict(), Evicted(Cause.EVICTED, FLIGHT), ()),
    "a victim with waiters": (
        "PendingIsNoVictim",
        _fresh("new", FLIGHT),
        Evict(),
        Evicted(Cause.EVICTED, FLIGHT),
        (Forget(),),
    ),
    "a waiter who is not counted": ("WaiterCount", Pending(FLIGHT), GET, Pending(FLIGHT), (Join(3, leads=False),)),
    "a waiter who left and is still counted": (
        "WaiterCount",
        Pending(CROWD),
        WaiterLeft(3, can_cancel=True),
        Pending(CROWD),
        (),
    ),
    "one waiter too many": ("Bounded", Pending(FLIGHT), GET, Pending(CROWD), (Join(3, leads=False),)),
    "waiters woken before the value is durable": (
        "SaveBeforeSettle",
        Pending(FLIGHT),
        SUCCEEDED,
        _fresh("new"),
        (Settle(3, _given("new")), Save()),
    ),
    "a value that is never made durable": (
        "SaveBeforeSettle",
        Pending(FLIGHT),
        SUCCEEDED,
        _fresh("new"),
        (Settle(3, _given("new")),),
    ),
    "a load that a put leaves running": (
        "UnwantedIsCancelled",
        Pending(FLIGHT),
        Put("new", LIFETIME),
        _fresh("new"),
        (Save(), Settle(3, _given("new"))),
    ),
    "a load that its last waiter leaves running": (
        "UnwantedIsCancelled",
        Pending(FLIGHT),
        WaiterLeft(3, can_cancel=True),
        Pending(Flight(3, FLIGHT.started_at, FLIGHT.due_at, 0)),
        (),
    ),
    "a load that is given up though it cannot be cancelled": (
        "UnwantedIsCancelled",
        Pending(FLIGHT),
        WaiterLeft(3, can_cancel=False),
        ABSENT,
        (CancelLoad(3),),
    ),
    "a refresh that does not come": ("RefreshLoads", _stale("old"), Refresh(4), _stale("old"), ()),
    "an expired value without its windows": (
        "ExpireKeepsWindows",
        _fresh("old"),
        Expire(),
        Stale("old", NOW - 50, NOW, NOW, NOW, None),
        (Save(),),
    ),
    "an expired value that is not saved": (
        "ExpireKeepsWindows",
        _fresh("old"),
        Expire(),
        transition(_fresh("old"), Expire(), NOW, POLICY)[0],
        (),
    ),
    "a stale hit behind which nothing is loaded": (
        "RefreshIsStarted",
        Stale("old", NOW - 50, NOW + 50, NOW + 100, NOW, None),
        GET,
        Stale("old", NOW - 50, NOW + 50, NOW + 100, NOW, None),
        (Answer(_given("old", is_stale=True)),),
    ),
    "a hit past the early point behind which nothing is loaded": (
        "RefreshIsStarted",
        Fresh("old", NOW - 50, LIFETIME, NOW, None, NOW),
        GET,
        Fresh("old", NOW - 50, LIFETIME, NOW, None, NOW),
        (Answer(_given("old")),),
    ),
    "an instant that is special": ("TimeShift", _fresh("old"), Invalidate(), ABSENT, (Forget(),)),
}


OF_HIT_UNTIL: Final = {
    "a hit that lasts longer than its ttl",
    "a remembered error that the hot path would answer with",
}
COMPUTED: Final = pytest.mark.pure("the compiled library computes `hit_until`, so it cannot be wrong there")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=COMPUTED) if name in OF_HIT_UNTIL else name for name in BROKEN]
)
def test_the_invariant_sees_it(name: str) -> None:
    """The named invariant does not hold of the step, so it would be reported."""
    invariant, before, event, after, effects = BROKEN[name]
    step = Step(before, event, NOW, POLICY, after, effects)
    assert invariant in violated(step)


def test_every_invariant_is_broken_somewhere() -> None:
    """A new invariant needs a step that breaks it."""
    assert {invariant for invariant, *_ in BROKEN.values()} == set(INVARIANTS)


@pytest.mark.parametrize("entry", [ABSENT, Pending(FLIGHT), _fresh("v", OVERDUE), _stale("v"), REMOVED], ids=repr)
def test_shifting_there_and_back_changes_nothing(entry: Entry) -> None:
    """TimeShift is only as good as the shift."""
    assert shift(shift(entry, 7), -7) == entry
    assert isinstance(entry, Absent) or shift(entry, 7) != entry or entry.flight is None or entry.flight is FLIGHT


def test_a_shifted_entry_ages_by_the_shift_later() -> None:
    """The boundary moves along, exactly."""
    entry = shift(_fresh("v"), 7)
    assert isinstance(age(entry, NOW + 56), Fresh)
    assert isinstance(age(entry, NOW + 57), Stale)


def test_a_step_of_the_machine_breaks_none() -> None:
    """The same check, on what the machine really does here."""
    for _, before, event, _, _ in BROKEN.values():
        if not (before.flight is not None and isinstance(event, Get) and event.generation <= before.flight.generation):
            assert violated(Step(before, event, NOW, POLICY, *transition(before, event, NOW, POLICY))) == []
