"""What the user allows an entry to do, validated once and kept in integer nanoseconds.

Users say seconds (int or float) or `timedelta`; the machine only adds and compares integers, which is what lets
CrossHair confirm it over all paths. `Policy` is what holds for every entry of a cache, `Lifetime` what holds for
one value: the policy's own, unless the loader answered `Loaded(value, ttl=...)` or jitter shortened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypedDict, TypeGuard, TypeVar, final

from herdless_core._errors import PolicyError, is_memorable
from herdless_core._tags import tags_of

V = TypeVar("V")
W = TypeVar("W")

Duration: TypeAlias = int | float | timedelta

Answers: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Any], bool]
"""Which exceptions of a loader are answers: a class, several, or a function that says so of one."""

NEVER: Final = 2**62 - 1
"""The instant that does not come, and the duration that does not end: 146 years in nanoseconds. The largest integer
that stays unboxed when the core is compiled."""

LONG_AGO: Final = -NEVER
"""The instant that is past at every `now`."""

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

_DURATION: Final = "a number of seconds >= 0 or a timedelta >= 0"
_FINITE_DURATION: Final = "a number of seconds >= 0, less than 146 years, or a timedelta >= 0"


def after(instant: int, duration: int) -> int:
    """The instant `duration` nanoseconds later; `NEVER` when the duration does not end."""
    return NEVER if duration >= NEVER else instant + duration


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
    negative_ttl: Duration
    answers: Answers | None
    remember_timeouts: bool
    early_refresh: float | None
    jitter: float
    load_timeout: Duration | None
    soft_timeout: Duration | None
    refresh_backoff: Duration
    max_waiters: int | None


@final
class Policy:
    """What the entries of a cache may do. Durations are seconds (int or float) or `timedelta`.

    ttl: how long a value is a hit, from the start of its load; None: until it is removed. A value older is stale.
        What counts by the ttl (the two stale windows, early_refresh, jitter) is refused without one, since it would do
        nothing: give `math.inf` where it is the loader who gives each value its ttl, or `expire` that ends it.
    stale_while_revalidate: how long past its ttl a value is still answered while it is refreshed (RFC 5861, section 3).
    stale_if_error: how long past its ttl a value is still answered when loading it again fails (RFC 5861, section 4).
    negative_ttl: how long a loader's exception is remembered and raised without a new load; 0: not at all.
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
    refresh_backoff: how long after a failed refresh the next one may start.
    max_waiters: how many callers may wait for one load; the next one gets `TooManyWaiters`. None: any number.

    Raises PolicyError, which names the argument, its value and what is accepted.
    """

    __slots__ = (
        "_early_refresh",
        "answers",
        "jitter",
        "lifetime",
        "load_timeout",
        "max_waiters",
        "negative_lifetime",
        "refresh_backoff",
        "remember_timeouts",
        "remembers_failures",
        "soft_timeout",
    )

    def __init__(
        self,
        *,
        ttl: Duration | None = None,
        stale_while_revalidate: Duration = 0,
        stale_if_error: Duration = 0,
        negative_ttl: Duration = 0,
        answers: Answers | None = None,
        remember_timeouts: bool = False,
        early_refresh: float | None = None,
        jitter: float = 0.0,
        load_timeout: Duration | None = None,
        soft_timeout: Duration | None = None,
        refresh_backoff: Duration = 1,
        max_waiters: int | None = None,
    ) -> None:
        self._early_refresh: Final = _early_refresh_fraction(early_refresh)
        self.jitter: Final = _jitter_fraction(jitter)
        self.lifetime: Final = self._lifetime_of(
            _nanoseconds_or_never("ttl", ttl),
            _nanoseconds("stale_while_revalidate", stale_while_revalidate),
            _nanoseconds("stale_if_error", stale_if_error),
        )
        """Of a value about which the loader says nothing else."""
        negative_ttl_ns = _nanoseconds("negative_ttl", negative_ttl)
        self.negative_lifetime: Final = Lifetime(negative_ttl_ns, negative_ttl_ns, 0, 0)
        """Of a remembered error: never stale, never refreshed early."""
        self.answers: Final = _answers(answers)
        self.remembers_failures: Final = answers is None
        """Whether what says nothing of the key but that its load failed is remembered too."""
        self.remember_timeouts: Final = _remember_timeouts(remember_timeouts, negative_ttl_ns)
        self.load_timeout: Final = NEVER if load_timeout is None else _timeout("load_timeout", load_timeout)
        self.soft_timeout: Final = NEVER if soft_timeout is None else _timeout("soft_timeout", soft_timeout)
        self.refresh_backoff: Final = _nanoseconds("refresh_backoff", refresh_backoff)
        self.max_waiters: Final = NEVER if max_waiters is None else check_count("max_waiters", max_waiters, least=1)
        if ttl is None:
            _refuse_without_ttl("stale_while_revalidate", stale_while_revalidate, self.lifetime.stale_while_revalidate)
            _refuse_without_ttl("stale_if_error", stale_if_error, self.lifetime.stale_if_error)
            _refuse_without_ttl("early_refresh", early_refresh, early_refresh)
            _refuse_without_ttl("jitter", jitter, jitter)
            _refuse_without_ttl("soft_timeout", soft_timeout, soft_timeout)

    def __reduce__(self) -> tuple[object, ...]:
        """By its arguments, for pickle and copy: a compiled object has no other state that they could see."""
        options = {
            "ttl": _seconds(self.lifetime.ttl),
            "stale_while_revalidate": _seconds(self.lifetime.stale_while_revalidate),
            "stale_if_error": _seconds(self.lifetime.stale_if_error),
            "negative_ttl": _seconds(self.negative_lifetime.ttl),
            "answers": self.answers,
            "remember_timeouts": self.remember_timeouts,
            "early_refresh": self._early_refresh,
            "jitter": self.jitter,
            "load_timeout": None if self.load_timeout == NEVER else _seconds(self.load_timeout),
            "soft_timeout": None if self.soft_timeout == NEVER else _seconds(self.soft_timeout),
            "refresh_backoff": _seconds(self.refresh_backoff),
            "max_waiters": None if self.max_waiters == NEVER else self.max_waiters,
        }
        return _policy_of, (options,)

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


@final
class _Word(Enum):
    """What stands where a value could, and is none. Copied and pickled it is the same."""

    UNCHANGED = "not modified"


UNCHANGED: Final = _Word.UNCHANGED
"""What `Loaded` holds in the place of a value where it says that the value before is what it is now: `NOT_MODIFIED`."""


_Arguments: TypeAlias = tuple[W, int | None, int | None, int | None, bool, tuple[str, ...], int | None, int]
"""Those of `_loaded_of`."""


@final
class Loaded(Generic[V]):
    """What a loader may return instead of a bare value, to give that value a lifetime of its own.

    ttl: seconds or timedelta; None: the cache's.
    stale_while_revalidate, stale_if_error: the same.
    keep: False: the value is for those who wait for it, and is not stored; what the cache held before stays what it
        was, and the next lookup that needs a load starts one.
    age: how old the value was when the load began, or is when it is put: seconds or timedelta, and not without end. As
        the Age of RFC 9111, section 4.2.3: all that counts by age, the ttl first, counts from so long before. That it
        was read before an `invalidate` or `invalidate_tag` which came before the load, only the loader can know.
    tags: what the value was made from, any number of non-empty strings, by which `invalidate_tag` finds it. A tuple
        afterwards, in the order given, each once.
    weight: how much it weighs, an integer >= 1, in a cache with `maxweight`; None: what `weigh` says.

    Raises PolicyError for a duration that is not one, for a `keep` that is neither True nor False, for a weight that is
    none, and for tags that are no collection of non-empty strings: one string alone is none.
    """

    __slots__ = ("age", "keep", "stale_if_error", "stale_while_revalidate", "tags", "ttl", "value", "weight")

    def __init__(
        self,
        value: V,
        *,
        ttl: Duration | None = None,
        stale_while_revalidate: Duration | None = None,
        stale_if_error: Duration | None = None,
        keep: bool = True,
        age: Duration = 0,
        tags: Iterable[str] = (),
        weight: int | None = None,
    ) -> None:
        given: Any = value
        if isinstance(given, Loaded) and given.value is UNCHANGED:
            given = UNCHANGED  # `Loaded(NOT_MODIFIED, ttl=...)`, which is a Loaded itself
        self.value: Final[V] = given
        self.ttl: Final = _nanoseconds_or_none("ttl", ttl)
        self.stale_while_revalidate: Final = _nanoseconds_or_none("stale_while_revalidate", stale_while_revalidate)
        self.stale_if_error: Final = _nanoseconds_or_none("stale_if_error", stale_if_error)
        self.keep: Final = check_boolean("keep", keep)
        self.age: Final = _age(age)
        self.tags: Final = tags_of(tags)
        self.weight: Final = None if weight is None else check_weight("weight", weight)

    def says_how_long(self) -> bool:
        """Whether it says anything of how long the value lives."""
        return not (self.ttl is None and self.stale_while_revalidate is None and self.stale_if_error is None)

    def require_kept(self) -> None:
        """Raise PolicyError where the value is not to be kept, or is none: what a caller puts is a value."""
        if self.value is UNCHANGED:
            raise PolicyError("NOT_MODIFIED is not accepted by put(): it is for what a loader returns")
        if not self.keep:
            raise PolicyError(
                "keep=False is not accepted by put(), which stores a value: it is for what a loader returns"
            )

    def require_untagged(self) -> None:
        """Raise PolicyError where the value has tags: a Durable Object has one key, and no other's to invalidate."""
        if self.tags:
            raise PolicyError(f"tags={self.tags!r} is not accepted by Durable Objects: an object is one key")

    def __reduce__(self) -> tuple[object, ...]:
        """By its arguments, as a Policy is."""
        return _loaded_of, self._arguments(self.value, self.tags, self.weight)

    def with_value(self, value: W) -> Loaded[W]:
        """Another value, of which all the rest is said as well: one that stands for this one, encoded."""
        return self._but(value, self.tags, self.weight)

    def with_tags(self, tags: Iterable[str]) -> Loaded[V]:
        """The same value, which has these tags too, after its own."""
        return self._but(self.value, (*self.tags, *tags_of(tags)), self.weight)

    def with_weight(self, weighs: int) -> Loaded[V]:
        """The same value, which weighs so much."""
        return self._but(self.value, self.tags, weighs)

    def _but(self, value: W, tags: tuple[str, ...], weighs: int | None) -> Loaded[W]:
        return _loaded_of(*self._arguments(value, tags, weighs))

    def _arguments(self, value: W, tags: tuple[str, ...], weighs: int | None) -> _Arguments[W]:
        """What `_loaded_of` makes the same of, but for these."""
        durations = self.ttl, self.stale_while_revalidate, self.stale_if_error
        return value, *durations, self.keep, tags, weighs, self.age


