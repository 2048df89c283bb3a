"""`soft_timeout` and a back-off that grows, in a fleet: what one process does about them."""

from __future__ import annotations

from herdless_core import (
    Policy,
)
from herdless_core._fleet import requests
from herdless_core._fleet import session as sessions
from herdless_core._fleet.requests import Lead, Load, Park
from tests.core._fleet import SECOND, Process, World, value_of

# A soft timeout


def soft_world() -> World:
    """Where a value is kept in case that loads fail, too old to be answered at once."""
    world = World(Policy(ttl=10, stale_if_error=600, soft_timeout=2))
    world.process("zero").run().end_load(b"old")
    world.now += 11 * SECOND
    return world


def test_who_would_load_while_a_value_is_kept_waits_for_the_soft_timeout() -> None:
    """The load is led behind the caller, goes on, and stores."""
    world = soft_world()
    one = world.process("one").run()
    request = one.request
    assert isinstance(request, Lead)
    assert request.until == world.now + 2 * SECOND
    behind = world.process("one", lambda terms: sessions.lead(terms, request.record, request.flight)).run()
    one.reply(None)
    assert (value_of(one.result), one.result.is_soft) == (b"old", True)
    behind.end_load(b"new")
    assert value_of(world.process("two").run().result) == b"new"


def test_a_load_that_ends_before_the_soft_timeout_is_the_answer() -> None:
    """What came of it, its error too: the one that was raised."""
    for result in (b"new", KeyError("gone")):
        world = soft_world()
        one = world.process("one").run()
        request = one.request
        assert isinstance(request, Lead)
        lead = sessions.lead(world.terms("one"), request.record, request.flight)
        behind = Process(world, "one", lead).run()
        one.reply(behind.end_load(result, is_answer=True).result)
        assert one.result is behind.result
        assert not one.result.is_soft


def test_who_waits_for_another_process_waits_for_the_soft_timeout() -> None:
    """From when it began to wait, whoever leads by then."""
    world = soft_world()
    world.process("one").run()
    two = world.process("two").run()
    assert isinstance(two.request, Park)
    assert two.request.until == world.now + 2 * SECOND
    world.now += SECOND
    assert isinstance(two.wake().request, Park)
    world.now += SECOND
    assert (value_of(two.wake().result), two.result.is_soft) == (b"old", True)


def test_where_nothing_is_kept_a_soft_timeout_means_nothing() -> None:
    """There is nothing to answer with."""
    world = World(Policy(ttl=10, soft_timeout=2))
    one, two = world.process("one").run(), world.process("two").run()
    assert isinstance(one.request, Load)
    world.now += 3 * SECOND
    assert isinstance(two.wake().request, Park)


def test_a_claim_that_is_led_behind_is_not_left_with_its_caller() -> None:
    """The session behind holds it."""
    one = soft_world().process("one").step()
    claimed = requests.claim_in(one.request, "one") if one.request else None
    assert claimed is not None
    one.step()
    assert isinstance(one.request, Lead)
    assert requests.claim_in(one.request, "one", claimed) is None


# A back-off that grows


def test_failures_in_a_row_are_counted_for_the_fleet() -> None:
    """Whichever process loads: each one doubles the rest of all, until a load succeeds."""
    world = World(Policy(ttl=10, stale_if_error=6_000, refresh_backoff=(4, 100)))
    world.process("zero").run().end_load(b"old")
    world.now += 11 * SECOND
    for turn, rest in enumerate((4, 8, 16)):
        world.process(f"p{turn}").run().end_load(OSError("down"))
        assert world.record.failures == turn + 1
        world.now += (rest - 1) * SECOND
        assert value_of(world.process("other").run().result) == b"old"
        world.now += SECOND
    world.process("last").run().end_load(b"new")
    assert world.record.failures == 0


def test_loads_that_are_overdue_in_a_row_are_counted_too() -> None:
    """By whoever finds that out."""
    world = World(Policy(ttl=10, stale_if_error=6_000, load_timeout=5, refresh_backoff=(4, 100)))
    world.process("zero").run().end_load(b"old")
    world.now += 11 * SECOND
    world.process("one").run()
    two = world.process("two").run()
    world.now += 5 * SECOND
    assert value_of(two.wake().result) == b"old"
    assert world.record.failures == 1
