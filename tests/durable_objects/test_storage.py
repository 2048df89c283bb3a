"""What an instance finds, what it leaves, and when its alarm comes: over SQLite, no workerd is needed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest

from herdless._durable.alarm import LEASE, LEASE_MARGIN
from herdless._durable.entry import DurableEntry
from herdless._durable.storage import MAX_SKEW, VERSION, EntryStorage
from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Answer,
    Effects,
    Fresh,
    Get,
    LoadSucceeded,
    Policy,
    Restarted,
    Settle,
    Stale,
    StartLoad,
    Step,
    Value,
    reply_of,
    to_plain,
)
from tests.durable_objects.disk import Disk

NOW: Final = 1_800_000_000 * NANOSECONDS_PER_SECOND
SECOND: Final = NANOSECONDS_PER_SECOND
MILLISECOND: Final = SECOND // 1000
POLICY: Final = Policy(ttl=10, stale_while_revalidate=10, stale_if_error=30)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Where the object stores."""
    disk = Disk()
    yield disk
    disk.close()


def started(disk: Disk, now: int = NOW, policy: Policy = POLICY, **options: Any) -> DurableEntry:
    """An instance of the object."""
    return DurableEntry(EntryStorage(disk), "key", policy, now, **options)


def loads_in(effects: Effects) -> list[int]:
    """The generations of the loads that a step orders."""
    return [effect.generation for effect in effects if isinstance(effect, StartLoad)]


def loading(entry: DurableEntry, now: int) -> int:
    """The generation of the load that a lookup starts."""
    (generation,) = loads_in(entry.get(now))
    return generation


def loaded(disk: Disk, value: str = '"old"', policy: Policy = POLICY, **options: Any) -> DurableEntry:
    """An instance that has loaded this value."""
    entry = started(disk, policy=policy, **options)
    entry.load_succeeded(loading(entry, NOW), value, NOW)
    return entry


# What an instance finds


def test_a_value_is_found_again(disk: Disk) -> None:
    """That is what it is stored for."""
    loaded(disk)
    assert started(disk, NOW + SECOND).hit(NOW + SECOND) == Value('"old"', NOW, is_stale=False)


def test_a_value_of_the_first_version_is_found(disk: Disk) -> None:
    """It was written without a number. An update of herdless must not empty the cache."""
    loaded(disk)
    ((content,),) = disk.sql.exec("SELECT content FROM herdless WHERE part = 1").raw()
    plain = json.loads(content)
    assert plain.pop("version") == VERSION
    disk.sql.exec("UPDATE herdless SET content = ? WHERE part = 1", json.dumps(plain))
    assert started(disk).hit(NOW) is not None


PLAIN: Final = to_plain(Fresh("", NOW, POLICY.lifetime, NOW, None, NOW), lambda _: None)

UNREADABLE: Final[dict[str, object]] = {
    "another version": {"version": VERSION + 1, **PLAIN},
    "no object": [1, 2, 3],
    "no state": {},
    "an unknown state": {"state": "odd"},
    "a text for a number": {**PLAIN, "loaded_at": "soon"},
    "an infinity": {**PLAIN, "loaded_at": float("inf")},
    "nothing for a number": {**PLAIN, "loaded_at": None},
    "no lifetime": {**PLAIN, "lifetime": None},
    "half an error": {**PLAIN, "error": {}},
    "a time to come": {**PLAIN, "loaded_at": NOW + MAX_SKEW + 1},
}


OTHER: Final[dict[str, object]] = {
    "nothing": None,
    "a number": 7,
    "bytes": b"\xff",
    "half a text": "{",
    "a deep text": "[" * 100_000,
}


@pytest.mark.parametrize("content", [*UNREADABLE.values(), *OTHER.values()], ids=[*UNREADABLE, *OTHER])
def test_an_entry_that_cannot_be_read_is_loaded_again(
    disk: Disk, caplog: pytest.LogCaptureFixture, content: Any
) -> None:
    """Whatever is wrong with it: an object that cannot be made is broken for good, and its key with it."""
    loaded(disk)
    content = json.dumps(content) if isinstance(content, (dict, list)) else content
    disk.sql.exec("UPDATE herdless SET content = ? WHERE part = 1", content)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="herdless"):
        entry = started(disk)
    assert "cannot be read, and is dropped" in caplog.text
    entry.load_succeeded(loading(entry, NOW), '"new"', NOW)
    assert started(disk).hit(NOW) == Value('"new"', NOW, is_stale=False)


