"""What one process does about a key of a fleet: each row of the two tables of docs/fleet.md."""

from __future__ import annotations

import pytest

from herdless_core import (
    Entry,
    Fresh,
    Loaded,
    LoadTimeout,
    Pending,
    Policy,
    RemoteLoadError,
    Stale,
    StoreDown,
    Value,
)
from herdless_core._fleet import requests
from herdless_core._fleet import session as sessions
from herdless_core._fleet.requests import Load, Park, Swap
from tests.core._fleet import LEASE, SECOND, World, error_of, value_of

# What is seen in the record


def test_who_finds_nothing_claims_and_leads() -> None:
    """One flight, under a lease, and what it gives lies in the store."""
    world = World(Policy(ttl=60))
    one = world.process("one").run()
    assert isinstance(one.request, Load)
    assert isinstance(world.record.entry, Pending)
    assert (world.record.owner, world.record.lease) == ("one", world.now + LEASE)
    one.end_load(b"value")
    assert (value_of(one.result), one.result.how, one.result.fenced) == (b"value", "loaded", False)
    assert isinstance(world.record.entry, Fresh)
    assert (world.record.owner, world.record.lease) == ("", 0)
    assert value_of(world.process("two").run().result) == b"value"


def test_who_loses_the_swap_waits_for_the_winner() -> None:
    """Two that saw nothing there are one load."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").step(), world.process("two").step()
    one.run()
    two.run()
    assert isinstance(one.request, Load)
    assert isinstance(two.request, Park)
    assert world.record.is_awaited
    one.end_load(b"value")
    assert world.told == ["woken"]
    assert value_of(two.wake().result) == b"value"
    assert (two.result.how, world.loads) == ("joined", 1)


def test_a_load_that_nobody_awaits_elsewhere_tells_nobody() -> None:
    """What is told to all costs all: a load that only its own process waits for is none of the others' business."""
    world = World(Policy(ttl=60))
    world.process("one").run().end_load(b"value")
    assert world.told == []


