"""What a shared cache is in every runtime, but for what waits: the near cache, the trust in it, and what is told.

The near cache is the `Cache` of one process, and its loader asks the record. So callers of one process are one caller
to the store, and what was fetched is answered from memory for as long as the record itself would say so, and the trust
lasts. What it holds of a key is a `Held`: the value, with what the record says of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from time import monotonic_ns
from typing import Any, Final, Generic, TypeVar

from herdless import _primitives
from herdless._fork import survive_forks
from herdless._known import make_known
from herdless._log import FailureLog, write
from herdless._lookup import How, Lookup
from herdless._shared.calls import options_of_calls
from herdless._shared.clock import StoreClock
from herdless._shared.held import Held, Undecodable, Witness
from herdless._shared.links import TRIES_AGAIN, BaseLink
from herdless._shared.options import Fleet, SharedOptions
from herdless._shared.prefetch import Prefetched, Prefetches
from herdless._shared.stats import SharedCounters, SharedStats
from herdless._shared.trust import Trust
from herdless.adapter import BaseCache, K, V
from herdless.stores import Heard, Store, Told
from herdless_core import (
    LONG_AGO,
    NANOSECONDS_PER_SECOND,
    NEVER,
    CacheClosed,
    Failure,
    Fresh,
    Loaded,
    LoadTimeout,
    MisuseError,
    Outcome,
    PolicyError,
    StoreDown,
    Value,
)
from herdless_core._fleet import session as sessions
from herdless_core._fleet.record import NANOSECONDS_PER_MILLISECOND, Record, parse
from herdless_core._fleet.requests import Ended, Load, Seen, Swap
from herdless_core._fleet.session import Got, Session, Terms
from herdless_core._loaded import bare_of, is_kept
from herdless_core._previous import is_not_modified, nothing_before

T = TypeVar("T")

LONGEST_BEAT: Final = 2 * NANOSECONDS_PER_SECOND
AT_ONCE: Final = 100
"""So many keys at most are read at once of those that are put."""
SHORTEST_BEAT: Final = NANOSECONDS_PER_SECOND // 20


class Shared(Generic[K, V]):
    """The part that never waits."""

    _witness: Witness | None = None

    def __init__(
        self,
        load: Callable[[K], Any],
        near: Callable[..., BaseCache[K, Held, Any]],
        store: Store,
        options: SharedOptions,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        """near: makes the near cache, of its loader and the arguments of `Cache`; clock: this process's."""
        if not callable(load):
            raise PolicyError(f"load={load!r} is not accepted: give a function of one key")
        self._fleet: Final = Fleet(store, options)
        self._load: Final = load
        self._clock: Final = clock
        self._store_clock: Final = StoreClock()
        self._counters: Final = SharedCounters()
        self._failures: Final = FailureLog()
        self._near: Final = near(self._ask, clock=clock, **self._fleet.near)
        self._shown: Final = self._near._shown  # the same texts in both
        self._hot: Final[dict[K, Any]] = self._near._hot  # the hit is this cache's own
        self._trust: Final = Trust(self._fleet.staleness, self._let_go)
        self._beat: Final = max(min(self._fleet.staleness // 3, LONGEST_BEAT), SHORTEST_BEAT)
        self._prefetches: Final = Prefetches()
        self._down_until = LONG_AGO
        """Until then the store is taken to be down still."""
        self._keys: Final[dict[str, set[K]]] = {}
        """With `store_key`: the keys of each text that may be held here."""
        self._keys_lock = _primitives.Lock()
        self._is_simple: Final = "store_key" not in options
        self._terms = self._terms_of_process()
        name = getattr(store, "name", None)
        self._known: Final = make_known(self, name if isinstance(name, str) and name else None)
        self._told_of_forks: Final = survive_forks(self._restart)

    def _ask(self, key: K) -> Any:
        """The near cache's loader."""
        raise NotImplementedError

    @property
    def name(self) -> str | None:
        """The store's name, by which metrics know the cache; None where it has none."""
        return self._known.name

    @classmethod
    def behind(cls, function: Any, load: Callable[[Any], Any], store: Store, options: SharedOptions) -> Any:
        """The cache behind a decorated function, whose calls `load` makes. store, options: as for the class."""
        make: Callable[..., Any] = cls
        return make(load, store=store, **options_of_calls(function, options))

    # Requests that never wait

    def peek(self, key: K, default: T | None = None) -> V | T | None:
        """The value that is held in this process and may be answered at once, or `default`. Asks no store."""
        self._trust.look(self._clock())
        held = self._near.peek(key)
        return default if held is None else held.value

    def clear(self) -> None:
        """Let go of all that is held in this process. The store keeps it, and so do other processes."""
        self._prefetches.clear()
        self._near.clear()

    def _count_anew(self) -> None:
        """`cache_clear` of a decorated function: the counts begin at 0."""
        self._counters.begin_anew()
        self._near._count_anew()

    def stats(self) -> SharedStats:
        """What this process has done, and what it holds."""
        return self._counters.stats(self._near.stats(), self._trust.losses)

    def __contains__(self, key: K) -> bool:
        """Whether a lookup would be answered from this process's memory."""
        self._trust.look(self._clock())
        return key in self._near

    def __len__(self) -> int:
        """How many values are held in this process."""
        return len(self._near)

    def __bool__(self) -> bool:
        """As for `Cache`."""
        return True

    # Keys

    def _text(self, key: K) -> str:
        text = self._fleet.text_of(key)
        if not isinstance(text, str):
            raise PolicyError(f"store_key returned {type(text).__name__}, which is not accepted: it has to return text")
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = self._shown(key)
            raise PolicyError(f"{shown} is not accepted as a key: no store can write it in UTF-8") from None
        return text

    def _remember(self, key: K, text: str) -> None:
        """What is told later of this text is meant for this key."""
        if self._is_simple:
            return
        with self._keys_lock:
            self._keys.setdefault(text, set()).add(key)
            if len(self._keys) > 2 * len(self._near._keyspace.hot) + 10_000:  # as above
                self._forget_keys()

    def _forget_keys(self) -> None:
        """Those of which nothing is held and nothing fetched any more."""
        held = {*self._near._look(lambda: list(self._near._keyspace)), *self._prefetches.keys()}  # as above
        for text in list(self._keys):
            self._keys[text] &= held
            if not self._keys[text]:
                del self._keys[text]

    def _keys_of(self, text: str) -> list[Any]:
        if not self._is_simple:
            with self._keys_lock:
                return list(self._keys.get(text, ()))
        return [key_of_simple(text)]

    # Lookups

    def _before_lookup(self, key: K) -> None:
        """What is held is let go of where it may not be answered any more."""
        now = self._clock()
        trust = self._trust
        if now >= trust.until:
            trust.look(now)
        if trust.is_blind:
            flight = self._near._look(lambda: self._near._keyspace.entry(key).flight)  # as above
            if flight is not None and flight.started_at + self._fleet.staleness <= now:
                # It may have read the record before an invalidation that could not be heard of.
                self._drop(key)

    def _lookup_of(self, found: Lookup[Held]) -> Lookup[V]:
        held = found.value
        how: How = "stale" if held.is_stale else held.how if found.how == "loaded" else found.how
        now = self._clock()
        rest = inf if held.fresh_until == NEVER else max(held.fresh_until - now, 0) / NANOSECONDS_PER_SECOND
        return Lookup(held.value, how, max(now - held.loaded_at, 0) / NANOSECONDS_PER_SECOND, rest)

    def _begin_prefetch(self, keys: Iterable[K]) -> dict[K, Prefetched]:
        """Those that are to be read at once, noted before they are; none where nothing is gained by it."""
        if self._trust.is_blind:
            return {}
        begun: dict[K, Prefetched] = {}
        for key in keys:
            if key in self._near:
                continue
            with contextlib.suppress(Exception):  # of `store_key`: the key's own loader meets it again
                text = self._text(key)
                self._remember(key, text)
                mine = self._prefetches.begin(key, text)
                if mine is not None:
                    begun[key] = mine
        if len(begun) < 2:  # one is read by its own loader
            self._end_prefetch(begun)
            return {}
        return begun

    def _prefetched_all(self, begun: Mapping[K, Prefetched], found: Sequence[bytes | None]) -> None:
        """They were read."""
        for mine, raw in zip(begun.values(), found, strict=True):
            mine.seen = self._seen(raw)

    def _end_prefetch(self, begun: Mapping[K, Prefetched]) -> None:
        for key, mine in begun.items():
            self._prefetches.end(key, mine)

    def _taken(self, key: K) -> Prefetched | None:
        """What was read of the key, by whoever asks for many; for its loader."""
        return None if self._trust.is_blind else self._prefetches.take(key)

    def _values_of(self, found: dict[K, Any]) -> dict[K, V]:
        """The values that are held; where errors were asked for in their places, these stay."""
        return {key: held.value if isinstance(held, Held) else held for key, held in found.items()}

    def _held(self, got: Got, began: int, *, was_blind: bool) -> Loaded[Held]:
        """What the near cache keeps of what a session has come to; the error raised. began: when it was asked for."""
        outcome = got.outcome
        if isinstance(outcome, Failure):
            raise outcome.error
        if outcome is None:
            raise MisuseError("a session of a lookup has come to nothing")
        try:
            value = self._fleet.decode(outcome.value)
        except Exception as error:
            raise Undecodable from error
        loaded_at = self._store_clock.here(outcome.loaded_at)
        fresh_until = self._fresh_until(got, outcome)
        held = Held(value, loaded_at, fresh_until, outcome.is_stale, got.how, got.record.version)
        return Loaded(held, ttl=self._near_ttl(got, outcome, began, was_blind) / NANOSECONDS_PER_SECOND)

    def _fresh_until(self, got: Got, outcome: Value) -> int:
        """Of the value, by this process's clock."""
        entry = got.record.entry
        if not isinstance(entry, Fresh) or entry.value is not outcome.value or got.fenced:
            return LONG_AGO
        return NEVER if entry.fresh_until == NEVER else self._store_clock.here(entry.fresh_until)

    def _near_ttl(self, got: Got, outcome: Outcome, began: int, was_blind: bool) -> float:
        """For how long it may be answered near, from when it was asked for; in nanoseconds."""
        entry = got.record.entry
        is_kept = isinstance(entry, Fresh) and isinstance(outcome, Value) and entry.value is outcome.value
        if not isinstance(entry, Fresh) or not is_kept or got.fenced or not self._fleet.staleness:
            return 0
        rest = inf if entry.hit_until == NEVER else max(entry.hit_until - self._store_clock.at(began), 0)
        return min(rest, self._fleet.staleness) if was_blind or self._trust.is_blind else rest

    def _held_alone(self, encoded: Loaded[bytes] | bytes, began: int) -> Loaded[Held]:
        """The same of a load without the store."""
        lifetime = self._fleet.policy.lifetime_for(encoded, random.random())
        is_held = is_kept(encoded)
        age = encoded.age if is_held and isinstance(encoded, Loaded) else 0
        kept = max(min(lifetime.ttl - age, self._fleet.staleness), 0) if is_held else 0
        held = Held(
            self._fleet.decode(bare_of(encoded)), began - age, began + kept, is_stale=False, how="loaded", version=b""
        )
        return Loaded(held, ttl=kept / NANOSECONDS_PER_SECOND)

    def _encoded(self, value: Any) -> Loaded[bytes] | bytes:
        """What a loader returned, or a caller puts. Raises MisuseError for what `encode` does not take, PolicyError for
        NOT_MODIFIED, since no loader of a fleet is given the value before, and for tags.
        """
        if is_not_modified(value):
            raise nothing_before()
        if isinstance(value, Loaded) and value.tags:
            raise PolicyError(f"tags={value.tags!r} is not accepted by a shared cache, which has no tags")
        bare = bare_of(value)
        try:
            encoded = self._fleet.encode(bare)
            if not isinstance(encoded, bytes):
                raise TypeError(f"encode returned {type(encoded).__name__}, and not bytes")
            self._fleet.decode(encoded)
        except Exception as error:
            raise MisuseError(
                f"a value of type {type(bare).__name__} cannot be encoded and decoded again: give encode= and decode= "
                "that can"
            ) from error
        return value.with_value(encoded) if isinstance(value, Loaded) else encoded

    # What sessions say to the store

    def _now(self) -> int:
        """By the store's clock."""
        return self._store_clock.at(self._clock())

    def _seen(self, raw: bytes | None) -> Seen:
        return Seen(parse(raw), self._now())

    def _to_write(self, text: str, swap: Swap) -> bytes:
        """What the store is asked to write."""
        if self._witness is not None:
            self._witness.tries(text, swap)
        return swap.after.dump()

    def _seen_after(self, swap: Swap, record: bytes, won: bool, there: bytes | None) -> Seen:
        seen = self._seen_in_reply(swap, record, won, there)
        if self._witness is not None:
            self._witness.knows(swap, is_written=seen.record.version == swap.after.version)
        return seen

    def _seen_in_reply(self, swap: Swap, record: bytes, won: bool, there: bytes | None) -> Seen:
        if won:
            self._counters.count_swap(swap)
            after, entry = swap.after, swap.after.entry
            # What is held and being loaded again is parsed: to the near cache it is another value than the one before.
            is_read_anew = entry.holds_value and entry.flight is not None
            return Seen(parse(record) if is_read_anew else after, self._now(), won=True)
        return Seen(parse(there), self._now())

    def _count(self, got: Got) -> None:
        self._counters.fenced += got.fenced
        self._counters.soft_answers += got.is_soft
        self._counters.fetched += got.how != "loaded" and got.outcome is not None

    def _note_end(self, key: K, request: Load, result: object, *, is_answer: bool) -> None:
        """Tell the log of a load that failed without any caller seeing it, and of the first that succeeds again."""
        failures, now = self._failures, self._clock()
        is_failure = isinstance(result, Failure) and not is_answer
        self._counters.load_failures += is_failure
        with contextlib.suppress(Exception):  # a handler of the user's own
            if isinstance(result, Failure) and is_failure:
                if request.flight.waiters == 0 or request.record.entry.holds_value:
                    report = failures.failed(key, result.error, now)
                    if report is not None:
                        write(report, self._shown(key), result.error)
            elif failures.is_failing:
                for report in failures.succeeded(key, now):
                    write(report, self._shown(key))

    def _check_down(self) -> None:
        """A store that has just been found down is not asked by every lookup, each of which would wait for it."""
        if self._clock() < self._down_until:
            raise StoreDown("the store was down a moment ago")

    def _found_down(self) -> None:
        self._down_until = self._clock() + round(TRIES_AGAIN * NANOSECONDS_PER_SECOND)

    def _unreadable(self, got: Got, before: bytes, error: Undecodable) -> bytes:
        """The version of a record that `decode` does not read, which is loaded anew. MisuseError where that was this
        cache's own, or the one that was found `before`.
        """
        if got.how == "loaded" or got.record.version == before:
            raise MisuseError("decode= does not read what encode= has written") from error
        return got.record.version

    def _putting(self, value: Any) -> Callable[[], Session]:
        """What begins the session of a `put`. Raises MisuseError and PolicyError for what cannot be put."""
        if isinstance(value, Loaded):
            value.require_kept()
        encoded, luck = self._encoded(value), random.random()
        return lambda: sessions.put(self._terms, encoded, luck)

    def _renewal(self, record: Record) -> tuple[Record, int, int | None]:
        """The record with a later lease; until when that is, and for how long the store keeps it, in milliseconds."""
        until = (self._now() + self._fleet.lease) // NANOSECONDS_PER_MILLISECOND
        later = record.renewed(until * NANOSECONDS_PER_MILLISECOND)
        return later, until, milliseconds(later.keep(self._now()))

    def _ended(self, key: K, request: Load, result: Loaded[bytes] | bytes | Failure | None, record: Record) -> Ended:
        """What a session is told of its load, and the log. result: what it gave; None: it is overdue; record: with the
        lease that it has by now.
        """
        told = Failure(LoadTimeout("the load is overdue"), None) if result is None else result
        is_answer = isinstance(told, Failure) and self._fleet.policy.is_answer(told.error)
        self._note_end(key, request, told, is_answer=is_answer)
        return Ended(result, record, self._now(), random.random(), is_answer)

    # What is told

    def _take(self, link: BaseLink, news: Heard | Told | None, now: int) -> None:
        """Who listens was told this. now: the instant by this process's clock."""
        match news:
            case Heard():
                self._trust.heard(news.mark)
                if not link.is_heard:
                    link.is_heard = True
                    self._down_until = now
                    link.wake_all()
                    link.begin()
            case Told():
                self._told(news)
                link.wake(news.key)
            case None:
                pass

    def _is_deaf(self, link: BaseLink) -> None:
        """What is told does not arrive any more, or never did."""
        link.begin()
        link.is_heard = False
        self._trust.lost()
        link.wake_all()

    def _told(self, told: Told) -> None:
        """Something has changed: what is held of it is dropped, unless it is the very record that was told of."""
        if not told.drops:
            return
        for key in self._keys_of(told.key):
            if self._is_other(key, told.version):
                self._drop(key)

    def _is_other(self, key: K, version: bytes) -> bool:
        """Whether what is held of the key, or being fetched, may be another record than this one."""
        with contextlib.suppress(CacheClosed):
            held = self._near.peek(key)
            return held is None or not version or held.version != version
        return False

    def _drop(self, key: K) -> None:
        """Nothing that is known of the key, or being fetched, is answered to newcomers; a closed cache has nothing."""
        self._prefetches.drop(key)
        with contextlib.suppress(CacheClosed):
            self._near.invalidate(key)

    def _let_go(self) -> None:
        self._prefetches.clear()
        with contextlib.suppress(CacheClosed):
            self._near.clear()

    # Processes

    def _terms_of_process(self) -> Terms:
        owner = f"{os.getpid()}-{random.SystemRandom().getrandbits(64):016x}"
        return Terms(self._fleet.policy, self._fleet.lease, owner, random.SystemRandom().getrandbits)

    def _restart(self) -> None:
        """In a forked child: it has connections, an owner's name and a near cache of its own."""
        self._keys_lock = _primitives.Lock()
        self._prefetches.clear()
        self._terms = self._terms_of_process()
        self._trust.distrust()
        self._down_until = LONG_AGO
        self._abandon()

    def _abandon(self) -> None:
        """In a forked child: forget connections, tasks and threads, which are the parent's."""
        raise NotImplementedError


def key_of_simple(text: str) -> int | str:
    """The key of which `text_of_simple` made this text."""
    if text[:1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 4_000 else text


def batched(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many at once that what was read of the last is not old when it is used."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def items_of(values: object) -> list[tuple[Any, Any]]:
    """What is to be put. Raises PolicyError for what is no mapping."""
    if not isinstance(values, Mapping):
        raise PolicyError(f"values={values!r} is not accepted: give a mapping from keys to values")
    return list(values.items())


def milliseconds(nanoseconds: int) -> int | None:
    """For a store; None where there is no end."""
    return None if nanoseconds >= NEVER else max(-(-nanoseconds // NANOSECONDS_PER_MILLISECOND), 1)