@pytest.mark.parametrize("body", [None, 7, 1.5])
def test_a_value_that_is_no_body_is_loaded_again(disk: Disk, body: Any) -> None:
    """A caller could not decode it."""
    loaded(disk)
    disk.sql.exec("UPDATE herdless SET body = ? WHERE part = 1", body)
    assert started(disk).hit(NOW) is None


TABLES: Final = {
    "another table": "CREATE TABLE herdless (name TEXT)",
    "no generation": "CREATE TABLE herdless (part, content, body); INSERT INTO herdless VALUES (0, 'soon', NULL)",
    "nothing": "CREATE TABLE herdless (part, content, body); INSERT INTO herdless VALUES (0, NULL, NULL)",
    "no integer": "CREATE TABLE herdless (part, content, body); INSERT INTO herdless VALUES (0, 9e999, NULL)",
    "less than 0": "CREATE TABLE herdless (part, content, body); INSERT INTO herdless VALUES (0, -1, NULL)",
    "too large": "CREATE TABLE herdless (part, content, body); INSERT INTO herdless VALUES (0, 9007199254740992, NULL)",
}


@pytest.mark.parametrize("statements", TABLES.values(), ids=TABLES)
def test_a_table_that_makes_no_sense_is_freed(disk: Disk, caplog: pytest.LogCaptureFixture, statements: str) -> None:
    """Another version's, or nobody's: this one could not write to it either."""
    for statement in statements.split("; "):
        disk.sql.exec(statement)
    with caplog.at_level(logging.WARNING, logger="herdless"):
        entry = started(disk)
    assert "could not be read, and is freed" in caplog.text
    entry.load_succeeded(loading(entry, NOW), '"new"', NOW)
    assert entry.refusal is None
    assert started(disk).hit(NOW) == Value('"new"', NOW, is_stale=False)


def test_a_storage_that_fails_wedges_no_constructor(disk: Disk) -> None:
    """Every touch of it fails, and the object is made; when it is whole again, what is stored is found."""
    loaded(disk)
    disk.fails = lambda _touch, _what: True
    entry = started(disk)
    disk.heal()
    assert reply_of(entry.get(NOW)) == Answer(Value('"old"', NOW, is_stale=False))
    assert entry.refusal is None


# What an instance leaves


def test_what_could_not_be_deleted_is_deleted_at_the_next_step(disk: Disk) -> None:
    """As long as it is there, a restart would bring back what was replaced."""
    entry = loaded(disk)
    disk.fails = lambda _, what: what.startswith(("INSERT", "DELETE"))
    entry.put('"new"', NOW + SECOND)
    assert entry.refusal is not None
    assert isinstance(disk.stored(NOW + SECOND), Fresh)
    disk.heal()
    entry.refresh(NOW + 2 * SECOND)
    assert entry.refusal is None
    assert disk.stored(NOW + 2 * SECOND) == ABSENT


def test_an_instance_that_cannot_see_whether_it_was_replaced_saves_nothing(disk: Disk) -> None:
    """It may have been, and then it would store an older value over a newer one."""
    first, second = started(disk), started(disk)
    generation = loading(first, NOW)
    assert second.put('"new"', NOW + SECOND)
    assert second.refusal is None
    disk.fails = lambda _, what: what.startswith("SELECT content FROM")
    effects = first.load_succeeded(generation, '"old"', NOW + 2 * SECOND)
    assert Settle(generation, Value('"old"', NOW, is_stale=False)) in effects
    assert first.refusal is not None
    assert disk.stored(NOW + 2 * SECOND) == ABSENT


def test_what_may_be_stored_is_deleted_though_it_cannot_be_looked_for(disk: Disk) -> None:
    """An instance that found nothing at its start does not know what another one has stored since."""
    second = started(disk)
    loaded(disk)
    disk.fails = lambda _, what: "sqlite_master" in what
    second.invalidate(NOW + SECOND)
    assert disk.stored(NOW + SECOND) == ABSENT


def test_what_is_freed_need_not_be_deleted(disk: Disk) -> None:
    """The caller who invalidates is told of no refusal that has come to nothing."""
    entry = loaded(disk)
    disk.fails = lambda _, what: what.startswith("DELETE")
    entry.invalidate(NOW + SECOND)
    assert entry.refusal is None
    assert disk.is_empty


