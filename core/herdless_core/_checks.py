"""Arguments that are looked at in more than one place, each with its one clear error."""

from __future__ import annotations

from herdless_core._durations import nanoseconds
from herdless_core._errors import PolicyError


def check_count(argument: str, value: object, *, least: int) -> int:
    """The value if it is an integer of at least `least`; PolicyError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{argument}={value!r} is not accepted: give an integer >= {least}, or None for no limit")
    return value


def check_weight(argument: str, value: object) -> int:
    """The value if it is an integer of at least 1; PolicyError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PolicyError(f"{argument}={value!r} is not accepted: give an integer >= 1")
    return value


def check_boolean(argument: str, value: object) -> bool:
    """The value if it is True or False; PolicyError otherwise."""
    if not isinstance(value, bool):
        raise PolicyError(f"{argument}={value!r} is not accepted: give True or False")
    return value


def check_duration(argument: str, value: object) -> int:
    """The duration in nanoseconds; PolicyError for what is none."""
    return nanoseconds(argument, value)
