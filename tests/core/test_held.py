"""What is done to many keys at once: one key's own failure is not the business of the others."""

from __future__ import annotations

from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    CancelLoad,
    Evict,
    Join,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    Restarted,
    Settle,
    Stale,
    Step,
    Value,
    entries_of,
    record_of,
    reply_of,
    value_in,
)
from herdless_core.invariants import violated

SECOND: Final = NANOSECONDS_PER_SECOND


class Moody:
    """A key whose equality fails when it is told to, as one that asks a closed session."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = 0

    def __hash__(self) -> int:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the session is closed")
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moody) and self.name == other.name


def records(cache: Keyspace[Any], now: int) -> list[dict[str, Any]]:
    """What is held, dumped."""
    held = {key: value_in(entry, now) for key, entry in cache.snapshot()}
    return [record_of(key, entry, now, 0) for key, entry in held.items() if entry is not None]


def restored(cache: Keyspace[Any], dumped: list[dict[str, Any]], now: int) -> list[Any]:
    """The keys that are held again."""
    return cache.restore_all(entries_of(dumped, now, 0, 0, cache.policy, repr), now)


@pytest.mark.parametrize("maxsize", [None, 5])
@pytest.mark.parametrize("fails", [1, 100])
def test_key_that_fails_does_not_keep_the_others_from_being_invalidated(maxsize: int | None, fails: int) -> None:
    """What another key does must not leave a value that a caller knows to be wrong, nor its own."""
    cache = Keyspace[Any](Policy(), maxsize=maxsize)
    keys = [Moody(name) for name in "abc"]
    for key in keys:
        cache.put(key, key.name, 0)
    keys[1].fails = fails
    cache.invalidate_these(keys, 1)
    keys[1].fails = 0
    assert [cache.peek(key, 2) for key in keys] == [None, None, None]
    assert cache.stats().size == 0
    assert list(cache) == []


def test_key_that_fails_does_not_keep_the_others_from_being_expired() -> None:
    """It is in the cache no more; each of the others is stale."""
    cache = Keyspace[Any](Policy(ttl=10, stale_while_revalidate=5))
    keys = [Moody(name) for name in "abc"]
    for key in keys:
        cache.put(key, key.name, 0)
    keys[1].fails = 3
    cache.expire_all(1)
    keys[1].fails = 0
    assert [type(cache.entry(key)) for key in (keys[0], keys[2])] == [Stale, Stale]


def test_invalidate_these_cancels_what_nobody_waits_for_and_answers_who_waits() -> None:
    """For each key it is an `invalidate`, whatever stands there; one that is unknown makes no step."""
    steps: list[tuple[Any, Step]] = []
    cache = Keyspace[str](Policy(), observe=lambda key, step: steps.append((key, step)))
    cache.put("held", 1, 0)
    cache.refresh("held", 0)
    waited = reply_of(cache.get("loading", 0))
    assert isinstance(waited, Join)
    steps.clear()
    assert cache.invalidate_these(["held", "loading", "unknown"], 1) == (CancelLoad(1),)
    assert [key for key, _ in steps] == ["held", "loading"]
    assert not any(violated(step) for _, step in steps)
    (settle,) = cache.load_succeeded(waited.generation, 1, 2)
    assert isinstance(settle, Settle)
    assert cache.peek("loading", 3) is None


def test_touch_takes_the_lifetime_that_is_given_and_no_other() -> None:
    """The policy's where none is; of that the jitter."""
    cache = Keyspace[str](Policy(ttl=10, jitter=0.5))
    cache.put("k", Loaded(1, ttl=60), 0)
    assert cache.touch("k", None, SECOND, 0.5) is not None
    assert cache.ttl_of("k", SECOND) == 7.5 * SECOND
    assert cache.touch("k", Loaded(None, ttl=float("inf")), SECOND) is not None
    assert cache.ttl_of("k", SECOND) == NEVER


def test_restored_values_are_told_as_steps_that_keep_every_promise() -> None:
    """An observer sees where a value came from; what lies dead in its place goes first, by a step of its own."""
    cache = Keyspace[str](Policy(ttl=10, stale_while_revalidate=10))
    for at, key in enumerate(("stale", "fresh", "dead")):
        cache.put(key, key, 4 * at * SECOND)
    dumped = records(cache, 12 * SECOND)
    steps: list[tuple[Any, Step]] = []
    other = Keyspace[str](Policy(ttl=1), observe=lambda key, step: steps.append((key, step)))
    other.put("dead", "of long ago", 0)
    steps.clear()
    assert restored(other, dumped, 100 * SECOND) == ["stale", "fresh", "dead"]
    assert not any(violated(step) for _, step in steps)
    events = [(key, type(step.event)) for key, step in steps]
    assert {*events} == {("dead", Evict), *((key, Restarted) for key in ("stale", "fresh", "dead"))}
    assert events.index(("dead", Evict)) < events.index(("dead", Restarted))
    assert [other.ttl_of(key, 100 * SECOND) for key in ("stale", "fresh", "dead")] == [0, 2 * SECOND, 6 * SECOND]
    assert other.stats().evictions == 0
    assert other.stats().size == 3


