"""Where a backend keeps its values: in a cache of this process. What is kept in a fleet's store: `fleet`."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, final

from django.db import close_old_connections

from herdless.adapter import NOTHING
from herdless.threads import Cache
from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Effects,
    Entry,
    Fresh,
    Loaded,
    NoLoader,
    Stale,
    Value,
    age,
    peek,
)

Load: TypeAlias = Callable[[str], Loaded[bytes]]
"""From the key, as it is stored, to what is stored under it."""


@contextmanager
def own_connections() -> Iterator[None]:
    """Around a load that runs on no request's thread: connections to databases that are broken or too old are closed
    before and after it, as Django does around a request.
    """
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


@final
class Kept(NamedTuple):
    """What is stored under a key, and for how long it is fresh, in seconds."""

    encoded: bytes
    ttl: float

    def loaded(self) -> Loaded[bytes]:
        """The value as it is put: what was set has no stale windows."""
        return Loaded(self.encoded, ttl=self.ttl, stale_while_revalidate=0, stale_if_error=0)


Change: TypeAlias = Callable[[Kept | None], Kept | None]
"""From what is there to what is to be there; None: nothing is done."""


class Place(Protocol):
    """What all backends of one LOCATION share. Keys are as they are stored."""

    waits: bool
    """Whether reading and writing may wait for somebody else."""

    def encode(self, value: Any) -> bytes:
        """The value as it is stored."""

    def decode(self, encoded: bytes) -> Any:
        """A new copy of the value."""

    def near(self, key: str) -> bytes | None:
        """What is held in this process; counts as a lookup where there is anything."""

    def held(self, key: str) -> bytes | None:
        """What is held; waits for no load. Counts as a lookup where there is anything."""

    def has(self, key: str) -> bool:
        """Whether `held` would find anything."""

    def load(self, key: str, load: Load) -> bytes:
        """What is held, or what this load or that of somebody else gives."""

    def store(self, key: str, kept: Kept) -> None:
        """Store it, or where it has no time remove what is there."""

    def replace(self, key: str, change: Change) -> bool:
        """Store what `change` makes of what is there, in one step; whether it made anything. It must do nothing that
        may wait, or raise.
        """

    def remove(self, key: str) -> bool:
        """Remove what is there, and what is being loaded; whether anything was there."""

    def clear(self) -> None:
        """Remove all."""


@final
class LocalPlace:
    """A cache of this process."""

    waits = False
    encode = staticmethod(partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL))
    decode = staticmethod(pickle.loads)

    def __init__(self, name: str | None, options: dict[str, Any]) -> None:
        """name: of the cache; options: its other arguments."""
        self.cache: Final = Cache[str, bytes](None, **{"name": name, "around_load": own_connections, **options})

    def held(self, key: str) -> bytes | None:
        """See `Place`."""
        if key not in self.cache:
            return None  # it may be on its way, for which Django does not wait
        with suppress(NoLoader):
            return self.cache.get(key)  # and so it is counted, and kept
        return None

    near = held

    def has(self, key: str) -> bool:
        """See `Place`."""
        return key in self.cache

    def load(self, key: str, load: Load) -> bytes:
        """See `Place`."""
        return self.cache.get(key, load=load)

    def store(self, key: str, kept: Kept) -> None:
        """See `Place`."""
        self.cache._change(lambda now: self._store(key, kept, now))

    def replace(self, key: str, change: Change) -> bool:
        """See `Place`."""
        done = []

        def step(now: int) -> Effects:
            kept = change(self._present(key, now))
            done.append(kept is not None)
            return NOTHING if kept is None else self._store(key, kept, now)

        self.cache._change(step)
        return done[0]

    def remove(self, key: str) -> bool:
        """See `Place`."""
        found = []

        def step(now: int) -> Effects:
            found.append(self._present(key, now) is not None)
            return self.cache._keyspace.invalidate(key, now)

        self.cache._change(step)
        return found[0]

    def clear(self) -> None:
        """See `Place`."""
        self.cache.clear()

    def _present(self, key: str, now: int) -> Kept | None:
        return kept_in(self.cache._keyspace.entry(key), now)

    def _store(self, key: str, kept: Kept, now: int) -> Effects:
        keyspace = self.cache._keyspace
        return keyspace.put(key, kept.loaded(), now) if kept.ttl > 0 else keyspace.invalidate(key, now)


def kept_in(entry: Entry, now: int) -> Kept | None:
    """The value that a lookup would find in the entry, with the time that it has left."""
    entry = age(entry, now)
    outcome = peek(entry, now)
    if not isinstance(outcome, Value):
        return None
    until = entry.fresh_until if isinstance(entry, Fresh) else entry.stale_until if isinstance(entry, Stale) else now
    return Kept(outcome.value, math.inf if until >= NEVER else max(0, until - now) / NANOSECONDS_PER_SECOND)
