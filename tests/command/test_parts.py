"""The parts of the command that are functions: the plan, the plain cache, the time line, the words."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from herdless._command import _baseline
from herdless._command._baseline import PlainAsyncCache, PlainCache
from herdless._command._plan import COLD_TTL_SECONDS, MIX_SECONDS, MIX_TTL_SECONDS, Key, cold_herd, zipf_mix
from herdless._command._run import percentile
from herdless._command._timeline import Segment, cells, time_line
from herdless._command._words import duration, glyphs_for
from herdless_core import Keyspace, Policy, Step

SECOND = 1_000_000_000


def test_cold_herd_is_every_caller_on_one_key() -> None:
    """All at once, and in one generation whatever the machine's speed."""
    plan = cold_herd(3, "a")
    assert [[(visit.at, visit.key) for visit in visits] for visits in plan.callers] == [[(0.0, "a")]] * 3
    assert plan.ttl == COLD_TTL_SECONDS


def test_mix_is_the_same_for_the_same_seed() -> None:
    """Every cache is given the same lookups, and a user can repeat a run."""
    assert zipf_mix(20, "abc", 1) == zipf_mix(20, "abc", 1) != zipf_mix(20, "abc", 2)


def test_mix_is_zipf_distributed() -> None:
    """The k-th key is asked for 1/k times as often as the first."""
    keys = [f"key-{number}" for number in range(10)]
    asked = Counter(visit.key for visits in zipf_mix(5000, keys, 1).callers for visit in visits)
    for rank, key in enumerate(keys, 1):
        assert asked[key] == pytest.approx(asked["key-0"] / rank, rel=0.15)


def test_mix_lasts_longer_than_its_values() -> None:
    """Values expire while they are asked for; and every caller's visits are in order."""
    plan = zipf_mix(50, "ab", 1)
    times = [[visit.at for visit in visits] for visits in plan.callers]
    assert MIX_TTL_SECONDS < MIX_SECONDS / 2
    assert all(visits == sorted(visits) for visits in times)
    assert 0 <= min(map(min, times)) <= max(map(max, times)) <= MIX_SECONDS


def test_plain_cache_loads_again_after_its_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    """What herdless is compared with is a cache, and a fair one."""
    now = 0.0
    loads: list[Key] = []

    async def load(key: Key) -> object:
        loads.append(key)
        return key

    monkeypatch.setattr(_baseline, "monotonic", lambda: now)
    threads, tasks = PlainCache(loads.append, ttl=10), PlainAsyncCache(load, ttl=10)
    for now, loaded in ((0.0, 2), (9.9, 2), (10.0, 4), (19.9, 4)):  # noqa: B007  # the caches' clock reads it
        threads.get("a")
        assert asyncio.run(tasks.get("a")) == "a"
        assert len(loads) == loaded


def test_plain_cache_joins_nobody() -> None:
    """That is the difference which is measured."""
    loads: list[Key] = []

    async def load(key: Key) -> object:
        loads.append(key)
        await asyncio.sleep(0)
        return key

    async def herd() -> None:
        cache = PlainAsyncCache(load, ttl=10)
        await asyncio.gather(*(cache.get("a") for _ in range(5)))

    asyncio.run(herd())
    assert len(loads) == 5


def test_time_line_shows_aging_between_steps() -> None:
    """A value that expires takes no step; the time line knows all the same when it did."""
    steps: list[Step] = []
    keyspace = Keyspace[str](
        Policy(ttl=2, stale_while_revalidate=3), observe=lambda key, step: steps.append(step) if key == "a" else None
    )
    keyspace.get("a", 1 * SECOND)
    keyspace.get("a", 1 * SECOND)
    keyspace.load_succeeded(1, "value", 2 * SECOND)
    keyspace.get("a", 9 * SECOND)
    assert time_line(steps, 0, 10.0) == (
        Segment("absent", 0.0, 1.0, 0),
        Segment("pending", 1.0, 2.0, 2),
        Segment("fresh", 2.0, 3.0, 0),
        Segment("stale", 3.0, 6.0, 0),
        Segment("absent", 6.0, 9.0, 0),
        Segment("pending", 9.0, 10.0, 1),
    )


def test_time_line_without_steps_is_empty() -> None:
    """The plain cache has no entry that could be in a state."""
    assert time_line([], 0, 1.0) == ()


def test_short_load_is_seen_in_its_cell() -> None:
    """A load of a millisecond in a second would be lost else; beyond the end there is nothing."""
    line = [Segment("absent", 0.0, 0.1, 0), Segment("pending", 0.1, 0.101, 1), Segment("fresh", 0.101, 5.0, 0)]
    assert cells(line, 10.0, 10) == ["pending", "fresh", "fresh", "fresh", "fresh", *[None] * 5]


@pytest.mark.parametrize(("fraction", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_is_the_nearest_rank(fraction: float, value: float) -> None:
    """No latency is reported that nobody had."""
    assert percentile(range(1, 101), fraction) == value


def test_percentile_of_one_is_that_one() -> None:
    """A herd may be of one caller."""
    assert percentile([7.0], 0.99) == percentile([7.0], 0.5) == 7.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 us"),
        (0.00000123, "1.23 us"),
        (0.00999, "9.99 ms"),
        (0.0123, "12.3 ms"),
        (0.123, "123 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (123.0, "123 s"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float, text: str) -> None:
    """Columns of microseconds beside seconds must be told apart at a glance."""
    assert duration(seconds) == text


def test_glyphs_differ_in_every_encoding() -> None:
    """Two states that look alike would make the time line a lie."""
    for encoding in ("utf-8", "UTF-8", "ascii", "cp1252"):
        glyphs = "".join(glyphs_for(encoding).values())
        assert len(set(glyphs)) == 5
        glyphs.encode(encoding)
