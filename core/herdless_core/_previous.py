"""The value before: what a loader may be given of it, and what it may say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeGuard, TypeVar, final

from herdless_core._durations import NANOSECONDS_PER_SECOND
from herdless_core._errors import PolicyError
from herdless_core._loaded import UNCHANGED, Loaded
from herdless_core._states import Entry, Failure, Fresh, Stale

V_co = TypeVar("V_co", covariant=True)

NOT_MODIFIED: Final[Any] = Loaded(UNCHANGED)
"""What a loader may return that was given a `Previous`: that value is what it is now. It begins a new life from the
start of this load, as after a response 304 of HTTP; `Loaded(NOT_MODIFIED, ttl=...)` says of which lifetime."""


@final
@dataclass(frozen=True, slots=True)
class Previous(Generic[V_co]):
    """What was kept of a key when its load was ordered."""

    value: V_co
    age: float
    """In seconds."""


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """The same, with what else was known of the value."""

    previous: Previous[Any]
    tags: tuple[str, ...]
    weight: int | None
    """None where values are not weighed."""


def previous_of(entry: Entry) -> Previous[Any] | None:
    """What a load is given of the entry whose flight it is; None where no value is kept: a remembered error is none."""
    if not isinstance(entry, Fresh | Stale) or entry.flight is None or isinstance(entry.value, Failure):
        return None
    return Previous(entry.value, (entry.flight.started_at - entry.loaded_at) / NANOSECONDS_PER_SECOND)


def resolved(loaded: object, kept: Kept | None) -> object:
    """What a loader returned, with the value that it was given in the place of NOT_MODIFIED. That value, and not what
    is held by now: who waits is answered, and with what the loader has spoken of, also where the value is not kept any
    more. Its tags and its weight are what they were, unless the loader says others. Raises PolicyError where the loader
    was given no value.
    """
    if not is_not_modified(loaded):
        return loaded
    if kept is None:
        raise nothing_before()
    again = loaded.with_value(kept.previous.value)
    if not again.tags:
        again = again.with_tags(kept.tags)
    return again if again.weight is not None or kept.weight is None else again.with_weight(kept.weight)


def is_not_modified(loaded: object) -> TypeGuard[Loaded[Any]]:
    """Whether it says nothing but that the value is as it was."""
    return isinstance(loaded, Loaded) and loaded.value is UNCHANGED


def nothing_before() -> PolicyError:
    """A loader returned NOT_MODIFIED that was given no value."""
    return PolicyError(
        "NOT_MODIFIED is not accepted from a loader that was given no value before: return the value, where the second "
        "argument is None, or where there is none"
    )
