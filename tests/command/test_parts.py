"""The parts of `herdless herd`: the plans, and the plain cache that herdless is compared with."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from herdless._command.herd import runtimes
from herdless._command.herd.runs import COLD_TTL_SECONDS, MIX_SECONDS, MIX_TTL_SECONDS, cold_herd, mix
from herdless._command.herd.runtimes import PlainCache


def test_cold_herd_is_every_caller_on_one_key() -> None:
    """All at once, and in one generation whatever the machine's speed."""
    plan = cold_herd(3, "a")
    assert plan.visits == ((0.0, "a"),) * 3
    assert plan.ttl == COLD_TTL_SECONDS


def test_mix_is_the_same_for_the_same_seed() -> None:
    """Every cache is given the same lookups, and a user can repeat a run."""
    assert mix(20, "abc", 1) == mix(20, "abc", 1)
    assert mix(20, "abc", 1).visits != mix(20, "abc", 2).visits


def test_mix_is_zipf_distributed() -> None:
    """The k-th key is asked for 1/k times as often as the first."""
    keys = [f"key-{number}" for number in range(10)]
    asked = Counter(key for _, key in mix(10_000, keys, 1).visits)
    for rank, key in enumerate(keys, 1):
        assert asked[key] == pytest.approx(asked["key-0"] / rank, rel=0.15)


def test_mix_lasts_longer_than_its_values() -> None:
    """Values expire while they are asked for."""
    plan = mix(50, "ab", 1)
    times = [at for at, _ in plan.visits]
    assert plan.ttl == MIX_TTL_SECONDS < MIX_SECONDS / 2
    assert 0 <= min(times) < max(times) <= MIX_SECONDS


def test_plain_cache_loads_again_after_its_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    """What herdless is compared with is a cache, and a fair one: a value lives from the end of its load."""
    now = 0.0
    loads: list[str] = []

    def load(key: str) -> str:
        loads.append(key)
        return f"{key} at {now:g}"

    async def load_async(key: str) -> str:
        return load(key)

    monkeypatch.setattr(runtimes, "monotonic", lambda: now)
    threads, tasks = PlainCache(load, ttl=10), PlainCache(load_async, ttl=10)
    for now, value in ((5.0, "a at 5"), (14.9, "a at 5"), (15.0, "a at 15"), (24.9, "a at 15")):  # noqa: B007  # the caches' clock reads it
        assert threads.get("a") == asyncio.run(tasks.get_async("a")) == value
    assert len(loads) == 4


def test_plain_cache_joins_nobody() -> None:
    """That is the difference which is measured."""
    loads: list[str] = []

    async def load(key: str) -> None:
        loads.append(key)
        await asyncio.sleep(0)

    async def herd() -> None:
        cache = PlainCache(load, ttl=10)
        await asyncio.gather(*(cache.get_async("a") for _ in range(5)))

    asyncio.run(herd())
    assert len(loads) == 5
