"""Records: what is held as plain data, and what is said of data that is none."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Entry,
    Fresh,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    Stale,
    entries_of,
    record_of,
    value_in,
)

SECOND: Final = NANOSECONDS_PER_SECOND
POLICY: Final = Policy(ttl=60, stale_while_revalidate=30, stale_if_error=3600, early_refresh=0.8)
NOW: Final = 1_000 * SECOND
"""Of the clock of the process that dumps."""
DUMPED_AT: Final = 1_795_781_708.25


def dumped(loaded: object = "value", *, age: int = 10, policy: Policy = POLICY) -> dict[str, Any]:
    """The record of a value so many seconds old."""
    cache = Keyspace[str](policy)
    cache.put("k", loaded, NOW - age * SECOND)
    held = value_in(cache.entry("k"), NOW)
    assert held is not None
    return record_of("k", held, NOW, DUMPED_AT)


def read(record: object, *, now: int = 0, older_by: float | None = 0, seconds_later: float = 0) -> Entry:
    """The entry of a record, by a clock that begins at 0."""
    ((_, entry, _),) = entries_of([record], now, older_by, DUMPED_AT + seconds_later, POLICY, repr)
    return entry


def test_record_is_plain_data_in_seconds() -> None:
    """Somebody who reads the file sees what it says; herdless_core/_records.py has the same two examples."""
    assert dumped() == {
        "version": 1,
        "key": "k",
        "value": "value",
        "dumped_at": DUMPED_AT,
        "age": 10,
        "state": "fresh",
        "lifetime": {"ttl": 60, "early_refresh": 48, "stale_while_revalidate": 30, "stale_if_error": 3600},
    }
    stale = dumped(age=80)
    assert {name: stale[name] for name in ("age", "state", "stale_for", "kept_for")} == {
        "age": 80,
        "state": "stale",
        "stale_for": 10,
        "kept_for": 3580,
    }
    assert dumped(age=100)["stale_for"] == 0


@pytest.mark.parametrize("loaded", ["value", Loaded("value", ttl=math.inf), Loaded("value", ttl=12.345678912)])
@pytest.mark.parametrize("age", [0, 11, 80])
def test_entry_comes_back_as_old_as_it_was_by_any_clock(loaded: object, age: int) -> None:
    """Through JSON and pickle alike, to the nanosecond; a value without end too."""
    record = dumped(loaded, age=age)
    for copied in (json.loads(json.dumps(record)), pickle.loads(pickle.dumps(record))):  # noqa: S301  # our own
        for clock in (0, -NOW, 10**18):
            entry = value_in(read(copied, now=clock), clock)
            assert entry is not None
            assert (entry.value, clock - entry.loaded_at) == ("value", age * SECOND)
            assert isinstance(entry, Stale) == (record["state"] == "stale")


def test_time_between_dump_and_restore_counts() -> None:
    """The wall clock says how long a file lay there, unless the caller knows better; set back, it says nothing."""
    for seconds_later, older_by, age in ((30, None, 40), (-30, None, 10), (30, 0, 10), (30, 5, 15)):
        entry = value_in(read(dumped(), older_by=older_by, seconds_later=seconds_later), 0)
        assert entry is not None
        assert -entry.loaded_at == age * SECOND
    assert value_in(read(dumped(), seconds_later=60 + 3600, older_by=None), 0) is None
    stale = read(dumped(age=80), older_by=4)
    assert isinstance(stale, Stale)
    assert (stale.stale_until, stale.kept_until) == (6 * SECOND, 3576 * SECOND)


def test_value_that_is_older_than_all_time_is_gone_unless_it_has_no_end() -> None:
    """`older_by` without end is for a file of which nobody knows how old it is."""
    assert value_in(read(dumped(), older_by=math.inf), 0) is None
    assert value_in(read(dumped(Loaded("value", ttl=math.inf)), older_by=math.inf), 0) is not None


def changed(**parts: object) -> dict[str, Any]:
    """A record somebody has edited."""
    return dumped() | parts


def lifetime(**parts: object) -> dict[str, Any]:
    """A record of which somebody has edited the lifetime."""
    record = copy.deepcopy(dumped())
    record["lifetime"] |= parts
    return record


BAD: Final[dict[str, tuple[object, str]]] = {
    "no mapping": (("k", "value"), "it is of type tuple"),
    "nothing": ({}, "it has no 'version'"),
    "a later version": (changed(version=2), "it has version=2, and this herdless reads 1"),
    "a version that only equals": (changed(version=True), "it has version=True"),
    "a key of JSON": (changed(key=["k", 1]), "its key cannot be hashed"),
    "no stamp": (changed(dumped_at=None), "it has dumped_at=None, give a number of seconds since 1970"),
    "a stamp that is none": (changed(dumped_at=math.nan), "it has dumped_at=nan"),
    "an age before birth": (changed(age=-1), "it has age=-1, give a number of seconds >= 0"),
    "an age without end": (changed(age=None), "it has age=None, give a number of seconds >= 0"),
    "an infinite age": (changed(age=math.inf), "it has age=inf"),
    "an age as text": (changed(age="10"), "it has age='10'"),
    "a truth for an age": (changed(age=True), "it has age=True"),
    "an unknown state": (changed(state="pending"), """it has state='pending', give "fresh" or "stale\""""),
    "no lifetime": (changed(lifetime=60), "it has lifetime=60"),
    "a negative ttl": (lifetime(ttl=-1), "it has ttl=-1, give a number of seconds >= 0, or None for no end"),
    "an early point past the ttl": (lifetime(early_refresh=61), "it has early_refresh > ttl"),
    "a part is missing": ({**lifetime(), "lifetime": {"ttl": 60}}, "it has no 'early_refresh'"),
    "a window that ends after the value": (dumped(age=80) | {"kept_for": 1}, "it has stale_for > kept_for"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_record_is_named_with_what_is_accepted(name: str) -> None:
    """The number finds it in the file. Its value is not told: it may be a secret, or a page long."""
    record, says = BAD[name]
    with pytest.raises(PolicyError) as refused:
        entries_of([dumped(), dumped(), record], 0, None, DUMPED_AT, POLICY, lambda key: f"<{key}>")
    assert str(refused.value).startswith("records[2]")
    assert says in str(refused.value)
    assert str(refused.value).endswith("nothing was restored")
    assert "'value'" not in str(refused.value)
    if isinstance(record, dict) and "key" in record:
        assert f"that of <{record['key']}>," in str(refused.value)


@pytest.mark.parametrize("records", ['[{"version": 1}]', b"", {"k": 1}, None, 5], ids=repr)
def test_what_is_no_list_of_records_is_refused(records: object) -> None:
    """The likely slips: the text of the file, one record, a dict by key."""
    with pytest.raises(PolicyError, match=r"records=.* is not accepted: give the list that dump"):
        entries_of(records, 0, None, DUMPED_AT, POLICY, repr)


@pytest.mark.parametrize("older_by", [-1, "1", True, math.nan])
def test_bad_older_by_is_named(older_by: Any) -> None:
    """As any duration."""
    with pytest.raises(PolicyError, match=r"older_by=.* is not accepted: give a number of seconds >= 0"):
        entries_of([], 0, older_by, DUMPED_AT, POLICY, repr)


def test_restored_values_share_the_policys_lifetime() -> None:
    """As loaded ones do: a million of them have one object for it."""
    here, elsewhere = read(dumped()), read(dumped(Loaded("value", ttl=61)))
    assert isinstance(here, Fresh)
    assert here.lifetime is POLICY.lifetime
    assert isinstance(elsewhere, Fresh)
    assert elsewhere.lifetime.ttl == 61 * SECOND
