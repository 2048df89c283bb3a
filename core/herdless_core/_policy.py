"""What the user allows an entry to do, validated once and kept in integer nanoseconds.

Users say seconds (int or float) or `timedelta`; the machine only adds and compares integers, which is what lets
CrossHair confirm it over all paths. `Policy` is what holds for every entry of a cache, `Lifetime` what holds for
one value: the policy's own, unless the loader answered `Loaded(value, ttl=...)` or jitter shortened it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict, final

from herdless_core._checks import check_boolean, check_count
from herdless_core._durations import (
    DURATION,
    NANOSECONDS_PER_SECOND,
    NEVER,
    Duration,
    is_number,
    nanoseconds,
    seconds,
)
from herdless_core._errors import PolicyError, is_memorable
from herdless_core._loaded import Loaded, _loaded_of  # noqa: F401  # a pickle of herdless 0.1 names the second one here
from herdless_core._rest import Backoff, asked, backoff_after, backoff_range

Answers: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Any], bool]
"""Which exceptions of a loader are answers: a class, several, or a function that says so of one."""

NegativeTtl: TypeAlias = Duration | Callable[[Any], Duration]
"""How long an exception is remembered: always the same, or a function that says so of one."""

RefreshBackoff: TypeAlias = Backoff | Callable[[Any], Backoff]
"""How long a failed refresh rests: a duration, the first and the longest of one that grows, or a function that says so
of an exception."""

_NEGATIVE_TTL: Final = f"{DURATION}, or a function of the exception"

DEFAULT_BACKOFF: Final = NANOSECONDS_PER_SECOND


@final
@dataclass(slots=True)
class Lifetime:
    """How long one value may be answered, counted from the START of its load; nanoseconds."""

    ttl: Final[int]
    early_refresh: Final[int]
    """Age from which a hit starts a refresh; equal to `ttl` where early refresh is off."""
    stale_while_revalidate: Final[int]
    stale_if_error: Final[int]

    @property
    def kept(self) -> int:
        """How long the value is kept past its ttl: the longer of the two stale windows."""
        return max(self.stale_while_revalidate, self.stale_if_error)


class PolicyOptions(TypedDict, total=False):
    """The keyword arguments of `Policy`, as every `Cache` takes them too."""

    ttl: Duration | None
    stale_while_revalidate: Duration
    stale_if_error: Duration
    negative_ttl: NegativeTtl
    answers: Answers | None
    remember_timeouts: bool
    early_refresh: float | None
    jitter: float
    load_timeout: Duration | None
    soft_timeout: Duration | None
    refresh_backoff: RefreshBackoff
    max_waiters: int | None


@final
class Policy:
    """What the entries of a cache may do. Durations are seconds (int or float) or `timedelta`.

    ttl: how long a value is a hit, from the start of its load; None: until it is removed. A value older is stale.
        What counts by the ttl (the two stale windows, early_refresh, jitter) is refused without one, since it would do
        nothing: give `math.inf` where it is the loader who gives each value its ttl, or `expire` that ends it.
    stale_while_revalidate: how long past its ttl a value is still answered while it is refreshed (RFC 5861, section 3).
    stale_if_error: how long past its ttl a value is still answered when loading it again fails (RFC 5861, section 4).
    negative_ttl: how long a loader's exception is remembered and raised without a new load; 0: not at all. A function
        of the exception says so of each, `LoadTimeout` included where timeouts are remembered.
    answers: which of the loader's exceptions are answers, as "no such row" is: a class, a tuple of classes, or a
        function that is given one and says whether. An answer takes the place of the value that was kept, is never
        covered by a stale one, and alone is remembered for negative_ttl. All others are failures: what is kept covers
        them, and they are not remembered. None: each exception is a failure, and is remembered for negative_ttl where
        no value is kept.
    remember_timeouts: whether negative_ttl holds for `LoadTimeout` too, so that a key whose loads hang is not loaded
        again by every caller. Not so by default: a timeout says nothing of the key.
    early_refresh: fraction of the ttl, 0 < early_refresh < 1, after which a hit starts a refresh; None: only stale hits
        do.
    jitter: fraction of the ttl, 0 <= jitter < 1, by which a value's ttl is shortened at random, so that keys loaded
        together do not expire together. Never lengthened: a hit stays younger than `ttl`.
    load_timeout: how long a load may take before its callers get `LoadTimeout`; None: as long as it takes.
    soft_timeout: how long a caller waits for a load while a value is kept, past the window in which it is answered at
        once: then the caller is answered with that, and the load goes on. None: until the load ends.
    refresh_backoff: how long after a failed refresh the next one may start. A tuple, the first and the longest: doubled
        at each failure in a row, and shortened at random by up to half, but never below the first. A function of the
        exception says either.
    max_waiters: how many callers may wait for one load; the next one gets `TooManyWaiters`. None: any number.

    Raises PolicyError, which names the argument, its value and what is accepted.
    """

    __slots__ = (
        "_backoff",
        "_backoff_by",
        "_early_refresh",
        "_negative_by",
        "answers",
        "derived_from",
        "jitter",
        "lifetime",
        "load_timeout",
        "max_waiters",
        "may_remember",
        "negative_lifetime",
        "refresh_backoff",
        "remember_timeouts",
        "remembers_failures",
        "rests_differ",
        "soft_timeout",
    )

    def __init__(
        self,
        *,
        ttl: Duration | None = None,
        stale_while_revalidate: Duration = 0,
        stale_if_error: Duration = 0,
        negative_ttl: NegativeTtl = 0,
        answers: Answers | None = None,
        remember_timeouts: bool = False,
        early_refresh: float | None = None,
        jitter: float = 0.0,
        load_timeout: Duration | None = None,
        soft_timeout: Duration | None = None,
        refresh_backoff: RefreshBackoff = 1,
        max_waiters: int | None = None,
    ) -> None:
        self._early_refresh: Final = _early_refresh_fraction(early_refresh)
        self.jitter: Final = _jitter_fraction(jitter)
        self.lifetime: Final = self._lifetime_of(
            _nanoseconds_or_never("ttl", ttl),
            nanoseconds("stale_while_revalidate", stale_while_revalidate),
            nanoseconds("stale_if_error", stale_if_error),
        )
        """Of a value about which the loader says nothing else."""
        self._negative_by: Final = negative_ttl if callable(negative_ttl) else None
        negative_ttl_ns = 0 if callable(negative_ttl) else nanoseconds("negative_ttl", negative_ttl, _NEGATIVE_TTL)
        self.negative_lifetime: Final = Lifetime(negative_ttl_ns, negative_ttl_ns, 0, 0)
        """Of a remembered error: never stale, never refreshed early."""
        self.may_remember: Final = callable(negative_ttl) or negative_ttl_ns > 0
        """Whether any error may be remembered."""
        self.answers: Final = _answers(answers)
        self.remembers_failures: Final = answers is None
        """Whether what says nothing of the key but that its load failed is remembered too."""
        self.remember_timeouts: Final = _remember_timeouts(remember_timeouts, self.may_remember)
        self.load_timeout: Final = NEVER if load_timeout is None else _timeout("load_timeout", load_timeout)
        self.soft_timeout: Final = NEVER if soft_timeout is None else _timeout("soft_timeout", soft_timeout)
        self._backoff_by: Final = refresh_backoff if callable(refresh_backoff) else None
        default = (DEFAULT_BACKOFF, DEFAULT_BACKOFF)
        self._backoff: Final = default if callable(refresh_backoff) else backoff_range(refresh_backoff)
        self.refresh_backoff: Final = self._backoff[0]
        grows = self._backoff[0] < self._backoff[1]
        self.rests_differ: Final = callable(negative_ttl) or callable(refresh_backoff) or grows
        """Whether the step that reports a failure is taken by a policy of its own: `after_failure`."""
        self.max_waiters: Final = NEVER if max_waiters is None else check_count("max_waiters", max_waiters, least=1)
        self.derived_from: Policy | None = None
        """The cache's policy, where this one is that of a failure alone."""
        if ttl is None:
            _refuse_without_ttl("stale_while_revalidate", stale_while_revalidate, self.lifetime.stale_while_revalidate)
            _refuse_without_ttl("stale_if_error", stale_if_error, self.lifetime.stale_if_error)
            _refuse_without_ttl("early_refresh", early_refresh, early_refresh)
            _refuse_without_ttl("jitter", jitter, jitter)
            _refuse_without_ttl("soft_timeout", soft_timeout, soft_timeout)

    def __reduce__(self) -> tuple[object, ...]:
        """By its arguments, for pickle and copy: a compiled object has no other state that they could see."""
        return _policy_of, (self._options(),)

    def after_failure(self, error: BaseException, failures: int, luck: float) -> Policy:
        """The policy of the step that reports this failure: the same, with the two durations that hold for it.

        failures: how many came before in a row; luck: the random number for a back-off that grows, 0 <= luck < 1.
        """
        if not self.rests_differ:
            return self
        negative_ttl, backoff = self.negative_lifetime.ttl, self._backoff
        if self._negative_by is not None:
            negative_ttl = asked("negative_ttl", self._negative_by, error, 0)[0]
        if self._backoff_by is not None:
            backoff = asked("refresh_backoff", self._backoff_by, error, DEFAULT_BACKOFF)
        return self.with_rest(negative_ttl, backoff_after(backoff, failures, luck))

    def with_rest(self, negative_ttl: int, refresh_backoff: int) -> Policy:
        """The same policy with these two durations, in nanoseconds."""
        options = self._options()
        options["negative_ttl"], options["refresh_backoff"] = seconds(negative_ttl), seconds(refresh_backoff)
        options["remember_timeouts"] = self.remember_timeouts and negative_ttl > 0
        made = _policy_of(options)
        made.derived_from = self
        return made

    def _backoff_given(self) -> Backoff:
        first, longest = seconds(self._backoff[0]), seconds(self._backoff[1])
        return first if first == longest else (first, longest)

    def _options(self) -> PolicyOptions:
        return {
            "ttl": seconds(self.lifetime.ttl),
            "stale_while_revalidate": seconds(self.lifetime.stale_while_revalidate),
            "stale_if_error": seconds(self.lifetime.stale_if_error),
            "negative_ttl": self._negative_by or seconds(self.negative_lifetime.ttl),
            "answers": self.answers,
            "remember_timeouts": self.remember_timeouts,
            "early_refresh": self._early_refresh,
            "jitter": self.jitter,
            "load_timeout": None if self.load_timeout == NEVER else seconds(self.load_timeout),
            "soft_timeout": None if self.soft_timeout == NEVER else seconds(self.soft_timeout),
            "refresh_backoff": self._backoff_by or self._backoff_given(),
            "max_waiters": None if self.max_waiters == NEVER else self.max_waiters,
        }

    def is_answer(self, error: BaseException) -> bool:
        """Whether this exception, by which a load ended, is what there is to say of the key. Where the user's own
        function cannot say so, it is not, and gets a note of that: the load has ended all the same.
        """
        answers = self.answers
        if answers is None or not is_memorable(error):
            return False
        if isinstance(answers, (type, tuple)):
            return isinstance(error, answers)
        try:
            return bool(answers(error))
        except Exception as broken:  # noqa: BLE001  # the user's own, of any kind
            BaseException.add_note(error, f"answers= raised {broken!r} when it was asked whether this is an answer")
            return False

    def lifetime_for(self, loaded: object, luck: float) -> Lifetime:
        """The lifetime of what a loader returned or a caller put. luck: the random number for the jitter, of which
        0 <= luck < 1.
        """
        lifetime = self.lifetime
        ttl, stale_while_revalidate = lifetime.ttl, lifetime.stale_while_revalidate
        stale_if_error = lifetime.stale_if_error
        if isinstance(loaded, Loaded):
            ttl = ttl if loaded.ttl is None else loaded.ttl
            if loaded.stale_while_revalidate is not None:
                stale_while_revalidate = loaded.stale_while_revalidate
            if loaded.stale_if_error is not None:
                stale_if_error = loaded.stale_if_error
        if not self.jitter and not (isinstance(loaded, Loaded) and loaded.says_how_long()):
            return lifetime  # shared by all such values: nothing is allocated for it
        if ttl < NEVER:
            ttl -= int(ttl * self.jitter * luck)
        return self._lifetime_of(ttl, stale_while_revalidate, stale_if_error)

    def _lifetime_of(self, ttl: int, stale_while_revalidate: int, stale_if_error: int) -> Lifetime:
        early = ttl if self._early_refresh is None or ttl >= NEVER else int(ttl * self._early_refresh)
        return Lifetime(ttl, early, stale_while_revalidate, stale_if_error)