def _policy_of(options: PolicyOptions) -> Policy:
    return Policy(**options)


def bare_of(loaded: object) -> Any:
    """The value alone of what a loader returned or a caller put."""
    return loaded.value if isinstance(loaded, Loaded) else loaded


def is_kept(loaded: object) -> bool:
    """Whether what a loader returned is to be stored."""
    return not isinstance(loaded, Loaded) or loaded.keep


def with_tags(value: V | Loaded[V], tags: Iterable[str]) -> V | Loaded[V]:
    """What is to be put, with these tags beside its own; PolicyError where they are no collection of strings."""
    if isinstance(value, Loaded):
        return value.with_tags(tags)
    names = tags_of(tags)
    return Loaded(value, tags=names) if names else value


def _loaded_of(
    value: V,
    ttl: int | None,
    stale_while_revalidate: int | None,
    stale_if_error: int | None,
    keep: bool,
    tags: tuple[str, ...] = (),
    weight: int | None = None,
    age: int = 0,
) -> Loaded[V]:
    """By the attributes, whose durations are nanoseconds. A pickle of before there were tags, or ages, names none."""
    return Loaded(
        value,
        ttl=_seconds_or_none(ttl),
        stale_while_revalidate=_seconds_or_none(stale_while_revalidate),
        stale_if_error=_seconds_or_none(stale_if_error),
        keep=keep,
        tags=tags,
        weight=weight,
        age=_seconds(age),
    )