def test_an_instance_does_not_trust_its_alarm_after_another_one_was_there(disk: Disk) -> None:
    """The other one may have unset it; what is stored again would stay for ever."""
    first, second = started(disk), started(disk)
    first.put('"value"', NOW)
    alarm_at = disk.alarm_at
    second.invalidate(NOW)
    assert disk.alarm_at is None
    first.put('"value"', NOW)
    assert disk.alarm_at == alarm_at


def test_an_instance_that_has_freed_its_storage_was_not_replaced(disk: Disk) -> None:
    """Nobody else did it; what is taken over from nobody is no step."""
    steps: list[Step] = []
    entry = loaded(disk, observe=lambda _key, step: steps.append(step))
    entry.alarm(NOW + 40 * SECOND)
    assert disk.is_empty
    loading(entry, NOW + 41 * SECOND)
    assert [type(step.event) for step in steps] == [Restarted, Get, LoadSucceeded, Get]


def test_what_was_invalidated_during_its_load_does_not_come_back(disk: Disk) -> None:
    """The value is deleted though a load is awaited that keeps the storage from being freed."""
    entry = loaded(disk)
    late = NOW + 25 * SECOND
    loading(entry, late)
    entry.invalidate(late)
    assert entry.stats().in_flight == 1
    assert disk.stored(late) == ABSENT
    assert not isinstance(reply_of(started(disk, late).get(late)), Answer)


def test_a_replaced_instance_sees_an_invalidation_during_a_load(disk: Disk) -> None:
    """It would store the older value over it, at the next step that saves."""
    first, second = started(disk), started(disk)
    loading(second, NOW)
    second.invalidate(NOW + SECOND)
    first.put('"old"', NOW + 2 * SECOND)
    second.invalidate(NOW + 3 * SECOND)
    first.expire(NOW + 4 * SECOND)
    assert disk.stored(NOW + 4 * SECOND) == ABSENT
    assert first.hit(NOW + 4 * SECOND) is None


def test_a_replaced_instance_counts_no_load_in_flight(disk: Disk) -> None:
    """Its load was superseded: nobody awaits it there, and it keeps no lease."""
    first, second = started(disk), started(disk)
    loading(first, NOW)
    second.put('"new"', NOW + SECOND)
    first.expire(NOW + 2 * SECOND)
    assert first.stats().in_flight == 0
    assert disk.alarm_at == (NOW + 2 * SECOND + 30 * SECOND) // MILLISECOND


def test_a_reader_is_lent_only_what_is_held(disk: Disk) -> None:
    """What its owner has let go, or replaced, since it answered, a reader would serve for a whole ttl more."""
    entry = loaded(disk)
    assert entry.lendable('"old"', NOW + 4 * SECOND) == (6 * SECOND, 10 * SECOND)
    assert entry.lendable('"older"', NOW + 4 * SECOND) == (0, 0)
    entry.invalidate(NOW + 5 * SECOND)
    assert entry.lendable('"old"', NOW + 5 * SECOND) == (0, 0)


def test_a_stale_value_is_lent_for_the_back_off_alone(disk: Disk) -> None:
    """The reader is to ask again when there may be a new one, and not to serve it as its own meanwhile."""
    assert loaded(disk).lendable('"old"', NOW + 12 * SECOND) == (POLICY.refresh_backoff, 0)


def test_a_value_that_never_expires_is_lent_for_ever(disk: Disk) -> None:
    """Without a ttl there is nothing to count."""
    assert loaded(disk, policy=Policy()).lendable('"old"', NOW + SECOND) == (NEVER, 0)


# Alarms


@pytest.mark.parametrize("nanoseconds", [0, 1, MILLISECOND - 1])
def test_an_alarm_is_not_set_before_it_is_due(disk: Disk, nanoseconds: int) -> None:
    """One that is set for the millisecond before goes off, changes nothing, and is set for the same one again."""
    entry = started(disk)
    entry.put('"value"', NOW + nanoseconds)
    due = NOW + nanoseconds + 40 * SECOND
    assert disk.alarm_at is not None
    assert due <= disk.alarm_at * MILLISECOND < due + MILLISECOND
    entry.alarm(disk.alarm_at * MILLISECOND)
    assert disk.is_empty


