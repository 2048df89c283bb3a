"""A load that would wait for itself is found out at once, whatever the way round; one that would not is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from herdless_core import Join, Keyspace, Policy, ReentrantLoad, RunningLoad, reply_of
from herdless_core._reentrancy import begin_wait


def _lead(cache: Keyspace[Any], key: object, loading: RunningLoad | None = None) -> RunningLoad:
    """Start the key's load, from inside another one if given; returns the node of the new load."""
    reply = reply_of(cache.get(key, 0, loading))
    assert isinstance(reply, Join)
    assert reply.leads
    return cache.flights[reply.generation]


def _join(cache: Keyspace[Any], key: object, loading: RunningLoad | None = None) -> int:
    reply = reply_of(cache.get(key, 0, loading))
    assert isinstance(reply, Join)
    assert not reply.leads
    return reply.generation


def test_a_loader_that_asks_for_its_own_key_is_told_so() -> None:
    """It would wait for its own end; the message names both sides."""
    cache = Keyspace[str](Policy())
    a = _lead(cache, "a")
    with pytest.raises(ReentrantLoad, match=r"^the loader of 'a' asks for 'a', whose load waits for it$"):
        cache.get("a", 0, a)


def test_the_refused_lookup_leaves_no_trace() -> None:
    """It neither waits nor counts, and the loader may go on without."""
    cache = Keyspace[str](Policy(max_waiters=2))
    a = _lead(cache, "a")
    before = cache.stats()
    for _ in range(3):
        with pytest.raises(ReentrantLoad):
            cache.get("a", 0, a)
    assert cache.stats() == before
    assert cache.waiters(a.generation) == 1
    assert a.waits_for == ()


@pytest.mark.parametrize("length", [2, 3, 10])
def test_a_circle_of_loads_is_found_where_it_closes(length: int) -> None:
    """A waits for b, b for c, c for a: the last one raises, the others can still end."""
    cache = Keyspace[int](Policy())
    loading = _lead(cache, 0)
    for key in range(1, length):
        loading = _lead(cache, key, loading)
    with pytest.raises(ReentrantLoad):
        cache.get(0, 0, loading)


def test_a_circle_through_two_caches_is_found() -> None:
    """The nodes are loads, not keys of one cache."""
    one, other = Keyspace[str](Policy()), Keyspace[str](Policy())
    a = _lead(one, "a")
    b = _lead(other, "a", a)
    with pytest.raises(ReentrantLoad):
        one.get("a", 0, b)


def test_a_diamond_is_no_circle() -> None:
    """Two loads may well wait for a third."""
    cache = Keyspace[str](Policy())
    top = _lead(cache, "top")
    left, right = _lead(cache, "left", top), _lead(cache, "right", top)
    bottom = _lead(cache, "bottom", left)
    assert _join(cache, "bottom", right) == bottom.generation


def test_a_caller_outside_of_any_load_closes_no_circle() -> None:
    """Most callers are; they may wait for whatever they like."""
    cache = Keyspace[str](Policy())
    a = _lead(cache, "a")
    _lead(cache, "b", a)
    assert _join(cache, "a") == a.generation


def test_who_left_waits_no_more() -> None:
    """A loader that gave up waiting for b may be waited for by b."""
    cache = Keyspace[str](Policy())
    a, b = _lead(cache, "a"), _lead(cache, "b")
    _join(cache, "b", a)
    cache.waiter_left(b.generation, 0, can_cancel=True, loading=a)
    assert _join(cache, "a", b) == a.generation


def test_two_callers_inside_one_load_wait_each_for_themselves() -> None:
    """A loader with two tasks that wait for one key: when one leaves, the other still waits."""
    cache = Keyspace[str](Policy())
    a, b = _lead(cache, "a"), _lead(cache, "b")
    _join(cache, "b", a)
    _join(cache, "b", a)
    cache.waiter_left(b.generation, 0, can_cancel=True, loading=a)
    with pytest.raises(ReentrantLoad):
        cache.get("a", 0, b)


def test_a_load_that_ended_is_waited_for_no_more() -> None:
    """A loader that asks for many keys, one after the other, keeps no list of them."""
    cache = Keyspace[int](Policy())
    a = _lead(cache, 0)
    for key in range(1, 100):
        ended = _lead(cache, key, a)
        cache.load_succeeded(ended.generation, "value", 0)
        assert len(a.waits_for) <= 1
        assert _join(cache, 0, _lead(cache, -key)) == a.generation


def test_a_superseded_load_is_nobodys_hindrance() -> None:
    """After an invalidation and the last waiter's leaving, what the old load still does concerns nobody."""
    cache = Keyspace[str](Policy())
    old = _lead(cache, "a")
    cache.invalidate("a", 0)
    cache.waiter_left(old.generation, 0, can_cancel=True)
    new = _lead(cache, "a")
    assert old.has_ended
    assert _join(cache, "a", old) == new.generation
    # It left before it had joined: a loader may report late, about what is over.
    assert cache.waiter_left(old.generation, 0, can_cancel=True, loading=new) == ()


def test_leaving_twice_is_leaving_once() -> None:
    """Nothing is taken from the loads for which it still waits."""
    cache = Keyspace[str](Policy())
    a, b, c = _lead(cache, "a"), _lead(cache, "b"), _lead(cache, "c")
    _join(cache, "c", a)
    cache.get("b", 0)
    cache.waiter_left(b.generation, 0, can_cancel=True, loading=a)
    assert a.waits_for == (c,)


def test_load_is_held_up_by_whoever_runs_in_its_context() -> None:
    """Unless its runtime knows better."""
    assert RunningLoad("k", 1, 0).holds_up()


def test_load_of_several_keys_is_named_without_them() -> None:
    """One call of a bulk loader stands for all of its keys, and waits for none of them."""
    cache = Keyspace[str](Policy())
    several = RunningLoad("a batch", 0, 0)
    assert reply_of(cache.get("a", 0)) == Join(1, leads=True)
    begin_wait(cache.flights[1], several)
    with pytest.raises(ReentrantLoad, match="the loader of several keys asks for 'a'"):
        cache.get("a", 0, several)
