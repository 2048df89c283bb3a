"""Capacity: never more than maxsize values, never a victim with waiters, and memory that follows what is alive."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

import pytest

from herdless_core import NANOSECONDS_PER_SECOND, Answer, CancelLoad, Join, Keyspace, Loaded, Policy, reply_of
from herdless_core._eviction import Queue, S3Fifo, Standing, Verdict, verdict
from herdless_core._store import SLACK_SHARE, STRICT

SECOND: Final = NANOSECONDS_PER_SECOND


def _is_hit(cache: Keyspace[int], key: int) -> bool:
    """Look the key up and, at a miss, load it at once."""
    reply = reply_of(cache.get(key, 0))
    if isinstance(reply, Join):
        cache.load_succeeded(reply.generation, key, 0)
    return isinstance(reply, Answer)


def _zipf(count: int, keys: int, seed: int) -> list[int]:
    weights = list(accumulate(1 / rank for rank in range(1, keys + 1)))
    return random.Random(seed).choices(range(keys), cum_weights=weights, k=count)


def _with_scans(lookups: Iterable[int], every: int, length: int) -> Iterator[int]:
    """The same lookups, now and then interrupted by a scan over keys that nobody asks for again."""
    never_again = 1_000_000
    for number, key in enumerate(lookups, start=1):
        yield key
        if number % every == 0:
            yield from range(never_again, never_again + length)
            never_again += length


def _hits_of_plain(lookups: Iterable[int], maxsize: int, *, is_lru: bool) -> int:
    """The hits of the textbook caches, as the measure."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in lookups:
        if key in held:
            hits += 1
            if is_lru:
                held.move_to_end(key)
            continue
        held[key] = None
        if len(held) > maxsize:
            held.popitem(last=False)
    return hits


# Bounded


@pytest.mark.parametrize("maxsize", [0, 1, 2, 9, 10, 100])
def test_there_are_never_more_values_than_maxsize(maxsize: int) -> None:
    """Bounded holds at every moment, not only on average, and the room there is gets used."""
    cache = Keyspace[int](Policy(), maxsize=maxsize)
    largest = 0
    for key in _zipf(3_000, 400, seed=1):
        _is_hit(cache, key)
        largest = max(largest, cache.stats().size)
        assert len(cache.hot) + len(cache._store.cold) == cache.stats().size
    assert largest == maxsize


def test_maxsize_zero_coalesces_and_stores_nothing() -> None:
    """Single flight without a cache is a use of its own."""
    cache = Keyspace[str](Policy(), maxsize=0)
    assert isinstance(reply_of(cache.get("a", 0)), Join)
    assert isinstance(reply_of(cache.get("a", 0)), Join)
    assert cache.stats().loads == 1
    cache.load_succeeded(1, "value", 0)
    cache.put("b", "value", 0)
    assert list(cache) == []
    assert reply_of(cache.get("a", 0)) == Join(2, leads=True)


def test_flights_take_no_room() -> None:
    """A load in flight holds no value yet, and may not be refused."""
    cache = Keyspace[int](Policy(), maxsize=1)
    for key in range(10):
        cache.get(key, 0)
    assert (cache.stats().in_flight, cache.stats().size) == (10, 0)


def test_a_value_with_waiters_is_no_victim() -> None:
    """PendingIsNoVictim: who waits for a refresh that stale_if_error backs must get what was promised."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxsize=2)
    cache.put("waited for", "old", 0)
    cache.put("idle", "value", 0)
    assert isinstance(reply_of(cache.get("waited for", 20 * SECOND)), Join)
    for number in range(5):
        cache.put(f"new {number}", "value", 20 * SECOND)
    assert "waited for" in list(cache)
    assert cache.stats().size == 2


def test_what_finds_no_room_is_not_stored() -> None:
    """Where callers wait for every value, a new one is refused rather than one of theirs taken."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxsize=1)
    cache.put("waited for", "old", 0)
    assert isinstance(reply_of(cache.get("waited for", 20 * SECOND)), Join)
    cache.put("new", "value", 20 * SECOND)
    assert list(cache) == ["waited for"]
    assert cache.stats().evictions == 1


