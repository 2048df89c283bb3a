"""What a shared cache is given beside its policy, looked at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, final

from herdless import codecs
from herdless.adapter import CacheOptions
from herdless.stores import Store
from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Duration, Policy, PolicyError, PolicyOptions, ShowKey

StoreDownChoice: TypeAlias = Literal["load", "raise"]

JSON: Final = codecs.json()

LEAST_LEASE: Final = NANOSECONDS_PER_SECOND // 10
"""A holder is told from a dead one by what it says within a lease, and says so three times in it."""

NEAR: Final = frozenset({"maxsize", "show_key"})


class SharedOptions(PolicyOptions, total=False):
    """The keyword arguments that every shared cache takes beside `store`: those of `Policy`, or `policy` itself, and
    these.
    """

    lease: Duration
    """For how long a holder that says nothing is believed to load; 10 s by default, at least 0.1 s. It is renewed at a
    third of it for as long as the load runs."""
    staleness: Duration
    """After how long an invalidation binds every process at the latest, whatever is lost; 5 s by default. 0: nothing is
    answered from this process's memory, and each lookup asks the store."""
    store_down: StoreDownChoice
    """What a lookup does that cannot ask the store: "load", each process by itself, or "raise" StoreDown."""
    encode: codecs.Encode
    """From a value to bytes; JSON by default."""
    decode: codecs.Decode
    """The other way. All callers get what it returns, the one whose load it was too."""
    store_key: Callable[[Any], str]
    """From a key to the text by which the store knows it; by default only keys of `str` and `int` are accepted."""
    maxsize: int | None
    """How many values are held in this process at most; the store bounds itself."""
    show_key: ShowKey
    """See `CacheOptions`."""
    policy: Policy | None


@final
class Fleet:
    """The options, validated."""

    def __init__(self, store: Store, options: SharedOptions) -> None:
        if not isinstance(store, Store):
            raise PolicyError(f"store={store!r} is not accepted: give a RedisStore, or another herdless.stores.Store")
        rest: dict[str, Any] = dict(options)
        policy = rest.pop("policy", None)
        self.store: Final = store
        self.lease: Final = _duration("lease", rest.pop("lease", 10), LEAST_LEASE)
        self.staleness: Final = _duration("staleness", rest.pop("staleness", 5), 0)
        self.loads_when_down: Final = _store_down(rest.pop("store_down", "load"))
        self.encode: Final[codecs.Encode] = _function("encode", rest.pop("encode", JSON.encode))
        self.decode: Final[codecs.Decode] = _function("decode", rest.pop("decode", JSON.decode))
        self.text_of: Final[Callable[[Any], str]] = _function("store_key", rest.pop("store_key", text_of_simple))
        near: dict[str, Any] = {name: rest.pop(name) for name in NEAR & rest.keys()}
        for name in sorted(rest.keys() - PolicyOptions.__annotations__.keys()):
            raise PolicyError(f"{name}= is not accepted by a shared cache: docs/fleet.md lists its arguments")
        if policy is not None and rest:
            raise PolicyError(f"policy={policy!r} is not accepted beside {', '.join(rest)}: give one or the other")
        self.policy: Final[Policy] = policy or Policy(**rest)
        max_waiters = self.policy.max_waiters
        near["policy"] = Policy(max_waiters=None if max_waiters == NEVER else max_waiters)
        self.near: Final[CacheOptions] = near  # type: ignore[assignment]  # of the names that it takes


def text_of_simple(key: Any) -> str:
    """An integer as it is written, and text as it is; text that could be taken for an integer or for quoted text is
    quoted, so that 7 and "7" are two keys. Raises PolicyError for any other key.
    """
    if type(key) is int:
        return format(key, "d")
    if type(key) is not str:
        kind = type(key).__name__
        raise PolicyError(
            f"a key of type {kind} is not accepted without store_key: "
            "give store_key=, a function from a key to the text by which the store knows it"
        )
    return json.dumps(key) if key[:1] == '"' or _is_integer(key) else key


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _duration(argument: str, duration: object, least: int) -> int:
    """In nanoseconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not least / NANOSECONDS_PER_SECOND <= seconds < NEVER // NANOSECONDS_PER_SECOND:  # type: ignore[operator]  # it is a number
        raise PolicyError(
            f"{argument}={duration!r} is not accepted: give a number of seconds or a timedelta, "
            f">= {least / NANOSECONDS_PER_SECOND:g} seconds"
        )
    return round(seconds * NANOSECONDS_PER_SECOND)  # type: ignore[operator]  # as above


def _store_down(choice: object) -> bool:
    if choice not in {"load", "raise"}:
        raise PolicyError(f'store_down={choice!r} is not accepted: give "load" or "raise"')
    return choice == "load"


def _function(argument: str, function: Any) -> Any:
    if not callable(function):
        raise PolicyError(f"{argument}={function!r} is not accepted: give a function of one argument")
    return function
