"""The caches of this process, for those who look at all of them: metrics, and tests.

Nothing here keeps a cache alive. What is known of a cache is kept by the cache alone; a compiled object cannot be
referred to weakly, so there the two keep each other until the collector comes, as in `_fork`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from time import monotonic_ns
from typing import Any, Final, TypeAlias, final
from weakref import ref

from herdless_core import PolicyError

Watcher: TypeAlias = Callable[["Known"], object]


@final
class Known:
    """One cache, with its name or None, and what else it has to keep."""

    def __init__(self, cache: Any, name: str | None, kept: object) -> None:
        self.name: Final = name
        self._kept: Final = kept
        self.cache: Final[Callable[[], Any]] = _weakly(cache)
        """The cache, or None where it is gone."""


def check_name(name: object) -> str | None:
    """The name of a cache; PolicyError where it is neither None nor a text."""
    if name is None or (isinstance(name, str) and name):
        return name
    raise PolicyError(f"name={name!r} is not accepted: give None or a text that is not empty")


_KNOWN: Final[dict[int, ref[Known]]] = {}
_WATCHERS: Final[list[Watcher]] = []
_numbers: Final = count()


def make_known(cache: Any, name: str | None, kept: object = None) -> Known:
    """Tell of a new cache, which MUST keep what this returns. kept: what lives as long as that."""
    made = Known(cache, name, kept)
    number = next(_numbers)
    _KNOWN[number] = ref(made, partial(_forget, number))
    for watcher in tuple(_WATCHERS):
        watcher(made)
    return made


def known() -> list[Known]:
    """All caches that are alive, in the order of their making."""
    references = list(_KNOWN.values())  # in one step: other threads make caches meanwhile
    return [alive for reference in references if (alive := reference()) is not None]


def watch(watcher: Watcher) -> None:
    """Call the function with every cache, those that are there and those to come, until `unwatch`. One that is made
    just now may come twice.
    """
    _WATCHERS.append(watcher)
    for each in known():
        watcher(each)


def unwatch(watcher: Watcher) -> None:
    """Call the function no more."""
    if watcher in _WATCHERS:
        _WATCHERS.remove(watcher)


def _weakly(cache: Any) -> Callable[[], Any]:
    try:
        return ref(cache)
    except TypeError:
        return lambda: cache


def _forget(number: int, _gone: object) -> None:
    _KNOWN.pop(number, None)


_clock: Callable[[], int] = monotonic_ns


def standard_clock() -> Callable[[], int]:
    """The clock of a cache that is given none."""
    return _clock


def set_standard_clock(clock: Callable[[], int]) -> None:
    """The caches that are made from now on have this clock, unless they are given another: for tests."""
    global _clock  # noqa: PLW0603  # there is one for the process
    _clock = clock