def test_an_observer_is_told_what_finds_no_room() -> None:
    """To the observer the newcomer goes like any victim, so that a trace need not say how much room there was."""
    seen: list[tuple[int, str]] = []
    cache = Keyspace[int](Policy(), maxsize=0, observe=lambda key, step: seen.append((key, type(step.after).__name__)))
    _is_hit(cache, 1)
    cache.put(2, 2, 0)
    assert seen == [(1, "Pending"), (1, "Fresh"), (1, "Evicted"), (2, "Fresh"), (2, "Evicted")]


def test_a_visited_value_is_found_behind_many_that_are_waited_for() -> None:
    """The hand must go round once more before it says that everything is waited for."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100), maxsize=4)
    for key in ("a", "b", "c"):
        cache.put(key, "old", 0)
    cache.put("visited", "value", 15 * SECOND)
    for key in ("a", "b", "c"):
        assert isinstance(reply_of(cache.get(key, 20 * SECOND)), Join)
    assert isinstance(reply_of(cache.get("visited", 20 * SECOND)), Answer)
    cache.put("new", "value", 20 * SECOND)
    assert set(cache) == {"a", "b", "c", "new"}


def test_a_victim_takes_its_refresh_along() -> None:
    """A load whose value would not be stored, and which nobody waits for, is cancelled."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=100), maxsize=1)
    cache.put("a", "value", 0)
    cache.get("a", 20 * SECOND)  # a stale hit: visited, and a refresh in flight
    assert CancelLoad(1) in cache.put("b", "value", 20 * SECOND)
    assert list(cache) == ["b"]
    assert not cache.is_in_flight(1)


def test_what_expired_goes_first_and_is_no_eviction() -> None:
    """Room taken from what is of no use to anybody costs nobody anything."""
    cache = Keyspace[str](Policy(), maxsize=2)
    cache.put("short", Loaded("value", ttl=1), 0)
    cache.get("short", 0)
    cache.put("long", "value", 0)
    cache.put("new", "value", 2 * SECOND)
    assert set(cache) == {"long", "new"}
    assert cache.stats().evictions == 0


# S3-FIFO


@pytest.mark.parametrize("standing", Standing)
def test_the_verdict_never_evicts_what_is_waited_for_or_was_looked_up(standing: Standing) -> None:
    """The whole of the paper's rule in one table."""
    expected = {
        Standing.GONE: (Verdict.DROP, Verdict.DROP),
        Standing.EXPIRED: (Verdict.EVICT, Verdict.EVICT),
        Standing.RELOADED: (Verdict.EVICT_AND_WAIT, Verdict.EVICT_AND_WAIT),
        Standing.HELD: (Verdict.WAIT, Verdict.WAIT),
        Standing.VISITED: (Verdict.KEEP, Verdict.KEEP),
        Standing.IDLE: (Verdict.EVICT_AND_REMEMBER, Verdict.EVICT),
    }
    assert (verdict(Queue.SMALL, standing), verdict(Queue.MAIN, standing)) == expected[standing]


def test_scans_do_not_flush_what_is_popular() -> None:
    """Counts, on one seeded workload: more hits than a FIFO and an LRU of the same size."""
    lookups = list(_with_scans(_zipf(10_000, 1_000, seed=2), every=500, length=100))
    cache = Keyspace[int](Policy(), maxsize=100)
    hits = sum(_is_hit(cache, key) for key in lookups)
    assert hits > _hits_of_plain(lookups, 100, is_lru=True) * 1.1
    assert hits > _hits_of_plain(lookups, 100, is_lru=False) * 1.1


