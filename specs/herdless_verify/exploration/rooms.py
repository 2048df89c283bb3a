"""Everything that can happen to a whole keyspace: a few keys, less room than keys, the real `Keyspace`.

It is the world of specs/Keyspace.tla, move by move. The graph is that of what the specification looks at: whether a key
holds a value, which flight it has, how many wait for it, and which loads are in the air. Behind one of its states there
are many of the keyspace's own, which differ in the lifetimes of values, in what was looked up, and in the order of the
queues; all of these are gone through. So a step that the keyspace takes in one of them and the specification does not
know shows, and so does one that it never takes.

A keyspace cannot be copied, so each state is come to anew, by the moves that lead there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

from herdless_core import Answer, Effects, Join, Keyspace, Loaded, Policy, Refuse, StartLoad, reply_of

NOW: Final = 1_000
"""Time stands still: what it does to one key, the exploration of one key looks at."""

LASTING: Final = Loaded("value", ttl=math.inf)
"""A value that is fresh for ever: lookups are hits."""

PASSING: Final = "value"
"""One that is past its ttl at once, and kept: lookups load it anew."""

Move: TypeAlias = tuple[str, object]
"""What happens, and to which key or load."""

State: TypeAlias = tuple[object, ...]
"""As Keyspace.tla says it: for each key whether it holds a value, its flight, its waiters; then the last generation,
the loads in the air, and all that were ever started."""


@final
@dataclass(frozen=True, slots=True)
class Rooms:
    """How large the world is."""

    keys: int
    generations: int
    maxsize: int
    max_waiters: int

    def policy(self) -> Policy:
        """By which a value is kept, and may be looked up in vain."""
        return _policy(self.max_waiters)


@functools.cache
def _policy(max_waiters: int) -> Policy:
    return Policy(ttl=0, stale_if_error=math.inf, refresh_backoff=0, max_waiters=max_waiters)


@final
@dataclass(slots=True)
class Explored:
    """The graph, as the specification sees it."""

    states: set[State] = field(default_factory=set)
    edges: set[tuple[State, str, State]] = field(default_factory=set)
    behind: int = 0
    """How many states of the keyspace itself there are."""
    unknown: tuple[tuple[Move, ...], str, State] | None = None
    """The first step that is not known: the moves that lead there, what it is called, and where it leads."""

    def steps(self) -> dict[State, set[tuple[str, State]]]:
        """Where each state leads, and by which move."""
        found: dict[State, set[tuple[str, State]]] = {state: set() for state in self.states}
        for begin, name, end in self.edges:
            found[begin].add((name, end))
        return found


Make: TypeAlias = Callable[[Rooms], Keyspace[int]]


def keyspace(rooms: Rooms) -> Keyspace[int]:
    """The real one."""
    return Keyspace(rooms.policy(), maxsize=rooms.maxsize)


def explore_rooms(rooms: Rooms, make: Make = keyspace, known: Mapping[State, Set[Any]] | None = None) -> Explored:
    """Go through all of it.

    make: makes the keyspace under examination; known: the steps of another graph: the search stops at the first one
    that is not among them.
    """
    found = Explored()
    first = World(rooms, make(rooms))
    seen = {first.fingerprint()}
    found.states.add(first.state())
    layer: list[tuple[Move, ...]] = [()]
    while layer:
        following: list[tuple[Move, ...]] = []
        for path in layer:
            world = _come_to(rooms, make, path)
            before = world.state()
            for move in list(world.moves()):
                after = _come_to(rooms, make, path)
                name = after.take(move)
                state, mark = after.state(), after.fingerprint()
                if name is not None or state != before:
                    found.edges.add((before, name or f"{move[0]}, which should change nothing", state))
                    if known is not None and (name, state) not in known.get(before, set()):
                        found.unknown = ((*path, move), name or move[0], state)
                        return found
                if mark not in seen:
                    seen.add(mark)
                    found.states.add(state)
                    following.append((*path, move))
        layer = following
    found.behind = len(seen)
    return found


def _come_to(rooms: Rooms, make: Make, path: tuple[Move, ...]) -> World:
    world = World(rooms, make(rooms))
    for move in path:
        world.take(move)
    return world


@final
class World:
    """A keyspace, and the loads in the air."""

    def __init__(self, rooms: Rooms, made: Keyspace[int]) -> None:
        self._rooms: Final = rooms
        self._keyspace: Final = made
        self._running: set[tuple[int, int]] = set()
        self._started: set[tuple[int, int]] = set()

    def moves(self) -> Iterator[Move]:
        """Everything that can happen now."""
        may_start = self._keyspace.generation < self._rooms.generations
        for key in self._keys():
            yield from (("put", key), ("put lasting", key), ("invalidate", key))
            if may_start or self._keyspace.entry(key).flight is not None:
                yield from (("get", key), ("enter", key), ("refresh", key))
        for generation in self._keyspace.flights:
            if self._keyspace.waiters(generation):
                yield ("leave", generation)
        for _, generation in sorted(self._running):
            yield from (("succeed", generation), ("succeed lasting", generation), ("fill", generation))
            yield ("fail", generation)
        yield ("restart", None)

    def take(self, move: Move) -> str | None:
        """Let it happen; what the specification calls it, None for what it takes no note of."""
        what, on = move
        name = self._take(what, on)
        for each in (self._keyspace.started, self._keyspace.ended, self._keyspace.leaving):
            each.clear()
        return name

    def _take(self, what: str, on: Any) -> str | None:
        cache = self._keyspace
        match what:
            case "get":
                return self._looked_up(on, cache.get(on, NOW))
            case "enter":
                return self._entered(on)
            case "refresh":
                return self._note_start(on, cache.refresh(on, NOW))
            case "put":
                cache.put(on, PASSING, NOW)
                return "Put"
            case "put lasting":
                cache.put(on, LASTING, NOW)
                return "Put"
            case "invalidate":
                cache.invalidate(on, NOW)
                return "Invalidate"
            case "leave":
                is_attached = any(_generation_of(cache, key) == on for key in self._keys())
                cache.waiter_left(on, NOW, can_cancel=True)
                return "Leave" if is_attached else None
            case "restart":
                for generation in list(cache.flights):
                    cache.restarted(generation, NOW)
                return "Restart"
            case _:
                return self._ended(what, on)

    def _ended(self, how: str, generation: int) -> str:
        """A load is over."""
        self._running = {load for load in self._running if load[1] != generation}
        cache = self._keyspace
        if how == "fail":
            cache.load_failed(generation, OSError("the loader failed"), NOW)
            return "Fail"
        flight = cache.flights.get(generation)
        if how != "fill" or flight is None or cache.fill(flight, PASSING, NOW) is None:
            cache.load_succeeded(generation, LASTING if how == "succeed lasting" else PASSING, NOW)
        return "Succeed"

    def _looked_up(self, key: int, effects: Effects) -> str | None:
        reply = reply_of(effects)
        match reply:
            case Join(leads=False):
                return "Join"
            case Join() | Answer():
                return self._note_start(key, effects)
            case Refuse():
                return None

    def _entered(self, key: int) -> str | None:
        before = self._keyspace.generation
        if self._keyspace.enter(key, NOW) is None:
            return None
        return "Join" if self._keyspace.generation == before else self._note(key)

    def _note_start(self, key: int, effects: Effects) -> str | None:
        return self._note(key) if any(isinstance(effect, StartLoad) for effect in effects) else None

    def _note(self, key: int) -> str:
        load = (key, self._keyspace.generation)
        self._running.add(load)
        self._started.add(load)
        return "Start"

    def state(self) -> State:
        """As the specification says it."""
        entries = tuple(self._seen(key) for key in self._keys())
        return (entries, self._keyspace.generation, frozenset(self._running), frozenset(self._started))

    def _seen(self, key: int) -> tuple[bool, int, int]:
        entry = self._keyspace.entry(key)
        waiters = 0 if entry.flight is None else entry.flight.waiters
        return (entry.holds_value, _generation_of(self._keyspace, key), waiters)

    def fingerprint(self) -> object:
        """All on which depends what can still happen."""
        cache = self._keyspace
        store = cache._store
        order = store._order
        lines = tuple((tuple(line.passed), tuple(line.ahead)) for line in store._lines)
        ghosts = () if order is None else (frozenset(order._ghosts), tuple(order._ghost_order))
        return (
            self.state(),
            tuple(repr(cache.entry(key)) for key in self._keys()),
            tuple(key in cache.hot for key in self._keys()),
            lines,
            ghosts,
            (store._hand, store._voids, frozenset(store._reloading)),
            tuple((generation, cache.waiters(generation)) for generation in cache.flights),
        )

    def _keys(self) -> range:
        return range(1, self._rooms.keys + 1)


def _generation_of(cache: Keyspace[int], key: int) -> int:
    flight = cache.entry(key).flight
    return 0 if flight is None else flight.generation
