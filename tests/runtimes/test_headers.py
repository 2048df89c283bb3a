"""`lookup().headers(name)`: Age and Cache-Status, by the grammar of RFC 8941 and the words of RFC 9211."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from http_sfv.list import List
from hypothesis import given
from hypothesis import strategies as st

import herdless.asyncio
import herdless.threads
from herdless import PolicyError
from herdless._http import MOST_SECONDS, age, cache_status
from herdless.testing import VirtualClock

FORWARDED = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}
"""The values of fwd, RFC 9211, 2.2."""


def parsed(value: str) -> tuple[str, dict[str, Any]]:
    """The one member of a Cache-Status, and its parameters, as RFC 9211 allows them."""
    members = List()
    members.parse(value.encode("ascii"))
    (member,) = members
    parameters = dict(member.params)
    assert parameters.keys() <= {"hit", "fwd", "ttl", "stored", "collapsed", "detail"}
    assert ("hit" in parameters) != ("fwd" in parameters), "either it was a hit, or it was forwarded"
    for boolean in parameters.keys() & {"hit", "stored", "collapsed"}:
        assert parameters[boolean] is True
    if "fwd" in parameters:
        assert str(parameters["fwd"]) in FORWARDED
    else:
        assert not parameters.keys() & {"stored", "collapsed"}, "they are of what was forwarded"
    if "ttl" in parameters:
        assert type(parameters["ttl"]) is int
    return str(member.value), parameters


def test_every_way_of_a_lookup_has_its_words() -> None:
    """A client, and whoever debugs it, sees which of them it was."""
    clock, gate, fails = VirtualClock(), asyncio.Event(), False

    async def load(key: str) -> str:
        await gate.wait()
        if fails:
            raise ConnectionError("down")
        return key.upper()

    async def main() -> None:
        nonlocal fails
        cache = herdless.asyncio.Cache(load, ttl=60, stale_while_revalidate=30, stale_if_error=300, clock=clock)
        waiting = [asyncio.create_task(cache.lookup("a")) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        loaded, joined = await asyncio.gather(*waiting)
        clock.advance(12.9)
        hit = await cache.lookup("a")
        clock.advance(60)
        stale = await cache.lookup("a")
        await cache.settled()
        clock.advance(100)
        fails = True
        gate.clear()
        waiting = [asyncio.create_task(cache.lookup("a")) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        failed, failed_joined = await asyncio.gather(*waiting)
        told = [each.headers("users") for each in (loaded, joined, hit, stale, failed, failed_joined)]
        assert [each["Cache-Status"] for each in told] == [
            "users; fwd=miss; stored; ttl=60",
            "users; fwd=miss; stored; collapsed; ttl=60",
            "users; hit; ttl=47",
            "users; hit; detail=stale",
            "users; fwd=stale",
            "users; fwd=stale; collapsed",
        ]
        assert [each["Age"] for each in told] == ["0", "0", "12", "72", "100", "100"]
        for each in told:
            assert parsed(each["Cache-Status"])[0] == "users"

    asyncio.run(main())


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
    st.sampled_from(["hit", "stale", "joined", "loaded"]),
    st.sampled_from(["hit", "joined", "loaded"]),
    st.none() | st.floats(min_value=0, max_value=1e9) | st.just(math.inf),
)
def test_every_status_is_one_of_the_grammar(name: str, how: str, was: str, ttl: float | None) -> None:
    """A proxy drops a field that it cannot parse, with all that others wrote into it."""
    was = was if how == "stale" else how
    read, parameters = parsed(cache_status(name, how, was, ttl))
    assert read == name
    if how != "stale" and ttl and math.isfinite(ttl):
        assert parameters["ttl"] == int(ttl)
    else:
        assert "ttl" not in parameters
    assert ("stored" in parameters) == (bool(ttl) and how in {"joined", "loaded"})


@given(st.floats(min_value=-1e12, max_value=1e12))
def test_age_is_a_number_of_seconds(seconds: float) -> None:
    """Digits alone, and no more than the RFC allows."""
    assert age(seconds).isdecimal()
    assert 0 <= int(age(seconds)) <= MOST_SECONDS


@pytest.mark.parametrize("name", ["", "größe", "two\nlines", 7, None])
def test_name_that_no_header_can_have_is_refused(name: Any) -> None:
    """A line break in a header is an attack."""
    lookup = herdless.threads.Cache(str.upper).lookup("a")
    with pytest.raises(PolicyError, match="is not accepted: give a text of printable ASCII"):
        lookup.headers(name)
