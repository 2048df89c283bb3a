"""Callers of a fleet who leave: what they claimed is free for others at once, wherever they were broken off."""

from __future__ import annotations

import pytest

from herdless_core import (
    ABSENT,
    Policy,
)
from herdless_core._fleet import requests
from herdless_core._fleet import session as sessions
from herdless_core._fleet.requests import Claim, Load, Swap
from tests.core._fleet import LEASE, SECOND, World


def test_a_cancelled_load_leaves_the_key_to_others() -> None:
    """Those who wait elsewhere are told, and do not wait for its lease to end."""
    world = World(Policy(ttl=60))
    one, two = world.process("one").run(), world.process("two").run()
    request = one.request
    assert isinstance(request, Load)
    world.process("one", lambda terms: sessions.leave(terms, Claim(request.record, request.flight, None))).run()
    assert world.record.entry is ABSENT
    assert world.told == ["woken"]
    assert isinstance(two.wake().request, Load)


def test_a_cancelled_refresh_leaves_the_value() -> None:
    """The value is nobody's fault."""
    world = World(Policy(ttl=10, stale_while_revalidate=60))
    world.process("one").run().end_load(b"old")
    world.now += 11 * SECOND
    got = world.process("one").run().result
    flight = got.leads
    assert flight is not None
    world.process("one", lambda terms: sessions.leave(terms, Claim(got.record, flight, None))).run()
    assert world.process("two").run().result.leads is not None


@pytest.mark.parametrize("number", range(6))
def test_whatever_is_broken_off_its_claim_is_known(number: int) -> None:
    """A process whose caller goes, or whose reply is lost, has to leave what it may have claimed to others."""
    world = World(Policy(ttl=60))
    one = world.process("one")
    claimed = None
    for _ in range(number):
        assert one.request is not None
        claimed = requests.claim_in(one.request, "one", claimed)
        assert requests.claim_in(one.request, "two") is None
        if isinstance(one.request, Load):
            one.reply(requests.Ended(b"value", one.request.record, world.now, 0.0))
        else:
            one.step()
        if one.got is not None:
            break
    if claimed is not None:
        begun = claimed
        world.process("one", lambda terms: sessions.leave(terms, begun)).run()
    assert world.record.entry.flight is None


@pytest.mark.parametrize("lies_there", ["nothing", "a stale value", "the flight of one who is gone"])
def test_a_claim_that_arrives_after_its_caller_left_claims_nothing(lies_there: str) -> None:
    """The caller was cancelled while the claim was on its way, by a thread or a connection of its own: others would
    wait for its whole lease, and nobody would load.
    """
    world = World(Policy(ttl=10, stale_while_revalidate=600))
    if lies_there == "a stale value":
        world.process("two").run().end_load(b"old")
        world.now += 11 * SECOND
    if lies_there == "the flight of one who is gone":
        world.process("two").run()
        world.now += LEASE + 1
    one = world.process("one").step()
    late = one.request
    assert isinstance(late, Swap)
    world.process("one", lambda terms: sessions.leave(terms, claim_of(late))).run()
    world.now += LEASE - 1
    one.reply(world.swap(late))
    assert world.record.owner != "one"
    three = world.process("three").run()
    assert isinstance(three.request, Load) or three.result.leads is not None


def test_a_claim_that_arrives_while_its_caller_leaves_is_left_to_others() -> None:
    """Between the two writes of who leaves."""
    world = World(Policy(ttl=10))
    one = world.process("one").step()
    late = one.request
    assert isinstance(late, Swap)
    leaving = world.process("one", lambda terms: sessions.leave(terms, claim_of(late))).step()
    one.reply(world.swap(late))
    assert world.record.owner == "one"
    leaving.run()
    assert world.record.entry is ABSENT


def test_who_leaves_writes_nothing_where_another_was_faster() -> None:
    """What the claim expected is gone already: it can do no harm."""
    world = World(Policy(ttl=10))
    one = world.process("one").step()
    late = one.request
    assert isinstance(late, Swap)
    world.process("two").run().end_load(b"value")
    before = world.raw
    world.process("one", lambda terms: sessions.leave(terms, claim_of(late))).run()
    assert world.raw == before


def claim_of(request: Swap) -> Claim:
    """Of "one"."""
    claim = requests.claim_in(request, "one")
    assert claim is not None
    return claim