def test_an_alarm_is_set_once_for_one_instant(disk: Disk) -> None:
    """Each order is a write, which a lookup should not cost."""
    entry = loaded(disk)
    orders: list[str] = []
    disk.fails = lambda _touch, what: bool(orders.append(what))  # type: ignore[func-returns-value]  # it only looks
    for second in range(1, 4):
        entry.get(NOW + second * SECOND)
    assert "setAlarm" not in orders
    entry.put('"new"', NOW + 4 * SECOND)
    assert orders.count("setAlarm") == 1


def test_a_load_that_outlives_its_lease_gets_another(disk: Disk) -> None:
    """An alarm that is set for what is past goes off at once, and again."""
    entry = started(disk, policy=Policy(ttl=10))
    loading(entry, NOW)
    assert disk.alarm_at == (NOW + LEASE) // MILLISECOND
    assert loads_in(entry.alarm(NOW + LEASE)) == []
    assert disk.alarm_at == (NOW + 2 * LEASE) // MILLISECOND


def test_an_alarm_that_is_early_is_set_once_more(disk: Disk) -> None:
    """It is gone once it went off, whatever was remembered of it."""
    entry = loaded(disk)
    before = disk.alarm_at
    disk.alarm_at = None
    entry.alarm(NOW + SECOND)
    assert disk.alarm_at == before


def test_an_alarm_refreshes_when_it_is_due_and_not_before(disk: Disk) -> None:
    """Too early is work for nothing: each would start a load, as often as it comes."""
    entry = loaded(disk, keeps_warm=True)
    assert disk.alarm_at == (NOW + 10 * SECOND) // MILLISECOND
    assert loads_in(entry.alarm(NOW + 10 * SECOND - 1)) == []
    (generation,) = loads_in(entry.alarm(NOW + 10 * SECOND))
    assert loads_in(entry.alarm(NOW + 11 * SECOND)) == []
    entry.load_failed(generation, LookupError(), NOW + 12 * SECOND)
    assert loads_in(entry.alarm(NOW + 13 * SECOND - 1)) == []
    assert len(loads_in(entry.alarm(NOW + 13 * SECOND))) == 1


def test_an_alarm_refreshes_nothing_that_is_not_kept_warm(disk: Disk) -> None:
    """It only frees what nobody may be served any more."""
    entry = loaded(disk)
    assert disk.alarm_at == (NOW + 40 * SECOND) // MILLISECOND
    assert loads_in(entry.alarm(NOW + 20 * SECOND)) == []
    entry.alarm(NOW + 40 * SECOND)
    assert disk.is_empty


@pytest.mark.parametrize(
    ("load_timeout", "lease"),
    [(None, LEASE), (3, 3 * SECOND + LEASE_MARGIN), (3600, 3600 * SECOND + LEASE_MARGIN)],
)
def test_an_object_that_is_killed_during_a_refresh_is_warm_again_soon(
    disk: Disk, load_timeout: int | None, lease: int
) -> None:
    """The load died with its instance; by `load_timeout` and a little it would have ended, so another one may begin."""
    policy = Policy(ttl=10, stale_if_error=36_000, load_timeout=load_timeout)
    entry = loaded(disk, policy=policy, keeps_warm=True)
    begun = NOW + 10 * SECOND
    assert len(loads_in(entry.alarm(begun))) == 1
    assert disk.alarm_at == (begun + lease) // MILLISECOND
    successor = started(disk, begun + lease, policy, keeps_warm=True)
    assert len(loads_in(successor.alarm(begun + lease))) == 1


def test_a_load_that_is_over_leaves_no_lease(disk: Disk) -> None:
    """The alarm is for what comes next, not for a load that might have died."""
    entry = started(disk, policy=Policy(ttl=10, load_timeout=60))
    generation = loading(entry, NOW)
    assert disk.alarm_at == (NOW + 60 * SECOND + LEASE_MARGIN) // MILLISECOND
    entry.load_succeeded(generation, '"new"', NOW + SECOND)
    assert disk.alarm_at == (NOW + 10 * SECOND) // MILLISECOND


def test_a_stale_value_is_stored_as_it_is(disk: Disk) -> None:
    """A restart must not make it fresh again."""
    entry = loaded(disk)
    entry.expire(NOW + SECOND)
    assert isinstance(disk.stored(NOW + SECOND), Stale)
    assert started(disk, NOW + SECOND).hit(NOW + SECOND) is None
