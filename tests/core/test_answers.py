"""What a loader says of a key, that is no value to be kept: errors that are answers, and values for those who wait."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Final

import pytest

from herdless_core import (
    ABSENT,
    NANOSECONDS_PER_SECOND,
    Answer,
    CancelLoad,
    Failure,
    Forget,
    Fresh,
    Join,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    Save,
    Settle,
    StartLoad,
    Value,
    reply_of,
)

SECOND: Final = NANOSECONDS_PER_SECOND


class NoSuchRow(LookupError):
    """An answer."""


MISSING: Final = NoSuchRow("k")


def started(cache: Keyspace[str], now: int) -> int:
    """The load that a lookup starts."""
    (load,) = [effect for effect in cache.get("k", now) if isinstance(effect, StartLoad)]
    return load.generation


def stale(**options: Any) -> tuple[Keyspace[str], int]:
    """A cache whose only value has been stale for five seconds, and the load behind it."""
    policy = Policy(ttl=10, stale_while_revalidate=60, stale_if_error=600, answers=NoSuchRow, **options)
    cache = Keyspace[str](policy)
    cache.put("k", "old", 0)
    return cache, started(cache, 15 * SECOND)


def test_an_answer_takes_the_place_of_the_value_that_was_kept() -> None:
    """A row that was deleted does not come back for as long as stale_if_error covers an outage."""
    cache, load = stale()
    effects = cache.load_failed(load, MISSING, 16 * SECOND)
    assert effects[0] == Forget()
    assert isinstance(effects[1], Settle)
    assert cache.entry("k") == ABSENT
    assert isinstance(reply_of(cache.get("k", 16 * SECOND)), Join)


def test_an_answer_is_remembered() -> None:
    """For negative_ttl, from now on."""
    cache, load = stale(negative_ttl=5)
    assert cache.load_failed(load, MISSING, 16 * SECOND)[0] == Save()
    reply = reply_of(cache.get("k", 20 * SECOND))
    assert isinstance(reply, Answer)
    assert isinstance(reply.outcome, Failure)
    assert reply.outcome.error is MISSING
    assert isinstance(reply_of(cache.get("k", 21 * SECOND)), Join)


def test_who_waits_is_told_the_answer() -> None:
    """Not the value that is gone with it."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=600, answers=NoSuchRow))
    cache.put("k", "old", 0)
    load = started(cache, 15 * SECOND)
    (settled,) = [each for each in cache.load_failed(load, MISSING, 16 * SECOND) if isinstance(each, Settle)]
    assert isinstance(settled.outcome, Failure)
    assert settled.outcome.error is MISSING


def test_a_failure_is_covered_and_not_remembered() -> None:
    """Where some errors are answers, the others say nothing of the key."""
    cache, load = stale(negative_ttl=5)
    (settled,) = cache.load_failed(load, OSError("down"), 16 * SECOND)
    assert isinstance(settled, Settle)
    assert settled.outcome == Value("old", 0, is_stale=True)
    fresh = Keyspace[str](Policy(negative_ttl=5, answers=NoSuchRow))
    fresh.load_failed(started(fresh, 0), OSError("down"), 0)
    assert fresh.entry("k") == ABSENT


def test_an_answer_of_a_superseded_load_changes_nothing() -> None:
    """It was true before the value that was put."""
    cache, load = stale()
    cache.put("k", "new", 16 * SECOND)
    cache.load_failed(load, MISSING, 17 * SECOND)
    assert cache.peek("k", 17 * SECOND) == Value("new", 16 * SECOND, is_stale=False)


def test_an_answer_is_not_counted_as_a_failure() -> None:
    """An alarm that counts failures is about the origin."""
    cache, load = stale()
    cache.load_failed(load, MISSING, 16 * SECOND)
    assert cache.stats().load_failures == 0
    cache.load_failed(started(cache, 16 * SECOND), OSError("down"), 16 * SECOND)
    assert cache.stats().load_failures == 1


