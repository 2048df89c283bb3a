"""`enter` and `fill`: what they do is what `get` and `load_succeeded` do, and where they do not, nothing happened.

They are compared over all situations in test_every_copy.py, and in long lives with and without them in
test_stateful.py; specs/contracts.py confirms over all paths that their steps are those of `transition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    Keyspace,
    Loaded,
    Policy,
    RunningLoad,
    Settle,
    Value,
    reply_of,
)

SECOND = NANOSECONDS_PER_SECOND


def _enter(cache: Keyspace[str], key: str, now: int = 0) -> RunningLoad:
    load = cache.enter(key, now)
    assert load is not None
    return load


def _answer(cache: Keyspace[str], key: str, now: int) -> object:
    reply = reply_of(cache.get(key, now))
    assert isinstance(reply, Answer)
    assert isinstance(reply.outcome, Value)
    return reply.outcome.value


@pytest.mark.parametrize("maxsize", [None, 2])
def test_a_miss_and_a_join_count_as_by_get(maxsize: int | None) -> None:
    """Nobody can tell from the statistics by which way the lookups went."""
    short, long = Keyspace[str](Policy(), maxsize=maxsize), Keyspace[str](Policy(), maxsize=maxsize)
    for key in "aab":
        _enter(short, key)
        long.get(key, 0)
    assert short.fill(short.flights[1], "value", 0) == Value("value", 0, is_stale=False)
    long.load_succeeded(1, "value", 0)
    assert asdict(short.stats()) == asdict(long.stats())
    assert list(short) == list(long)
    assert _answer(short, "a", 1) == _answer(long, "a", 1) == "value"


def test_the_load_that_is_joined_is_the_one_that_was_started() -> None:
    """One object stands for a load, of the class that the adapter gave."""

    class Load(RunningLoad):
        pass

    cache = Keyspace[str](Policy(load_timeout=5), load_type=Load)
    first = _enter(cache, "a", 7)
    assert (first.key, first.generation, first.due_at) == ("a", 1, 7 + 5 * SECOND)
    assert _enter(cache, "a", 8) is first
    assert type(first) is Load
    assert cache.flights == {1: first}
    cache.fill(first, "value", 9)
    assert first.has_ended


def test_what_is_no_key_is_left_to_get() -> None:
    """It has the error that names the key."""
    cache = Keyspace[list[int]](Policy())
    assert cache.enter([], 0) is None
    with pytest.raises(TypeError, match=r"the key \[\] cannot be looked up"):
        cache.get([], 0)


def test_a_closed_cache_is_left_to_get() -> None:
    """It raises CacheClosed there."""
    cache = Keyspace[str](Policy())
    cache.close(0)
    assert cache.enter("a", 0) is None


@pytest.mark.parametrize("maxsize", [None, 2])
def test_a_hit_is_left_to_get(maxsize: int | None) -> None:
    """A lookup that is answered has more to do: it may start a refresh, and counts as a visit."""
    cache = Keyspace[str](Policy(), maxsize=maxsize)
    cache.put("a", "value", 0)
    assert cache.enter("a", 0) is None
    assert cache.stats().hits == cache.stats().misses == 0


def test_one_waiter_too_many_is_left_to_get() -> None:
    """It is refused there."""
    cache = Keyspace[str](Policy(max_waiters=1))
    _enter(cache, "a")
    assert cache.enter("a", 0) is None
    assert cache.waiters(1) == 1


def test_a_load_past_its_deadline_is_left_to_get() -> None:
    """It is given up there, and nobody joins it (NoDoomedJoin)."""
    cache = Keyspace[str](Policy(load_timeout=1))
    _enter(cache, "a")
    assert cache.enter("a", SECOND) is None


NOT_FILLED: dict[str, Callable[[], tuple[Keyspace[str], object]]] = {
    "a lifetime of its own": lambda: (Keyspace[str](Policy(ttl=1)), Loaded("value", ttl=5)),
    "jitter": lambda: (Keyspace[str](Policy(ttl=1, jitter=0.1)), "value"),
    "no room": lambda: (Keyspace[str](Policy(), maxsize=0), "value"),
}


@pytest.mark.parametrize("name", NOT_FILLED)
def test_a_result_with_more_to_do_is_left_to_load_succeeded(name: str) -> None:
    """Nothing is done before it is."""
    cache, value = NOT_FILLED[name]()
    _enter(cache, "a")
    assert cache.fill(cache.flights[1], value, 0) is None
    assert cache.is_in_flight(1)
    assert any(isinstance(effect, Settle) for effect in cache.load_succeeded(1, value, 0))


def test_a_superseded_result_is_left_to_load_succeeded() -> None:
    """It is not stored, and only those who joined before get it (NoStaleSet)."""
    cache = Keyspace[str](Policy())
    old = _enter(cache, "a")
    cache.invalidate("a", 0)
    assert cache.fill(old, "old", 0) is None
    new = _enter(cache, "a")
    assert cache.fill(old, "old", 0) is None
    assert cache.fill(new, "new", 0) is not None
    assert cache.fill(new, "twice", 0) is None
    assert _answer(cache, "a", 1) == "new"


@pytest.mark.parametrize("maxsize", [None, 1])
def test_a_refresh_takes_the_place_of_the_old_value(maxsize: int | None) -> None:
    """In a full cache too: it needs no room of its own."""
    cache = Keyspace[str](Policy(), maxsize=maxsize)
    cache.put("a", "old", 0)
    cache.refresh("a", 0)
    assert cache.fill(cache.flights[1], "new", 0) is not None
    assert _answer(cache, "a", 1) == "new"
    assert cache.stats().size == 1


def test_a_newcomer_sweeps_out_what_has_expired() -> None:
    """As by `load_succeeded`: memory follows what is alive."""
    cache = Keyspace[str](Policy(ttl=1))
    for key in "ab":
        cache.fill(_enter(cache, key), "value", 0)
    cache.fill(_enter(cache, "c", SECOND), "value", SECOND)
    assert list(cache) == ["c"]
