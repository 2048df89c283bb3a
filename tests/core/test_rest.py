"""How long a failure rests, where that depends on what failed, and how often in a row."""

from __future__ import annotations

import pickle

import pytest

from herdless_core import NANOSECONDS_PER_SECOND, NEVER, Keyspace, Policy, PolicyError, StartLoad
from herdless_core._rest import backoff_after, backoff_range
from herdless_core._streaks import Streaks
from herdless_core.invariants import violated

SECOND = NANOSECONDS_PER_SECOND


def seconds_of(failures: int, luck: float) -> float:
    """Of a back-off from 1 to 60 seconds."""
    return backoff_after((SECOND, 60 * SECOND), failures, luck) / SECOND


def test_back_off_is_doubled_up_to_the_longest() -> None:
    """However often it failed: no number grows without end."""
    assert [seconds_of(failures, 0.0) for failures in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert seconds_of(10**9, 0.0) == 60


def test_back_off_is_shortened_by_up_to_half_but_never_below_the_first() -> None:
    """Keys that failed together come back apart; none comes back before the first back-off is over."""
    assert seconds_of(0, 0.999) == 1
    assert seconds_of(1, 0.999) == pytest.approx(1, abs=0.01)
    assert seconds_of(6, 0.5) == 45
    assert 30 <= seconds_of(6, 0.999) < 30.1


@pytest.mark.parametrize(
    "backoff", [(), (1,), (1, 2, 3), (2, 1), (0, 1), ("1", 2), (1, None), [1, 2], "1", None, -1, (-1, 1), (True, 2)]
)
def test_what_is_no_back_off_is_told(backoff: object) -> None:
    """One clear error, that names the argument, the value and what is accepted."""
    with pytest.raises(PolicyError, match=r"refresh_backoff=.* is not accepted: give .* the first and the longest"):
        Policy(refresh_backoff=backoff)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(PolicyError, match=r"refresh_backoff="):
        backoff_range(backoff)


def test_policy_of_a_failure_is_the_cache_s_but_for_two_durations() -> None:
    """The machine goes by it for the one step; a policy without such rules is its own."""
    plain = Policy(ttl=1, stale_if_error=10)
    assert plain.after_failure(OSError(), 3, 0.5) is plain
    policy = Policy(
        ttl=1,
        early_refresh=0.5,
        jitter=0.1,
        stale_if_error=10,
        load_timeout=2,
        max_waiters=3,
        remember_timeouts=True,
        negative_ttl=lambda error: 7 if isinstance(error, LookupError) else 0,
        refresh_backoff=(1, 8),
    )
    made = policy.after_failure(LookupError(), 2, 0.0)
    assert (made.negative_lifetime.ttl, made.refresh_backoff) == (7 * SECOND, 4 * SECOND)
    assert made.derived_from is policy
    assert (made.lifetime, made.jitter, made.load_timeout) == (policy.lifetime, policy.jitter, policy.load_timeout)
    assert (made.max_waiters, made.remember_timeouts) == (3, True)
    assert not policy.after_failure(OSError(), 0, 0.0).remember_timeouts  # which have nothing to be remembered for
    assert made.after_failure(OSError(), 9, 0.0) is made


def half(_error: BaseException) -> float:
    """A back-off."""
    return 0.5


def test_policy_with_rules_is_pickled_by_its_arguments() -> None:
    """For the processes that are given it."""
    policy = pickle.loads(pickle.dumps(Policy(ttl=1, negative_ttl=half, refresh_backoff=(1, 8))))  # noqa: S301  # of this very test
    assert policy.after_failure(OSError(), 1, 0.0).refresh_backoff == 2 * SECOND
    assert policy.after_failure(OSError(), 1, 0.0).negative_lifetime.ttl == SECOND // 2
    policy = pickle.loads(pickle.dumps(Policy(ttl=1, refresh_backoff=half)))  # noqa: S301  # as above
    assert policy.after_failure(OSError(), 5, 0.0).refresh_backoff == SECOND // 2


def test_function_may_say_that_a_failure_rests_for_ever() -> None:
    """A duration without end is one."""
    policy = Policy(ttl=1, stale_if_error=10, refresh_backoff=lambda _: float("inf"))
    assert policy.after_failure(OSError(), 0, 0.0).refresh_backoff == NEVER


def test_every_step_keeps_its_promises_by_the_policy_it_was_taken_by() -> None:
    """An observer, a trace and the checkers judge a failure by the back-off that it has."""
    steps = []
    cache = Keyspace[str](
        Policy(ttl=1, stale_while_revalidate=100, load_timeout=5, refresh_backoff=(1, 8)),
        observe=lambda _, step: steps.append(step),
    )
    cache.put("k", 1, 0)
    now = 2 * SECOND
    for _ in range(3):
        generation = next(each.generation for each in cache.get("k", now) if isinstance(each, StartLoad))
        cache.load_failed(generation, OSError(), now)
        now += 8 * SECOND
    generation = next(each.generation for each in cache.get("k", now) if isinstance(each, StartLoad))
    now += 5 * SECOND
    cache.get("k", now)  # finds the load past its deadline
    assert [violated(step) for step in steps] == [[]] * len(steps)
    rests = [step.policy.refresh_backoff for step in steps if step.policy.derived_from is not None]
    assert rests == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]


def test_what_is_removed_or_replaced_is_not_counted_any_more() -> None:
    """A streak is of the value that is kept: nothing is left of it with the value."""
    cache = Keyspace[str](Policy(ttl=1, stale_while_revalidate=100, refresh_backoff=(1, 8)))

    def failures() -> int:
        assert cache._streaks is not None
        return cache._streaks.of("k")

    for end in ("put", "invalidate", "clear"):
        cache.put("k", 1, 0)
        cache.refresh("k", 0)
        cache.load_failed(cache.generation, OSError(), 0)
        assert failures() == 1
        getattr(cache, end)(*{"put": ("k", 2, 0), "invalidate": ("k", 0), "clear": (0,)}[end])
        assert failures() == 0


def test_function_that_cannot_say_how_long_is_told_in_the_error() -> None:
    """The load has failed all the same: it rests for a second, and is not remembered."""
    policy = Policy(ttl=1, negative_ttl=lambda _: "long", refresh_backoff=lambda error: 1 / 0)  # type: ignore[arg-type, return-value]  # that is the point
    error = OSError()
    made = policy.after_failure(error, 0, 0.0)
    assert (made.negative_lifetime.ttl, made.refresh_backoff) == (0, SECOND)
    assert [note.partition(" raised ")[0] for note in error.__notes__] == ["negative_ttl=", "refresh_backoff="]


class Unhashable:
    """A key that cannot be asked any more."""

    def __hash__(self) -> int:
        raise ValueError


def test_key_that_cannot_be_asked_any_more_has_no_streak() -> None:
    """Its failure is told all the same."""
    streaks = Streaks[Unhashable]()
    cache = Keyspace[str](Policy())
    cache.put("k", 1, 0)
    kept = cache.entry("k")
    streaks.follow(Unhashable(), kept, kept, failed=True)
    assert streaks.of(Unhashable()) == 0