def test_a_lease_that_is_over_is_taken_over() -> None:
    """The holder has not renewed it: it is gone, or as good as gone."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").run(), world.process("two").run()
    world.now += LEASE - 1
    assert isinstance(two.wake().request, Park)
    world.now += 1
    assert isinstance(two.wake().request, Load)
    two.end_load(b"two's")
    one.end_load(b"one's")
    assert (value_of(one.result), one.result.fenced) == (b"one's", True)
    assert value_of(world.process("three").run().result) == b"two's"


def test_a_holder_that_is_known_to_be_gone_is_not_waited_for() -> None:
    """Its connection is gone: the others need not wait for its lease to end."""
    world = World(Policy(ttl=60))
    world.process("one").run()
    two = world.process("two").run()
    assert isinstance(two.wake(owner_is_gone=True).request, Load)


def test_only_the_flight_of_the_holder_that_is_gone_is_taken_over() -> None:
    """By the time that is known, another process may have taken over and load already."""
    world = World(Policy(ttl=60))
    world.process("one").run()
    two, three = world.process("two").run(), world.process("three").run()
    two.wake(owner_is_gone=True)
    assert isinstance(three.wake(owner_is_gone=True).request, Park)
    assert value_of(two.end_load(b"value").result) == value_of(three.wake().result) == b"value"


def test_the_outcome_of_an_awaited_flight_is_that_flights_own() -> None:
    """SameOutcome: also where the next flight has begun before the one who waited looks."""
    world = World(Policy())
    one, two = world.process("one").run(), world.process("two").run()
    one.end_load(ValueError("not today"))
    three = world.process("three").run()
    assert isinstance(three.request, Load)
    error = error_of(two.wake().result)
    assert isinstance(error, RemoteLoadError)
    assert (error.kind, str(error), two.result.how) == ("ValueError", "not today", "joined")
    assert isinstance(error_of(one.result), ValueError)


def test_a_value_that_is_not_kept_reaches_those_who_wait() -> None:
    """`keep=False` and a ttl of 0 are answers for all who joined, and for nobody after them."""
    for result in (Loaded(b"mine", keep=False), Loaded(b"mine", ttl=0)):
        world = World(Policy(ttl=60))
        one, two = world.process("one").run(), world.process("two").run()
        one.end_load(result)
        assert value_of(one.result) == value_of(two.wake().result) == b"mine"
        assert isinstance(world.process("three").run().request, Load)


def test_a_value_that_is_not_kept_leaves_the_old_one() -> None:
    """Both lie in the record: the one for who waited, and the one that was there before."""
    world = World(Policy(ttl=60, stale_while_revalidate=0, stale_if_error=100))
    world.process("one").run().end_load(b"old")
    world.now += 61 * SECOND
    one, two = world.process("one").run(), world.process("two").run()
    one.end_load(Loaded(b"mine", keep=False))
    assert value_of(two.wake().result) == b"mine"
    entry = world.record.entry
    assert isinstance(entry, Stale)
    assert entry.value == b"old"


def test_a_fresh_value_is_answered_without_a_write() -> None:
    """The warm lookup is one read."""
    world = World(Policy(ttl=60))
    world.process("one").run().end_load(b"value")
    before = world.raw
    got = world.process("two").run().result
    assert (value_of(got), got.how, got.leads) == (b"value", "fetched", None)
    assert world.raw is before


@pytest.mark.parametrize("policy", [Policy(ttl=60, early_refresh=0.5), Policy(ttl=10, stale_while_revalidate=60)])
def test_one_process_refreshes_behind_its_answer(policy: Policy) -> None:
    """Past the early point, or stale within its window: all are answered at once, and one of them leads."""
    world = World(policy)
    world.process("one").run().end_load(b"old")
    world.now += 31 * SECOND
    gots = [world.process(name).run().result for name in ("one", "two", "three")]
    assert [value_of(got) for got in gots] == [b"old"] * 3
    flights = [got.leads for got in gots if got.leads is not None]
    assert len(flights) == 1
    flight = flights[0]
    leader = world.process("one", lambda terms: sessions.lead(terms, gots[0].record, flight)).run()
    leader.end_load(b"new")
    assert value_of(world.process("two").run().result) == b"new"
    assert world.told == []


def test_a_failed_refresh_backs_off_for_the_fleet() -> None:
    """One back-off for all: the others do not try at once what has just failed."""
    world = World(Policy(ttl=10, stale_while_revalidate=60, refresh_backoff=5))
    world.process("one").run().end_load(b"old")
    world.now += 11 * SECOND
    got = world.process("one").run().result
    flight = got.leads
    assert flight is not None
    world.process("one", lambda terms: sessions.lead(terms, got.record, flight)).run().end_load(OSError())
    assert world.process("two").run().result.leads is None
    world.now += 6 * SECOND
    assert world.process("two").run().result.leads is not None


def test_a_remembered_error_is_raised_everywhere() -> None:
    """`negative_ttl` is the fleet's: the others do not ask for what is known not to be there."""
    world = World(Policy(ttl=60, negative_ttl=5))
    world.process("one").run().end_load(LookupError("no such row"))
    error = error_of(world.process("two").run().result)
    assert isinstance(error, RemoteLoadError)
    assert error.kind == "LookupError"
    world.now += 5 * SECOND
    assert isinstance(world.process("two").run().request, Load)


def test_a_failing_load_does_not_take_a_stale_value_away() -> None:
    """StaleIfError, in all processes."""
    world = World(Policy(ttl=10, stale_if_error=60))
    world.process("one").run().end_load(b"old")
    world.now += 11 * SECOND
    one, two = world.process("one").run(), world.process("two").run()
    assert isinstance(two.request, Park)
    one.end_load(OSError())
    for process in (one, two.wake()):
        outcome = process.result.outcome
        assert isinstance(outcome, Value)
        assert (outcome.value, outcome.is_stale) == (b"old", True)


# The leader's load ends


