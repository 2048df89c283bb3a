"""A key that fails at one of the times when it is hashed or compared, as those do that ask a session.

Whoever calls the cache with it is told. Nobody else is: neither who needs the room of it, nor who sweeps out what has
expired, and the cache does not lose its room either.
"""

from __future__ import annotations

from typing import final

import pytest

from herdless.testing import VirtualClock
from herdless.threads import Cache
from tests.interrupts.tables import assert_tables_agree


@final
class Moody:
    """left: so many uses are left, of which the last one fails; 0: none does."""

    def __init__(self) -> None:
        self.left = 0

    def use(self) -> None:
        """Fail, if it is this one."""
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("the session is closed")

    def __hash__(self) -> int:
        self.use()
        return 987_654_321  # no other key's: a dict compares what has the same hash, and there its error is everybody's

    def __eq__(self, other: object) -> bool:
        self.use()
        return isinstance(other, Moody)


@pytest.mark.parametrize("is_visited", [False, True], ids=["once looked up", "looked up again"])
@pytest.mark.parametrize("seconds", [0, 20], ids=["fresh", "expired"])
@pytest.mark.parametrize("maxsize", [None, 1, 4, 20])
def test_nobody_is_told_that_another_key_fails(maxsize: int | None, seconds: int, is_visited: bool) -> None:
    """A stranger's key may be a request, or a row of a database that is down."""
    assert any(fails_beside(left, maxsize, seconds, is_visited=is_visited) for left in range(1, 60))


def fails_beside(left: int, maxsize: int | None, seconds: int, *, is_visited: bool) -> bool:
    """Use a cache with other keys, while the so manieth use of the one that it holds fails; whether it did."""
    clock = VirtualClock()
    cache = Cache[object, object](lambda key: key, ttl=10, maxsize=maxsize, clock=clock)
    key = Moody()
    for _ in range(1 + is_visited):
        cache.get(key)
    clock.advance(seconds)
    key.left = left
    for number in range(6):
        name = f"stranger {number}"
        assert cache.get(name) == name
    cache.invalidate("stranger 2")
    has_failed = key.left == 0
    key.left = 0
    for number in range(40):
        assert cache.get(number) == number
    assert cache.get(key) is key
    assert_tables_agree(cache)
    return has_failed