@pytest.mark.parametrize(
    ("ask", "stays"),
    [
        (lambda cache, key: cache.get(key, 0), True),
        (lambda cache, key: cache.peek(key, 0), False),
        (lambda cache, key: cache.entry(key), False),
        (lambda cache, key: None, False),
    ],
    ids=["get", "peek", "entry", "nothing"],
)
def test_a_lookup_keeps_what_it_was_answered_with_and_a_peek_does_not(
    ask: Callable[[Keyspace[str], str], object], stays: bool
) -> None:
    """What is looked up again and again stays, through any scan; to look at a cache from outside must not change what
    it holds.
    """
    cache = Keyspace[str](Policy(), maxsize=20)
    popular = ["a", "b", "c"]
    for key in popular:
        cache.put(key, "value", 0)
    for number in range(200):
        for key in popular:
            ask(cache, key)
        cache.put(f"{number}", "value", 0)
    assert [cache.peek(key, 0) is not None for key in popular] == [stays] * 3


def test_a_loop_larger_than_the_room_still_hits() -> None:
    """Where LRU evicts everything just before it is asked for again."""
    lookups = [*range(125)] * 20
    cache = Keyspace[int](Policy(), maxsize=100)
    hits = sum(_is_hit(cache, key) for key in lookups)
    assert _hits_of_plain(lookups, 100, is_lru=True) == 0
    assert hits > len(lookups) // 2


def test_one_that_comes_back_soon_after_its_eviction_stays() -> None:
    """The ghosts: a second chance for what was thrown out too early."""
    cache = Keyspace[int](Policy(), maxsize=10)
    for key in range(11):
        _is_hit(cache, key)
    assert 0 not in list(cache)
    _is_hit(cache, 0)
    for key in range(100, 105):
        _is_hit(cache, key)
    assert 0 in list(cache)


