"""An entry as plain data and back, for whoever keeps entries outside of the process.

The result holds nothing but what JSON can say, whatever reads it: an integer over 2**53, which JavaScript would round,
is text. How a value is written is the caller's business. Of a remembered error only the name of its class and its
message are kept; it comes back as RemoteLoadError.

The entry comes back as it was, its flight included; whoever restores it after a restart steps it by Restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, assert_never

from herdless_core._errors import RemoteLoadError
from herdless_core._policy import Lifetime
from herdless_core._states import ABSENT, Absent, Cause, Entry, Evicted, Failure, Flight, Fresh, Pending, Stale

Plain: TypeAlias = dict[str, Any]
"""What `json.dumps` takes and `json.loads` gives back."""

MAX_MESSAGE_CHARACTERS: Final = 10_000
"""Of an error's message; a longer one may not fit into a record, and nobody reads it."""

_EXACT_IN_JAVASCRIPT: Final = 2**53


def to_plain(entry: Entry, encode: Callable[[Any], Any]) -> Plain:
    """The entry as plain data; `encode` turns its value into data of the caller's choice."""
    match entry:
        case Absent():
            return {"state": "absent"}
        case Pending():
            return {"state": "pending", "flight": _flight_to_plain(entry.flight)}
        case Fresh():
            return {
                "state": "fresh",
                **_outcome_to_plain(entry.value, encode),
                "loaded_at": integer_to_plain(entry.loaded_at),
                "lifetime": lifetime_to_plain(entry.lifetime),
                "refresh_at": integer_to_plain(entry.refresh_at),
                "flight": _flight_to_plain(entry.flight),
                "hit_until": integer_to_plain(entry.hit_until),
            }
        case Stale():
            return {
                "state": "stale",
                **_outcome_to_plain(entry.value, encode),
                "loaded_at": integer_to_plain(entry.loaded_at),
                "stale_until": integer_to_plain(entry.stale_until),
                "kept_until": integer_to_plain(entry.kept_until),
                "retry_at": integer_to_plain(entry.retry_at),
                "flight": _flight_to_plain(entry.flight),
            }
        case Evicted():
            return {"state": "evicted", "cause": entry.cause.value, "flight": _flight_to_plain(entry.flight)}
    assert_never(entry)


def from_plain(plain: Mapping[str, Any], decode: Callable[[Any], Any]) -> Entry:
    """The entry that `to_plain` was given; `decode` undoes its `encode`.

    Raises ValueError for data that this version of herdless did not write.
    """
    try:
        return _entry(plain, decode)
    except (KeyError, TypeError, ValueError, OverflowError) as error:  # the last one: an infinity is no integer
        raise ValueError(f"plain={plain!r} is not accepted: give what to_plain returned ({error!r})") from error


def _entry(plain: Mapping[str, Any], decode: Callable[[Any], Any]) -> Entry:
    match plain["state"]:
        case "absent":
            return ABSENT
        case "pending":
            return Pending(_flight(plain["flight"]))
        case "fresh":
            return Fresh(
                _outcome(plain, decode),
                int(plain["loaded_at"]),
                lifetime_from_plain(plain["lifetime"]),
                int(plain["refresh_at"]),
                _flight_or_none(plain["flight"]),
                int(plain["hit_until"]),
            )
        case "stale":
            return Stale(
                _outcome(plain, decode),
                int(plain["loaded_at"]),
                int(plain["stale_until"]),
                int(plain["kept_until"]),
                int(plain["retry_at"]),
                _flight_or_none(plain["flight"]),
            )
        case "evicted":
            return Evicted(Cause(plain["cause"]), _flight_or_none(plain["flight"]))
        case unknown:
            raise ValueError(f"state={unknown!r}")


def integer_to_plain(integer: int) -> int | str:
    """The integer, as text where JavaScript would round it; `int` reads both."""
    return integer if abs(integer) <= _EXACT_IN_JAVASCRIPT else str(integer)


def _outcome_to_plain(value: object, encode: Callable[[Any], Any]) -> Plain:
    if isinstance(value, Failure):
        kind, message = describe(value.error)
        return {"error": {"kind": kind, "message": message}}
    return {"value": encode(value)}


def _outcome(plain: Mapping[str, Any], decode: Callable[[Any], Any]) -> Any:
    if "error" in plain:
        return Failure(RemoteLoadError(plain["error"]["message"], kind=plain["error"]["kind"]), None)
    return decode(plain["value"])


def describe(error: BaseException) -> tuple[str, str]:
    """What is kept of an error outside of its process: the name of its class, and its message.

    Never raises. The message is text that UTF-8 can say, of at most `MAX_MESSAGE_CHARACTERS`; the rest is left out.
    """
    kind = error.kind if isinstance(error, RemoteLoadError) else type(error).__name__
    try:
        message = str(error)
    except Exception as failure:  # noqa: BLE001  # the loader's class wrote it, and it must not cost the answer
        message = f"the message cannot be had: str() raised {type(failure).__name__}"
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}..."
    return kind, message.encode("utf-8", "backslashreplace").decode()


def lifetime_to_plain(lifetime: Lifetime) -> Plain:
    """The durations, in nanoseconds."""
    return {
        "ttl": integer_to_plain(lifetime.ttl),
        "early_refresh": integer_to_plain(lifetime.early_refresh),
        "stale_while_revalidate": integer_to_plain(lifetime.stale_while_revalidate),
        "stale_if_error": integer_to_plain(lifetime.stale_if_error),
    }


def lifetime_from_plain(plain: Mapping[str, Any]) -> Lifetime:
    """The lifetime that `lifetime_to_plain` was given. Raises KeyError, TypeError or ValueError for what is missing."""
    return Lifetime(
        int(plain["ttl"]),
        int(plain["early_refresh"]),
        int(plain["stale_while_revalidate"]),
        int(plain["stale_if_error"]),
    )


def _flight_to_plain(flight: Flight | None) -> Plain | None:
    if flight is None:
        return None
    return {
        "generation": integer_to_plain(flight.generation),
        "started_at": integer_to_plain(flight.started_at),
        "due_at": integer_to_plain(flight.due_at),
        "waiters": flight.waiters,
    }


def _flight_or_none(plain: Mapping[str, Any] | None) -> Flight | None:
    return None if plain is None else _flight(plain)


def _flight(plain: Mapping[str, Any]) -> Flight:
    return Flight(int(plain["generation"]), int(plain["started_at"]), int(plain["due_at"]), int(plain["waiters"]))
