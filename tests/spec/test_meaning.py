"""What a policy means is read off the explored worlds: it is right, and a machine that does otherwise changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from herdless_core import DeadlinePassed, Effects, Entry, Event, Policy, _machine
from herdless_verify.exploration.meaning import QUANTITIES, Meaning, requirement
from herdless_verify.exploration.search import explore
from herdless_verify.mistakes import load_edits, machine_edits


def bounds(policy: Policy, mistake: str | None = None) -> Mapping[str, float | None]:
    """Every quantity that came about under the policy, by a machine with this mistake, if any."""
    meaning = Meaning(policy)
    edits = {edit.name: edit for edit in load_edits()} | machine_edits()
    arguments: dict[str, Any] = {} if mistake is None else {"machine": edits[mistake].machine()}
    explore(policy, meaning=meaning, invariants={}, **arguments)
    return {name: meaning.bound(name) for name in QUANTITIES if name in meaning.seen}


INF = math.inf
EXPECTED: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {"ttl": 60, "stale_while_revalidate": 300},
        {"loads": 1, "fresh": 60, "healthy": 360, "age": 360, "retry": 1, "wait": INF},
    ),
    (
        {"ttl": 60, "stale_if_error": 300, "refresh_backoff": 5, "load_timeout": 10},
        {"loads": 1, "fresh": 60, "healthy": 60, "age": 360, "retry": 5, "wait": 10},
    ),
    (
        {"ttl": 60, "negative_ttl": 90, "answers": KeyError},
        {"loads": 1, "fresh": 60, "healthy": 60, "age": 60, "error": 90, "retry": 1, "wait": INF},
    ),
    ({"ttl": 0, "load_timeout": 2}, {"loads": 1, "wait": 2}),
    ({"load_timeout": 3}, {"loads": 1, "fresh": INF, "healthy": INF, "age": INF, "retry": INF, "wait": 3}),
    (
        {"ttl": INF, "stale_while_revalidate": 5},
        {"loads": 1, "fresh": INF, "healthy": INF, "age": INF, "retry": 1, "wait": INF},
    ),
]


@pytest.mark.parametrize(("options", "expected"), EXPECTED, ids=[str(options) for options, _ in EXPECTED])
def test_quantities_are_what_the_policy_says(options: dict[str, Any], expected: dict[str, float]) -> None:
    """In seconds of the user's own policy, although the worlds count in ticks."""
    assert bounds(Policy(**options)) == expected


@pytest.mark.parametrize(
    ("mistake", "options", "name"),
    [
        ("every stale hit starts a load", {"stale_while_revalidate": 30}, "loads"),
        ("a hit at exactly ttl", {"stale_while_revalidate": 30}, "fresh"),
        ("stale hits go on to the end of stale_if_error", {"stale_if_error": 300}, "healthy"),
        ("a failed refresh does not back off", {"stale_if_error": 300, "refresh_backoff": 5}, "retry"),
        ("an error replaces a usable value", {"stale_if_error": 300}, "age"),
    ],
)
def test_a_machine_that_does_otherwise_means_something_else(mistake: str, options: dict[str, Any], name: str) -> None:
    """A sentence that would be said of any machine is worth nothing."""
    policy = Policy(ttl=60, **options)
    assert bounds(policy, mistake).get(name) != bounds(policy)[name]


class _Deaf:
    """A machine that hears no timer: who waits for a load that hangs is never told."""

    age = staticmethod(_machine.age)
    read = staticmethod(_machine.read)
    join = staticmethod(_machine.join)
    start = staticmethod(_machine.start)
    fill = staticmethod(_machine.fill)

    @staticmethod
    def transition(entry: Entry, event: Event, now: int, policy: Policy) -> tuple[Entry, Effects]:
        if isinstance(event, DeadlinePassed):
            return entry, ()
        return _machine.transition(entry, event, now, policy)


def test_a_machine_that_hears_no_timer_lets_callers_wait_for_ever() -> None:
    """The bound of `wait` is not read out of load_timeout."""
    meaning = Meaning(Policy(ttl=60, load_timeout=10))
    explore(meaning.policy, meaning=meaning, invariants={}, machine=_Deaf())
    assert meaning.bound("wait") == math.inf


def test_sentences_name_the_quantity_and_its_bound() -> None:
    """What `--require` takes stands at the end of each."""
    meaning = Meaning(Policy(ttl=60, stale_while_revalidate=300))
    explore(meaning.policy, meaning=meaning, invariants={})
    assert list(meaning.sentences()) == [
        "at most 1 load of a key is in the air for all who ask for it (loads)",
        "no value counts as fresh that was loaded 60 s ago or earlier (fresh)",
        "while loads succeed, nobody is served anything that is 360 s old (healthy)",
        "whatever fails, nobody is served anything that is 360 s old (age)",
        "while a value is kept, a key whose load has failed is not loaded again within 1 s by any lookup (retry)",
        "a caller waits for as long as a load takes (wait)",
    ]
    assert requirement("age<=360").is_kept(meaning)
    assert not requirement(" age <= 359.9").is_kept(meaning)
    assert not requirement("wait<=1e9").is_kept(meaning)
    assert requirement("retry>=1").is_kept(meaning)
    assert not requirement("retry>=2").is_kept(meaning)
    assert requirement("error<=0").is_kept(meaning), "no error is ever remembered"


@pytest.mark.parametrize(
    "text", ["", "age", "age>=5", "retry<=5", "old<=5", "age<=soon", "age<=-1", "age<=nan", "age=5"]
)
def test_what_is_no_requirement_is_refused(text: str) -> None:
    """A check that is misspelt must not pass."""
    with pytest.raises(ValueError, match=r"is not accepted: give one of loads<=NUMBER, fresh<=NUMBER"):
        requirement(text)
