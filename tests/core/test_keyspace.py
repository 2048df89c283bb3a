"""Many entries: generations, flights that outlive their entry, counters, and what counts as a key."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Answer,
    CacheClosed,
    CancelLoad,
    Effects,
    Failure,
    Join,
    Keyspace,
    LoadCancelled,
    Loaded,
    LoadTimeout,
    NoLoader,
    Policy,
    ReentrantLoad,
    Refuse,
    Settle,
    StartLoad,
    Step,
    Value,
    reply_of,
)

SECOND: Final = NANOSECONDS_PER_SECOND


def _answer(effects: Effects) -> object:
    """The value with which a lookup was answered at once."""
    reply = reply_of(effects)
    assert isinstance(reply, Answer)
    assert isinstance(reply.outcome, Value)
    return reply.outcome.value


def _joined(effects: Effects) -> int:
    """The generation of the flight that a lookup waits for."""
    reply = reply_of(effects)
    assert isinstance(reply, Join)
    return reply.generation


def _load(cache: Keyspace[Any], key: object, value: object, now: int = 0) -> None:
    cache.load_succeeded(_joined(cache.get(key, now)), value, now)


# Generations


def test_no_generation_is_ever_given_twice() -> None:
    """A late report must never be taken for that of a newer load, whatever became of the entry in between."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=1)
    generations = [_joined(cache.get("a", 0))]
    cache.load_succeeded(generations[0], "value", 0)
    cache.put("b", "evicts a", 0)
    generations.append(_joined(cache.get("a", 0)))
    cache.invalidate("a", 0)
    generations.append(_joined(cache.get("a", 0)))
    cache.restarted(generations[-1], 0)
    generations.append(_joined(cache.get("a", 0)))
    cache.clear(0)
    generations.append(_joined(cache.get("a", 0)))
    cache.waiter_left(generations[-1], 0, can_cancel=True)
    generations.append(_joined(cache.get("a", 0)))
    assert generations == sorted(set(generations))


def test_keys_share_one_line_of_generations() -> None:
    """A report names a flight of the cache, not of a key."""
    cache = Keyspace[str](Policy())
    assert [_joined(cache.get(key, 0)) for key in "abc"] == [1, 2, 3]


def test_a_lookup_that_starts_nothing_uses_no_generation_up() -> None:
    """The next flight has the next number, so that traces are readable and equal those of the specification."""
    cache = Keyspace[str](Policy())
    cache.put("a", "value", 0)
    assert _answer(cache.get("a", 0)) == "value"
    assert _joined(cache.get("b", 0)) == 1


# Flights that outlived their entry


def test_who_joined_before_an_invalidation_is_answered_and_nothing_is_stored() -> None:
    """The two loads of one key run side by side; each answers its own waiters, only the newer one stores."""
    cache = Keyspace[str](Policy())
    old = _joined(cache.get("a", 0))
    cache.invalidate("a", 0)
    new = _joined(cache.get("a", 0))
    assert (cache.is_in_flight(old), cache.waiters(old), cache.waiters(new)) == (True, 1, 1)
    assert cache.load_succeeded(new, "new", 0)[-1] == Settle(new, Value("new", 0, is_stale=False))
    assert cache.load_succeeded(old, "old", 0) == (Settle(old, Value("old", 0, is_stale=False)),)
    assert _answer(cache.get("a", 0)) == "new"
    assert not cache.is_in_flight(old)
    assert cache.waiters(old) is None


def test_the_last_waiter_of_an_invalidated_load_cancels_it() -> None:
    """Nobody wants its result any more."""
    cache = Keyspace[str](Policy())
    generation = _joined(cache.get("a", 0))
    cache.get("a", 0)
    cache.invalidate("a", 0)
    assert cache.waiter_left(generation, 0, can_cancel=True) == ()
    assert cache.is_in_flight(generation)
    assert cache.waiter_left(generation, 0, can_cancel=True) == (CancelLoad(generation),)
    assert not cache.is_in_flight(generation)


