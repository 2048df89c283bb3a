"""Entries that outlive their keyspace: what an earlier one left, and the flights that this overtakes."""

from __future__ import annotations

from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    Fresh,
    Join,
    Keyspace,
    Policy,
    Restarted,
    Settle,
    Step,
    Value,
    reply_of,
)

POLICY = Policy(ttl=60, stale_while_revalidate=60)
SECOND = NANOSECONDS_PER_SECOND


def _left_behind(*, refreshing: bool) -> Fresh:
    """The entry of an earlier process."""
    earlier = Keyspace[str](POLICY)
    earlier.put("a", "stored", 0)
    if refreshing:
        earlier.refresh("a", 0)
    entry = earlier.entry("a")
    assert isinstance(entry, Fresh)
    return entry


def test_a_restored_value_is_served_and_its_flight_is_gone() -> None:
    """Whoever ran the load has died with it; the value has not."""
    seen: list[Step] = []
    cache = Keyspace[str](POLICY, observe=lambda _, step: seen.append(step))
    cache.restore("a", _left_behind(refreshing=True), 1)
    assert cache.peek("a", 1) == Value("stored", 0, is_stale=False)
    assert (cache.stats().size, cache.stats().in_flight) == (1, 0)
    assert [(type(step.event), step.now) for step in seen] == [(Restarted, 1)]
    assert cache.refresh("a", 1), "the next refresh is not held up"


def test_a_flight_that_is_overtaken_stores_nothing_and_answers_its_waiters() -> None:
    """Another instance has taken over while this one loads: what that one did stands."""
    cache = Keyspace[str](POLICY)
    reply = reply_of(cache.get("a", 0))
    assert isinstance(reply, Join)
    cache.restore("a", _left_behind(refreshing=False), 1)
    assert cache.stats().in_flight == 0, "nobody awaits it here any more"
    (settle,) = cache.load_succeeded(reply.generation, "late", 2)
    assert isinstance(settle, Settle)
    assert settle.outcome == Value("late", settle.outcome.loaded_at, is_stale=True)  # type: ignore[union-attr]  # a value
    assert cache.peek("a", 2) == Value("stored", 0, is_stale=False)


def test_nothing_is_restored_over_what_was_held() -> None:
    """The other instance has invalidated: the value held here is gone too."""
    cache = Keyspace[str](POLICY)
    cache.put("a", "held", 0)
    cache.restore("a", ABSENT, 1)
    assert cache.peek("a", 1) is None
    assert cache.stats().size == 0


def test_generations_go_on_after_those_of_others() -> None:
    """They are skipped, not counted as loads; one that is past already is no way back."""
    cache = Keyspace[str](POLICY)
    cache.skip_to(100)
    cache.skip_to(50)
    reply = reply_of(cache.get("a", 0))
    assert isinstance(reply, Join)
    assert reply.generation == 100
    assert cache.stats().loads == 1


def test_restored_entry_sweeps_out_what_has_expired() -> None:
    """As any newcomer does."""
    keyspace, other = Keyspace[str](Policy(ttl=1)), Keyspace[str](Policy(ttl=1))
    keyspace.put("old", "old", 0)
    other.put("new", "new", 10 * 10**9)
    keyspace.restore("new", other.entry("new"), 10 * 10**9)
    assert list(keyspace) == ["new"]
