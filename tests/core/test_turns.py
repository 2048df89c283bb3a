"""`max_loads` in the keyspace: who starts at once, who waits for a turn, and who is started next."""

from __future__ import annotations

import pytest

from herdless_core import (
    Effects,
    Failure,
    Join,
    Keyspace,
    LoadTimeout,
    Policy,
    Refuse,
    Settle,
    StartLoad,
    TooManyLoads,
    reply_of,
)

SECOND = 10**9


def starts(effects: Effects) -> list[int]:
    """The generations whose loads are ordered."""
    return [effect.generation for effect in effects if isinstance(effect, StartLoad)]


def full(**options: object) -> Keyspace[str]:
    """A keyspace in which one load runs, and no other may."""
    keyspace = Keyspace[str](Policy(**options), max_loads=1)  # type: ignore[arg-type]  # the options of a test
    assert starts(keyspace.get("first", 0)) == [1]
    return keyspace


def told(effects: Effects) -> list[object]:
    """What waiters are told by the effects."""
    return [
        effect.outcome.error if isinstance(effect.outcome, Failure) else effect.outcome.value
        for effect in effects
        if isinstance(effect, Settle)
    ]


def test_one_load_too_many_waits_for_its_turn() -> None:
    """Its caller has joined; the order to start it comes when another load is over."""
    keyspace = full()
    first = keyspace.flights[1]
    effects = keyspace.get("second", 0)
    assert reply_of(effects) == Join(2, leads=True)
    assert starts(effects) == []
    keyspace.load_succeeded(1, "value", 0)
    assert starts(keyspace.load_over(first, 0)) == [2]


def test_the_short_cut_leaves_it_to_get() -> None:
    """It starts nothing where there is no turn to be had."""
    keyspace = Keyspace[str](Policy(), max_loads=1)
    assert keyspace.enter("first", 0) is not None
    assert keyspace.enter("second", 0) is None


def test_what_callers_wait_for_comes_before_refreshes() -> None:
    """A refresh that was ordered first is started last."""
    keyspace = full()
    first = keyspace.flights[1]
    assert starts(keyspace.refresh("warm", 0)) == []
    keyspace.get("needed", 0)
    assert starts(keyspace.load_over(first, 0)) == [3]
    assert starts(keyspace.load_over(keyspace.flights[3], 0)) == [2]


def test_load_inside_a_load_takes_no_turn() -> None:
    """The outer one could never end otherwise."""
    keyspace = full()
    assert starts(keyspace.get("inner", 0, keyspace.flights[1])) == [2]


@pytest.mark.parametrize("by", ["timer", "lookup", "turn"])
def test_deadline_that_passes_before_the_turn_is_told_so(by: str) -> None:
    """The load was not too slow: it was never begun."""
    keyspace = full(load_timeout=1)
    first = keyspace.flights[1]
    keyspace.get("second", 0)
    late = 2 * SECOND
    match by:
        case "timer":
            effects = keyspace.deadline_passed(2, late)
        case "lookup":
            effects = keyspace.get("second", late)
            assert reply_of(effects) == Join(3, leads=True)
        case _:
            effects = keyspace.load_over(first, late)
    assert [type(error) for error in told(effects)] == [TooManyLoads]
    assert keyspace.stats().load_timeouts == 1


def test_deadline_of_a_load_that_runs_is_told_as_ever() -> None:
    """That one was too slow."""
    keyspace = full(load_timeout=1)
    assert [type(error) for error in told(keyspace.deadline_passed(1, 2 * SECOND))] == [LoadTimeout]


def test_lookup_of_another_key_does_not_look_at_those_that_wait() -> None:
    """Only a lookup of the key itself, or its timer, gives its turn up."""
    keyspace = full(load_timeout=1)
    keyspace.get("second", 0)
    keyspace.get("third", 2 * SECOND)
    assert keyspace.is_in_flight(2)


def test_superseded_load_gives_up_its_place() -> None:
    """It is not started when its turn would have come."""
    keyspace = full()
    first = keyspace.flights[1]
    keyspace.get("second", 0)
    keyspace.put("second", "value", 0)
    assert starts(keyspace.load_over(first, 0)) == []