def test_who_waits_here_gets_what_a_fenced_load_gave_and_nobody_else() -> None:
    """An invalidation during the load: the leader's own callers joined before it."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").run(), world.process("two").run()
    world.forget()
    assert isinstance(two.wake().request, Load)
    one.end_load(b"old")
    assert (value_of(one.result), one.result.fenced) == (b"old", True)
    two.end_load(b"new")
    assert value_of(two.result) == b"new"
    assert value_of(world.process("three").run().result) == b"new"


def test_a_holder_whose_lease_is_over_stores_what_nobody_else_has_begun() -> None:
    """It is late, but there is no other: what it loaded is as true as before."""
    world = World(Policy(ttl=60))
    one = world.process("one").run()
    world.now += 2 * LEASE
    assert one.end_load(b"value").result.fenced is False
    assert value_of(world.process("two").run().result) == b"value"


def test_who_cannot_reach_the_store_keeps_nothing() -> None:
    """Nobody can tell whether the flight was taken over."""
    world = World(Policy(ttl=60))
    one = world.process("one").run()
    assert isinstance(one.request, Load)
    one.reply(requests.Ended(b"value", one.request.record, world.now, 0.0))
    assert isinstance(one.request, Swap)
    one.fail()
    assert (value_of(one.result), one.result.fenced) == (b"value", True)


def test_a_swap_whose_reply_was_lost_is_known_again() -> None:
    """A client that sends it once more is told that it lost, against itself."""
    world = World(Policy(ttl=60))
    one = world.process("one").step()
    assert isinstance(one.request, Swap)
    world.swap(one.request)
    one.run()
    assert isinstance(one.request, Load)
    one.reply(requests.Ended(b"value", one.request.record, world.now, 0.0))
    assert isinstance(one.request, Swap)
    world.swap(one.request)
    one.run()
    assert (value_of(one.result), one.result.fenced) == (b"value", False)


def test_a_load_that_is_overdue_times_out_everywhere() -> None:
    """Whoever looks first says so, the leader or one who waits; both raise LoadTimeout."""
    for by_leader in (True, False):
        world = World(Policy(ttl=60, load_timeout=5))
        one, two = world.process("one").run(), world.process("two").run()
        world.now += 5 * SECOND
        if by_leader:
            one.end_load(None)
            assert isinstance(error_of(one.result), LoadTimeout)
            two.wake()
        else:
            two.wake()
            one.end_load(b"late")
            assert one.result.fenced
        assert isinstance(error_of(two.result), LoadTimeout)
        assert isinstance(world.process("three").run().request, Load)


def test_an_overdue_load_is_over_also_where_the_clock_of_the_store_is_a_little_behind() -> None:
    """The timer is the adapter's: a step that would only wind it up again would leave the callers without an answer."""
    world = World(Policy(ttl=60, load_timeout=5))
    one = world.process("one").run()
    world.now += 4 * SECOND
    assert isinstance(error_of(one.end_load(None).result), LoadTimeout)


# Changes


