"""What a load is given of the value before, and what it may say of it; the steps of a keyspace with and without."""

from __future__ import annotations

from typing import Any

import pytest

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    Failure,
    Fresh,
    Keyspace,
    Loaded,
    LoadTimeout,
    NoLoader,
    Policy,
    PolicyError,
    RunningLoad,
    StartLoad,
)
from herdless_core._previous import NOT_MODIFIED, Kept, Previous, resolved
from herdless_core._reentrancy import begin_wait

SECOND = NANOSECONDS_PER_SECOND


def started(cache: Keyspace[str], effects: Any) -> RunningLoad:
    """The load that these effects order."""
    (generation,) = [each.generation for each in effects if isinstance(each, StartLoad)]
    return cache.flights[generation]


def test_load_is_given_what_is_kept_with_its_age() -> None:
    """As it was when the load was ordered; a key of which nothing is known, or an error, has none."""
    cache = Keyspace[str](Policy(ttl=10, negative_ttl=5), gives_previous=True)
    first = started(cache, cache.get("k", 0))
    assert first.kept is None
    cache.load_succeeded(first.generation, "old", 0)
    again = started(cache, cache.refresh("k", 3 * SECOND))
    assert again.kept == Kept(Previous("old", 3.0), (), None)
    failing = started(cache, cache.get("other", 0))
    cache.load_failed(failing.generation, LookupError(), 0)
    assert started(cache, cache.refresh("other", SECOND)).kept is None


def test_load_is_given_tags_and_weight_where_there_are_any() -> None:
    """Or NOT_MODIFIED would lose them."""
    cache = Keyspace[str](Policy(ttl=10), maxweight=10, gives_previous=True)
    cache.put("k", Loaded("old", tags=("t",), weight=3), 0)
    assert started(cache, cache.refresh("k", SECOND)).kept == Kept(Previous("old", 1.0), ("t",), 3)


def test_not_modified_is_the_value_that_was_given() -> None:
    """With its own tags and weight, unless the loader says others."""
    kept = Kept(Previous("old", 1.0), ("t",), 3)
    for said, tags, weight in (
        (NOT_MODIFIED, ("t",), 3),
        (Loaded(NOT_MODIFIED, tags=("u",), weight=4), ("u",), 4),
        (Loaded(NOT_MODIFIED, ttl=5), ("t",), 3),
    ):
        value: Any = resolved(said, kept)
        assert (value.value, value.tags, value.weight) == ("old", tags, weight)
    unweighed: Any = resolved(NOT_MODIFIED, Kept(Previous("old", 1.0), (), None))
    assert unweighed.weight is None
    assert resolved("new", kept) == "new"
    with pytest.raises(PolicyError, match="NOT_MODIFIED is not accepted from a loader that was given no value"):
        resolved(NOT_MODIFIED, None)


def test_not_modified_of_a_loader_that_was_given_nothing_fails_its_load() -> None:
    """There is no value that it could mean; and who puts has one."""
    cache = Keyspace[str](Policy(ttl=10))
    load = started(cache, cache.get("k", 0))
    (settle,) = cache.load_succeeded(load.generation, NOT_MODIFIED, 0)
    assert isinstance(settle.outcome.error, PolicyError)  # type: ignore[union-attr]  # it is a Settle, with a Failure
    with pytest.raises(PolicyError, match=r"NOT_MODIFIED is not accepted by put\(\)"):
        cache.put("k", NOT_MODIFIED, 0)


def test_reload_is_told_of_its_load_s_failure_where_a_value_covers_it() -> None:
    """By its error, or by the deadline that a timer or a lookup finds passed; not where the load was superseded."""
    for end, error in (
        (lambda cache, load: cache.load_failed(load.generation, OSError(), 0), OSError),
        (lambda cache, load: cache.deadline_passed(load.generation, 5 * SECOND), LoadTimeout),
        (lambda cache, _: cache.get("k", 5 * SECOND), LoadTimeout),
        (lambda cache, _: cache.put("k", "put", SECOND), None),
    ):
        cache = Keyspace[str](Policy(ttl=10, load_timeout=5))
        cache.put("k", "old", 0)
        load = started(cache, cache.get("k", 0, reloads=True))
        end(cache, load)  # type: ignore[no-untyped-call]  # of this very list
        assert isinstance(cache.entry("k"), Fresh)
        assert load.failure is None if error is None else isinstance(load.failure, Failure)
        assert error is None or isinstance(load.failure.error, error)  # type: ignore[union-attr]  # as above


def test_reload_without_a_loader_is_refused() -> None:
    """What is held is no answer to it."""
    cache = Keyspace[str](Policy(ttl=10), has_loader=False)
    cache.put("k", "old", 0)
    with pytest.raises(NoLoader, match="could be loaded again: give load="):
        cache.get("k", 0, reloads=True)


def test_who_is_answered_softly_inside_a_load_holds_up_nobody_any_more() -> None:
    """A later wait the other way round is no circle."""
    cache = Keyspace[str](Policy(ttl=10, stale_if_error=100, soft_timeout=2))
    cache.put("k", "old", 0)
    outer = started(cache, cache.get("outer", 20 * SECOND))
    inner = started(cache, cache.get("k", 20 * SECOND, outer))
    assert inner.is_covered
    assert not begin_wait(inner, outer)
    outcome = cache.soft_timeout_passed(inner.generation, 22 * SECOND, outer)
    assert outcome is not None
    assert begin_wait(inner, outer)
    assert cache.stats().soft_answers == 1