def test_the_deadline_of_an_invalidated_load_answers_its_waiters() -> None:
    """EveryGetAnswered holds for loads of removed entries too, and the time-out is counted."""
    cache = Keyspace[str](Policy(load_timeout=3))
    generation = _joined(cache.get("a", 0))
    cache.invalidate("a", 0)
    settle, cancel = cache.deadline_passed(generation, 3 * SECOND)
    assert isinstance(settle, Settle)
    assert isinstance(settle.outcome, Failure)
    assert isinstance(settle.outcome.error, LoadTimeout)
    assert cancel == CancelLoad(generation)
    assert (cache.stats().load_timeouts, cache.stats().in_flight) == (1, 0)


def test_a_report_of_an_unknown_flight_changes_nothing() -> None:
    """A cancelled load may still end; late is not wrong."""
    cache = Keyspace[str](Policy())
    cache.put("a", "value", 0)
    for report in (
        cache.load_succeeded(99, "late", 0),
        cache.load_failed(99, OSError(), 0),
        cache.deadline_passed(99, 0),
        cache.waiter_left(99, 0, can_cancel=True),
        cache.restarted(99, 0),
    ):
        assert all(isinstance(effect, Settle | CancelLoad) for effect in report)
    assert list(cache) == ["a"]
    assert _answer(cache.get("a", 0)) == "value"
    assert cache.stats().load_failures == 0


# clear, close, abort, restart


def test_clear_reaches_what_is_being_loaded() -> None:
    """A load begun before `clear` must not put back what was cleared; whoever waits for it is still answered."""
    cache = Keyspace[str](Policy(), maxsize=10)
    cache.put("held", "value", 0)
    waited = _joined(cache.get("waited for", 0))
    cache.refresh("nobody waits", 0)
    assert cache.clear(0) == (CancelLoad(2),)
    assert list(cache) == []
    assert cache.stats().size == 0
    assert cache.load_succeeded(waited, "old", 0) == (Settle(waited, Value("old", 0, is_stale=False)),)
    assert list(cache) == []


def test_close_refuses_all_requests_and_still_takes_reports() -> None:
    """Callers learn that the cache is closed; flights in the air can still be answered."""
    cache = Keyspace[str](Policy())
    generation = _joined(cache.get("a", 0))
    assert cache.close(0) == ()
    assert cache.close(0) == ()
    for request in (
        lambda: cache.get("a", 0),
        lambda: cache.put("a", "value", 0),
        lambda: cache.invalidate("a", 0),
        lambda: cache.expire("a", 0),
        lambda: cache.refresh("a", 0),
        lambda: cache.clear(0),
        lambda: cache.peek("a", 0),
    ):
        with pytest.raises(CacheClosed, match=r"^the cache is closed$"):
            request()
    assert cache.load_succeeded(generation, "value", 0) == (Settle(generation, Value("value", 0, is_stale=False)),)
    assert cache.stats().in_flight == 0


def test_abort_answers_every_waiter_of_every_flight() -> None:
    """The attached ones, the detached ones; a refresh's value stays."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=10))
    cache.put("kept", "value", 0)
    detached = _joined(cache.get("a", 0))
    cache.invalidate("a", 0)
    attached = _joined(cache.get("a", 0))
    cache.get("kept", 11 * SECOND)
    error = RuntimeError("the end")
    effects = cache.abort(error, 11 * SECOND)
    settled = {effect.generation: effect.outcome for effect in effects if isinstance(effect, Settle)}
    assert settled[detached] == settled[attached] == Failure(error, None)
    assert settled[3] == Value("value", 0, is_stale=True)
    assert {effect.generation for effect in effects if isinstance(effect, CancelLoad)} == {1, 2, 3}
    assert cache.stats().in_flight == 0
    assert _answer(cache.get("kept", 11 * SECOND)) == "value"


def test_a_restart_drops_one_flight_and_keeps_the_values() -> None:
    """In a forked child nobody runs the parent's loads; what was loaded is still true."""
    cache = Keyspace[str](Policy())
    cache.put("a", "value", 0)
    first, second = _joined(cache.get("b", 0)), _joined(cache.get("c", 0))
    assert cache.restarted(first, 0) == ()
    assert (cache.is_in_flight(first), cache.is_in_flight(second)) == (False, True)
    assert _joined(cache.get("b", 0)) == 3
    assert _answer(cache.get("a", 0)) == "value"


