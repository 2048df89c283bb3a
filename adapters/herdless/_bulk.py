"""Many keys at once, in every runtime: what is asked for, what a bulk loader gave, and what that is for each key.

A bulk loader is a function of a list of keys that returns a mapping. Every key keeps a flight of its own, with all that
is promised of it; the loads that arrive together are one call of the bulk loader, a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, NoReturn, TypeVar, final

from herdless._answers import stopped_by, value_of, value_of_reply, without_this_frame
from herdless._loaders import Loader
from herdless_core import Answer, Fresh, LoadCancelled, Outcome, PolicyError, Refuse, ShowKey, Value
from herdless_core._checks import check_count
from herdless_core._copies import copy_of

K = TypeVar("K")
W = TypeVar("W")

BATCH_SIZE: Final = 100
"""So many keys at most are loaded by one call, unless `batch_size` says something else."""


def distinct(keys: Iterable[K]) -> list[K]:
    """The keys in their order, each once. PolicyError for a text, whose characters are hardly meant, and for what is
    not iterable; TypeError for an unhashable key.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise PolicyError(f"keys={keys!r} is not accepted: give a collection of keys")
    return list(dict.fromkeys(keys))


def check_bulk(load: object, load_many: object, batch_size: object) -> int:
    """How many keys are loaded by one call at most. PolicyError where the loaders or the size are not accepted.

    load, load_many: the loaders that the cache was given, of which one at most may be; batch_size: an integer of at
    least 1, or None for any number, by which the default is meant where there is no bulk loader.
    """
    if load_many is not None and load is not None:
        raise PolicyError(f"load_many={load_many!r} is not accepted beside load={load!r}: give one or the other")
    if load_many is not None and not callable(load_many):
        raise PolicyError(f"load_many={load_many!r} is not accepted: give a function of a list of keys")
    if batch_size is None:
        return BATCH_SIZE
    return check_count("batch_size", batch_size, least=1)


def mapping_of(load_many: Loader, returned: object) -> Mapping[Any, Any]:
    """What the bulk loader returned; TypeError where it is no mapping."""
    if not isinstance(returned, Mapping):
        raise TypeError(
            f"load_many={load_many!r} is not accepted: give a function that returns a mapping from key to value, this "
            f"one returned {type(returned).__name__}"
        )
    return returned


@final
class Given:
    """What a batch ended with, for each of its keys: a mapping, or the error by which the bulk loader ended."""

    __slots__ = ("_error", "_values")

    def __init__(self, values: Mapping[Any, Any], error: Exception | None = None) -> None:
        self._values: Final = values
        self._error: Final = error

    def value_of(self, key: object) -> Any:
        """The key's value. Raises KeyError where the mapping leaves it out, and an own copy of the loader's error."""
        if self._error is not None:
            raise copy_of(self._error)
        return self._values[key]


def told(error: BaseException) -> Exception:
    """What the loads of a batch are told that ended by this error: see `error_told`."""
    return error if isinstance(error, Exception) else stopped_by(error, "the bulk load")


class Batches:
    """Makes a loader of one key of a bulk loader."""

    def __init__(self, load_many: Loader, size: int) -> None:
        """load_many: a function from a list of keys to a mapping; size: so many keys at most in one call."""
        self.load_many = load_many
        """Not final: a tracer puts something around it."""
        self.size: Final = size

    def __repr__(self) -> str:
        return repr(self.load_many)


class Batch(Generic[W]):
    """Some keys that are loaded by one call."""

    def __init__(self) -> None:
        self.members: Final[dict[Any, W]] = {}
        """By key, where its load waits, if that is not the same for all."""
        self.has_begun = False

    def takes(self, key: object, size: int) -> bool:
        """Whether one more key may come. It can be in the air twice: a load that was invalidated, and the one after it.

        key: of the load; size: how many keys one call has at most.
        """
        return not self.has_begun and len(self.members) < size and key not in self.members


@final
class Answers(Generic[K]):
    """What becomes of each key of a `get_many`."""

    def __init__(self, cache: Any, keys: list[K]) -> None:
        """cache: of which the keys are looked up, and counted, that are hits; keys: each once, in their order."""
        hot, now = cache._hot, cache._clock()
        self._answers: dict[K, Any] = dict.fromkeys(keys)
        for key in keys:  # as in `Cache.get`
            entry = hot.get(key)
            self._answers[key] = entry.value if type(entry) is Fresh and now < entry.hit_until else _UNANSWERED
        self.open: Final = [key for key, answer in self._answers.items() if answer is _UNANSWERED]
        """The keys that are still to be looked up."""
        self._found: Final[dict[K, Callable[[], Value]]] = dict.fromkeys(self.open, _unanswered)
        cache._hits += len(keys) - len(self.open)

    def ended(self, key: K, outcome: Outcome) -> None:
        """The load for which the key's lookup waited has ended."""
        self._found[key] = partial(value_of, outcome)

    def replied(self, key: K, reply: Answer | Refuse, shown: ShowKey) -> None:
        """The key's lookup need not wait. shown: from a key to its text."""
        self._found[key] = partial(value_of_reply, key, reply, shown)

    def failed(self, key: K, error: Exception) -> None:
        """The key's lookup was refused."""
        self._found[key] = partial(_raise, without_this_frame(error))

    def all(self, *, return_exceptions: bool) -> dict[K, Any]:
        """The values, in the order of the keys; with `return_exceptions`, errors stand in their places. Otherwise the
        first one is raised.
        """
        answers, self._answers = self._answers, {}
        for key, find in list(self._found.items()):
            try:
                answers[key] = find().value
            except Exception as error:
                if not return_exceptions:
                    answers.clear()
                    raise
                answers[key] = without_this_frame(error)
            finally:
                self._found.pop(key)
                del find  # of an error that is raised, this frame would make a cycle
        try:
            return answers
        finally:
            del answers  # the errors know this frame by those that it called


_UNANSWERED: Final = object()


def _unanswered() -> NoReturn:
    raise LoadCancelled("the lookup was not answered")


def _raise(error: Exception) -> NoReturn:
    try:
        raise error
    finally:
        del error  # as above
