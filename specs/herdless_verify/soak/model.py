"""What the callers of a cache may be told: a model that knows of loads, of removals and of nothing else.

It holds no entry and no flight. Every value is made once, by a load or a put, and bears when; a caller may be told one
of its own key, made no earlier than the last removal that was over when the caller began, and, unless it waited for it,
no older than its windows. So it is right for every order that a runtime may choose, and it forgets what is over.

The soak and the tests of schedules judge by it. Each says by itself when a value was settled and what becomes of a
complaint; the rules are here.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, final

from herdless_core import CacheClosed, LoadCancelled, LoadTimeout, ReentrantLoad, TooManyWaiters

ANY_TIME: Final = 2**62


class LoadBroke(Exception):
    """What a loader raises that fails."""

    def __init__(self, made: Made) -> None:
        super().__init__(made)
        self.made: Final = made


@final
class Made:
    """A value, or the error of a load, of which it is known who made it and when."""

    __slots__ = (
        "fresh_for",
        "kept_for",
        "key",
        "last",
        "loaded_at",
        "made_until",
        "name",
        "number",
        "replaces",
        "settled_at",
    )

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
        self.replaces = False
        """Whether it is an error in the place of what was there: an answer, of a load that was not superseded."""
        self.last: object = None
        """What ends with it, and may do something then."""

    def __repr__(self) -> str:
        return self.name


@final
class Caller:
    """One lookup."""

    __slots__ = ("barrier", "deadline", "is_done", "is_inside_load", "key", "may_leave", "now", "number")

    def __init__(self, key: str, number: int, barrier: int, now: int) -> None:
        self.key: Final = key
        self.number: Final = number
        self.barrier: Final = barrier
        """What was made before this may not be told to it."""
        self.now: Final = now
        self.deadline: int | None = None
        """Up to when it has the patience to wait, if it may give up by itself."""
        self.may_leave = False
        """Whether somebody may cancel it."""
        self.is_inside_load = False
        self.is_done = False
        """Whether it was told anything, or has left."""


class Model:
    """Notes what happens to one cache, and says what is wrong with what its callers are told."""

    def __init__(
        self,
        clock: Callable[[], int],
        policy: Mapping[str, Any],
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """clock: that of the cache, in nanoseconds; policy: the cache's fields by name, those not named being None;
        lock: held while a note is taken.
        """
        self._clock: Final = clock
        self._policy: Final = policy
        self._lock: Final = threading.Lock() if lock is None else lock
        self._numbers: Final = itertools.count(1)
        self._barriers: Final[dict[str, int]] = {}
        self._cleared_at = 0
        self.is_closing = False
        self.is_interrupted = False
        """Whether an exception came in between somewhere: whoever waited for what it broke off may be told so."""

    # What happens

    def number(self) -> int:
        """The next number in the order of what happens."""
        with self._lock:
            return next(self._numbers)

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
                self._bar(key, at)

    def was_told(self, made: Made) -> None:
        """A caller was told this error. If it is an answer, who begins later may not see what was before it: not from
        its step on, which is observed before the tables show it, and which an interrupt may take back.
        """
        if made.replaces:
            with self._lock:
                self._bar(made.key, made.number)

    def _bar(self, key: str, number: int) -> None:
        self._barriers[key] = max(self._barriers.get(key, 0), number)

    def begins(self, key: str) -> Caller:
        """A caller looks the key up."""
        with self._lock:
            barrier = max(self._barriers.get(key, 0), self._cleared_at)
            return Caller(key, next(self._numbers), barrier, self._clock())

    # What callers are told. Each gives what is wrong with it, and nothing where all is right.

    def wrong_in_answer(self, caller: Caller, made: Any, how: str | None = None) -> Iterator[str]:
        """The lookup returned this value, and may have said how it came by it."""
        yield from self._wrong_in_ending(caller)
        if isinstance(made, Made):
            yield from self._wrong_in_value(caller, made, how)
        else:
            yield f"was told {made!r}, which nobody made"

    def wrong_in_error(self, caller: Caller, error: BaseException) -> Iterator[str]:
        """The lookup raised this error."""
        yield from self._wrong_in_ending(caller)
        if isinstance(error, LoadBroke):
            yield from self._wrong_in_value(caller, error.made, None)
        elif not self._has_reason(caller, error):
            yield f"was told {error!r}, for which there is no reason"

    def wrong_in_leaving(self, caller: Caller) -> Iterator[str]:
        """The lookup was cancelled."""
        yield from self._wrong_in_ending(caller)
        if not caller.may_leave:
            yield "was cancelled by nobody"

    def _wrong_in_ending(self, caller: Caller) -> Iterator[str]:
        if caller.is_done:
            yield "was answered twice (AnsweredOnce)"
        caller.is_done = True

    def _wrong_in_value(self, caller: Caller, made: Made, how: str | None) -> Iterator[str]:
        if made.key != caller.key:
            yield f"was told {made}"
        if made.made_until < caller.barrier:
            yield f"came after a removal, but was told {made} from before it (NoStaleRead)"
        if made.settled_at > caller.number:
            return  # it may have waited for it
        limit = made.fresh_for if how == "hit" else made.kept_for
        age = caller.now - made.loaded_at
        if age >= limit:
            yield f"was told {made}, {age} ns old, where {limit} ns are allowed (HitAge)"
        if how in {"joined", "loaded"}:
            yield f"is said to have {how} {made}, which was there already"

    def _has_reason(self, caller: Caller, error: BaseException) -> bool:
        match error:
            case LoadTimeout():
                return self._policy.get("load_timeout") is not None
            case TooManyWaiters():
                return self._policy.get("max_waiters") is not None
            case LoadCancelled():
                return self.is_closing or self.is_interrupted or error.__cause__ is not None
            case ReentrantLoad():
                return caller.is_inside_load
            case CacheClosed():
                return self.is_closing
            case TimeoutError():
                return caller.deadline is not None and self._clock() >= caller.deadline
            case _:
                return False