def _policy_of(options: PolicyOptions) -> Policy:
    return Policy(**options)


def _nanoseconds_or_never(argument: str, duration: object) -> int:
    return NEVER if duration is None else nanoseconds(argument, duration, f"None, {DURATION}")


def _timeout(argument: str, duration: object) -> int:
    accepted = "None, a number of seconds > 0 or a timedelta > 0"
    timeout = nanoseconds(argument, duration, accepted)
    if not timeout:
        raise PolicyError(f"{argument}={duration!r} is not accepted, no load can end in no time: give {accepted}")
    return timeout


def _answers(answers: object) -> Answers | None:
    kinds = answers if isinstance(answers, tuple) else (answers,)
    if all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds) and kinds:
        return answers  # type: ignore[return-value]  # the line above has looked at it
    if answers is None or (callable(answers) and not isinstance(answers, type)):
        return answers
    raise PolicyError(
        f"answers={answers!r} is not accepted: give a class of exceptions, a tuple of them, or a function that is "
        "given an exception and returns True or False"
    )


def _remember_timeouts(remembers: object, may_remember: bool) -> bool:
    if check_boolean("remember_timeouts", remembers) and not may_remember:
        raise PolicyError(
            "remember_timeouts=True is not accepted without negative_ttl, which says how long: give negative_ttl > 0"
        )
    return bool(remembers)


def _refuse_without_ttl(argument: str, given: object, effect: object) -> None:
    if effect:
        raise PolicyError(
            f"{argument}={given!r} is not accepted without ttl, by which it counts: give ttl=..., or ttl=math.inf if "
            "Loaded(value, ttl=...) or expire() is what ends a value"
        )


def _early_refresh_fraction(fraction: object) -> float | None:
    if fraction is None or (is_number(fraction) and 0 < fraction < 1):
        return fraction
    raise PolicyError(f"early_refresh={fraction!r} is not accepted: give None or a fraction with 0 < early_refresh < 1")


def _jitter_fraction(fraction: object) -> float:
    if is_number(fraction) and 0 <= fraction < 1:
        return fraction
    raise PolicyError(f"jitter={fraction!r} is not accepted: give a fraction with 0 <= jitter < 1")
