"""The check that decides the exit status: it must see every way in which a key is loaded too often."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from herdless.__main__ import main
from herdless._cache import K, V
from herdless._command import _on_threads
from herdless._command._check import AFTER_ALL, FlightSpan, flights_of, violations
from herdless._command._ledger import Load
from herdless._command._plan import Key
from herdless.threads import Cache
from herdless_core import Keyspace, Observer, Policy, Step

FIRST = FlightSpan("a", 1, attached=0, detached=20)
SECOND = FlightSpan("a", 2, attached=30, detached=50)
HONEST = (Load("a", 1, 5, 15), Load("a", 2, 35, 45))


def test_honest_record_passes() -> None:
    """One load for each generation, one after the other, is what herdless promises."""
    assert violations(HONEST, [FIRST, SECOND], is_cold_herd=False) == []


def test_second_load_of_a_generation_is_seen() -> None:
    """The heart of it: loaded twice in one generation."""
    loads = (*HONEST, Load("a", 2, 46, 48))
    assert violations(loads, [FIRST, SECOND], is_cold_herd=False) == [
        "'a' was loaded 2 times in generation 2",
        "'a': the origin saw 3 loads, the cache started 2 generations",
    ]


def test_load_that_no_generation_explains_is_seen() -> None:
    """A cache that goes to its origin behind its own back."""
    loads = (*HONEST, Load("b", None, 60, 70))
    assert violations(loads, [FIRST, SECOND], is_cold_herd=False) == [
        "'b' was loaded 1 times outside of any generation",
        "'b': the origin saw 1 loads, the cache started 0 generations",
    ]


def test_generation_without_load_is_seen() -> None:
    """The counts must agree both ways, or the record cannot be trusted."""
    assert violations(HONEST[:1], [FIRST, SECOND], is_cold_herd=False) == [
        "'a': the origin saw 1 loads, the cache started 2 generations"
    ]


def test_loads_that_overlap_while_attached_are_seen() -> None:
    """Two generations of one key may follow each other, never run side by side."""
    flights = [FlightSpan("a", 1, 0, AFTER_ALL), FlightSpan("a", 2, 10, 50)]
    loads = (Load("a", 1, 5, 40), Load("a", 2, 35, 45))
    assert violations(loads, flights, is_cold_herd=False) == ["two loads of 'a' ran at the same time"]


def test_superseded_load_may_run_on() -> None:
    """A load that was superseded is not attached any more, and threads cannot cancel it."""
    loads = (Load("a", 1, 5, 40), Load("a", 2, 35, 45))
    assert violations(loads, [FIRST, SECOND], is_cold_herd=False) == []


def test_loads_of_different_keys_may_overlap() -> None:
    """Single flight is a promise for each key."""
    loads = (Load("a", 1, 5, 15), Load("b", 2, 5, 15))
    flights = [FlightSpan("a", 1, 0, 20), FlightSpan("b", 2, 0, 20)]
    assert violations(loads, flights, is_cold_herd=False) == []


@pytest.mark.parametrize(("loads", "flights", "count"), [((), (), 0), (HONEST, (FIRST, SECOND), 2)])
def test_cold_herd_is_exactly_one_load(loads: tuple[Load, ...], flights: tuple[FlightSpan, ...], count: int) -> None:
    """None at all would mean that nothing was tested; two, that the herd got through."""
    assert violations(loads, flights, is_cold_herd=True) == [
        f"the herd on one cold key gave {count} origin queries instead of 1"
    ]


def test_flights_are_read_from_the_steps() -> None:
    """What the check compares with is what the cache itself reported, invalidation included."""
    steps: list[tuple[Key, Step]] = []
    keyspace = Keyspace[str](Policy(ttl=1), observe=lambda key, step: steps.append((key, step)))
    keyspace.get("a", 10)
    keyspace.get("a", 11)
    keyspace.load_succeeded(1, "value", 20)
    keyspace.get("b", 30)
    keyspace.invalidate("b", 40)
    keyspace.get("b", 50)
    assert flights_of(steps) == [
        FlightSpan("a", 1, 10, 20),
        FlightSpan("b", 2, 30, 40),
        FlightSpan("b", 3, 50, AFTER_ALL),
    ]


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
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(_on_threads, "Cache", DoublingCache)
    status = main(["herd", "--runtime", "threads", "--callers", "3", "--keys", "2"])
    out, _ = capsys.readouterr()
    assert status == 1
    assert "BROKEN: cold, threads: 'key-0' was loaded 2 times in generation 1" in out
    assert "BROKEN: cold, threads: the herd on one cold key gave 2 origin queries instead of 1" in out
