"""What users may ask for: every bad argument is refused by name, and durations mean what they say."""

from __future__ import annotations

import math
import pickle
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdless_core import (
    NANOSECONDS_PER_SECOND,
    NEVER,
    Keyspace,
    Lifetime,
    LoadCancelled,
    Loaded,
    LoadTimeout,
    MisuseError,
    Policy,
    PolicyError,
    after,
)

SECOND: Final = NANOSECONDS_PER_SECOND

DURATIONS: Final = (
    "ttl",
    "stale_while_revalidate",
    "stale_if_error",
    "negative_ttl",
    "load_timeout",
    "refresh_backoff",
)
OR_ELSE = {
    "negative_ttl": ", or a function of the exception",
    "refresh_backoff": ", a tuple of two, the first and the longest, or a function of the exception",
}
OPTIONAL: Final = {"ttl", "load_timeout"}
NOT_DURATIONS: Final = (-1, -1e-9, math.nan, -math.inf, "10", b"10", True, False, [10], 1j, timedelta(seconds=-1))
NOT_EARLY: Final = (0, 1, 0.0, 1.0, -0.5, 1.5, math.nan, math.inf, True, "0.5", timedelta(seconds=1))
NOT_JITTER: Final = (1, 1.0, -0.1, 2, math.nan, math.inf, None, True, False, "0.1")
NOT_COUNTS: Final = (0, -1, 1.0, 1.5, True, False, "3", math.inf, math.nan)


@pytest.mark.parametrize("argument", DURATIONS)
@pytest.mark.parametrize("value", NOT_DURATIONS, ids=repr)
def test_what_is_no_duration_is_refused(argument: str, value: Any) -> None:
    """One line says which argument it was, what was given and what is accepted."""
    with pytest.raises(PolicyError) as caught:
        Policy(**{argument: value})
    least = "> 0" if argument == "load_timeout" else ">= 0"
    accepted = f"a number of seconds {least} or a timedelta {least}"
    if argument in OPTIONAL:
        accepted = f"None, {accepted}"
    accepted += OR_ELSE.get(argument, "")
    assert str(caught.value) == f"{argument}={value!r} is not accepted: give {accepted}"


@pytest.mark.parametrize("argument", sorted(set(DURATIONS) - OPTIONAL))
def test_none_is_no_duration_where_it_would_mean_nothing(argument: str) -> None:
    """`stale_if_error=None` could mean "never" or "for ever", so it means neither."""
    nothing: Any = None
    with pytest.raises(PolicyError, match=f"^{argument}=None is not accepted: give a number"):
        Policy(**{argument: nothing})


@pytest.mark.parametrize("value", NOT_EARLY, ids=repr)
def test_early_refresh_is_a_fraction_inside_the_ttl(value: Any) -> None:
    """0 would refresh at every hit, 1 never."""
    with pytest.raises(PolicyError) as caught:
        Policy(early_refresh=value)
    assert str(caught.value) == (
        f"early_refresh={value!r} is not accepted: give None or a fraction with 0 < early_refresh < 1"
    )


@pytest.mark.parametrize("value", NOT_JITTER, ids=repr)
def test_jitter_is_a_fraction_below_one(value: Any) -> None:
    """A jitter of 1 could leave no ttl at all."""
    with pytest.raises(PolicyError) as caught:
        Policy(jitter=value)
    assert str(caught.value) == f"jitter={value!r} is not accepted: give a fraction with 0 <= jitter < 1"


@pytest.mark.parametrize("value", NOT_COUNTS, ids=repr)
def test_max_waiters_is_a_count_of_at_least_one(value: Any) -> None:
    """With none at all, nobody could ever load."""
    with pytest.raises(PolicyError) as caught:
        Policy(max_waiters=value)
    assert str(caught.value) == (f"max_waiters={value!r} is not accepted: give an integer >= 1, or None for no limit")


@pytest.mark.parametrize("value", [value for value in NOT_COUNTS if value != 0 or value is False], ids=repr)
def test_maxsize_is_a_count(value: Any) -> None:
    """The same words as for the policy; 0 is accepted and stores nothing."""
    with pytest.raises(PolicyError, match=r"^maxsize=.* is not accepted: give an integer >= 0, or None for no limit$"):
        Keyspace[str](Policy(), maxsize=value)


