"""Traces of entries that outlive their owner: what a new owner may find, and what it may not."""

from __future__ import annotations

import pytest

from herdless.trace import TraceWriter, departure, read_trace
from herdless_core import (
    ABSENT,
    Entry,
    Event,
    Evicted,
    Get,
    Invalidate,
    LoadSucceeded,
    Policy,
    Put,
    Restarted,
    Step,
    transition,
)

POLICY = Policy(ttl=60, stale_while_revalidate=60)
SECOND = 1_000_000_000


class Owner:
    """An instance of a durable object, reduced to its steps; all of them write into one trace."""

    def __init__(self, lines: list[str], name: str | None = None) -> None:
        self.recorder = TraceWriter(lines.append, value=str, is_durable=True, owner=name)
        self.entry: Entry = ABSENT

    def step(self, event: Event, now: int = 0, before: Entry | None = None) -> Entry:
        """Take a step from the entry, or from what was found in the storage."""
        before = self.entry if before is None else before
        after, effects = transition(before, event, now, POLICY)
        self.recorder("k", Step(before, event, now, POLICY, after, effects))
        self.entry = ABSENT if isinstance(after, Evicted) else after
        return self.entry

    def load(self, generation: int, value: str) -> Entry:
        """Ask for the value, which is loaded."""
        self.step(Get(generation))
        return self.step(LoadSucceeded(generation, value, POLICY.lifetime))


def complaint(lines: list[str]) -> str:
    """What is wrong with the trace; empty when nothing is."""
    found = departure(read_trace(lines))
    return "" if found is None else str(found)


def test_new_owner_goes_on_from_what_was_saved() -> None:
    """Killed in the middle of a refresh, the next one finds the value, and the flight gone."""
    lines: list[str] = []
    owner = Owner(lines)
    saved = owner.load(1, "x")
    owner.step(Get(2), now=61 * SECOND)
    successor = Owner(lines)
    successor.step(Restarted(), now=62 * SECOND, before=saved)
    successor.step(Get(3), now=62 * SECOND)
    assert complaint(lines) == ""


def test_a_late_write_may_be_lost_but_nothing_else_may_be_found() -> None:
    """The last value may not have reached the disk; one that was never written cannot be there."""
    lines: list[str] = []
    owner = Owner(lines)
    first = owner.load(1, "x")
    owner.step(Put("y", POLICY.lifetime))
    never = Owner([]).load(1, "z")
    lost, invented = lines.copy(), lines.copy()
    Owner(lost).step(Restarted(), before=first)
    assert complaint(lost) == ""
    Owner(invented).step(Restarted(), before=never)
    assert "begins with Fresh(value=value z" in complaint(invented)


@pytest.mark.parametrize("event", [Invalidate(), Put("y", POLICY.lifetime)])
def test_what_was_stored_is_not_undone(event: Event) -> None:
    """An invalidation or a put that returned has been stored: no later owner may find what was there before."""
    lines: list[str] = []
    owner = Owner(lines)
    first = owner.load(1, "x")
    after = owner.step(event)
    unknown = lines.copy()
    Owner(unknown).step(Restarted(), before=first)
    assert complaint(unknown) == "", "nobody was told that it is stored"
    owner.recorder.stored()
    right = lines.copy()
    Owner(right).step(Restarted(), before=after)
    assert complaint(right) == ""
    Owner(lines).step(Restarted(), before=first)
    assert "begins with Fresh(value=value x" in complaint(lines)


def test_what_a_dead_owner_used_is_used_up() -> None:
    """A generation is never used twice, by whatever owner: the load of the first may still be running."""
    lines: list[str] = []
    Owner(lines).step(Get(7))
    successor = Owner(lines)
    successor.step(Restarted(), before=ABSENT)
    successor.step(Get(7))
    assert "generation 7 is used again" in complaint(lines)


def test_two_owners_by_turns() -> None:
    """One that was cut off goes on for a while: by their names their steps are told apart."""
    lines: list[str] = []
    old, new = Owner(lines, "old"), Owner(lines, "new")
    old.step(Get(1), now=1)
    new.step(Restarted(), now=0, before=ABSENT)
    saved = new.load(2, "y")
    old.step(LoadSucceeded(1, "x", POLICY.lifetime), now=2, before=old.step(Restarted(), now=2, before=saved))
    assert complaint(lines) == ""
    assert {line.section.owner for line in read_trace(lines)} == {"old", "new"}


def test_entry_that_aged_between_two_steps() -> None:
    """The alarm of an object ages its entry, which is no step."""
    lines: list[str] = []
    owner = Owner(lines)
    owner.load(1, "x")
    aged, _ = transition(owner.entry, Restarted(), 61 * SECOND, POLICY)
    owner.step(Get(2), now=62 * SECOND, before=aged)
    assert complaint(lines) == ""
    owner.step(Get(2), now=62 * SECOND, before=ABSENT)
    assert "begins with Absent()" in complaint(lines)
