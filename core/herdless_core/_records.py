"""What a cache holds, as plain data for another process: a record for each value.

A record has the AGE of its value, in seconds, and no instant of the clock by which the cache counts: that of another
process has another origin. `dumped_at`, seconds since 1970, says when that was its age.

    {"version": 1, "key": ..., "value": ..., "dumped_at": 1795781708.25, "age": 12.5,
     "state": "fresh", "lifetime": {"ttl": 60, "early_refresh": 48,
                                    "stale_while_revalidate": 300, "stale_if_error": 3600}}

    {"version": 1, "key": ..., "value": ..., "dumped_at": 1795781708.25, "age": 80,
     "state": "stale", "stale_for": 280, "kept_for": 3580}

A value that has tags has them in "tags", a list of strings.

Key and value are the cache's own objects: how they are written is the business of whoever writes them. None stands for
a duration that does not end. Flights, remembered errors and back-offs are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard

from herdless_core._checks import check_duration
from herdless_core._durations import LONG_AGO, NANOSECONDS_PER_SECOND, NEVER, Duration, after
from herdless_core._errors import PolicyError
from herdless_core._events import Put
from herdless_core._machine import transition
from herdless_core._plain import Plain
from herdless_core._policy import Lifetime, Policy
from herdless_core._shown import ShowKey, shown
from herdless_core._states import ABSENT, Entry, Fresh, Stale
from herdless_core._tags import tags_of

VERSION: Final = 1

_DURATIONS: Final = ("ttl", "early_refresh", "stale_while_revalidate", "stale_if_error")
"""The fields of `Lifetime`, in its order."""

_NOT_ENDLESS: Final = "a number of seconds >= 0"
_MAYBE_ENDLESS: Final = "a number of seconds >= 0, or None for no end"


def record_of(key: object, held: Fresh | Stale, now: int, dumped_at: float, tags: tuple[str, ...] = ()) -> Plain:
    """The record of a value.

    key: its key; held: its entry at `now`; now: the instant, in nanoseconds; dumped_at: the same instant in seconds
    since 1970; tags: those of the value.
    """
    record: Plain = {
        "version": VERSION,
        "key": key,
        "value": held.value,
        "dumped_at": dumped_at,
        "age": _seconds(max(now - held.loaded_at, 0)),
    }
    if tags:
        record["tags"] = list(tags)
    if isinstance(held, Stale):
        left = {"stale_for": held.stale_until, "kept_for": held.kept_until}
        return {**record, "state": "stale", **{name: _seconds_until(instant, now) for name, instant in left.items()}}
    lifetime = {name: _seconds(getattr(held.lifetime, name)) for name in _DURATIONS}
    return {**record, "state": "fresh", "lifetime": lifetime}


def entries_of(
    records: object, now: int, older_by: Duration | None, wall: float, policy: Policy, show_key: ShowKey
) -> list[tuple[Any, Entry, tuple[str, ...]]]:
    """The keys of the records, their entries and their tags, as the clock has them that says `now`.

    records: what `record_of` made, in any number; now: the instant, in nanoseconds; older_by: how much older each value
    is than its record says; None: by the time since the record's `dumped_at`, where the wall clock was not set back;
    wall: the same instant as `now`, in seconds since 1970; policy: of the cache that is to hold them; show_key: from a
    key to its text.

    Raises PolicyError, which names the record, for one that this version of herdless did not write.
    """
    fixed = None if older_by is None else check_duration("older_by", older_by)
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Iterable):
        raise PolicyError(f"records={shown(records)} is not accepted: give the list that dump() returned")
    entries = []
    for number, record in enumerate(records):
        try:
            key, entry = _entry_of(record, now, fixed, wall, policy)
            entries.append((key, entry, _tags(record)))
        except _Unreadable as error:
            of = f", that of {show_key(record['key'])}," if isinstance(record, Mapping) and "key" in record else ""
            raise PolicyError(
                f"records[{number}]{of} is not accepted: {error}; nothing was restored"
            ) from error.__cause__
    return entries


class _Unreadable(Exception):
    """Why a record is not accepted."""


def _entry_of(record: Any, now: int, older: int | None, wall: float, policy: Policy) -> tuple[Any, Entry]:
    if not isinstance(record, Mapping):
        raise _Unreadable(f"it is of type {type(record).__name__}, give what dump() returned")
    version = _part(record, "version")
    if version != VERSION or isinstance(version, bool):
        raise _Unreadable(f"it has version={shown(version)}, and this herdless reads {VERSION}")
    key, value, dumped_at = _hashable(_part(record, "key")), _part(record, "value"), _part(record, "dumped_at")
    if not _is_number(dumped_at) or not 0 <= dumped_at < NEVER:
        raise _Unreadable(f"it has dumped_at={shown(dumped_at)}, give a number of seconds since 1970")
    if older is None:
        older = max(round((wall - dumped_at) * NANOSECONDS_PER_SECOND), 0)
    loaded_at = max(now - _duration(record, "age", can_be_endless=False) - older, LONG_AGO)
    match _part(record, "state"):
        case "fresh":
            # As it would be if it had been put then; that it has aged since, the machine sees.
            return key, transition(ABSENT, Put(value, _lifetime(record, policy)), loaded_at, policy)[0]
        case "stale":
            stale_for, kept_for = _duration(record, "stale_for"), _duration(record, "kept_for")
            if stale_for > kept_for:
                raise _Unreadable("it has stale_for > kept_for, but what is served is kept")
            then = now - older
            return key, Stale(value, loaded_at, after(then, stale_for), after(then, kept_for), LONG_AGO, None)
        case unknown:
            raise _Unreadable(f'it has state={shown(unknown)}, give "fresh" or "stale"')


def _lifetime(record: Mapping[str, Any], policy: Policy) -> Lifetime:
    plain = _part(record, "lifetime")
    if not isinstance(plain, Mapping):
        raise _Unreadable(f"it has lifetime={shown(plain)}, give the durations by their names")
    lifetime = Lifetime(*(_duration(plain, name) for name in _DURATIONS))
    if lifetime.early_refresh > lifetime.ttl:
        raise _Unreadable("it has early_refresh > ttl, which is no earlier")
    return policy.lifetime if lifetime == policy.lifetime else lifetime  # shared, as by all values that are loaded


def _tags(record: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return tags_of(record.get("tags", ()))
    except PolicyError as error:
        raise _Unreadable(f"of its tags, {error}") from None


def _part(record: Mapping[str, Any], name: str) -> Any:
    try:
        return record[name]
    except KeyError:
        raise _Unreadable(f"it has no {name!r}") from None


def _hashable(key: object) -> object:
    try:
        hash(key)
    except Exception as error:
        raise _Unreadable(f"its key cannot be hashed: {error} (JSON makes lists of tuples)") from error
    return key


def _duration(record: Mapping[str, Any], name: str, *, can_be_endless: bool = True) -> int:
    seconds: object = _part(record, name)
    if seconds is None and can_be_endless:
        return NEVER
    if not _is_number(seconds) or not 0 <= seconds < NEVER // NANOSECONDS_PER_SECOND:  # so that NaN is refused
        raise _Unreadable(f"it has {name}={shown(seconds)}, give {_MAYBE_ENDLESS if can_be_endless else _NOT_ENDLESS}")
    return round(seconds * NANOSECONDS_PER_SECOND)


def _seconds_until(instant: int, now: int) -> int | float | None:
    return None if instant >= NEVER else _seconds(max(instant - now, 0))


def _seconds(nanoseconds: int) -> int | float | None:
    """Whole seconds are exact."""
    if nanoseconds >= NEVER:
        return None
    seconds, rest = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
    return nanoseconds / NANOSECONDS_PER_SECOND if rest else seconds


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
