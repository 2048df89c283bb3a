"""A keyspace that is passed by keeps nothing, and every lookup starts a load of its own."""

from __future__ import annotations

import pytest

from herdless_core import CacheClosed, Join, Keyspace, Policy, ReentrantLoad, Settle, StartLoad, reply_of


def passed_by() -> Keyspace[str]:
    """A keyspace that is passed by."""
    keyspace = Keyspace[str](Policy(ttl=60))
    keyspace.pass_by(True)
    return keyspace


def begin(keyspace: Keyspace[str], key: str, inside: int | None = None) -> int:
    """Look the key up, inside the load of that generation if any; returns the generation of the load it started."""
    assert keyspace.enter(key, 0) is None, "the short cut would join, or keep"
    effects = keyspace.get(key, 0, None if inside is None else keyspace.flights[inside])
    reply = reply_of(effects)
    assert isinstance(reply, Join)
    assert reply.leads
    assert [effect.generation for effect in effects if isinstance(effect, StartLoad)] == [reply.generation]
    return reply.generation


def test_each_lookup_has_a_load_of_its_own_and_its_value() -> None:
    """Two at once do not share, and the value of neither is kept."""
    keyspace = passed_by()
    first, second = begin(keyspace, "a"), begin(keyspace, "a")
    for generation, value in ((second, "B"), (first, "A")):
        (settled,) = [each for each in keyspace.load_succeeded(generation, value, 1) if isinstance(each, Settle)]
        assert (settled.generation, getattr(settled.outcome, "value", None)) == (generation, value)
    assert keyspace.stats().size == keyspace.stats().in_flight == 0
    assert keyspace.peek("a", 1) is None
    assert (keyspace.stats().misses, keyspace.stats().joins) == (2, 0)


def test_nothing_is_put_or_refreshed() -> None:
    """It would be kept."""
    keyspace = passed_by()
    keyspace.put("a", 1, 0)
    assert keyspace.refresh("a", 0) == ()
    assert list(keyspace) == []


def test_what_would_wait_for_itself_is_refused() -> None:
    """Nobody finds the load of the same key that is under way, so it would be started again without end."""
    keyspace = passed_by()
    outer = begin(keyspace, "a")
    with pytest.raises(ReentrantLoad, match="the loader of 'a' asks for it again"):
        begin(keyspace, "a", inside=outer)
    inner = begin(keyspace, "b", inside=outer)
    with pytest.raises(ReentrantLoad):
        begin(keyspace, "a", inside=inner)
    begin(keyspace, "c", inside=inner)
    other = begin(keyspace, "b")
    begin(keyspace, "a", inside=other)  # which waits for no load of "a" yet


def test_it_keeps_again_afterwards_and_a_closed_one_stays_closed() -> None:
    """The two doors are two."""
    keyspace = passed_by()
    keyspace.close(0)
    keyspace.pass_by(False)
    assert keyspace.enter("a", 0) is None
    with pytest.raises(CacheClosed):
        keyspace.get("a", 0)
    keyspace.pass_by(True)
    keyspace.open()
    begin(keyspace, "a")
    keyspace.pass_by(False)
    keyspace.clear(0)
    load = keyspace.enter("a", 0)
    assert load is not None
    keyspace.load_succeeded(load.generation, "A", 0)
    assert keyspace.peek("a", 0) is not None