@pytest.mark.parametrize("maxsize", [0, 1, 2])
def test_restoring_evicts_nothing(maxsize: int) -> None:
    """What is here was read here; a dump is from before. Eviction goes on as if the values had been put."""
    cache = Keyspace[str](Policy(ttl=10))
    for key in "abc":
        cache.put(key, key, 0)
    other = Keyspace[str](Policy(ttl=10), maxsize=maxsize)
    assert restored(other, records(cache, 0), 0) == list("abc")[:maxsize]
    for key in "xyz":
        other.put(key, key, 1)
    assert other.stats().size == maxsize
    other.clear(2)
    assert other.stats().size == 0
    assert not other._store._mentions()


def test_restored_value_goes_when_it_is_of_no_use_any_more() -> None:
    """Memory follows what is alive, also for what came by a dump and has its end from there."""
    cache = Keyspace[int](Policy(ttl=10))
    for key in range(20):
        cache.put(key, key, 0)
    other = Keyspace[int](Policy(ttl=10))
    restored(other, records(cache, 9 * SECOND), 0)
    for key in range(100, 120):
        other.put(key, key, 2 * SECOND)
    assert sorted(other) == list(range(100, 120))


def test_answer_is_fresh_as_long_as_its_own_life_and_no_other() -> None:
    """The same object may have been put again since: its new life is not that of what was answered."""
    cache = Keyspace[str](Policy(ttl=10))
    cache.put("k", None, 0)
    answered = cache.peek("k", 4 * SECOND)
    assert isinstance(answered, Value)
    assert cache.fresh_for("k", answered, 4 * SECOND) == 6 * SECOND
    cache.put("k", None, 4 * SECOND)
    assert cache.fresh_for("k", answered, 4 * SECOND) == 0
    assert cache.fresh_for("unknown", answered, 4 * SECOND) == 0


def test_tags_come_back_with_their_values() -> None:
    """Who invalidates a tag after a warm start means the values of the last process too; and touching takes no tag."""
    cache = Keyspace[str](Policy(ttl=60))
    cache.put("a", Loaded(1, tags=("red", "round")), 0)
    cache.put("b", 2, 0)
    assert cache.touch("a", None, 5)
    labels = cache.labels()
    held = {key: value_in(entry, 10) for key, entry in cache.snapshot()}
    records = [
        record_of(key, entry, 10, 0.0, labels[key].tags if key in labels else ())
        for key, entry in held.items()
        if entry is not None
    ]
    assert [record.get("tags") for record in records] == [["red", "round"], None]

    warm = Keyspace[str](Policy(ttl=60))
    assert warm.labels() == {}
    assert warm.restore_all(entries_of(records, 0, 0, 0.0, warm.policy, repr), 0) == ["a", "b"]
    assert (warm.tags("a"), warm.tags("b")) == (("red", "round"), ())
    warm.invalidate_tags(("round",), 1)
    assert [key for key, _ in warm.snapshot()] == ["b"]


def test_record_with_tags_that_are_none_is_refused() -> None:
    """A file that was edited by hand is told what is wrong with it."""
    cache = Keyspace[str](Policy(ttl=60))
    cache.put("a", 1, 0)
    held = value_in(cache.entry("a"), 0)
    assert held is not None
    record = {**record_of("a", held, 0, 0.0), "tags": "red"}
    with pytest.raises(PolicyError, match=r"records\[0\].*tags='red' is not accepted"):
        entries_of([record], 0, 0, 0.0, cache.policy, repr)


def test_what_is_known_is_not_restored_over_and_what_has_expired_is() -> None:
    """A warm start comes second to what the new process has learnt; what it holds no more is no obstacle."""
    warm = Keyspace[str](Policy(ttl=60))
    for key, ttl in {"known": 60, "expired": 1, "swept": 1}.items():
        warm.put(key, Loaded("new", ttl=ttl), 0)
    fresh = Keyspace[str](Policy(ttl=60))
    for key in ("known", "expired", "other"):
        fresh.put(key, "old", 0)
    records = [
        record_of(key, entry, 0, 0.0)
        for key, entry in ((key, value_in(entry, 0)) for key, entry in fresh.snapshot())
        if entry is not None
    ]
    entries = entries_of(records, 2 * SECOND, 0, 0.0, warm.policy, repr)
    assert warm.restore_all(entries, 2 * SECOND) == ["expired", "other"]
    held = {key: value_in(entry, 2 * SECOND) for key, entry in warm.snapshot()}
    assert {key: entry.value for key, entry in held.items() if entry is not None} == {
        "known": "new",
        "expired": "old",
        "other": "old",
    }
