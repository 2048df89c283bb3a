"""For how long a failure is let rest: a duration, or by what failed, and how often in a row.

The machine knows one `negative_ttl` and one `refresh_backoff`. Where they depend on the failure, the step that reports
it is taken by a policy of its own, which has the two numbers that hold for it: `Policy.after_failure`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from herdless_core._durations import DURATION, Duration, nanoseconds
from herdless_core._errors import PolicyError

Backoff: TypeAlias = Duration | tuple[Duration, Duration]
"""A duration, or the first one and the longest: doubled at each failure in a row."""

Range: TypeAlias = tuple[int, int]
"""The same in nanoseconds; twice the same number where it does not grow."""

_BACKOFF: Final = f"{DURATION}, a tuple of two, the first and the longest, or a function of the exception"


def backoff_range(backoff: object) -> Range:
    """What a user gave as `refresh_backoff`, or a user's function returned; PolicyError for what is none."""
    if not isinstance(backoff, tuple):
        one = nanoseconds("refresh_backoff", backoff, _BACKOFF)
        return one, one
    if len(backoff) == 2:
        first, longest = (nanoseconds("refresh_backoff", each, _BACKOFF) for each in backoff)
        if first <= longest and (first or not longest):
            return first, longest
    raise PolicyError(
        f"refresh_backoff={backoff!r} is not accepted: give {_BACKOFF}, of which the first is > 0 and not the longer"
    )


def backoff_after(backoff: Range, failures: int, luck: float) -> int:
    """How long to rest after a failure, in nanoseconds.

    backoff: the first and the longest; failures: how many came before in a row; luck: a random number, 0 <= luck < 1.
    Doubled each time, and then shortened at random by up to half, so that keys which failed together do not all come
    back together; never less than the first.
    """
    first, longest = backoff
    if first >= longest:
        return first
    doubled = longest if failures >= longest.bit_length() else min(first << failures, longest)
    least = max(first, doubled // 2)
    return doubled - int((doubled - least) * luck)


def asked(argument: str, function: Callable[[Any], object], error: BaseException, otherwise: int) -> Range:
    """What a user's function says of this error. Where it cannot, `otherwise` holds, and the error gets a note of that:
    the load has failed all the same.

    argument: as which the function was given; otherwise: nanoseconds.
    """
    try:
        said = function(error)
        if argument == "refresh_backoff":
            return backoff_range(said)
        one = nanoseconds(argument, said)
        return one, one  # in here, since the line above may raise
    except Exception as broken:  # noqa: BLE001  # the user's own, of any kind
        BaseException.add_note(error, f"{argument}= raised {broken!r} when it was asked about this")
        return otherwise, otherwise
