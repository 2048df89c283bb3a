"""Which caches an instrument shows, and what they did altogether, by name.

Several caches may have one name: a class that makes one for each of its objects, a module that is loaded again. Their
figures are added up, and those of a cache that is gone stay in the sum, since a counter that falls looks as if the
program had been started again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, final
from weakref import ref

from herdless._instrument.figures import Figures, LoadFigures, fell
from herdless._known import Known, check_name, unwatch, watch
from herdless._shared.base import Shared
from herdless._shared.stats import SharedStats
from herdless.adapter import BaseCache
from herdless_core import PolicyError, Stats


@final
class Source:
    """One cache of a name, and what was last seen of it."""

    def __init__(self, known: Known, bounds: tuple[float, ...]) -> None:
        self.known: Final = ref(known)
        self.observed: Final = LoadFigures(bounds)
        self.seen: Stats | SharedStats | None = None

    def cache(self) -> Any:
        """The cache, or None where it is gone."""
        known = self.known()
        return None if known is None else known.cache()


Attach = Callable[[Any, str], Callable[[], None] | None]
"""What else is done with a cache of this name; returns how it is undone."""


@final
class Instrument:
    """Caches that are shown. `close()`, or leaving `with`, ends it."""

    def __init__(self, bounds: tuple[float, ...], attach: Attach | None = None) -> None:
        self.bounds: Final = bounds
        self._attach: Final = attach
        self._lock: Final = threading.RLock()  # a collector may come in while a cache is added
        self._totals: Final[dict[str, Figures]] = {}
        """By name, what was counted so far."""
        self._sources: Final[dict[str, list[Source]]] = {}
        self._undo: Final[list[Callable[[], None]]] = []
        self.is_closed = False

    def add(self, cache: Any, name: str | None = None) -> None:
        """Show this cache too, or this function made by `cached`. name: where it is not the cache's own.

        Raises PolicyError for what is no cache, or has no name.
        """
        cache = getattr(cache, "cache", cache)
        if not isinstance(cache, BaseCache | Shared):
            raise PolicyError(f"{cache!r} is not accepted: give a cache, or a function made by `cached`")
        name = check_name(name) or cache.name
        if name is None:
            raise PolicyError(f"{cache!r} has no name: give name=..., here or to the cache")
        self._add(cache._known, name)

    def add_named(self) -> None:
        """Show all caches that have a name, and those to come."""
        self._undo.append(lambda: unwatch(self._met))
        watch(self._met)

    def figures(self) -> dict[str, Figures]:
        """What the caches did, and hold now, by name."""
        with self._lock:
            if self.is_closed:
                return {}
            return {name: self._of(name) for name in sorted(self._totals)}

    def close(self) -> None:
        """Show them no more."""
        with self._lock:
            self.is_closed = True
            undo, sources = self._undo.copy(), [each for group in self._sources.values() for each in group]
            self._undo.clear()
        for each in undo:
            each()
        for source in sources:
            cache = source.cache()
            if isinstance(cache, BaseCache):
                cache._drop_observer(source.observed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def on_close(self, undo: Callable[[], None]) -> None:
        """Call this when it is closed."""
        self._undo.append(undo)

    def _met(self, known: Known) -> None:
        if known.name is not None:
            self._add(known, known.name)

    def _add(self, known: Known, name: str) -> None:
        with self._lock:
            group = self._sources.setdefault(name, [])
            if self.is_closed or any(source.known() is known for source in group):
                return
            self._forget_gone(name, group)
            self._totals.setdefault(name, Figures(self.bounds))
            source = Source(known, self.bounds)
            group.append(source)
        cache = known.cache()
        if not isinstance(cache, BaseCache):
            return  # it is gone; or is a shared one, whose steps are those of the record and not of this process
        # Outside of the lock: who collects has this one and asks for the cache's.
        cache._add_observer(source.observed)
        undo = None if self._attach is None else self._attach(cache, name)
        if undo is not None:
            self._undo.append(undo)

    def _of(self, name: str) -> Figures:
        group = self._sources[name]
        present = Figures(self.bounds)
        for source in group:
            cache = source.cache()
            if cache is not None:
                with suppress(Exception):  # a key's own __eq__, say: the others are shown all the same
                    self._see(name, source, cache.stats())
                    own = cache._near if isinstance(cache, Shared) else cache
                    present.add_present(cache.stats(), own._look(_waiters_of(own)))
        self._forget_gone(name, group)
        shown = Figures(self.bounds)
        shown.add(self._totals[name])
        for source in group:
            shown.add(source.observed.figures)
        shown.size, shown.maxsize = present.size, present.maxsize
        shown.in_flight, shown.waiters = present.in_flight, present.waiters
        return shown

    def _see(self, name: str, source: Source, stats: Stats | SharedStats) -> None:
        self._totals[name].count(stats, None if fell(stats, source.seen) else source.seen)
        source.seen = stats

    def _forget_gone(self, name: str, group: list[Source]) -> None:
        for source in [source for source in group if source.cache() is None]:
            self._totals[name].add(source.observed.figures)
            group.remove(source)


def _waiters_of(cache: Any) -> Callable[[], int]:
    return lambda: sum(cache._keyspace.waiters(generation) or 0 for generation in list(cache._flights))


def filled(instrument: Instrument, caches: Iterable[Any], name: str | None) -> Instrument:
    """The instrument with these caches, or with all that have a name where there are none."""
    given = list(caches)
    if name is not None and not given:
        raise PolicyError(f"name={name!r} is not accepted without a cache: give both, or neither for all named caches")
    if not given:
        instrument.add_named()
    for cache in given:
        instrument.add(cache, name)
    return instrument