# Keys and values


def test_what_is_looked_up_again_stays_when_another_has_to_go() -> None:
    """Also where the lookup is a step, and not a hit of the adapter's."""
    cache = Keyspace[str](Policy(), maxsize=2)
    _load(cache, "asked for again", "value")
    _load(cache, "not asked for", "value")
    assert _answer(cache.get("asked for again", 0)) == "value"
    _load(cache, "new", "value")
    assert set(cache) == {"asked for again", "new"}


def test_none_is_a_key_and_a_value_like_any_other() -> None:
    """That nothing was found is worth remembering too."""
    cache = Keyspace[str | None](Policy(), maxsize=1)
    _load(cache, None, None)
    assert _answer(cache.get(None, 0)) is None
    assert cache.peek(None, 0) == Value(None, 0, is_stale=False)
    cache.put("other", None, 0)
    assert list(cache) == ["other"]
    assert _answer(cache.get("other", 0)) is None


def test_an_unhashable_key_is_refused_by_name() -> None:
    """A TypeError that says which key it was, and nothing is left behind."""
    cache = Keyspace[Any](Policy(), maxsize=10)
    for request in (cache.get, cache.invalidate, cache.expire, cache.refresh, cache.peek):
        with pytest.raises(TypeError, match=r"^the key \['a'\] cannot be looked up: unhashable type: 'list'$"):
            request(["a"], 0)
    with pytest.raises(TypeError, match=r"^the key \{\} cannot be looked up"):
        cache.put({}, "value", 0)
    assert list(cache) == []
    assert _joined(cache.get("a", 0)) == 1


def test_keys_that_are_equal_are_one_key() -> None:
    """As in a dict: 1, 1.0 and True are the same key."""
    cache = Keyspace[Any](Policy())
    cache.put(1, "one", 0)
    assert _answer(cache.get(True, 0)) == "one"
    assert list(cache) == [1]


def test_loaded_gives_its_value_a_lifetime_and_is_not_stored_itself() -> None:
    """Callers get the value, not the envelope, from a loader as from `put`."""
    cache = Keyspace[str](Policy(ttl=10))
    cache.put("put", Loaded("value", ttl=2), 0)
    _load(cache, "loaded", Loaded("value", ttl=2))
    for key in ("put", "loaded"):
        assert _answer(cache.get(key, 2 * SECOND - 1)) == "value"
        assert cache.peek(key, 2 * SECOND) is None


def test_luck_shortens_the_ttl() -> None:
    """The adapter draws the random number, the core only uses it."""
    cache = Keyspace[str](Policy(ttl=10, jitter=0.5))
    cache.put("a", "value", 0, luck=0.5)
    cache.load_succeeded(_joined(cache.get("b", 0)), "value", 0, luck=0.5)
    for key in "ab":
        assert cache.peek(key, 7_500_000_000 - 1) is not None
        assert cache.peek(key, 7_500_000_000) is None


