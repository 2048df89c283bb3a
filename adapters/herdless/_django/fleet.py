"""What backends keep in a fleet's store: a shared cache of all processes.

`get_or_set` is a lookup of that cache, whose loader is the function of whoever leads the load. All else that Django
does to a value is one exchange of its record.

Under which keys the values of a LOCATION lie is said by its epoch, a random text that itself lies in the store: `clear`
changes it, so that nobody finds any of the old ones any more. Whoever reads knows of that after `staleness` at the
latest, as of every change. Whoever writes asks the store for it: what is deleted must not be that of an old epoch.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextvars import ContextVar
from secrets import token_bytes
from typing import Any, Final, final

from herdless._django import signed
from herdless._django.places import Change, Kept, Load, kept_in, own_connections
from herdless.stores import RedisStore, Store, StoreDown
from herdless.threads import SharedCache
from herdless_core import Loaded, NoLoader, PolicyError, Value
from herdless_core._fleet import session as sessions
from herdless_core._fleet.session import Got, Session

EPOCH: Final = b"herdless epoch: "
"""How the record of an epoch begins: it is no value, and every release can read it."""

_loading: Final[ContextVar[Load | None]] = ContextVar("herdless_django_load", default=None)
"""What the caller's loads are; it goes along to where they are run."""


@final
class FleetPlace:
    """See `places.Place`. Reading and writing raise StoreDown where the store cannot be asked; with
    `store_down="load"`, its default, what reads finds nothing then, and loads are this process's alone.
    """

    waits = True

    def __init__(self, location: str, options: dict[str, Any]) -> None:
        """location: of the backend; options: `store`, the address of a Redis or a `Store`, and others of a SharedCache.

        Raises PolicyError and TypeError for what is not accepted.
        """
        rest = dict(options)
        store = _store_of(rest.pop("store"), location)
        self.encode: Final[Callable[[Any], bytes]] = rest.pop("encode", signed.encode)
        self.decode: Final[Callable[[bytes], Any]] = rest.pop("decode", signed.decode)
        self._epoch: Final = f"epoch {location}"
        self.cache: Final = SharedCache[str, bytes](self._run, store=store, encode=bytes, decode=self._readable, **rest)

    def _readable(self, encoded: bytes) -> bytes:
        """Raises where it cannot be decoded, so that it is loaded anew: another release may have written it."""
        if not encoded.startswith(EPOCH):
            self.decode(encoded)
        return encoded

    def _run(self, text: str) -> Loaded[bytes]:
        """The loader of the shared cache."""
        if text == self._epoch:
            return _new_epoch()
        load = _loading.get()
        if load is None:
            raise NoLoader(f"{text!r} is loaded by get_or_set alone")
        return load(text)

    # Keys

    def _to_read(self, key: str) -> str:
        """Where it lies, as far as this process knows."""
        return _below(self.cache.get(self._epoch), key)

    def _to_write(self, key: str) -> str:
        """Where it lies, as the store says. Raises StoreDown."""
        for _ in range(2):
            epoch = self._look(self._epoch)
            if epoch is not None:
                return _below(epoch, key)
            self.cache._drop(self._epoch)  # it was this process's alone, or the store has lost it
            self.cache.get(self._epoch)
        raise StoreDown("the store keeps nothing")

    # Reading

    def near(self, key: str) -> bytes | None:
        """See `Place`."""
        epoch = self.cache.peek(self._epoch)
        found = None if epoch is None else self.cache.peek(_below(epoch, key))
        self.cache._counters.hits += found is not None
        return found

    def held(self, key: str) -> bytes | None:
        """See `Place`."""
        found = self.near(key)
        if found is not None:
            return found
        try:
            return self._look(self._to_read(key))
        except StoreDown:
            if not self.cache._fleet.loads_when_down:
                raise
        return None

    def has(self, key: str) -> bool:
        """See `Place`."""
        return self.held(key) is not None

    def load(self, key: str, load: Load) -> bytes:
        """See `Place`."""
        thread = threading.get_ident()

        def loaded(text: str) -> Loaded[bytes]:
            with contextlib.nullcontext() if threading.get_ident() == thread else own_connections():
                return load(text)

        text, token = self._to_read(key), _loading.set(loaded)
        try:
            return self.cache.get(text)
        finally:
            _loading.reset(token)

    # Writing

    def store(self, key: str, kept: Kept) -> None:
        """See `Place`."""
        if kept.ttl > 0:
            self._exchange(self._to_write(key), lambda _: kept)
        else:
            self.cache.invalidate(self._to_write(key))

    def replace(self, key: str, change: Change) -> bool:
        """See `Place`."""
        text = self._to_write(key)
        removes: list[Kept] = []

        def kept_or_none(present: Kept | None) -> Kept | None:
            kept = change(present)
            removes[:] = [] if kept is None or kept.ttl > 0 else [kept]
            return None if removes else kept

        is_stored = self._exchange(text, kept_or_none)
        if removes:
            self.cache.invalidate(text)
        return is_stored or bool(removes)

    def remove(self, key: str) -> bool:
        """See `Place`."""
        text = self._to_write(key)
        is_there = self._look(text) is not None
        self.cache.invalidate(text)
        return is_there

    def clear(self) -> None:
        """See `Place`. What lies in the store is kept there until its time is over, or the store needs the room."""
        self.cache.put(self._epoch, _new_epoch())
        self.cache.clear()

    # What is asked of the store

    def _look(self, text: str) -> bytes | None:
        got = self._drive(text, sessions.look())
        if not isinstance(got.outcome, Value):
            return None
        with contextlib.suppress(Exception):  # of `decode`: another release may have written it
            return self._readable(got.outcome.value)
        return None

    def _exchange(self, text: str, change: Change) -> bool:
        try:
            return self._drive(text, sessions.exchange(self.cache._terms, _changed_by(change))).outcome is not None
        finally:
            self.cache._drop(text)

    def _drive(self, text: str, session: Session) -> Got:
        cache = self.cache
        cache._check_down()
        link = cache._open()
        if not cache._store_clock.is_known:
            cache._ask_time(link)
        return cache._drive(link, text, cache._text(text), session)


def _changed_by(change: Change) -> sessions.Exchanged:
    def changed(entry: Any, now: int) -> Loaded[bytes] | None:
        kept = change(kept_in(entry, now))
        return None if kept is None else kept.loaded()

    return changed


def _new_epoch() -> Loaded[bytes]:
    return Loaded(EPOCH + token_bytes(8), ttl=float("inf"))


def _below(epoch: bytes, key: str) -> str:
    return f"{epoch.removeprefix(EPOCH).hex()}:{key}"


def _store_of(given: object, location: str) -> Store:
    if not isinstance(given, str):
        return given  # type: ignore[return-value]  # the shared cache looks at it
    if not location:
        raise PolicyError("LOCATION='' is not accepted with a store: give the prefix of its keys there")
    return RedisStore(given, name=location)
