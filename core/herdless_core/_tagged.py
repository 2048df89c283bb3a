"""Steps that have to do with tags: a value that has some is stored, and values are invalidated by a tag.

A tag is no business of the entry's machine. To invalidate one is to invalidate each key whose value has it; and a load
whose value turns out to be outdated ends as one whose value is not to be kept: who waited for it is answered, and what
was held before stays what it was. That has none of the tags that were invalidated, or it would not be held any more.
"""

from __future__ import annotations

from typing import TypeVar

from herdless_core._effects import CancelLoad, Effects
from herdless_core._events import Invalidate, LoadSucceeded, Put
from herdless_core._loaded import Loaded
from herdless_core._machine import NOTHING
from herdless_core._running import RunningLoad
from herdless_core._steps import Steps, cancellations_in
from herdless_core._tags import Tags

K = TypeVar("K")


class TaggedSteps(Steps[K]):
    """The part of a keyspace that knows of tags."""

    __slots__ = ()

    def invalidate_tags(self, tags: tuple[str, ...], now: int) -> Effects:
        """Nobody who asks from now on is answered with a value that has one of these tags and was known, or began to be
        loaded, before.

        tags: any number of them; now: the instant, in nanoseconds. Where flights are in the air, `invalidations` is one
        more than before; and a flight which ends says by `RunningLoad.outdated_by` whom its value is kept from.
        """
        self._check_open()
        index = self._store.tags
        if index is None:
            if not self.flights:
                return NOTHING
            index = self._store.tags = Tags[K](self.leaving)
        if self.flights:
            index.note(tags, self.generation, min(self.flights))
        else:
            index.forget_all()
        effects: list[CancelLoad] = []
        event = Invalidate()
        for key in index.keys(tags):
            before = self._store.find(key)
            if not before.holds_value:  # its hash failed just now: what cannot be found is taken out of the tables
                self._store.rebuild()
                before = self._store.find(key)
            if not before.holds_value:
                continue
            effects += cancellations_in(self._step(key, before, event, now))
        return tuple(effects)

    @property
    def invalidations(self) -> int:
        """The number of the last invalidation by tags, of those at which flights were in the air."""
        index = self._store.tags
        return 0 if index is None else index.number

    def tags(self, key: K) -> tuple[str, ...]:
        """The tags of the key's value; none where there is no value."""
        index = self._store.tags
        return () if index is None else index.tags(key)

    def _put(self, key: K, event: Put, tags: tuple[str, ...], now: int) -> Effects:
        self._check_open()
        before = self._store.entry(key)
        index = self._index_for(tags)
        if index is None:
            return self._step(key, before, event, now)
        was_torn, self._is_torn = self._is_torn, True
        index.widen(key, tags)
        effects = self._step(key, before, event, now)
        index.narrow(key, tags if self._store.holds(key) else ())
        self._is_torn = was_torn
        return effects

    def _succeed(self, event: LoadSucceeded, tags: tuple[str, ...], now: int) -> Effects:
        generation, index = event.generation, self._index_for(tags)
        running = self.flights.get(generation)
        if index is None or running is None:
            return self._report(generation, event, now)
        running.outdated_by = index.outdated_by(generation, tags)
        may_be_stored = event.lifetime is not None and not running.outdated_by and running.evicted is None
        was_torn, self._is_torn = self._is_torn, True
        is_noted = may_be_stored and self._is_noted(index, running, tags)
        if tags and not is_noted:
            event = LoadSucceeded(generation, event.value, None)
        effects = self._report(generation, event, now)
        if is_noted:
            index.narrow(running.key, tags if self._store.holds(running.key) else ())
        self._is_torn = was_torn
        return effects

    def _is_noted(self, index: Tags[K], running: RunningLoad, tags: tuple[str, ...]) -> bool:
        """Whether the key leads to the entry of this flight, and from the tags to the key. Where a key changed or
        raises, no tag could find its value again.
        """
        if self._store.entry_of(running.key, running.generation) is None:
            return False
        try:
            index.widen(running.key, tags)
        except Exception:  # noqa: BLE001  # the key's own, of any kind
            return False
        return True

    def _index_for(self, tags: tuple[str, ...]) -> Tags[K] | None:
        """The index, which is made for the first tag; None where there was none."""
        if self._store.tags is None and tags:
            self._store.tags = Tags[K](self.leaving)
        return self._store.tags


def tags_in(value: object) -> tuple[str, ...]:
    """The tags of what a loader returned, or a caller put."""
    return value.tags if isinstance(value, Loaded) else ()