def _seconds_or_none(nanoseconds: int | None) -> int | float | None:
    return None if nanoseconds is None else _seconds(nanoseconds)


def _seconds(nanoseconds: int) -> int | float:
    """The same duration as users say it; whole seconds are exact."""
    if nanoseconds == NEVER:
        return float("inf")
    seconds, rest = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
    return nanoseconds / NANOSECONDS_PER_SECOND if rest else seconds


def check_count(argument: str, value: object, *, least: int) -> int:
    """The value if it is an integer of at least `least`; PolicyError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{argument}={value!r} is not accepted: give an integer >= {least}, or None for no limit")
    return value


def check_duration(argument: str, value: object) -> int:
    """The duration in nanoseconds; PolicyError for what is none."""
    return _nanoseconds(argument, value)


def check_weight(argument: str, value: object) -> int:
    """The value if it is an integer of at least 1; PolicyError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PolicyError(f"{argument}={value!r} is not accepted: give an integer >= 1")
    return value


def _nanoseconds_or_never(argument: str, duration: object) -> int:
    return NEVER if duration is None else _nanoseconds(argument, duration, f"None, {_DURATION}")


def _nanoseconds_or_none(argument: str, duration: object) -> int | None:
    return None if duration is None else _nanoseconds(argument, duration)


