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

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar, Unpack

from herdless._answers import awaitable, not_awaitable, value_of, value_of_reload, value_of_reply
from herdless._bulk import distinct
from herdless._contents import Answered, Contents, V
from herdless._fork import survive_forks
from herdless._known import check_name, make_known, standard_clock
from herdless._listener import OnRemove, listener
from herdless._loaders import Loader, no_loader, require_loader
from herdless._log import LOGGER, Log
from herdless._lookup import Lookup
from herdless._observers import Guarded, Observers, guarded
from herdless._orders import LOOK_AGAIN, F, require_written
from herdless._previous import awaited_with_previous, called_with_previous, takes_previous
from herdless._reports import Reports
from herdless._section import LOADING, NOTHING, WAITS_FOR_TURN, K
from herdless._weighing import Weigh, weigher
from herdless_core import (
    CacheClosed,
    Effects,
    Join,
    Keyspace,
    Loaded,
    Observer,
    Policy,
    PolicyError,
    PolicyOptions,
    Refuse,
    RunningLoad,
    ShowKey,
    Shown,
    StartLoad,
    Stats,
    Value,
    reply_of,
    tags_named,
    with_tags,
)
from herdless_core._checks import check_boolean

__all__ = [
    "LOADING",
    "LOGGER",
    "LOOK_AGAIN",
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

MOST_PLACES: Final = 64
"""So many groups of those who wait for one flight are told apart at most."""


class CacheOptions(PolicyOptions, total=False):
    """The keyword arguments that every cache takes: those of `Policy`, or `policy` itself, and nine of its own."""

    maxsize: int | None
    """How many values are held at most; None: any number."""
    maxweight: int | None
    """How much the values may weigh together, an integer >= 1; None: they are not weighed. One that is heavier than
    that by itself is not held: those who wait get it, and what was held of its key goes, for it was replaced."""
    weigh: Weigh | None
    """With `maxweight`: a function of a key and a value that returns what the value weighs, an integer >= 1. It is
    called once for each value that is loaded or put, outside of the lock. `Loaded(value, weight=...)` goes before it.

    Where it raises, or returns anything else, `put` raises, and changes nothing; a loaded value is for those who wait,
    and is not held, as if it were too heavy, and the log tells.
    """
    on_remove: OnRemove | None
    """A function of a key, a value and the cause (`herdless_core.RemovalCause`): "replaced", "expired", "evicted",
    "invalidated", "closed" or "superseded". Called once for each value that leaves, and for each that a load gave but
    that was not kept since the load was superseded. Not for errors, nor for `Loaded(value, keep=False)`.

    It is called after the lock, on the thread of whoever made the value leave, so it may call the cache. It is not
    async. What it raises is logged.
    """
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
    name: str | None
    """What the cache is called in logs, whose logger is then `herdless.NAME`, and in metrics; by default it has no
    name. Several caches may have one."""
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
    `_require_runtime`, `_look_around`, `_settle_here`, `_settle_dropped`, `_tell_apart` and `_abandon`. Its lookups
    call `_enter`, park the caller, and answer by `value_of` or `value_of_reply`; a caller who stops waiting is told of
    by `_left`. Its loads end by `_succeeded`, `_failed` or `_dropped`, its timers by `_deadline_passed`; its `close`
    begins by `_refuse_more`.
    """

    def __init__(
        self,
        load: Callable[..., Any] | None,
        load_type: type[F],
        *,
        maxsize: int | None = None,
        maxweight: int | None = None,
        weigh: Weigh | None = None,
        on_remove: OnRemove | None = None,
        max_loads: int | None = None,
        clock: Clock | None = None,
        observe: Observers | None = None,
        finish_unwatched: bool = False,
        show_key: ShowKey = repr,
        name: str | None = None,
        policy: Policy | None = None,
        previous: bool | None = None,
        **options: Unpack[PolicyOptions],
    ) -> None:
        require_written(type(self))
        if load is not None:
            require_loader(load)
        if policy is not None and options:
            raise PolicyError(f"policy={policy!r} is not accepted beside {', '.join(options)}: give one or the other")
        if clock is None:
            clock = standard_clock()
        reading: Callable[[], object] = clock  # what it returns, and not what it should
        if type(reading()) is not int:
            raise PolicyError(f"clock={clock!r} is not accepted: give a callable that returns integer nanoseconds")
        gives_previous = load is not None and takes_previous(load, previous)
        if load is None and previous:
            raise PolicyError("previous=True is not accepted without a load, which is what is given the value before")
        show = Shown(show_key)
        checked = check_name(name)
        log = Log(checked)
        keyspace = Keyspace[K](
            policy or Policy(**options),
            maxsize=maxsize,
            maxweight=maxweight,
            tells_removals=on_remove is not None,
            max_loads=max_loads,
            observe=guarded(observe, log),
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
            log,
            has_turns=max_loads is not None,
            finishes=check_boolean("finish_unwatched", finish_unwatched),
            weigher=weigher(weigh, maxweight, show, log),
            listener=listener(on_remove, show, log),
        )
        self._load: Loader = no_loader if load is None else self._with_previous(load) if gives_previous else load
        # Entries, of which only those before their `hit_until` are read here, and these have a value.
        self._hot: Final[dict[K, Any]] = keyspace.hot
        self._hits = 0
        self._known: Final = make_known(self, checked, survive_forks(self._restart))

    @property
    def name(self) -> str | None:
        """What the cache is called in logs and metrics, if anything."""
        return self._known.name

    # Requests that never wait

    def peek(self, key: K, default: T | None = None) -> V | T | None:
        """The value that a lookup would be answered with at once, a stale one included, or `default`.

        Loads nothing, counts nothing, and keeps nothing from eviction: a key that is only peeked at goes.
        """
        outcome = self._look(lambda: self._keyspace.peek(key, self._clock()))
        return outcome.value if isinstance(outcome, Value) else default

    def put(self, key: K, value: V | Loaded[V], *, tags: Iterable[str] = ()) -> None:
        """Store a value. Callers who wait for a load of the key get it too, and that load is cancelled.

        key: of any hashable type; value: it, or `Loaded(value, ...)`; tags: what it was made from, non-empty strings,
        beside those of the `Loaded`. Raises PolicyError for tags that are none, and TypeError for an unhashable key.
        With `maxweight`, a value that is too heavy is not held, and what `weigh` raises is raised.
        """
        luck = random.random()
        tagged = with_tags(value, tags)
        weighed = tagged if self._weigher is None else self._weigher.weighed(key, tagged)
        self._change(lambda now: self._keyspace.put(key, weighed, now, luck))

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

    def invalidate_tag(self, tag: str, *more: str) -> None:
        """From now on nobody is served a value that has the tag, or one of several, and was known before, nor what a
        load in flight will say where that turns out to have it.

        Callers who joined such a load before get its result, and nothing of it is stored; later ones load again. All
        keys are invalidated in one critical section. Raises PolicyError for what is no string, or an empty one.
        """
        tags = tags_named((tag, *more))
        self._change(lambda now: self._invalidate_tags(tags, now))

    def expire(self, key: K) -> None:
        """Make a fresh value stale: it is loaded again at the next lookup and served meanwhile as the policy says."""
        self._change(lambda now: self._keyspace.expire(key, now))

    def refresh(self, key: K, load: Callable[[K], Any] | None = None) -> bool:
        """Start loading the key without waiting for it, unless a load is in flight. Returns whether it has started one;
        False too where that is put off, since foreign code calls it inside the cache's own lock.

        key: what is loaded; load: by which loader, in the place of the cache's own. NoLoader where there is neither.
        """
        if load is not None:
            load = self._surrounded(load)
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

    def _invalidate_tags(self, tags: tuple[str, ...], now: int) -> Effects:
        effects = self._keyspace.invalidate_tags(tags, now)
        number = self._keyspace.invalidations
        for flight in list(self._flights.values()):
            waiters = self._keyspace.waiters(flight.generation) or 0
            flight.is_joined = waiters != flight.counted and len(flight.places) < MOST_PLACES
            flight.counted = waiters
            effects += self._tell_apart(flight, number, now)
        return effects

    def _add_observer(self, observer: Observer) -> None:
        """From now on this observer is told of each step too."""
        self._look(lambda: self._set_observers(self._observers.and_by(observer)))

    def _drop_observer(self, observer: Observer) -> None:
        """From now on it is not."""
        self._look(lambda: self._set_observers(self._observers.but_by(observer)))

    def _pass_by(self, is_passed_by: bool) -> None:
        """Keep nothing, and let every lookup load, or no more: for tests."""

        def change(now: int) -> Effects:
            self._keyspace.pass_by(is_passed_by)
            return self._keyspace.clear(now)

        with contextlib.suppress(CacheClosed):  # it keeps nothing anyway
            self._change(change)

    def _set_observers(self, observers: Guarded | None) -> None:
        self._keyspace.observe = observers

    @property
    def _observers(self) -> Guarded:
        present = self._keyspace.observe
        return present if isinstance(present, Guarded) else Guarded(log=self._log)

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

    def _reload_from(self, key: K, place: object, load: Loader | None) -> tuple[F | Refuse, Any]:
        """As `_enter_from`, for a caller whom a load has to answer, and not what is held: the flight to wait for, which
        may be older than the call, or the refusal; and what `_park` returned.

        key: what is loaded; place: where the caller runs; load: the caller's own loader, if any.
        """
        if load is not None:
            load = self._surrounded(load)
        if self._is_entered and self._is_inside():
            self._refuse_inside()
        self._require_runtime()
        since, loading = self._keyspace.generation, LOADING.get()
        found: list[tuple[F | Refuse, Any]] = []

        def step(now: int) -> Effects:
            self._require_runtime()
            self._look_around(key)
            inside = loading if loading is not None and loading.holds_up() else None
            effects = self._keyspace.get(key, now, inside, brings_loader=load is not None, reloads=True)
            self._bring(load)
            boarded = self._carry_out(effects)
            reply = reply_of(effects)
            if isinstance(reply, Join):
                flight = self._flights[reply.generation]
                if not flight.boarder:
                    self._wait_for_turn(flight)
                found.append((flight, self._park(flight, boarded, place, loading)))
            elif isinstance(reply, Refuse):
                found.append((reply, None))
            return NOTHING if boarded is None else (StartLoad(boarded.generation, boarded.due_at),)

        self._take(step, None, since=since)
        return found[0]

    def _with_previous(self, load: Callable[..., Any]) -> Callable[[K], Any]:
        """A loader of a key and its previous value, as one of a key: `called_with_previous` where none is awaited."""
        return awaited_with_previous(load)

    def _tell_apart(self, flight: F, number: int, now: int) -> Effects:
        """A tag is invalidated that the flight's value may turn out to have: nobody who joins it from now on may be
        answered with that, where it has. Inside the lock.

        flight: one in the air; number: that of the invalidation; now: its instant, in nanoseconds.

        Where this is not overridden, nobody joins the flight any more. An adapter that can tell its waiters apart does
        so where `flight.is_joined`: it adds to `flight.places` where those wait who have joined so far, with the
        number, and lets later ones wait elsewhere. When the flight is settled, those of `places` for whom it
        `is_too_old_for(number)`, and the later ones where `outdated_by` is not 0, look up again; all others are
        answered.
        """
        return NOTHING if flight.evicted is not None else self._keyspace.invalidate(flight.key, now)

    def _park(self, flight: F, boarded: F | None, place: object, loading: RunningLoad | None) -> Any:
        """See `Section`; where the flight itself is what a caller waits for, there is nothing to do."""

    def _loader_of(self, flight: F) -> Loader:
        """What loads this flight's key, to be asked for once: the loader of the caller who started it, which is not
        kept any longer then, or else the cache's own.
        """
        return self._load if flight.own_load is None else flight.take_load()