def test_a_function_that_fails_makes_a_failure() -> None:
    """The flight is settled all the same, and the error says what happened."""

    def breaks(_error: Exception) -> bool:
        raise ZeroDivisionError

    cache = Keyspace[str](Policy(answers=breaks))
    error = OSError("down")
    (settled,) = cache.load_failed(started(cache, 0), error, 0)
    assert isinstance(settled, Settle)
    assert error.__notes__ == ["answers= raised ZeroDivisionError() when it was asked whether this is an answer"]
    assert cache.stats().load_failures == 1


def test_a_value_that_is_not_to_be_kept_is_given_to_those_who_wait() -> None:
    """And to nobody else: a result that is of no use but to them, or too large."""
    cache = Keyspace[str](Policy(ttl=10))
    load = started(cache, 0)
    cache.get("k", 0)
    (settled,) = cache.load_succeeded(load, Loaded("once", keep=False), SECOND)
    assert settled == Settle(load, Value("once", 0, is_stale=False))
    assert cache.entry("k") == ABSENT
    assert cache.stats().size == 0
    assert isinstance(reply_of(cache.get("k", SECOND)), Join)


def test_what_was_held_before_stays_what_it_was() -> None:
    """Its windows too, and the next lookup loads again: nothing has failed."""
    cache, load = stale()
    before = cache.peek("k", 16 * SECOND)
    assert cache.load_succeeded(load, Loaded("once", keep=False), 16 * SECOND) == (
        Settle(load, Value("once", 15 * SECOND, is_stale=False)),
    )
    assert cache.peek("k", 16 * SECOND) == before
    assert started(cache, 16 * SECOND) > load


def test_a_value_before_its_time_stays_too() -> None:
    """A refresh that was asked for, of a fresh value."""
    cache = Keyspace[str](Policy(ttl=10))
    cache.put("k", "old", 0)
    (load,) = cache.refresh("k", SECOND)
    assert isinstance(load, StartLoad)
    cache.load_succeeded(load.generation, Loaded("once", keep=False), 2 * SECOND)
    entry = cache.entry("k")
    assert isinstance(entry, Fresh)
    assert (entry.value, entry.flight, entry.hit_until) == ("old", None, 10 * SECOND)


def test_waiters_of_a_removed_key_get_a_value_that_is_not_to_be_kept() -> None:
    """They asked before, and nothing of it is stored in any case."""
    cache = Keyspace[str](Policy())
    load = started(cache, 0)
    cache.invalidate("k", 0)
    (settled,) = cache.load_succeeded(load, Loaded("once", keep=False), 0)
    assert settled == Settle(load, Value("once", 0, is_stale=False))
    assert cache.stats().in_flight == 0


def test_a_put_is_kept() -> None:
    """A value that is put and not kept would be a mistake that nobody sees."""
    cache = Keyspace[str](Policy())
    load = started(cache, 0)
    with pytest.raises(PolicyError, match=r"^keep=False is not accepted by put\(\)"):
        cache.put("k", Loaded("v", keep=False), 0)
    assert CancelLoad(load) not in cache.put("another", "v", 0)
    assert cache.stats().in_flight == 1


@pytest.mark.parametrize("copied", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "pickle"])  # noqa: S301
def test_what_is_sent_elsewhere_says_the_same(copied: Any) -> None:
    """A policy and a value of another process."""
    policy = copied(Policy(answers=(NoSuchRow, KeyError)))
    assert policy.is_answer(KeyError("k"))
    loaded = copied(Loaded("v", ttl=1, stale_if_error=2, keep=False))
    assert (loaded.value, loaded.ttl, loaded.stale_if_error, loaded.keep) == ("v", SECOND, 2 * SECOND, False)


def test_another_value_takes_all_that_is_said_of_one_along() -> None:
    """An encoded one, say: its lifetimes, and whether it is kept."""
    other = Loaded(7, ttl=1, stale_while_revalidate=2, stale_if_error=3, keep=False).with_value("7")
    assert (other.value, other.keep) == ("7", False)
    assert (other.ttl, other.stale_while_revalidate, other.stale_if_error) == (SECOND, 2 * SECOND, 3 * SECOND)
