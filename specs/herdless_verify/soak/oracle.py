"""What the callers of a cache may be told: a model that knows of loads, of removals and of nothing else.

It holds no entry and no flight. Every value is made once, by a load or a put, and bears when; a caller may be told one
of its own key, made no earlier than the last removal that was over when the caller began, and, unless it waited for it,
no older than its windows. So it is right for every order that a runtime may choose, and it forgets what is over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    CacheClosed,
    LoadCancelled,
    LoadFailed,
    LoadSucceeded,
    LoadTimeout,
    Put,
    ReentrantLoad,
    Step,
    TooManyWaiters,
)
from herdless_verify.soak.findings import Findings
from herdless_verify.soak.foreign import Judging
from herdless_verify.soak.plan import RoundPlan

ANY_TIME: Final = 2**62


class LoadBroke(Exception):
    """What a loader raises that fails."""

    def __init__(self, made: Made) -> None:
        super().__init__(made)
        self.made: Final = made


@final
class Made:
    """A value, or the error of a load, of which it is known who made it and when."""

    __slots__ = ("fresh_for", "kept_for", "key", "last", "loaded_at", "made_until", "name", "number", "settled_at")

    def __init__(self, key: str, name: str, number: int, fresh_for: int, kept_for: int) -> None:
        self.key: Final = key
        self.name: Final = name
        self.number: Final = number
        """In the order of what happened; all that a value knows was true then."""
        self.made_until = number
        """A put takes effect at some moment up to this."""
        self.fresh_for: Final = fresh_for
        """Nanoseconds, from `loaded_at`, for which it may be a hit."""
        self.kept_for: Final = kept_for
        """The same for a stale hit."""
        self.settled_at = ANY_TIME
        """When it was committed. Who began before may have waited for it, however old it was."""
        self.loaded_at = 0
        self.last: object = None
        """What ends with it, and may do something then."""

    def __repr__(self) -> str:
        return self.name


@final
class Caller:
    """One lookup."""

    __slots__ = ("barrier", "deadline", "is_inside_load", "key", "now", "number")

    def __init__(self, key: str, number: int, barrier: int, now: int) -> None:
        self.key: Final = key
        self.number: Final = number
        self.barrier: Final = barrier
        """What was made before this may not be told to it."""
        self.now: Final = now
        self.deadline: int | None = None
        """Up to when it has the patience to wait, if it may leave."""
        self.is_inside_load = False


@final
class Oracle:
    """Records what happens to one cache, and complains of what its callers are told."""

    def __init__(self, plan: RoundPlan, clock: Callable[[], int], findings: Findings) -> None:
        self._plan: Final = plan
        self._clock: Final = clock
        self._findings: Final = findings
        self._lock: Final = Judging()
        self._numbers: Final = itertools.count(1)
        self._barriers: Final[dict[str, int]] = {}
        self._cleared_at = 0
        self._waiting: Final[dict[int, Caller]] = {}
        policy = plan.policy
        self._ttl: Final = policy["ttl"]
        self._windows: Final = _ns(max(policy["stale_while_revalidate"], policy["stale_if_error"]))
        self._negative: Final = _ns(policy["negative_ttl"])
        self.is_closing = False
        self.is_interrupted = False
        """Whether an exception came in between somewhere: whoever waited for what it broke off may be told so."""

    # What happens

    @property
    def is_judging(self) -> bool:
        """Whether this thread is inside of here."""
        return self._lock.is_here

    def number(self) -> int:
        """The next number in the order of what happens."""
        with self._lock:
            return next(self._numbers)

    def made_by_load(self, key: str, generation: int, ttl: float | None) -> Made:
        """A load begins: what it will give is read now at the earliest."""
        ttl_ns = _ns(self._ttl if ttl is None else ttl)
        kept_for = min(NEVER, ttl_ns + self._windows)
        return Made(key, f"the value of load {generation} of {key}", self.number(), ttl_ns, kept_for)

    def broken(self, made: Made) -> LoadBroke:
        """The load fails: its error may be told for `negative_ttl`."""
        name = made.name.replace("the value", "the error")
        return LoadBroke(Made(made.key, name, made.number, self._negative, self._negative))

    def made_by_put(self, key: str) -> Made:
        """A value to put."""
        ttl_ns = _ns(self._ttl)
        number = self.number()
        return Made(key, f"the value put for {key} as number {number}", number, ttl_ns, ttl_ns + self._windows)

    @contextmanager
    def removing(self, key: str | None, by: Made | None = None) -> Iterator[None]:
        """Meanwhile the key, or every key, is invalidated or put; who begins later may not see what was before."""
        at = self.number() if by is None else by.number
        if by is not None:
            by.made_until = ANY_TIME
        yield
        with self._lock:
            if by is not None:
                by.made_until = next(self._numbers)
            if key is None:
                self._cleared_at = max(self._cleared_at, at)
            else:
                self._barriers[key] = max(self._barriers.get(key, 0), at)

    def committed(self, step: Step) -> None:
        """A step, before anybody is told of it. It says when a value was settled, and from when its age counts."""
        match step.event:
            case LoadSucceeded(generation=generation, value=Made() as made):
                flight = step.before.flight
                if flight is not None and flight.generation == generation:
                    made.loaded_at, made.settled_at = flight.started_at, self.number()
            case LoadFailed(error=LoadBroke(made=made)):
                made.loaded_at, made.settled_at = step.now, self.number()
            case Put(value=Made() as made):
                made.loaded_at, made.settled_at = step.now, self.number()
            case _:
                pass

    # What callers are told

    @contextmanager
    def calling(self, key: str, patience: float | None = None, *, is_inside_load: bool = False) -> Iterator[Caller]:
        """A caller is inside a lookup; `patience`: seconds after which it may leave."""
        with self._lock:
            barrier = max(self._barriers.get(key, 0), self._cleared_at)
            caller = Caller(key, next(self._numbers), barrier, self._clock())
            self._waiting[caller.number] = caller
        caller.is_inside_load = is_inside_load
        if patience is not None:
            caller.deadline = caller.now + _ns(patience)
        try:
            yield caller
        finally:
            self._waiting.pop(caller.number, None)
            self._findings.count("lookups")

    def waiting(self) -> list[Caller]:
        """Those who are inside a lookup, the longest there first."""
        return list(self._waiting.values())

    def inside(self) -> int:
        """How many are inside a lookup."""
        return len(self._waiting)

    def answered(self, caller: Caller, made: Any, how: str | None = None) -> None:
        """The lookup returned this value, and said how it came by it."""
        if not isinstance(made, Made):
            self._complain(caller, f"was told {made!r}, which nobody made")
            return
        self._judge(caller, made, how)

    def failed(self, caller: Caller, error: BaseException) -> None:
        """The lookup raised this error."""
        self._findings.answer(type(error).__name__)
        if isinstance(error, LoadBroke):
            self._judge(caller, error.made, None)
        elif not self._has_reason(caller, error):
            self._complain(caller, f"was told {error!r}, for which there is no reason")

    def _has_reason(self, caller: Caller, error: BaseException) -> bool:
        match error:
            case LoadTimeout():
                return self._plan.policy["load_timeout"] is not None
            case TooManyWaiters():
                return self._plan.policy["max_waiters"] is not None
            case LoadCancelled():
                return self.is_closing or self.is_interrupted or error.__cause__ is not None
            case ReentrantLoad():
                return caller.is_inside_load
            case CacheClosed():
                return self.is_closing
            case TimeoutError():
                self._findings.fault("caller leaves")
                return caller.deadline is not None and self._clock() >= caller.deadline
            case _:
                return False

    def left(self, caller: Caller) -> None:
        """The lookup was cancelled."""
        self._findings.fault("caller leaves")
        if caller.deadline is None:
            self._complain(caller, "was cancelled by nobody")

    def _judge(self, caller: Caller, made: Made, how: str | None) -> None:
        if made.key != caller.key:
            self._complain(caller, f"was told {made}")
        if made.made_until < caller.barrier:
            self._complain(caller, f"came after a removal, but was told {made} from before it (NoStaleRead)")
        if made.settled_at > caller.number:
            return  # it may have waited for it
        limit = made.fresh_for if how == "hit" else made.kept_for
        age = caller.now - made.loaded_at
        if age >= limit:
            self._complain(caller, f"was told {made}, {age} ns old, where {limit} ns are allowed (HitAge)")
        if how in {"joined", "loaded"}:
            self._complain(caller, f"is said to have {how} {made}, which was there already")

    def _complain(self, caller: Caller, what: str) -> None:
        self._findings.complain(f"a caller of {caller.key} {what}")


def _ns(seconds: object) -> int:
    if not isinstance(seconds, int | float) or math.isinf(seconds):
        return NEVER
    return round(seconds * NANOSECONDS_PER_SECOND)