@pytest.mark.parametrize("maxsize", [1, 10, 100, 1_000])
def test_the_queues_stay_small_however_often_keys_come_and_go(maxsize: int) -> None:
    """A key that is invalidated leaves a void mention behind; they must not pile up."""
    cache = Keyspace[int](Policy(), maxsize=maxsize)
    order = cache._store._order
    assert order is not None
    rng = random.Random(3)
    for _ in range(5_000):
        key = rng.randrange(maxsize * 2)
        _is_hit(cache, key)
        if rng.random() < 0.7:
            cache.invalidate(key, 0)
        size = cache.stats().size
        assert len(order.small) + len(order.main) <= size + (size // SLACK_SHARE if size > STRICT else 0)
        assert len(order._ghosts) <= len(order._ghost_order) <= maxsize
        assert size <= maxsize


def test_every_key_stays_mentioned_once_when_void_mentions_are_dropped() -> None:
    """A key that was forgotten by the queues could never be evicted any more; one in them twice went twice as soon."""
    maxsize = 10 * STRICT
    cache = Keyspace[int](Policy(), maxsize=maxsize)
    order = cache._store._order
    assert order is not None
    for key in range(maxsize):
        cache.put(key, "value", 0)
    for key in range(0, maxsize, 2):
        cache.invalidate(key, 0)
        cache.put(key, "value", 0)  # its void mention stands for it again
    for key in range(1, maxsize, 8):
        cache.invalidate(key, 0)
    mentions = [*order.small.passed, *order.small.ahead, *order.main.passed, *order.main.ahead]
    assert set(mentions) >= set(cache)
    assert len(mentions) <= cache.stats().size * (1 + 1 / SLACK_SHARE)
    for key in range(maxsize, 3 * maxsize):
        cache.put(key, "value", 0)
    assert set(cache) <= set(range(maxsize, 3 * maxsize))


def test_nothing_is_found_where_nothing_is() -> None:
    """The hand over empty queues."""
    order = S3Fifo[int](1, lambda _key, _now: Standing.GONE, lambda _key: None, lambda _key: None)
    assert order.victim(0) is None
    order.add(1)
    assert order.victim(0) is None


def test_the_sweep_evicts_nothing_and_changes_no_order() -> None:
    """What is alive goes in the order in which it would go without a ttl."""
    lookups = list(_with_scans(_zipf(3_000, 300, seed=4), every=200, length=30))
    left = []
    for ttl in (None, 1_000):
        cache = Keyspace[int](Policy(ttl=ttl), maxsize=50)
        for key in lookups:
            _is_hit(cache, key)
        left.append((set(cache), cache.stats().hits, cache.stats().evictions))
    assert left[0] == left[1]


def test_the_value_of_a_key_that_is_loaded_again_goes_and_the_key_keeps_its_place() -> None:
    """Room is taken from what expired, though its key is waited for; what is loaded then can be evicted in its turn."""
    cache = Keyspace[str](Policy(ttl=10), maxsize=2)
    cache.put("reloaded", "old", 0)
    cache.refresh("reloaded", 0)
    cache.put("alive", Loaded("value", ttl=100), 0)
    cache.put("new", "value", 20 * SECOND)
    assert set(cache) == {"reloaded", "alive", "new"}
    assert cache.stats().size == 2
    assert cache.is_in_flight(1)
    cache.load_succeeded(1, "new", 20 * SECOND)
    assert cache.stats().size == 2
    for number in range(10):
        cache.put(f"{number}", "value", 20 * SECOND)
    assert "reloaded" not in set(cache)
    assert cache.stats().size == 2


# What expired is swept


@pytest.mark.parametrize("maxsize", [None, 10_000])
def test_what_expired_is_swept_as_new_values_come(maxsize: int | None) -> None:
    """Memory follows what is alive, without a timer: a thousand dead values do not stay for the sake of ten, nor since
    there would be room for them.
    """
    cache = Keyspace[int](Policy(ttl=1), maxsize=maxsize)
    for key in range(10_000):
        cache.put(key, "value", key * SECOND // 100)  # a hundred are alive at any moment
        assert cache.stats().size <= 2 * 100 + 2
    assert cache.stats().evictions == 0


def test_what_expired_is_swept_behind_what_stays() -> None:
    """One value without an end must not keep a thousand dead ones behind it in the queues."""
    cache = Keyspace[int](Policy(), maxsize=10_000)
    for key in range(0, 1_000, 2):
        cache.put(key, "stays", 0)
        cache.put(key + 1, Loaded("goes", ttl=1), 0)
    for key in range(1_000, 2_000):
        cache.put(key, Loaded("goes", ttl=1), 2 * SECOND)
    assert cache.stats().size == 500 + 1_000


def test_what_never_expires_is_never_swept() -> None:
    """And costs the sweep nothing."""
    cache = Keyspace[int](Policy())
    for key in range(1_000):
        cache.put(key, "value", key * SECOND)
    assert cache.stats().size == 1_000
    assert not cache._store._mentions()


@pytest.mark.parametrize("end", ["expire", "put"])
def test_what_is_given_an_end_later_is_swept_too(end: str) -> None:
    """A value that was to stay for ever may get an end by `expire`, or by a put over it."""
    cache = Keyspace[int](Policy())
    for key in range(1_000):
        cache.put(key, "value", 0)
        if end == "expire":
            cache.expire(key, 0)
        else:
            cache.put(key, Loaded("value", ttl=1), 0)
    for key in range(1_000, 2_000):
        cache.put(key, Loaded("value", ttl=1), 2 * SECOND)
    assert cache.stats().size <= 1_000


def test_the_sweep_leaves_a_flight_where_it_is() -> None:
    """A value past its windows goes; who waits for its refresh goes on waiting."""
    cache = Keyspace[int](Policy(ttl=1, stale_if_error=1))
    cache.put(0, "value", 0)
    generation = cache.get(0, SECOND)
    assert reply_of(generation) == Join(1, leads=True)
    for key in range(1, 10):
        cache.put(key, "value", 3 * SECOND)
    assert cache.stats().size == 9
    assert cache.waiters(1) == 1
