"""Values that were old already when their load began, or when they were put."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import timedelta
from typing import Any, Final

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Fresh,
    Keyspace,
    Loaded,
    Policy,
    PolicyError,
    Settle,
    StartLoad,
    Value,
)

SECOND: Final = NANOSECONDS_PER_SECOND


def filled(loaded: Loaded[str], **options: Any) -> tuple[Keyspace[str], Value]:
    """A cache whose load began at 100 seconds and gave this at 101, and what its waiter was told."""
    cache = Keyspace[str](Policy(**options))
    (load,) = [effect.generation for effect in cache.get("k", 100 * SECOND) if isinstance(effect, StartLoad)]
    effects = cache.load_succeeded(load, loaded, 101 * SECOND)
    (outcome,) = [effect.outcome for effect in effects if isinstance(effect, Settle)]
    assert isinstance(outcome, Value)
    return cache, outcome


def test_age_counts_from_so_long_before_the_start_of_the_load() -> None:
    """A value of another cache must not be young again at each cache on its way."""
    cache, told = filled(Loaded("v", age=30), ttl=60, early_refresh=0.75, stale_while_revalidate=5)
    entry = cache.entry("k")
    assert isinstance(entry, Fresh)
    assert entry.loaded_at == told.loaded_at == 70 * SECOND
    assert (entry.refresh_at, entry.fresh_until, entry.kept_until) == (115 * SECOND, 130 * SECOND, 135 * SECOND)
    assert entry.hit_until == entry.refresh_at, "a hit needs no step up to the value's own early point"


def test_value_past_its_windows_is_told_and_not_served_again() -> None:
    """As one whose load took longer than its ttl: who waited gets it, the next one loads."""
    cache, told = filled(Loaded("v", age=120), ttl=60, stale_while_revalidate=5)
    assert (told.value, told.is_stale) == ("v", False)
    assert cache.peek("k", 101 * SECOND) is None
    assert any(isinstance(effect, StartLoad) for effect in cache.get("k", 101 * SECOND))


def test_value_without_a_ttl_of_any_age_is_a_hit() -> None:
    """What does not get old may be of any age."""
    cache, _ = filled(Loaded("v", age=timedelta(days=3)))
    assert cache.peek("k", 101 * SECOND) == Value("v", (100 - 3 * 86_400) * SECOND, is_stale=False)


def test_age_of_a_value_that_is_not_kept_is_told() -> None:
    """Whoever waits sees how old it is."""
    cache, told = filled(Loaded("v", age=30, keep=False), ttl=60)
    assert told.loaded_at == 70 * SECOND
    assert cache.peek("k", 101 * SECOND) is None


def test_age_of_a_superseded_value_stores_nothing() -> None:
    """An invalidation wins, however old or new the value is."""
    cache = Keyspace[str](Policy(ttl=60))
    cache.get("k", 0)
    cache.invalidate("k", 1)
    cache.load_succeeded(1, Loaded("v", age=30), 2)
    assert cache.peek("k", 3) is None


def test_value_that_is_put_is_as_old_as_it_is_said_to_be() -> None:
    """A snapshot that is read back, or what another process had."""
    cache = Keyspace[str](Policy(ttl=60, stale_while_revalidate=60))
    cache.put("k", Loaded("v", age=59), 100 * SECOND)
    assert cache.peek("k", 100 * SECOND) == Value("v", 41 * SECOND, is_stale=False)
    assert cache.peek("k", 101 * SECOND) == Value("v", 41 * SECOND, is_stale=True)


@pytest.mark.parametrize("age", [-1, timedelta(seconds=-1), math.nan, "3", True, None])
def test_what_is_no_age_is_named(age: Any) -> None:
    """The loader has made a mistake, and is told which."""
    with pytest.raises(PolicyError, match=r"^age=.* is not accepted: give a number of seconds >= 0, less than 146"):
        Loaded("v", age=age)


@pytest.mark.parametrize("age", [math.inf, timedelta.max])
def test_age_without_end_is_none(age: Any) -> None:
    """Its instant could not be said."""
    with pytest.raises(PolicyError, match="nothing is so old"):
        Loaded("v", age=age)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda loaded: pickle.loads(pickle.dumps(loaded))],  # noqa: S301 - our own
)
def test_copies_are_as_old(copied: Any) -> None:
    """And so is what stands for the value, encoded."""
    loaded = Loaded("v", age=2.5)
    assert copied(loaded).age == loaded.age == loaded.with_value(7).age == 2_500_000_000