@pytest.mark.parametrize("argument", ["ttl", "stale_while_revalidate"])
@pytest.mark.parametrize("value", NOT_DURATIONS, ids=repr)
def test_a_loader_that_gives_no_duration_is_told_so(argument: str, value: Any) -> None:
    """`Loaded` is checked where it is made, in the loader, not where it is stored."""
    with pytest.raises(PolicyError, match=f"^{argument}="):
        Loaded("value", **{argument: value})


def test_a_bad_argument_is_a_misuse_and_a_value_error() -> None:
    """Who catches ValueError, as for other libraries, catches it; so does who separates misuse from failed loads."""
    assert issubclass(PolicyError, MisuseError)
    assert issubclass(PolicyError, ValueError)


@pytest.mark.parametrize(
    ("given_", "nanoseconds"),
    [
        (0, 0),
        (60, 60 * SECOND),
        (0.1, SECOND // 10),
        (1e-9, 1),
        (timedelta(minutes=1, microseconds=1), 60 * SECOND + 1_000),
        (timedelta.max, NEVER),
        (math.inf, NEVER),
        (1e300, NEVER),
        (10**400, NEVER),
        (NEVER // SECOND - 1, (NEVER // SECOND - 1) * SECOND),
    ],
)
def test_durations_become_integer_nanoseconds(given_: Any, nanoseconds: int) -> None:
    """The machine only adds and compares integers; what is longer than it can count does not end."""
    assert Policy(ttl=given_).lifetime.ttl == nanoseconds
    assert Loaded("value", ttl=given_).ttl == nanoseconds
    assert not nanoseconds or Policy(load_timeout=given_).load_timeout == nanoseconds
    assert Policy(negative_ttl=given_).negative_lifetime.ttl == nanoseconds


def test_what_is_left_out_is_the_safe_choice() -> None:
    """Nothing stale, no remembered error, no limit, until it is asked for."""
    policy = Policy()
    assert policy.lifetime == Lifetime(NEVER, NEVER, 0, 0)
    assert policy.negative_lifetime == Lifetime(0, 0, 0, 0)
    assert (policy.load_timeout, policy.max_waiters, policy.refresh_backoff) == (NEVER, NEVER, SECOND)
    assert policy.jitter == 0
    assert not policy.remember_timeouts


def test_a_value_is_kept_for_the_longer_of_the_two_stale_windows() -> None:
    """Each window alone must be able to keep it."""
    assert Policy(ttl=1, stale_while_revalidate=1, stale_if_error=2).lifetime.kept == 2 * SECOND
    assert Policy(ttl=1, stale_while_revalidate=2, stale_if_error=1).lifetime.kept == 2 * SECOND


def test_early_refresh_is_a_share_of_the_ttl() -> None:
    """Half of the ttl is half of the ttl; a value that never expires is never refreshed early."""
    assert Policy(ttl=10, early_refresh=0.5).lifetime.early_refresh == 5 * SECOND
    assert Policy(ttl=10).lifetime.early_refresh == 10 * SECOND
    assert Policy(ttl=math.inf, early_refresh=0.5).lifetime.early_refresh == NEVER


def test_loaded_overrides_the_policy_for_its_value_alone() -> None:
    """What the loader says of one value wins; what it leaves out stays the policy's."""
    policy = Policy(ttl=10, stale_while_revalidate=1, stale_if_error=2, early_refresh=0.5)
    of = policy.lifetime_for
    assert of(Loaded("v", ttl=4), 0.0) == Lifetime(4 * SECOND, 2 * SECOND, SECOND, 2 * SECOND)
    assert of(Loaded("v", stale_while_revalidate=0), 0.0) == Lifetime(10 * SECOND, 5 * SECOND, 0, 2 * SECOND)
    assert of(Loaded("v", ttl=math.inf), 0.0).ttl == NEVER
    assert of(Loaded("v", ttl=0), 0.0).ttl == 0
    assert of(Loaded("v"), 0.0) == policy.lifetime
    assert of("v", 0.0) is policy.lifetime


@pytest.mark.parametrize(
    "option",
    [
        {"stale_while_revalidate": 60},
        {"stale_if_error": timedelta(minutes=1)},
        {"early_refresh": 0.5},
        {"jitter": 0.1},
    ],
    ids=str,
)
def test_what_counts_by_the_ttl_is_refused_without_one(option: Any) -> None:
    """It would do nothing, and whoever wrote it would find out in the next outage."""
    ((argument, value),) = option.items()
    without: tuple[Any, ...] = ({}, {"ttl": None})
    for left_out in without:
        with pytest.raises(PolicyError) as caught:
            Policy(**option, **left_out)
        assert str(caught.value) == (
            f"{argument}={value!r} is not accepted without ttl, by which it counts: give ttl=..., or ttl=math.inf if "
            "Loaded(value, ttl=...) or expire() is what ends a value"
        )
    for ttl in (0, 60, math.inf):
        assert Policy(**option, ttl=ttl).lifetime.ttl == Policy(ttl=ttl).lifetime.ttl


def test_what_is_switched_off_needs_no_ttl() -> None:
    """Options that are passed on from somewhere else are often all there, and off."""
    off: Any = {"stale_while_revalidate": 0, "stale_if_error": timedelta(0), "early_refresh": None, "jitter": 0.0}
    assert Policy(**off).lifetime == Policy().lifetime


def test_the_loaders_own_ttl_counts() -> None:
    """`ttl=math.inf` says that the loader gives it: all that counts by the ttl counts by that one."""
    policy = Policy(ttl=math.inf, stale_if_error=60, early_refresh=0.5, jitter=0.5)
    lifetime = policy.lifetime_for(Loaded("v", ttl=10), 0.5)
    assert lifetime.ttl == 7.5 * SECOND
    assert lifetime.early_refresh == 3.75 * SECOND
    assert lifetime.stale_if_error == 60 * SECOND


@pytest.mark.parametrize("nothing", [0, 0.0, 1e-10, timedelta(0)], ids=repr)
def test_no_time_at_all_is_no_load_timeout(nothing: Any) -> None:
    """Every load would be late. Who wants none wants None."""
    with pytest.raises(PolicyError) as caught:
        Policy(load_timeout=nothing)
    assert str(caught.value) == (
        f"load_timeout={nothing!r} is not accepted, no load can end in no time: give None, a number of seconds > 0 "
        "or a timedelta > 0"
    )


def test_remembered_timeouts_need_to_know_for_how_long() -> None:
    """It would do nothing without negative_ttl."""
    with pytest.raises(PolicyError, match=r"^remember_timeouts=True is not accepted without negative_ttl"):
        Policy(remember_timeouts=True, load_timeout=1)


@pytest.mark.pure("an argument of a wholly wrong type is refused in mypyc's words")
def test_whether_timeouts_are_remembered_is_a_boolean() -> None:
    """A text that says "no" would be taken for yes."""
    anything: Any = "yes"
    with pytest.raises(PolicyError, match=r"^remember_timeouts='yes' is not accepted: give True or False$"):
        Policy(remember_timeouts=anything, negative_ttl=1)


class NoSuchRow(LookupError):
    """An answer."""


@pytest.mark.parametrize(
    "answers",
    [NoSuchRow, LookupError, (OSError, NoSuchRow), lambda error: isinstance(error, NoSuchRow)],
    ids=["class", "base", "tuple", "function"],
)
def test_answers_are_told_from_failures(answers: Any) -> None:
    """By a class, several, or a function."""
    policy = Policy(answers=answers)
    assert policy.is_answer(NoSuchRow("k"))
    assert not policy.is_answer(ValueError("broken"))
    assert not policy.remembers_failures


def test_without_answers_every_error_is_a_failure() -> None:
    """And is remembered where errors are, as it was before there were answers."""
    policy = Policy(negative_ttl=1)
    assert not policy.is_answer(NoSuchRow("k"))
    assert policy.remembers_failures


@pytest.mark.parametrize("error", [LoadCancelled("cut short"), LoadTimeout("late"), KeyboardInterrupt()], ids=repr)
def test_what_says_nothing_of_the_key_is_no_answer(error: BaseException) -> None:
    """Not even to a function that takes everything for one."""
    assert not Policy(answers=lambda _: True).is_answer(error)


@pytest.mark.pure("an argument of a wholly wrong type is refused in mypyc's words")
@pytest.mark.parametrize("answers", ["KeyError", 4, KeyboardInterrupt, (), (KeyError, "x"), [KeyError], int], ids=repr)
def test_what_cannot_say_which_errors_are_answers_is_refused(answers: Any) -> None:
    """A list for a tuple, or an exception that no loader's end is: nobody would ever be told an answer."""
    with pytest.raises(PolicyError) as caught:
        Policy(answers=answers)
    assert str(caught.value) == (
        f"answers={answers!r} is not accepted: give a class of exceptions, a tuple of them, or a function that is "
        "given an exception and returns True or False"
    )


def test_loaded_has_every_lifetime_of_its_own() -> None:
    """What it does not say is the cache's."""
    policy = Policy(ttl=10, stale_while_revalidate=20, stale_if_error=30)
    loaded = Loaded("value", ttl=1, stale_while_revalidate=2, stale_if_error=3)
    assert policy.lifetime_for(loaded, 0) == Lifetime(SECOND, SECOND, 2 * SECOND, 3 * SECOND)
    assert policy.lifetime_for(Loaded("value"), 0) == policy.lifetime


@pytest.mark.pure("an argument of a wholly wrong type is refused in mypyc's words")
def test_whether_a_value_is_kept_is_a_boolean() -> None:
    """A text that says "no" would be taken for yes."""
    anything: Any = "no"
    with pytest.raises(PolicyError, match=r"^keep='no' is not accepted: give True or False$"):
        Loaded("value", keep=anything)


def test_luck_changes_nothing_without_jitter() -> None:
    """The lifetime is shared by all values, so that nothing is allocated for it."""
    policy = Policy(ttl=10)
    assert policy.lifetime_for("value", 0.999) is policy.lifetime


def test_jitter_has_nothing_to_shorten_in_what_never_expires() -> None:
    """A share of for ever is no number."""
    assert Policy(ttl=math.inf, jitter=0.5).lifetime_for("value", 0.5).ttl == NEVER


@given(
    ttl=st.integers(0, NEVER // SECOND),
    jitter=st.floats(0, 1, exclude_max=True),
    luck=st.floats(0, 1, exclude_max=True),
    loaded=st.booleans(),
)
def test_jitter_only_shortens(ttl: int, jitter: float, luck: float, loaded: bool) -> None:
    """A hit stays younger than the ttl that the user, or the loader, wrote down."""
    policy = Policy(ttl=0 if loaded else ttl, jitter=jitter, early_refresh=0.5)
    lifetime = policy.lifetime_for(Loaded("v", ttl=ttl) if loaded else "v", luck)
    promised = Policy(ttl=ttl).lifetime.ttl
    assert 0 <= lifetime.early_refresh <= lifetime.ttl <= promised
    assert lifetime.ttl >= math.floor(promised * (1 - jitter)) - SECOND  # float rounding of 146 years


@given(instant=st.integers(-(2**62), 2**62), duration=st.integers(0, NEVER))
def test_after_is_addition_up_to_never(instant: int, duration: int) -> None:
    """A duration that does not end leads to the instant that does not come, from wherever it is counted."""
    assert after(instant, duration) == (NEVER if duration == NEVER else instant + duration)


def test_loaded_of_an_earlier_herdless_is_read() -> None:
    """What it pickled names the function by the module in which it was."""
    loaded = pickle.loads(b"cherdless_core._policy\n_loaded_of\n(I5\nI7\nNNI01\ntR.")  # noqa: S301  # of this very line
    assert (loaded.value, loaded.ttl, loaded.keep, loaded.tags) == (5, 7, True, ())
