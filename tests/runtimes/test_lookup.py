"""What a lookup tells beside the value."""

from __future__ import annotations

import math

from herdless.threads import Cache, Lookup


def test_a_lookup_says_how_it_got_its_value() -> None:
    """One who logs it reads the word, and one who prints the whole sees it by its name."""
    cache = Cache(str.upper, clock=lambda: 0)
    assert cache.lookup("a") == Lookup("A", "loaded", 0.0, math.inf)
    assert repr(cache.lookup("a")) == "Lookup(value='A', how='hit', age=0.0, ttl=inf)"


def test_the_name_of_herdless_0_1_is_still_there() -> None:
    """Code that was written for it goes on working."""
    cache = Cache(str.upper)
    assert [cache.lookup("a").outcome, cache.lookup("a").outcome] == ["loaded", "hit"]