def test_caller_who_takes_over_a_load_that_has_not_begun_counts_once() -> None:
    """He looks up again, which is the lookup that counts."""
    keyspace = Keyspace[str](Policy())
    keyspace.refresh("k", 0)
    assert reply_of(keyspace.get("k", 0)) == Join(1, leads=False)
    keyspace.supersede(keyspace.flights[1])
    assert reply_of(keyspace.get("k", 0)) == Join(2, leads=True)
    assert (keyspace.stats().joins, keyspace.stats().misses) == (0, 1)


def test_closed_keyspace_is_opened_again() -> None:
    """It is empty, and accepts requests."""
    keyspace = Keyspace[str](Policy())
    keyspace.put("k", "value", 0)
    keyspace.close(0)
    keyspace.open()
    assert keyspace.peek("k", 0) is None


def test_turn_of_a_load_that_a_caller_takes_over_is_his() -> None:
    """It would otherwise go to a refresh, and he would wait for that."""
    keyspace = Keyspace[str](Policy(), max_loads=1)
    assert starts(keyspace.refresh("k", 0)) == [1]
    assert starts(keyspace.refresh("other", 0)) == []
    keyspace.get("k", 0)
    assert starts(keyspace.supersede(keyspace.flights[1])) == []
    assert starts(keyspace.get("k", 0)) == [3]
    assert starts(keyspace.next_turn(0)) == []


def test_turn_that_the_caller_does_not_take_goes_to_another() -> None:
    """A turn that nobody has, while others wait for one, would be lost."""
    keyspace = Keyspace[str](Policy(), max_loads=1)
    keyspace.refresh("k", 0)
    keyspace.refresh("other", 0)
    keyspace.get("k", 0)
    keyspace.supersede(keyspace.flights[1])
    assert starts(keyspace.next_turn(0)) == [2]


def test_load_for_which_another_load_waits_takes_no_turn() -> None:
    """Its turn would never come: the load that has it waits."""
    keyspace = full()
    assert starts(keyspace.get("inner", 0)) == []
    assert starts(keyspace.get("inner", 0, keyspace.flights[1])) == [2]
    assert not keyspace.waits_for_turn(keyspace.flights[2])


def test_load_that_turns_out_to_be_waited_for_by_another_takes_no_turn() -> None:
    """As where a task that the load started waits for it, and then the load for the task."""
    keyspace = full()
    keyspace.get("inner", 0)
    first, second = keyspace.flights[1], keyspace.flights[2]
    assert starts(keyspace.begin_wait(first, second)) == [2]
    assert starts(keyspace.begin_wait(first, second)) == []


def test_refresh_that_a_caller_joins_keeps_its_place() -> None:
    """It is not started for that, or more loads would run than may."""
    keyspace = full()
    keyspace.refresh("k", 0)
    running = keyspace.enter("k", 0)
    assert running is not None
    assert keyspace.waits_for_turn(running)


def test_load_that_has_not_begun_gives_its_turn_to_one_that_callers_wait_for() -> None:
    """It is started later, as any that waits for its turn."""
    keyspace = Keyspace[str](Policy(), max_loads=1)
    assert starts(keyspace.refresh("warm", 0)) == [1]
    keyspace.get("needed", 0)
    (warm,) = keyspace.turns()
    assert starts(keyspace.yield_turn(warm)) == [2]
    assert keyspace.waits_for_turn(warm)
    assert starts(keyspace.load_over(keyspace.flights[2], 0)) == [1]


def test_nothing_runs_after_a_fork() -> None:
    """Whoever ran the loads is in the parent: every turn is free, or the child would wait for it."""
    keyspace = full()
    keyspace.nothing_runs()
    assert keyspace.turns() == []
    assert starts(keyspace.get("second", 0)) == [2]


def test_without_a_bound_nobody_has_a_turn_or_waits_for_one() -> None:
    """What asks for turns need not ask first whether there are any."""
    keyspace = Keyspace[str](Policy())
    keyspace.get("k", 0)
    assert keyspace.turns() == []
    assert keyspace.yield_turn(keyspace.flights[1]) == ()
    assert keyspace.load_over(keyspace.flights[1], 0) == ()
    keyspace.nothing_runs()
    assert not keyspace.waits_for_turn(keyspace.flights[1])


def test_caller_who_is_refused_is_told_how_many_wait() -> None:
    """The bound that was reached, and for which key."""
    keyspace = Keyspace[str](Policy(max_waiters=1))
    keyspace.get("k", 0)
    refusal = reply_of(keyspace.get("k", 0))
    assert isinstance(refusal, Refuse)
    assert str(refusal.error("'k'")) == "max_waiters=1 callers wait for the load of 'k' already"