def test_a_put_is_seen_by_all_and_fences_the_load() -> None:
    """Who waits elsewhere gets the value that was put; what the load gives is not stored."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").run(), world.process("two").run()
    world.process("three", lambda terms: sessions.put(terms, b"put", 0.0)).run()
    assert world.told == ["dropped"]
    assert value_of(two.wake().result) == b"put"
    assert one.end_load(b"loaded").result.fenced
    assert value_of(world.process("two").run().result) == b"put"


def test_expire_makes_stale_and_tells() -> None:
    """Near caches hold it as fresh."""
    world = World(Policy(ttl=60, stale_while_revalidate=60))
    world.process("one").run().end_load(b"old")
    world.process("two", sessions.expire).run()
    assert isinstance(world.record.entry, Stale)
    assert world.told == ["dropped"]
    world.process("two", sessions.expire).run()
    assert world.told == ["dropped"]


def test_refresh_claims_unless_somebody_leads() -> None:
    """It is the one load of the fleet, like any other."""
    world = World(Policy(ttl=60))
    one = world.process("one", sessions.refresh).run()
    assert one.result.leads is not None
    assert world.process("two", sessions.refresh).run().result.leads is None
    assert isinstance(world.process("two").run().request, Park)


def test_a_change_is_made_again_where_another_was_faster() -> None:
    """A put must not be lost to a mark, a renewed lease, or another put."""
    world = World(Policy(ttl=60))
    slow = world.process("one", lambda terms: sessions.put(terms, b"slow", 0.0)).step()
    world.process("two", lambda terms: sessions.put(terms, b"quick", 0.0)).run()
    slow.run()
    assert value_of(world.process("three").run().result) == b"slow"


# Records of others


@pytest.mark.parametrize("raw", [b"", b"x", b"GIF89a" + bytes(90), b"v" * 8 + bytes(8) + b"\0\2" + bytes(40)])
def test_what_cannot_be_read_is_loaded_and_fenced(raw: bytes) -> None:
    """Foreign bytes, or a record of a later version of herdless."""
    world = World(Policy(ttl=60))
    world.raw = raw
    one = world.process("one").run()
    assert isinstance(one.request, Load)
    assert value_of(one.end_load(b"value").result) == b"value"
    assert value_of(world.process("two").run().result) == b"value"


def test_a_value_that_cannot_be_decoded_is_loaded_again() -> None:
    """The record is sound, what lies in it is not: whoever found that out says so by its version."""
    world = World(Policy(ttl=60))
    world.process("one").run().end_load(b"\x00")
    version = world.record.version
    two = world.process("two", lambda terms: sessions.ask(terms, version)).run()
    assert isinstance(two.request, Load)
    assert value_of(two.end_load(b"good").result) == b"good"


def test_a_generation_is_greater_than_those_before_also_when_the_clock_goes_back() -> None:
    """It is what fences: one that is used again would let a late load in."""
    world = World(Policy())
    seen = []
    for _ in range(5):
        one = world.process("one").run()
        assert isinstance(one.request, Load)
        seen.append(one.request.flight.generation)
        world.now -= SECOND
        one.end_load(OSError())
    assert seen == sorted(set(seen))


def test_the_store_being_down_is_told_to_who_asks() -> None:
    """Nothing of it is decided here: the cache may load by itself, or raise."""
    one = World(Policy()).process("one")
    with pytest.raises(StoreDown):
        one.fail()


# Exchanges: what is read, changed and written in one step


def test_who_only_looks_starts_and_writes_nothing() -> None:
    """Neither where nothing is there, nor where a load is in flight, nor where there is a value."""
    world = World(Policy(ttl=60))
    one = world.process("one")
    assert world.process("two", lambda _: sessions.look()).run().result.outcome is None
    one.run()
    before = world.raw
    assert world.process("two", lambda _: sessions.look()).run().result.outcome is None
    assert world.raw == before
    one.end_load(b"value")
    before = world.raw
    assert value_of(world.process("two", lambda _: sessions.look()).run().result) == b"value"
    assert world.raw == before
    world.now += 60 * SECOND
    assert world.process("two", lambda _: sessions.look()).run().result.outcome is None


def test_exchange_is_one_step_however_many_make_it() -> None:
    """Two that read the same record: the second is given what the first has written, and both count."""
    world = World(Policy(ttl=60))

    def counted(entry: Entry, now: int) -> Loaded[bytes]:
        return Loaded((entry.value if isinstance(entry, Fresh) else b"") + b"+", ttl=10)

    one, two = (world.process(name, lambda terms: sessions.exchange(terms, counted)).step() for name in ("one", "two"))
    assert value_of(one.run().result) == b"+"
    assert value_of(two.run().result) == b"++"
    assert world.told == ["dropped", "dropped"], "other processes hold what was there before"
    world.now += 10 * SECOND
    assert value_of(world.process("one", lambda terms: sessions.exchange(terms, counted)).run().result) == b"+"


def test_exchange_that_makes_nothing_writes_nothing() -> None:
    """Of two that add a value, the second finds one."""
    world = World(Policy(ttl=60))

    def added(entry: Entry, now: int) -> bytes | None:
        return None if isinstance(entry, Fresh) else b"value"

    one, two = (world.process(name, lambda terms: sessions.exchange(terms, added)).step() for name in ("one", "two"))
    assert value_of(one.run().result) == b"value"
    written = world.raw
    assert two.run().result.outcome is None
    assert world.raw == written


def test_exchange_during_a_load_is_what_its_waiters_get() -> None:
    """As for a put: nothing is kept of what the load read before."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").run(), world.process("two").run()
    world.process("three", lambda terms: sessions.exchange(terms, lambda entry, now: b"new")).run()
    assert value_of(two.wake().result) == b"new"
    assert one.end_load(b"old").result.fenced
    assert value_of(world.process("four").run().result) == b"new"
