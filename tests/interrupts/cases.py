"""What is disturbed: every method of a cache, in every situation in which its key may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from herdless_core import (
    CacheClosed,
    HerdlessError,
    LoadCancelled,
    LoadTimeout,
    ReentrantLoad,
    TooManyLoads,
    TooManyWaiters,
)

Operation: TypeAlias = Callable[[Any], Any]
"""Does one thing to a cache; awaited where the runtime has `await`."""

RECORD = {
    "version": 1,
    "key": "a",
    "value": ("a", 0),
    "dumped_at": 0.0,
    "age": 0,
    "state": "fresh",
    "lifetime": {"ttl": None, "early_refresh": None, "stale_while_revalidate": 0, "stale_if_error": 0},
}
"""What another process has dumped."""

OPERATIONS: dict[str, Operation] = {
    "get": lambda cache: cache.get("a"),
    "lookup": lambda cache: cache.lookup("a"),
    "reload": lambda cache: cache.reload("a"),
    "peek": lambda cache: cache.peek("a"),
    "contains": lambda cache: "a" in cache,
    "len": len,
    "stats": lambda cache: cache.stats(),
    "put": lambda cache: cache.put("a", ("a", 0)),
    "invalidate": lambda cache: cache.invalidate("a"),
    "expire": lambda cache: cache.expire("a"),
    "refresh": lambda cache: cache.refresh("a"),
    "keys": lambda cache: cache.keys(),
    "touch": lambda cache: cache.touch("a"),
    "expire all": lambda cache: cache.expire_all(),
    "invalidate where": lambda cache: cache.invalidate_where(lambda key: key != "c"),
    "dump and restore": lambda cache: cache.restore(cache.dump() or [RECORD]),
    "clear": lambda cache: cache.clear(),
    "close": lambda cache: cache.close(),
    "close and cancel": lambda cache: cache.close(cancel=True),
}


class LoadBroke(Exception):
    """The loader's own error."""


@final
@dataclass(frozen=True)
class Situation:
    """How the key `a` stands when the disturbed operation begins."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    filled: Sequence[str] = ()
    """The keys that were loaded before, in this order."""
    seconds: float = 0.0
    """So long ago."""
    is_led: bool = False
    """Whether another caller leads a flight, which ends when the disturbed one waits or has ended."""
    waits: int = 0
    """How many more callers wait for it."""
    leads: str = "a"
    """The key of that flight."""
    queued: Sequence[str] = ()
    """Keys for which other callers wait, whose loads wait for their turn behind it."""
    overdue: float = 0.0
    """So many seconds pass between the start of that flight and the operation."""
    breaks: bool = False
    """Whether loads fail while the operation runs."""
    eager: bool = False
    """Whether another caller joins the flight that the operation starts as soon as it is there."""

    is_closed: bool = False
    """Whether the cache is closed before."""
    asks: str | None = None
    """The key for which the loader of `a` asks, inside of the load."""

    def __str__(self) -> str:
        return self.name


SITUATIONS = [
    Situation("absent"),
    Situation("absent, a caller joins", eager=True),
    Situation("absent, and the load fails", breaks=True),
    Situation("absent, the load fails, a caller joins", {"negative_ttl": 10}, breaks=True, eager=True),
    Situation("absent, with a deadline", {"load_timeout": 5}),
    Situation("absent, with a deadline, a caller joins", {"load_timeout": 5}, eager=True),
    Situation("absent, and there is no room", {"maxsize": 0}),
    Situation("fresh", {"ttl": 10}, ["a"]),
    Situation("fresh, in a bounded cache", {"maxsize": 2}, ["a"]),
    Situation("absent, in a full cache", {"maxsize": 2}, ["b", "c", "d"]),
    Situation("remembered as a ghost", {"maxsize": 2}, ["a", "b", "c", "d"]),
    Situation("stale", {"ttl": 10, "stale_while_revalidate": 10}, ["a"], seconds=15),
    Situation(
        "stale, and the refresh fails", {"ttl": 10, "stale_while_revalidate": 10}, ["a"], seconds=15, breaks=True
    ),
    Situation("stale for errors", {"ttl": 10, "stale_if_error": 10}, ["a"], seconds=15, breaks=True, eager=True),
    Situation("expired, others too", {"ttl": 10}, ["a", "b", "c"], seconds=15),
    Situation("of a closed cache", is_closed=True),
    Situation("absent, and the loader asks for another key", asks="b"),
    Situation("absent, and the loader asks for the same key", asks="a"),
    Situation("loaded by another", is_led=True),
    Situation("loaded by another, for three", is_led=True, waits=2),
    Situation("loaded by another, in a full cache", {"maxsize": 2}, ["b", "c"], is_led=True, waits=1),
    Situation("loaded by another, who fails", {"negative_ttl": 10}, is_led=True, waits=1, breaks=True),
    Situation("loaded by another, overdue", {"load_timeout": 5}, is_led=True, waits=1, overdue=6),
    Situation("loaded by another, others wait for their turn", {"max_loads": 1}, is_led=True, queued=["b", "c"]),
    Situation("absent, and no turn is free", {"max_loads": 1}, is_led=True, leads="b", queued=["c"]),
    Situation(
        "absent, no turn is free, and time is over",
        {"max_loads": 1, "load_timeout": 5},
        is_led=True,
        leads="b",
        queued=["c"],
        overdue=6,
    ),
    Situation("loaded by another, no room for one more", {"max_waiters": 2}, is_led=True, waits=1),
]

CHANGES: dict[str, Operation] = {
    name: operation
    for name, operation in {
        **OPERATIONS,
        "put another": lambda cache: cache.put("b", ("b", 0)),
        "invalidate another": lambda cache: cache.invalidate("b"),
    }.items()
    if name not in {"get", "lookup", "reload", "close", "close and cancel"}
}
"""What a finalizer or a signal's handler may do that comes in between, whatever runs there."""


def accepts(answer: object, key: str, situation: Situation, operation: str) -> bool:
    """Whether a caller may be given this: a value of the key, or an error that the situation brings about."""
    match answer:
        case (name, int()):
            return name == key
        case LoadCancelled():
            return True
        case LoadBroke():
            return situation.breaks
        case LoadTimeout() | TooManyLoads():
            return "load_timeout" in situation.options
        case TooManyWaiters():
            return "max_waiters" in situation.options
        case CacheClosed():
            return operation.startswith("close")
        case ReentrantLoad():
            return situation.asks == "a"
        case _:
            return False


EXPECTED = (HerdlessError, LoadBroke, TimeoutError)
"""What a call may raise."""
