"""The check that decides the exit status: it must see every way in which a key is loaded too often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

import herdless.threads
from herdless.__main__ import main
from herdless._command.herd.origin import Origin
from herdless._command.herd.runs import PLAIN, Plan, Run, cold_herd, mix
from herdless.adapter import K, V
from herdless.threads import Cache
from herdless_core import Keyspace, Observer, Policy

COLD, MIX = cold_herd(2, "a"), mix(2, "ab", 1)
ORIGIN = Origin("a test", str, is_async=False)


def violations(plan: Plan, loads: Sequence[tuple[str, int, int]], begun: str, cache: str = "herdless") -> list[str]:
    """What is found where the origin saw these loads, and the cache says that it began generations of these keys."""
    return list(Run(plan, "threads", cache, ORIGIN, [], list(loads), list(begun)).violations())


def test_honest_record_passes() -> None:
    """One load for each generation, one after the other for each key, is what herdless promises."""
    assert violations(MIX, [("a", 5, 15), ("b", 7, 9), ("a", 15, 45)], "aab") == []


def test_load_without_generation_is_seen() -> None:
    """The heart of it: loaded twice in one generation, or behind the cache's own back."""
    assert violations(MIX, [("a", 5, 15), ("a", 16, 20), ("b", 7, 9)], "a") == [
        "'a': the origin saw 2 loads, herdless began 1 generations",
        "'b': the origin saw 1 loads, herdless began 0 generations",
    ]


def test_generation_without_load_is_seen() -> None:
    """The counts must agree both ways, and key by key, or the record cannot be trusted."""
    assert violations(MIX, [("a", 5, 15), ("a", 16, 20)], "ab") == [
        "'a': the origin saw 2 loads, herdless began 1 generations",
        "'b': the origin saw 0 loads, herdless began 1 generations",
    ]


def test_loads_of_one_key_that_overlap_are_seen() -> None:
    """Two generations of one key may follow each other, never run side by side, in whatever order they were noted."""
    assert violations(MIX, [("a", 35, 45), ("b", 1, 99), ("a", 5, 40)], "aab") == [
        "two loads of 'a' ran at the same time"
    ]


@pytest.mark.parametrize("loads", [0, 2])
def test_cold_herd_is_exactly_one_load(loads: int) -> None:
    """None at all would mean that nothing was tested; two, that the herd got through."""
    record = [("a", 10 * number, 10 * number + 5) for number in range(loads)]
    assert violations(COLD, record, "a" * loads) == [
        f"the herd on one cold key gave {loads} origin queries instead of 1"
    ]


def test_the_plain_cache_breaks_no_promise() -> None:
    """It gives none: that every caller loads is what it is there to show."""
    assert violations(COLD, [("a", 5, 15), ("a", 5, 15)], "", PLAIN) == []


def test_generations_are_read_from_the_steps() -> None:
    """What the check compares with is what the cache itself reported: joins begin none."""
    run = Run(MIX, "threads", "herdless", ORIGIN)
    now = count(10, 10)
    keyspace = Keyspace[str](Policy(ttl=1), observe=run.observe)
    keyspace.get("a", next(now))
    keyspace.get("a", next(now))
    keyspace.load_succeeded(1, "value", next(now))
    keyspace.get("b", next(now))
    keyspace.invalidate("b", next(now))
    keyspace.get("b", next(now))
    assert run.begun == ["a", "b", "b"]


class DoublingCache(Cache[K, V]):  # type: ignore[misc]  # final, and broken on purpose
    """A cache that asks its origin twice."""

    def __init__(self, load: Callable[[K], V], *, ttl: float, observe: Observer) -> None:
        def load_twice(key: K) -> V:
            load(key)
            return load(key)

        super().__init__(load_twice, ttl=ttl, observe=observe)


@pytest.mark.usefixtures("short_mix")
@pytest.mark.pure("derives from a final class")
def test_broken_cache_is_exit_status_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From end to end: the origin's own record convicts a cache that loads twice."""
    monkeypatch.setattr(herdless.threads, "Cache", DoublingCache)
    status = main(["herd", "--runtime", "threads", "--callers", "3", "--keys", "2"])
    out, _ = capsys.readouterr()
    assert status == 1
    assert "BROKEN: cold, threads: 'key-0': the origin saw 2 loads, herdless began 1 generations" in out
    assert "BROKEN: cold, threads: the herd on one cold key gave 2 origin queries instead of 1" in out
    assert "Checked" not in out
