"""Durations and instants: what users say, and the integer nanoseconds that are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias, TypeGuard

from herdless_core._errors import PolicyError

Duration: TypeAlias = int | float | timedelta

NEVER: Final = 2**62 - 1
"""The instant that does not come, and the duration that does not end: 146 years in nanoseconds. The largest integer
that stays unboxed when the core is compiled."""

LONG_AGO: Final = -NEVER
"""The instant that is past at every `now`."""

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

DURATION: Final = "a number of seconds >= 0 or a timedelta >= 0"
"""What is accepted as one, in the messages of errors."""


def after(instant: int, duration: int) -> int:
    """The instant `duration` nanoseconds later; `NEVER` when the duration does not end."""
    return NEVER if duration >= NEVER else instant + duration


def nanoseconds(argument: str, duration: object, accepted: str = DURATION) -> int:
    """The duration that a user gave, `NEVER` for one that does not end; PolicyError for what is none.

    argument: its name; duration: seconds or a timedelta; accepted: what the message says of it.
    """
    seconds_given = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not is_number(seconds_given) or not seconds_given >= 0:  # written so that NaN is refused
        raise PolicyError(f"{argument}={duration!r} is not accepted: give {accepted}")
    return round(seconds_given * NANOSECONDS_PER_SECOND) if seconds_given < NEVER // NANOSECONDS_PER_SECOND else NEVER


def seconds(duration: int) -> int | float:
    """The same duration as users say it; whole seconds are exact. duration: nanoseconds."""
    if duration == NEVER:
        return float("inf")
    whole, rest = divmod(duration, NANOSECONDS_PER_SECOND)
    return duration / NANOSECONDS_PER_SECOND if rest else whole


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, which True and False are not here."""
    return isinstance(value, int | float) and not isinstance(value, bool)
