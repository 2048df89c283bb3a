"""The model by which schedules and the soak judge what callers are told: each rule finds its breach, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from herdless_core import CacheClosed, LoadCancelled, LoadTimeout, ReentrantLoad, TooManyWaiters
from herdless_verify.soak.model import Caller, LoadBroke, Made, Model

CLOCK = [0]


def a_model(**policy: Any) -> Model:
    """A model whose clock stands at 0."""
    CLOCK[0] = 0
    return Model(lambda: CLOCK[0], policy)


def made(model: Model, key: str = "a") -> Made:
    """A value that may be a hit for 10 ns and is kept for 20, and was settled at once."""
    value = Made(key, f"value of {key}", model.number(), 10, 20)
    value.settled_at = model.number()
    return value


def caller(model: Model, **attributes: Any) -> Caller:
    """One who looks "a" up now."""
    one = model.begins("a")
    for name, value in attributes.items():
        setattr(one, name, value)
    return one


def answered_before_a_removal(model: Model) -> Iterable[str]:
    """What was made before it is told to who came after it."""
    value = made(model)
    with model.removing("a"):
        pass
    return model.wrong_in_answer(caller(model), value)


def answered_after_clear(model: Model) -> Iterable[str]:
    """The same, where every key was removed."""
    value = made(model)
    with model.removing(None):
        pass
    return model.wrong_in_answer(caller(model), value)


def answered_with_an_old_error(model: Model) -> Iterable[str]:
    """A remembered error is judged as a value is."""
    value = made(model)
    with model.removing("a"):
        pass
    return model.wrong_in_error(caller(model), LoadBroke(value))


def answered_twice(model: Model) -> list[str]:
    """One lookup, two answers."""
    one, value = caller(model), made(model)
    return [*model.wrong_in_answer(one, value), *model.wrong_in_answer(one, value)]


def answered_when_old(model: Model, age: int, how: str | None = None) -> list[str]:
    """A value of that age is told to who need not have waited for it."""
    value = made(model)
    CLOCK[0] = age
    return list(model.wrong_in_answer(caller(model), value, how))


def answered_with_another_key(model: Model) -> Iterable[str]:
    """The value of another key."""
    return model.wrong_in_answer(caller(model), made(model, "b"))


WRONG: dict[str, tuple[Callable[[], Iterable[str]], str]] = {
    "value from before a removal": (lambda: answered_before_a_removal(a_model()), "NoStaleRead"),
    "value from before all were removed": (lambda: answered_after_clear(a_model()), "NoStaleRead"),
    "error from before a removal": (lambda: answered_with_an_old_error(a_model()), "NoStaleRead"),
    "two answers": (lambda: answered_twice(a_model()), "AnsweredOnce"),
    "hit past its ttl": (lambda: answered_when_old(a_model(), 10, "hit"), "10 ns are allowed (HitAge)"),
    "stale hit past its windows": (lambda: answered_when_old(a_model(), 20, "stale"), "20 ns are allowed (HitAge)"),
    "join of what was there": (lambda: answered_when_old(a_model(), 0, "joined"), "said to have joined"),
    "value of another key": (lambda: answered_with_another_key(a_model()), "was told value of b"),
    "value of nobody": (lambda: a_model().wrong_in_answer(caller(a_model()), "milk"), "which nobody made"),
    "cancelled by nobody": (lambda: a_model().wrong_in_leaving(caller(a_model())), "cancelled by nobody"),
}
"""What is told, and what is said of it."""


@pytest.mark.parametrize("wrong", WRONG)
def test_what_may_not_be_told_is_found(wrong: str) -> None:
    """One complaint, which names the promise: it is all that a long run leaves behind."""
    tell, complaint = WRONG[wrong]
    (said,) = tell()
    assert complaint in said


RIGHT: dict[str, Callable[[], Iterable[str]]] = {
    "a hit in its last nanosecond": lambda: answered_when_old(a_model(), 9, "hit"),
    "a stale hit in its last nanosecond": lambda: answered_when_old(a_model(), 19, "stale"),
}


ERRORS: tuple[tuple[BaseException, dict[str, Any], dict[str, Any]], ...] = (
    (LoadTimeout("late"), {"load_timeout": 1}, {}),
    (TooManyWaiters("full"), {"max_waiters": 1}, {}),
    (ReentrantLoad("a"), {}, {"is_inside_load": True}),
    (TimeoutError(), {}, {"deadline": 0}),
)
"""What herdless itself raises, the policy under which it may, and what the caller must be for it."""


@pytest.mark.parametrize("right", RIGHT)
def test_what_may_be_told_is_accepted(right: str) -> None:
    """A judge who complains of what is right cannot be left alone for a night."""
    assert not list(RIGHT[right]())


@pytest.mark.parametrize(("error", "policy", "attributes"), ERRORS, ids=lambda each: type(each).__name__)
def test_an_error_of_herdless_needs_its_reason(
    error: BaseException, policy: dict[str, Any], attributes: dict[str, Any]
) -> None:
    """An error that comes for no reason is as wrong as an old value."""
    plain, allowed = a_model(), a_model(**policy)
    assert "for which there is no reason" in next(iter(plain.wrong_in_error(caller(plain), error)))
    assert not list(allowed.wrong_in_error(caller(allowed, **attributes), error))


@pytest.mark.parametrize("error", [CacheClosed("closed"), LoadCancelled("gone")], ids=lambda each: type(each).__name__)
def test_only_a_cache_that_closes_turns_its_callers_away(error: BaseException) -> None:
    """Before that nobody is told that a load was cancelled, or that the cache is closed."""
    model = a_model()
    assert list(model.wrong_in_error(caller(model), error))
    model.is_closing = True
    assert not list(model.wrong_in_error(caller(model), error))


def test_who_may_have_waited_is_told_a_value_of_any_age() -> None:
    """A load may be slower than its value's ttl; who joined it gets it all the same."""
    model = a_model()
    one = caller(model)
    value = made(model)
    CLOCK[0] = 1_000
    assert not list(model.wrong_in_answer(one, value, "joined"))


def test_a_put_is_over_when_it_returned() -> None:
    """Until then a caller may be told the value that it replaces, or the new one."""
    model = a_model()
    old = made(model)
    during = None
    with model.removing("a", by=made(model)):
        during = caller(model)
    assert not list(model.wrong_in_answer(during, old))
    assert list(model.wrong_in_answer(caller(model), old))


def test_a_put_may_take_effect_after_a_removal_that_came_in_between() -> None:
    """The two overlap, so either may be the last: what was put may be told, but not once another removal is over."""
    model = a_model()
    value = made(model)
    with model.removing("a", by=value), model.removing("a"):
        pass
    assert not list(model.wrong_in_answer(caller(model), value))
    with model.removing("a"):
        pass
    assert list(model.wrong_in_answer(caller(model), value))


@pytest.mark.parametrize("is_answer", [True, False])
def test_who_comes_after_an_error_that_is_an_answer_was_told_is_not_told_what_was_before(is_answer: bool) -> None:
    """Until it was told, nobody can know that its step took effect: it is observed before, and may be taken back."""
    model = a_model()
    value, error = made(model), made(model)
    error.replaces = is_answer
    assert not list(model.wrong_in_answer(caller(model), value))
    model.was_told(error)
    assert bool(list(model.wrong_in_answer(caller(model), value))) is is_answer
