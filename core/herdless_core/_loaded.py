"""What a loader may return instead of a bare value: the value, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

from herdless_core._checks import check_boolean, check_weight
from herdless_core._durations import NEVER, Duration, nanoseconds, seconds
from herdless_core._errors import PolicyError
from herdless_core._tags import tags_of

V = TypeVar("V")
W = TypeVar("W")

_FINITE_DURATION: Final = "a number of seconds >= 0, less than 146 years, or a timedelta >= 0"


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
        age=seconds(age),
    )


def _seconds_or_none(duration: int | None) -> int | float | None:
    return None if duration is None else seconds(duration)


def _nanoseconds_or_none(argument: str, duration: object) -> int | None:
    return None if duration is None else nanoseconds(argument, duration)


def _age(duration: object) -> int:
    age = nanoseconds("age", duration, _FINITE_DURATION)
    if age >= NEVER:
        raise PolicyError(f"age={duration!r} is not accepted, nothing is so old: give {_FINITE_DURATION}")
    return age
