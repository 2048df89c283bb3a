"""Tags: TagsInvalidate, as a property of the keyspace, and that what tags cost is no more than what is alive.

TagsInvalidate: from the return of `invalidate_tags` on, no lookup is answered with a value that has the tag and whose
load began before it, and no such value is stored.
"""

from __future__ import annotations

import enum
import pickle
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from herdless_core import Answer, CacheClosed, Effects, Join, Keyspace, Loaded, Policy, PolicyError, Settle, reply_of
from herdless_core import _tags as module
from herdless_core._tags import Tags

# The naive cache

KEYS: Final = ("a", None)
TAGS: Final = ("red", "green")
TTL: Final = 10

keys = st.sampled_from(KEYS)
some_tags = st.lists(st.sampled_from(TAGS), max_size=2).map(tuple)
indices = st.integers(0, 30)


class Read(tuple[Any, ...]):
    """A value: what it was read as, its tags, and the instant of the reading, in numbers of events."""

    __slots__ = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Of this value."""
        return self[1]  # type: ignore[no-any-return]  # a tuple of anything

    @property
    def read_at(self) -> int:
        """When it was read."""
        return self[2]  # type: ignore[no-any-return]  # as above


class TaggedLife(RuleBasedStateMachine):
    """One keyspace with tags. What is right is said by the order of events alone: when a value was read, when its tags
    were invalidated, when who is answered with it had asked.
    """

    @initialize(
        maxsize=st.sampled_from([None, None, 0, 1, 2]),
        stale=st.sampled_from([0, 5]),
        early=st.sampled_from([None, 0.5]),
        ttl=st.sampled_from([None, TTL]),
    )
    def begin(self, maxsize: int | None, stale: int, early: float | None, ttl: int | None) -> None:
        """Any room, with and without an end of values, stale windows and early refreshes."""
        options: dict[str, Any] = {"stale_while_revalidate": stale, "stale_if_error": 2 * stale, "early_refresh": early}
        self.cache = Keyspace[Any](Policy(ttl=ttl, **(options if ttl else {})), maxsize=maxsize)
        self.now = 0
        self.events = 0
        self.began: dict[int, int] = {}
        """Every load whose loader runs, superseded ones included, and when it began."""
        self.waiting: dict[int, list[tuple[int, int]]] = {}
        """The callers who wait for each load: when they asked, and the number of the last invalidation then."""
        self.invalidated: dict[str, list[int]] = {tag: [] for tag in TAGS}
        """When each tag was."""

    def tick(self) -> int:
        """One more event."""
        self.events += 1
        return self.events

    def is_wrong(self, value: Read, asked_at: int) -> bool:
        """Whether who asked then must not be answered with it: one of its tags was invalidated after it was read, and
        before that.
        """
        return any(value.read_at < at < asked_at for tag in value.tags for at in self.invalidated[tag])

    def see(self, effects: Effects) -> None:
        """What a step ordered, and whom it answers."""
        for effect in effects:
            if isinstance(effect, Settle):
                value = getattr(effect.outcome, "value", None)
                load = self.cache.ended.get(effect.generation)
                for asked_at, number in self.waiting.pop(effect.generation, []):
                    if isinstance(value, Read) and load is not None:
                        looks_again = 0 < load.outdated_by <= number
                        assert looks_again == self.is_wrong(value, asked_at), f"{value} for who asked at {asked_at}"
        for started in self.cache.started:
            self.began[started.generation] = self.tick()
        self.cache.started.clear()
        self.cache.ended.clear()
        self.cache.leaving.clear()

    @rule(key=keys, short_cut=st.booleans())
    def get(self, key: object, short_cut: bool) -> None:
        """A caller asks."""
        asked_at = self.tick()
        load = self.cache.enter(key, self.now) if short_cut else None
        if load is not None:
            self.began.setdefault(load.generation, self.tick())
            self.waiting.setdefault(load.generation, []).append((asked_at, self.cache.invalidations))
            return
        effects = self.cache.get(key, self.now)
        reply = reply_of(effects)
        if isinstance(reply, Join):
            self.waiting.setdefault(reply.generation, []).append((asked_at, self.cache.invalidations))
        elif isinstance(reply, Answer):
            value = reply.outcome.value  # type: ignore[union-attr]  # no error is remembered
            assert not self.is_wrong(value, asked_at), f"{value} was read too early for who asked at {asked_at}"
        self.see(effects)

    @rule(key=keys, tags=some_tags, bare=st.booleans())
    def put(self, key: object, tags: tuple[str, ...], bare: bool) -> None:
        """A value is given; one without tags is bare or a `Loaded`."""
        value = Read((key, tags, self.tick()))
        self.see(self.cache.put(key, value if bare and not tags else Loaded(value, tags=tags), self.now))

    @precondition(lambda self: self.began)
    @rule(index=indices, tags=some_tags, bare=st.booleans(), keep=st.sampled_from([True, True, False]))
    def succeed(self, index: int, tags: tuple[str, ...], bare: bool, keep: bool) -> None:
        """A load ends, any that runs; what it gives was read when it began."""
        generation = list(self.began)[index % len(self.began)]
        value = Read((None, tags, self.began.pop(generation)))
        running = self.cache.flights.get(generation)
        is_bare = bare and not tags and keep
        if is_bare and running is not None:
            filled = self.cache.fill(running, value, self.now)
            if filled is not None:
                self.waiting.pop(generation, None)  # it has no tags: nobody is told too early a value
                self.see(())
                return
        given = value if is_bare else Loaded(value, tags=tags, keep=keep)
        self.see(self.cache.load_succeeded(generation, given, self.now))

    @precondition(lambda self: self.began)
    @rule(index=indices)
    def fail(self, index: int) -> None:
        """A load ends badly."""
        generation = list(self.began)[index % len(self.began)]
        del self.began[generation]
        self.see(self.cache.load_failed(generation, OSError("down"), self.now))

    @precondition(lambda self: any(self.waiting.values()))
    @rule(index=indices, can_cancel=st.booleans())
    def leave(self, index: int, can_cancel: bool) -> None:
        """A caller stops waiting."""
        waiting = [generation for generation, callers in self.waiting.items() if callers]
        generation = waiting[index % len(waiting)]
        self.waiting[generation].pop()
        self.see(self.cache.waiter_left(generation, self.now, can_cancel=can_cancel))

    @rule(tags=st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True).map(tuple))
    def invalidate_tags(self, tags: tuple[str, ...]) -> None:
        """One tag or two."""
        effects = self.cache.invalidate_tags(tags, self.now)
        at = self.tick()
        for tag in tags:
            self.invalidated[tag].append(at)
        self.see(effects)

    @precondition(lambda self: any(not each.evicted for each in self.cache.flights.values()))
    @rule(index=indices, short_cut=st.booleans())
    def join(self, index: int, short_cut: bool) -> None:
        """A caller asks for what is being loaded."""
        flights = [each for each in self.cache.flights.values() if not each.evicted]
        self.get(flights[index % len(flights)].key, short_cut)

    @rule(
        key=keys, how=st.sampled_from(["invalidate", "expire", "refresh", "refresh", "refresh", "clear", "broken off"])
    )
    def request(self, key: object, how: str) -> None:
        """What else can be done to a key, or to all."""
        self.tick()
        if how == "broken off":
            self.break_off()
        elif how == "clear":
            self.see(self.cache.clear(self.now))
        else:
            self.see(getattr(self.cache, how)(key, self.now))

    @rule(by=st.sampled_from([1, 4, TTL, 3 * TTL]))
    def wait(self, by: int) -> None:
        """Time passes."""
        self.now += by * 10**9

    def break_off(self) -> None:
        """A step was broken off, and the tables are put together again."""
        self.cache._is_torn = True
        self.cache.heal()
        for generation in [each for each in self.waiting if each not in self.cache.flights]:
            del self.waiting[generation]
        self.see(())

    @invariant()
    def tags_follow_what_is_held(self) -> None:
        """The index knows the tags of each value that is held, and of no other key."""
        index = self.cache._store.tags
        if index is None:
            return
        held = {key: self.cache.entry(key) for key in self.cache}
        expected = {
            key: tuple(dict.fromkeys(entry.value.tags))  # type: ignore[union-attr]  # it holds a value
            for key, entry in held.items()
            if entry.holds_value and entry.value.tags  # type: ignore[union-attr]  # as above
        }
        assert {key: self.cache.tags(key) for key in KEYS if self.cache.tags(key)} == expected
        assert len(index) == len(expected)
        for tag in TAGS:
            assert set(index.keys((tag,))) == {key for key, tags in expected.items() if tag in tags}
        assert set(index._groups) == {tag for tags in expected.values() for tag in tags}

    @invariant()
    def notes_are_of_use(self) -> None:
        """There are few notes, and none at all since the last invalidation without flights."""
        index = self.cache._store.tags
        if index is not None:
            assert index._size == sum(map(len, index._notes.values()))
            assert index._size <= 2 * len(TAGS) * (len(self.cache.flights) + 1) + module.FEW_NOTES


TestTaggedLife = TaggedLife.TestCase


def test_value_that_a_short_cut_puts_in_another_s_place_has_no_tags() -> None:
    """A refresh that gives a bare value takes the short cut: the tags were of the value before."""
    cache = Keyspace[str](Policy())
    held(cache, "k", "t")
    cache.refresh("k", 0)
    assert cache.fill(cache.flights[1], "bare", 0) is not None
    assert cache.tags("k") == ()
    cache.invalidate_tags(("t",), 0)
    assert cache.entry("k").holds_value


# What a tag is


class Colour(enum.StrEnum):
    """Strings with foreign code."""

    RED = "red"


def test_tags_are_a_tuple_in_their_order_each_once() -> None:
    """Any collection will do, and what is done to it afterwards changes nothing."""
    given = ["b", "a", "b"]
    loaded = Loaded(1, tags=given)
    given.append("c")
    assert loaded.tags == ("b", "a")
    assert Loaded(1, tags=(tag for tag in "xy")).tags == ("x", "y")
    assert Loaded(1).tags == ()


def test_tags_of_a_subclass_are_plain_strings() -> None:
    """An enumeration of tags is a good thing, and none of its code runs inside the lock."""
    assert [type(tag) for tag in Loaded(1, tags=[Colour.RED]).tags] == [str]
    assert Loaded(1, tags=[Colour.RED]).tags == ("red",)


@pytest.mark.parametrize("tags", ["user:7", "", b"user:7", None, 7, [""], [None], [b"user:7"], [["a"]]], ids=repr)
def test_what_are_no_tags_is_refused(tags: Any) -> None:
    """Above all a bare string, which would be a tag for each of its letters."""
    with pytest.raises(PolicyError, match="tags="):
        Loaded(1, tags=tags)


def test_loaded_keeps_its_tags() -> None:
    """Pickled, or with another value in its place."""
    loaded = Loaded(1, ttl=5, tags=("a", "b"))
    assert pickle.loads(pickle.dumps(loaded)).tags == ("a", "b")  # noqa: S301 - its own pickle
    assert loaded.with_value(2).tags == ("a", "b")
    more = loaded.with_tags(["b", "c"])
    assert (more.tags, more.ttl) == (("a", "b", "c"), loaded.ttl)


# What it costs


def held(cache: Keyspace[Any], key: object, *tags: str) -> None:
    """Put a value with these tags."""
    cache.put(key, Loaded(key, tags=tags), 0)
    cache.leaving.clear()


def test_unused_tags_cost_nothing() -> None:
    """There is no index before the first tag, also where tags are invalidated that nothing has."""
    cache = Keyspace[int](Policy())
    cache.put(1, Loaded(1, ttl=5), 0)
    cache.invalidate_tags(("t",), 0)
    assert cache._store.tags is None
    assert cache.tags(1) == ()


def test_a_load_that_hangs_does_not_make_the_notes_grow() -> None:
    """Each invalidation is noted for it; where there are too many, it is outdated by any tag at all, and others are not
    by what was invalidated before they began.
    """
    cache = Keyspace[str](Policy())
    cache.get("hangs", 0)
    hung = cache.flights[1]
    for number in range(3 * module.MOST_NOTES):
        cache.invalidate_tags((f"user:{number}",), 0)
    index = cache._store.tags
    assert index is not None
    assert index._size <= 2 * module.MOST_NOTES + module.FEW_NOTES
    cache.get("later", 0)
    cache.load_succeeded(2, Loaded("new", tags=("user:0",)), 0)
    assert cache.tags("later") == ("user:0",)
    cache.load_succeeded(1, Loaded("old", tags=("of nobody",)), 0)
    assert hung.outdated_by == 1
    assert not cache.entry("hangs").holds_value
    cache.invalidate_tags(("t",), 0)
    assert (index._size, index._all) == (0, None)


def test_notes_of_loads_that_have_ended_are_forgotten() -> None:
    """Where some load is always in the air, no moment comes at which all notes could be forgotten at once."""
    cache = Keyspace[int](Policy(ttl=0))
    cache.get(0, 0)
    for number in range(1, 2_000):
        cache.get(number, 0)
        cache.invalidate_tags((f"user:{number}",), 0)
        cache.load_succeeded(number, "value", 0)
    index = cache._store.tags
    assert index is not None
    assert index._size <= 2 * module.FEW_NOTES


def test_invalidations_without_loads_are_not_noted() -> None:
    """Nobody could be told anything old."""
    cache = Keyspace[str](Policy())
    held(cache, "k", "t")
    cache.invalidate_tags(("t", "u"), 0)
    assert cache.invalidations == 0
    assert not cache.entry("k").holds_value


def test_what_the_index_forgets_is_let_go_after_the_lock() -> None:
    """A finalizer of a key may call the cache."""
    cache = Keyspace[str](Policy())
    held(cache, "k", "t")
    cache.invalidate_tags(("t",), 0)
    assert any(getattr(left, "key", None) == "k" for left in cache.leaving)


def test_closed_keyspace_refuses() -> None:
    """As for every other request."""
    cache = Keyspace[str](Policy())
    cache.close(0)
    with pytest.raises(CacheClosed):
        cache.invalidate_tags(("t",), 0)


# Keys that raise


class Moody:
    """A key whose hash raises while it is told to."""

    moods: int = 0

    def __hash__(self) -> int:
        if self.moods:
            self.moods -= 1
            raise OSError("moody")
        return 7


@pytest.mark.parametrize("moods", range(1, 12))
def test_key_that_raises_during_an_invalidation_is_never_answered_again(moods: int) -> None:
    """However often: what was held of it is gone, and so is that of the others."""
    cache = Keyspace[Any](Policy())
    moody = Moody()
    held(cache, "a", "t")
    held(cache, moody, "t")
    held(cache, "b", "t")
    moody.moods = moods
    cache.invalidate_tags(("t",), 0)
    moody.moods = 0
    assert [cache.entry(key).holds_value for key in ("a", moody, "b")] == [False] * 3


@pytest.mark.parametrize("moods", range(12))
def test_key_that_raises_while_its_value_is_stored_keeps_its_tags(moods: int) -> None:
    """Stored with all its tags, or not at all, wherever it was broken off."""
    cache = Keyspace[Any](Policy())
    moody = Moody()
    cache.get(moody, 0)
    moody.moods = moods
    cache.load_succeeded(1, Loaded("value", tags=("t",)), 0)
    moody.moods = 0
    cache.heal()
    assert not cache.entry(moody).holds_value or cache.tags(moody) == ("t",)
    cache.invalidate_tags(("t",), 0)
    assert not cache.entry(moody).holds_value


class Mutable:
    """A key that may come to equal another one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mutable) and self.name == other.name


@pytest.mark.parametrize("tags", [(), ("u",)])
def test_key_that_came_to_equal_another_takes_no_tags_from_that(tags: tuple[str, ...]) -> None:
    """The value of the other one keeps its tags, whatever the load of the changed key gives."""
    cache = Keyspace[Mutable](Policy())
    held(cache, Mutable("held"), "t")
    changing = Mutable("loading")
    cache.get(changing, 0)
    changing.name = "held"
    cache.load_succeeded(1, Loaded("value", tags=tags), 0)
    assert cache.tags(Mutable("held")) == ("t",)
    cache.invalidate_tags(("t",), 0)
    assert not cache.entry(Mutable("held")).holds_value


def test_an_index_put_together_again_keeps_what_is_held() -> None:
    """`keep` asks of each key whether its value is held."""
    index = Tags[str]([])
    for key in "abc":
        index.replace(key, ("t", key))
    index.keep(lambda key: key != "b")
    assert index.keys(("t",)) == ["a", "c"]
    assert index.keys(("b",)) == []
    assert len(index) == 2
