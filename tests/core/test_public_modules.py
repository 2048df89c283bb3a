"""`herdless_core.invariants` and `herdless_core.table`: what their docstrings say can be done with them."""

from __future__ import annotations

from herdless_core import Get, Keyspace, Pending, Policy, Step, invariants, table


def test_the_steps_of_a_cache_can_be_judged_by_an_observer() -> None:
    """None is broken by the real machine; one that somebody makes up is told by the name of the promise."""
    steps: list[Step] = []
    cache = Keyspace[str](Policy(), observe=lambda _, step: steps.append(step))
    cache.get("a", 0)
    cache.load_succeeded(1, "value", 0)
    assert [invariants.violated(step) for step in steps] == [[], []]
    wrong = Step(steps[0].before, Get(1), 0, Policy(), steps[0].after, ())
    assert "AnsweredOnce" in invariants.violated(wrong)


def test_the_table_says_where_an_event_may_lead() -> None:
    """It is read by the classes themselves, so a type checker knows its words."""
    assert {state.__name__ for state in table.TABLE[Pending][Get]} == {"Pending", "Fresh"}
    assert table.TABLE.keys() == set(table.STATES)
    assert all(row.keys() == set(table.EVENTS) for row in table.TABLE.values())