def test_expire_leaves_a_value_that_is_stale() -> None:
    """It is served while the refresh that the next lookup starts is in flight."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=5))
    cache.put("a", "value", 0)
    assert cache.expire("a", 0) != ()
    effects = cache.get("a", 0)
    assert reply_of(effects) == Answer(Value("value", 0, is_stale=True))
    assert StartLoad(1, Policy().load_timeout) in effects


# What can be asked


def test_the_counters_count_each_lookup_once() -> None:
    """Hits, stale hits, joins and misses are disjoint, and add up to the lookups that were not refused."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=10, max_waiters=2, load_timeout=60), maxsize=2)
    first = _joined(cache.get("a", 0))  # a miss
    _joined(cache.get("a", 0))  # a join
    assert reply_of(cache.get("a", 0)) == Refuse(2)
    cache.load_succeeded(first, "value", 0)
    _answer(cache.get("a", 0))  # a hit
    _answer(cache.get("a", 11 * SECOND))  # a stale hit, and its refresh
    cache.load_failed(2, OSError(), 11 * SECOND)
    third = _joined(cache.get("b", 11 * SECOND))  # a miss
    cache.deadline_passed(third, 71 * SECOND)
    cache.put("c", "value", 71 * SECOND)
    cache.put("d", "value", 71 * SECOND)
    cache.put("e", "value", 71 * SECOND)  # evicts a value that is alive
    cache.get("f", 71 * SECOND)
    stats = cache.stats(hits=100)
    assert (stats.hits, stats.stale_hits, stats.joins, stats.misses, stats.refusals) == (101, 1, 1, 3, 1)
    assert (stats.loads, stats.load_failures, stats.load_timeouts) == (4, 1, 1)
    assert (stats.evictions, stats.size, stats.maxsize, stats.in_flight) == (1, 2, 2, 1)