def _nanoseconds(argument: str, duration: object, accepted: str = _DURATION) -> int:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not _is_number(seconds) or not seconds >= 0:  # written so that NaN is refused
        raise PolicyError(f"{argument}={duration!r} is not accepted: give {accepted}")
    return round(seconds * NANOSECONDS_PER_SECOND) if seconds < NEVER // NANOSECONDS_PER_SECOND else NEVER


def _age(duration: object) -> int:
    nanoseconds = _nanoseconds("age", duration, _FINITE_DURATION)
    if nanoseconds >= NEVER:
        raise PolicyError(f"age={duration!r} is not accepted, nothing is so old: give {_FINITE_DURATION}")
    return nanoseconds


def _timeout(argument: str, duration: object) -> int:
    accepted = "None, a number of seconds > 0 or a timedelta > 0"
    nanoseconds = _nanoseconds(argument, duration, accepted)
    if not nanoseconds:
        raise PolicyError(f"{argument}={duration!r} is not accepted, no load can end in no time: give {accepted}")
    return nanoseconds


def check_boolean(argument: str, value: object) -> bool:
    """The value if it is True or False; PolicyError otherwise."""
    if not isinstance(value, bool):
        raise PolicyError(f"{argument}={value!r} is not accepted: give True or False")
    return value


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


def _remember_timeouts(remembers: object, negative_ttl: int) -> bool:
    if check_boolean("remember_timeouts", remembers) and not negative_ttl:
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
    if fraction is None or (_is_number(fraction) and 0 < fraction < 1):
        return fraction
    raise PolicyError(f"early_refresh={fraction!r} is not accepted: give None or a fraction with 0 < early_refresh < 1")


def _jitter_fraction(fraction: object) -> float:
    if _is_number(fraction) and 0 <= fraction < 1:
        return fraction
    raise PolicyError(f"jitter={fraction!r} is not accepted: give a fraction with 0 <= jitter < 1")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
