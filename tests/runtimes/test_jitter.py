"""Jitter is for every value with a ttl, however it came into the cache."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from herdless.threads import Cache, Loaded
from herdless_core import NANOSECONDS_PER_SECOND

COUNT = 200


@pytest.mark.parametrize(
    "come",
    [
        lambda cache, key: cache.get(key),
        lambda cache, key: cache.put(key, "value"),
        lambda cache, key: cache.put(key, Loaded("value", ttl=100)),
    ],
    ids=["loaded", "put", "put with a ttl"],
)
@pytest.mark.parametrize("load", [lambda _: "value", lambda _: Loaded("value", ttl=100)], ids=["bare", "with a ttl"])
def test_values_that_come_together_do_not_expire_together(
    load: Callable[[int], str], come: Callable[[Cache[int, str], int], None]
) -> None:
    """A warm-up by put, or a loader that gives the ttl, would otherwise send all keys to the origin in one moment."""
    now = 0
    cache = Cache(load, ttl=100, jitter=0.9, clock=lambda: now)
    for key in range(COUNT):
        come(cache, key)
    left = []
    for seconds in (9, 50, 99, 100):
        now = seconds * NANOSECONDS_PER_SECOND
        left.append(sum(key in cache for key in range(COUNT)))
    assert left[0] == COUNT
    assert COUNT > left[1] > left[2] >= left[3] == 0
    assert COUNT // 10 < left[1] < COUNT * 9 // 10, "half of them, but for luck"