def test_the_counters_are_set_back_and_nothing_else() -> None:
    """Who clears a function's cache counts anew; the generations go on, or a late report were taken for a newer one."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=1)
    _load(cache, "a", 1)
    cache.get("a", 0)
    _load(cache, "b", 2)
    generation = _joined(cache.get("c", 0))
    cache.reset_counters()
    before = Keyspace[str](Policy(), maxsize=1).stats()
    now = cache.stats()
    assert (now.hits, now.misses, now.loads, now.evictions) == (before.hits, before.misses, before.loads, 0)
    assert (now.size, now.in_flight) == (1, 1)
    assert _joined(cache.get("d", 0)) == generation + 1
    assert (cache.stats().misses, cache.stats().loads) == (1, 1)


def test_a_remembered_error_counts_as_a_hit() -> None:
    """It spares a load as a value does."""
    cache = Keyspace[str](Policy(negative_ttl=10))
    cache.load_failed(_joined(cache.get("a", 0)), OSError(), 0)
    assert isinstance(reply_of(cache.get("a", 0)), Answer)
    assert (cache.stats().hits, cache.stats().stale_hits, cache.stats().size) == (1, 0, 1)


def test_peek_neither_loads_nor_counts() -> None:
    """Looking must not change what is looked at."""
    cache = Keyspace[str](Policy(ttl=10))
    assert cache.peek("a", 0) is None
    cache.put("a", "value", 0)
    assert cache.peek("a", 0) == Value("value", 0, is_stale=False)
    assert (cache.stats().hits, cache.stats().loads) == (0, 0)


def test_the_observer_sees_every_step_with_its_key() -> None:
    """What traces, metrics and the invariants of a running cache are made from."""
    seen: list[tuple[object, Step]] = []
    cache = Keyspace[str](Policy(), observe=lambda key, step: seen.append((key, step)))
    _load(cache, "a", "value", 5)
    cache.get("a", 6)
    assert [(key, type(step.event).__name__, step.now) for key, step in seen] == [
        ("a", "Get", 5),
        ("a", "LoadSucceeded", 5),
        ("a", "Get", 6),
    ]
    assert seen[1][1].after == cache.entry("a")


def test_the_running_load_knows_its_key_and_generation() -> None:
    """It travels in the context of the loader, and is what a circle is found by."""
    cache = Keyspace[str](Policy())
    running = cache.flights[_joined(cache.get("a", 0))]
    assert (running.key, running.generation, running.has_ended) == ("a", 1, False)
    cache.load_succeeded(1, "value", 0)
    assert running.has_ended


def test_effects_without_a_reply_are_refused() -> None:
    """Only those of a lookup have one; a mistaken adapter is told so."""
    with pytest.raises(ValueError, match=r"^no reply is the first of \(\)$"):
        reply_of(())


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_of_the_counters_agree(seed: int) -> None:
    """Each lookup is counted once by its outcome, and each load once by its end: a dashboard's shares add up."""
    rng = random.Random(seed)
    policy = Policy(ttl=5, stale_while_revalidate=5, load_timeout=3, max_waiters=2, negative_ttl=1)
    cache = Keyspace[int](policy, maxsize=3)
    now = lookups = gave_a_value = 0
    for _ in range(2_000):
        now += rng.choice((0, SECOND // 2))
        key = rng.randrange(6)
        flights = list(cache.flights)
        match rng.randrange(9):
            case 0:
                cache.put(key, "value", now)
            case 1:
                cache.invalidate(key, now)
            case 2:
                cache.refresh(key, now)
            case 3 if flights:
                cache.load_failed(rng.choice(flights), rng.choice((ValueError(), LoadCancelled())), now)
            case 4 if flights:
                cache.load_succeeded(rng.choice(flights), "value", now)
                gave_a_value += 1
            case 5 if flights:
                cache.waiter_left(rng.choice(flights), now, can_cancel=True)
            case 6 if flights:
                cache.deadline_passed(rng.choice(flights), now)
            case _:
                lookups += 1
                if cache.enter(key, now) is None:
                    cache.get(key, now)
    if seed:
        cache.clear(now)
        cache.abort(LoadCancelled(), now)
        assert cache.stats().in_flight == 0
    stats = cache.stats()
    assert stats.hits + stats.stale_hits + stats.joins + stats.misses + stats.refusals == lookups
    ended = gave_a_value + stats.load_failures + stats.load_timeouts + stats.load_cancellations
    assert stats.loads == ended + stats.in_flight
    assert min(stats.refusals, stats.load_failures, stats.load_timeouts, stats.load_cancellations) > 0


def test_a_refused_lookup_inside_its_own_load_counts_nothing() -> None:
    """It was not answered; the load that asked goes on."""
    cache = Keyspace[str](Policy())
    cache.get("a", 0)
    with pytest.raises(ReentrantLoad):
        cache.get("a", 0, cache.flights[1])
    stats = cache.stats()
    assert (stats.misses, stats.joins, stats.refusals) == (1, 0, 0)


# Without a loader


def test_lookup_without_a_loader_starts_nothing() -> None:
    """What only a load could answer is refused, and the keyspace is as it was; what is held is answered and counted."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=100), maxsize=1, has_loader=False)
    assert cache.enter("k", 0) is None
    with pytest.raises(NoLoader, match="'k'"):
        cache.get("k", 0)
    with pytest.raises(NoLoader, match="'k'"):
        cache.refresh("k", 0)
    assert (cache.generation, cache.stats().misses, len(cache.flights)) == (0, 0, 0)
    cache.put("k", "value", 0)
    assert reply_of(cache.get("k", SECOND)) == Answer(Value("value", 0, is_stale=False))
    assert cache.get("k", 20 * SECOND) == (Answer(Value("value", 0, is_stale=True)),)
    assert (cache.stats().hits, cache.stats().stale_hits, cache.generation) == (1, 1, 0)
    assert reply_of(cache.get("k", 20 * SECOND, brings_loader=True)) == Answer(Value("value", 0, is_stale=True))
    assert list(cache.flights) == [1]


def test_keyspace_without_a_loader_takes_no_short_cut_when_it_is_opened_again() -> None:
    """The short cut starts loads, and asks nobody whether there is a loader."""
    cache = Keyspace[str](Policy(), has_loader=False)
    cache.close(0)
    cache.open()
    assert cache.enter("k", 0) is None
