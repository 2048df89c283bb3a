"""What a cache is in every runtime: the base class of all adapters, herdless's own and other people's.

docs/how-to/write-an-adapter.md makes an adapter of it. An adapter adds what its runtime alone can do: to park a caller,
and to call a loader. The order of work is the same everywhere: inside `self._lock` the keyspace takes one step, its
effects are carried out and the caller is registered as a waiter; after it, the one load that the step may have ordered
is launched. Nothing is awaited and no loader runs inside the lock.

`BaseCache` is made of five parts, each of which knows only those before it, and each in a file of its own:

- `Orders` carries out what a step orders;
- `Section` is the lock: `_change`, `_look` and `_enter`, and what mends where they are broken off;
- `Reports` is what an adapter tells of its loads and its callers: `_succeeded`, `_failed`, `_dropped`, `_left` ...;
- `Contents` has the requests about what is held, of which none waits or loads;
- `BaseCache` has the other requests that never wait, and the constructor.

What an adapter may call and has to write are the methods with one underscore that the how-to names. They keep their
names and meanings within a minor version.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from time import monotonic_ns
from typing import Any, Final, Generic, TypeAlias, TypeVar, Unpack

from herdless._answers import awaitable, not_awaitable, value_of, value_of_reload, value_of_reply
from herdless._bulk import distinct
from herdless._contents import Answered, Contents, V
from herdless._fork import survive_forks
from herdless._loaders import Loader, no_loader, require_loader
from herdless._lookup import Lookup
from herdless._observers import Observers, guarded
from herdless._orders import F
from herdless._previous import awaited_with_previous, called_with_previous, takes_previous
from herdless._reports import Reports
from herdless._section import LOADING, LOGGER, NOTHING, WAITS_FOR_TURN, K
from herdless_core import (
    Effects,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    PolicyOptions,
    RunningLoad,
    ShowKey,
    Shown,
    Stats,
    Value,
)
from herdless_core._policy import check_boolean

__all__ = [
    "LOADING",
    "LOGGER",
    "NOTHING",
    "WAITS_FOR_TURN",
    "Answered",
    "BaseCache",
    "CacheOptions",
    "Clock",
    "K",
    "Loader",
    "Lookup",
    "RunningLoad",
    "V",
    "awaitable",
    "called_with_previous",
    "not_awaitable",
    "value_of",
    "value_of_reload",
    "value_of_reply",
]

T = TypeVar("T")

Clock: TypeAlias = Callable[[], int]
"""Tells the time, in integer nanoseconds from any origin."""


class CacheOptions(PolicyOptions, total=False):
    """The keyword arguments that every cache takes: those of `Policy`, or `policy` itself, and six of its own."""

    maxsize: int | None
    """How many values are held at most; None: any number."""
    max_loads: int | None
    """How many loads run at once at most, those included that are overdue and cannot be cancelled; the next one waits
    for its turn, until its `load_timeout` (TooManyLoads). None: any number. Loads inside of loads take no turn."""
    clock: Clock
    """A callable that returns integer nanoseconds, from any origin; `time.monotonic_ns` by default."""
    observe: Observers | None
    """One observer, or several: called with the key and the `herdless_core.Step` at every step, inside the lock.

    It must not call the cache. A hit takes no step.
    """
    finish_unwatched: bool
    """Whether a load goes on when nobody waits for it any more, and its value is stored, on asyncio and trio too. By
    default it is cancelled there. Threads cannot cancel, and always finish.
    """
    show_key: ShowKey
    """A function from a key to the text that stands for it in logs and in messages of errors; by default
    `repr`. The text is shortened, and where the function fails the key's type takes its place.
    """
    policy: Policy | None
    previous: bool | None
    """Whether the loader is given a second argument, the `Previous` that is kept of its key or None, and may return
    `NOT_MODIFIED`. None: it is, if it takes two arguments and cannot be called with one. `cached` has no use for it.
    """


class BaseCache(Contents[K, V, F], Generic[K, V, F]):
    """The part of a cache that is the same in every runtime.

    load: the loader, a function of one key, or of a key and its previous value; None: each lookup that may have to load
        brings one.
    load_type: the class of the record that stands for each of its loads, a subclass of `RunningLoad` that is made of
        the same three arguments.
    All else: see `CacheOptions`, and `Policy`. Raises PolicyError for an argument that is not accepted.

    An adapter writes `_launch`, `_settle`, `_cancel` and `_arm`, and, where it needs them, `_park`, `_equip`,
    `_require_runtime`, `_look_around`, `_settle_here`, `_settle_dropped` and `_abandon`. Its lookups call `_enter`,
    park the caller, and answer by `value_of` or `value_of_reply`; a caller who stops waiting is told of by `_left`. Its
    loads end by `_succeeded`, `_failed` or `_dropped`, its timers by `_deadline_passed`; its `close` begins by
    `_refuse_more`.
    """

    def __init__(
        self,
        load: Callable[..., Any] | None,
        load_type: type[F],
        *,
        maxsize: int | None = None,
        max_loads: int | None = None,
        clock: Clock = monotonic_ns,
        observe: Observers | None = None,
        finish_unwatched: bool = False,
        show_key: ShowKey = repr,
        policy: Policy | None = None,
        previous: bool | None = None,
        **options: Unpack[PolicyOptions],
    ) -> None:
        if load is not None:
            require_loader(load)
        if policy is not None and options:
            raise PolicyError(f"policy={policy!r} is not accepted beside {', '.join(options)}: give one or the other")
        reading: Callable[[], object] = clock  # what it returns, and not what it should
        if type(reading()) is not int:
            raise PolicyError(f"clock={clock!r} is not accepted: give a callable that returns integer nanoseconds")
        gives_previous = load is not None and takes_previous(load, previous)
        if load is None and previous:
            raise PolicyError("previous=True is not accepted without a load, which is what is given the value before")
        show = Shown(show_key)
        keyspace = Keyspace[K](
            policy or Policy(**options),
            maxsize=maxsize,
            max_loads=max_loads,
            observe=guarded(observe),
            has_loader=load is not None,
            load_type=load_type,
            shown=show,
            gives_previous=gives_previous,
        )
        Reports.__init__(
            self,
            keyspace,
            clock,
            show,
            has_turns=max_loads is not None,
            finishes=check_boolean("finish_unwatched", finish_unwatched),
        )
        self._load: Final[Loader] = no_loader if load is None else self._with_previous(load) if gives_previous else load
        # Entries, of which only those before their `hit_until` are read here, and these have a value.
        self._hot: Final[dict[K, Any]] = keyspace.hot
        self._hits = 0
        self._told_of_forks: Final = survive_forks(self._restart)

    # Requests that never wait

    def peek(self, key: K, default: T | None = None) -> V | T | None:
        """The value that a lookup would be answered with at once, a stale one included, or `default`.

        Loads nothing, counts nothing, and keeps nothing from eviction: a key that is only peeked at goes.
        """
        outcome = self._look(lambda: self._keyspace.peek(key, self._clock()))
        return outcome.value if isinstance(outcome, Value) else default

    def put(self, key: K, value: V | Loaded[V]) -> None:
        """Store a value. Callers who wait for a load of the key get it too, and that load is cancelled."""
        luck = random.random()
        self._change(lambda now: self._keyspace.put(key, value, now, luck))

    def put_many(self, values: Mapping[K, V | Loaded[V]]) -> None:
        """Store each of these values, one after the other, as by `put`. PolicyError for what is no mapping."""
        if not isinstance(values, Mapping):
            raise PolicyError(f"values={values!r} is not accepted: give a mapping from key to value")
        for key, value in values.items():
            self.put(key, value)

    def invalidate(self, key: K) -> None:
        """From now on nobody is served what was known of the key, nor what a load in flight will say of it.

        Callers who joined that load before get its result; later ones start a new load.
        """
        self._change(lambda now: self._keyspace.invalidate(key, now))

    def invalidate_many(self, keys: Iterable[K]) -> None:
        """Invalidate each of these keys, one after the other. PolicyError where `keys` is a text or no collection."""
        for key in distinct(keys):
            self.invalidate(key)

    def expire(self, key: K) -> None:
        """Make a fresh value stale: it is loaded again at the next lookup and served meanwhile as the policy says."""
        self._change(lambda now: self._keyspace.expire(key, now))

    def refresh(self, key: K, load: Callable[[K], Any] | None = None) -> bool:
        """Start loading the key without waiting for it, unless a load is in flight. Returns whether it has started one;
        False too where that is put off, since foreign code calls it inside the cache's own lock.

        key: what is loaded; load: by which loader, in the place of the cache's own. NoLoader where there is neither.
        """
        if load is not None:
            require_loader(load)
        self._require_runtime()
        started: list[int] = []
        self._change(lambda now: self._refresh(key, now, load, started))
        return bool(started)

    def clear(self) -> None:
        """Invalidate every key, those being loaded included."""
        self._change(self._keyspace.clear)

    def stats(self) -> Stats:
        """What the cache has done, and what it holds."""
        return self._look(lambda: self._keyspace.stats(hits=self._hits))

    def _count_anew(self) -> None:
        """Set the counters back, for `cache_clear`."""
        self._look(self._keyspace.reset_counters)
        self._hits = 0

    def _refresh(self, key: K, now: int, load: Loader | None, started: list[int]) -> Effects:
        self._require_runtime()  # again: it may have gone just before the lock, or since this was postponed
        self._look_around(key)
        since = self._keyspace.generation
        effects = self._keyspace.refresh(key, now, brings_loader=load is not None)
        self._bring(load)
        if self._keyspace.generation != since:
            started.append(self._keyspace.generation)
        return effects

    # For an adapter's lookups, and its loads

    def _with_previous(self, load: Callable[..., Any]) -> Callable[[K], Any]:
        """A loader of a key and its previous value, as one of a key: `called_with_previous` where none is awaited."""
        return awaited_with_previous(load)

    def _park(self, flight: F, boarded: F | None, place: object, loading: RunningLoad | None) -> Any:
        """See `Section`; where the flight itself is what a caller waits for, there is nothing to do."""

    def _loader_of(self, flight: F) -> Loader:
        """What loads this flight's key, to be asked for once: the loader of the caller who started it, which is not
        kept any longer then, or else the cache's own.
        """
        return self._load if flight.own_load is None else flight.take_load()
