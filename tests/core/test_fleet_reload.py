"""What one process does that wants a load which begins after it asks."""

from __future__ import annotations

from herdless_core import LoadTimeout, Policy
from herdless_core._fleet import session as sessions
from herdless_core._fleet.requests import Load, Park
from tests.core._fleet import SECOND, World, error_of, value_of


def test_who_reloads_waits_for_the_flight_and_loads_anew() -> None:
    """What is in flight began before; what is claimed then is the fleet's."""
    world = World(Policy(ttl=60))
    one = world.process("one").run()
    two = world.process("two", sessions.reload).run()
    assert isinstance(two.request, Park)
    one.end_load(b"old")
    two.wake()
    assert isinstance(two.request, Load)
    two.end_load(b"new")
    assert (value_of(two.result), two.result.how) == (b"new", "loaded")
    assert value_of(world.process("three").run().result) == b"new"


def test_who_reloads_shares_a_load_that_began_later() -> None:
    """Two who reload are one load."""
    world = World(Policy(ttl=60))
    first = world.process("zero").run()
    one, two = (world.process(name, sessions.reload).run() for name in ("one", "two"))
    first.end_load(b"old")
    world.now += SECOND
    one.wake()
    two.wake()
    assert isinstance(one.request, Load)
    assert isinstance(two.request, Park)
    one.end_load(b"new")
    two.wake()
    assert (value_of(two.result), two.result.how) == (b"new", "joined")


def test_who_reloads_loses_a_swap_to_a_load_that_is_new_enough() -> None:
    """It saw nothing in flight when it asked, so whatever began since is later."""
    world = World(Policy(ttl=60))
    one, two = (world.process(name, sessions.reload).step() for name in ("one", "two"))
    one.run()
    two.run()
    assert isinstance(two.request, Park)
    one.end_load(b"new")
    two.wake()
    assert (value_of(two.result), world.loads) == (b"new", 1)


def test_who_reloads_is_told_what_the_load_raised() -> None:
    """Also where a value that is kept covers that for others, and where it was overdue."""
    world = World(Policy(ttl=60, stale_if_error=600, load_timeout=5))
    world.process("one").run().end_load(b"kept")
    failed = world.process("one", sessions.reload).run().end_load(ValueError("down"))
    assert str(error_of(failed.result)) == "down"
    assert value_of(world.process("two").run().result) == b"kept"
    overdue = world.process("one", sessions.reload).run()
    world.now += 5 * SECOND
    overdue.end_load(None)
    assert isinstance(error_of(overdue.result), LoadTimeout)


def test_who_reloads_takes_no_kept_value_for_a_new_one() -> None:
    """The load of another process failed, and left the value as it was: so this one loads."""
    world = World(Policy(ttl=60, stale_if_error=600))
    world.process("one").run().end_load(b"kept")
    first = world.process("zero", sessions.refresh).run()
    assert first.result.leads is not None
    leading = world.process("zero", lambda terms: sessions.lead(terms, first.result.record, first.result.leads)).run()  # type: ignore[arg-type]  # asked above
    one, two = (world.process(name, sessions.reload).run() for name in ("one", "two"))
    leading.end_load(b"first")
    one.wake()
    two.wake()
    one.end_load(ValueError("down"))
    two.wake()
    assert isinstance(two.request, Load)
    two.end_load(b"new")
    assert (value_of(two.result), two.result.how) == (b"new", "loaded")


def test_who_reloads_takes_over_from_one_that_is_gone_or_overdue() -> None:
    """As for a lookup."""
    world = World(Policy(ttl=60, load_timeout=5))
    world.process("one").run()
    two = world.process("two", sessions.reload).run()
    two.wake(owner_is_gone=True)
    assert isinstance(two.request, Load)
    three = world.process("three", sessions.reload).run()
    world.now += 5 * SECOND
    three.wake()
    assert isinstance(three.request, Load)
    three.end_load(b"new")
    assert value_of(three.result) == b"new"


def test_who_reloads_over_what_cannot_be_decoded_loads() -> None:
    """The outcome of a record that this process cannot read is none for it."""
    world = World(Policy(ttl=60))
    first = world.process("zero").run()
    one, two = (world.process(name, sessions.reload).run() for name in ("one", "two"))
    first.end_load(b"old")
    one.wake()
    two.wake()
    one.end_load(b"foreign")
    unreadable = world.record.version
    again = world.process("two", lambda terms: sessions.reload(terms, unreadable)).run()
    assert isinstance(again.request, Load)
