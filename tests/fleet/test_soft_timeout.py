"""`soft_timeout` and a back-off that grows, of a shared cache of any colour."""

from __future__ import annotations

from typing import Any, Final

import pytest

from herdless.stores import MemoryStore
from herdless_core._fleet.record import parse
from tests.fleet.faces import made
from tests.fleet.loads import Loads, until_begun
from tests.fleet.server import PATIENCE
from tests.fleet.test_processes import wait_until

KEPT: Final[dict[str, Any]] = {"ttl": 60, "stale_if_error": 600}
"""What is kept for failures only: a lookup has to wait for a load."""
AT_ONCE: Final = 0.001
HOURS: Final = 36_000


def test_a_load_that_takes_too_long_is_answered_with_what_is_kept(
    colour: str, store: MemoryStore, loads: Loads
) -> None:
    """In the process that loads and in one that waits for it. The load goes on, is the only one, and stores."""
    options = KEPT | {"soft_timeout": AT_ONCE}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        assert one.get("a") == two.get("a") == ["a", 1]
        loads.gate.clear()
        one.do("expire", "a")
        wait_until(lambda: "a" not in two.cache)
        found = one.do("lookup", "a")
        assert (found.value, found.how) == (["a", 1], "stale")
        until_begun(loads, 2)
        assert two.get("a") == one.get("a") == ["a", 1]
        loads.gate.set()
        wait_until(lambda: one.get("a") == two.get("a") == ["a", 2])
        assert len(loads.keys) == 2
        assert one.cache.stats().soft_answers >= 2
        assert two.cache.stats().soft_answers >= 1


def test_a_load_that_ends_in_time_is_the_answer(colour: str, store: MemoryStore, loads: Loads) -> None:
    """For those here and elsewhere."""
    options = KEPT | {"soft_timeout": HOURS}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        assert one.get("a") == two.get("a") == ["a", 1]
        loads.gate.clear()
        one.do("expire", "a")
        wait_until(lambda: "a" not in two.cache)
        here = one.begin("get", "a")
        until_begun(loads, 2)
        elsewhere = two.begin("get", "a")
        loads.gate.set()
        assert here.result(PATIENCE) == elsewhere.result(PATIENCE) == ["a", 2]
        assert one.cache.stats().soft_answers == two.cache.stats().soft_answers == 0


def test_an_error_that_is_an_answer_is_the_loaders_own(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Also where the load is led behind the caller: it is raised where it was raised."""
    with made(colour, loads, store, **KEPT, soft_timeout=HOURS, answers=LookupError) as one:
        assert one.get("a") == ["a", 1]
        one.do("expire", "a")
        loads.ends = [LookupError("no such row")]
        with pytest.raises(LookupError, match="no such row"):
            one.get("a")


@pytest.mark.parametrize("awaited", ["asyncio", "trio"])
def test_a_caller_who_leaves_leaves_the_load_to_the_fleet(awaited: str, store: MemoryStore, loads: Loads) -> None:
    """It is led behind, stores what it gives, and nobody waits for a lease."""
    with made(awaited, loads, store, **KEPT, soft_timeout=HOURS, lease=HOURS) as one:
        assert one.get("a") == ["a", 1]
        loads.gate.clear()
        one.do("expire", "a")
        caller = one.begin("get", "a")
        until_begun(loads, 2)
        one.cancel(caller)
        loads.gate.set()
        wait_until(lambda: "a" in one.cache or one.get("a") == ["a", 2])
        assert one.get("a") == ["a", 2]
        assert len(loads.keys) == 2


def test_failures_in_a_row_lengthen_the_back_off_of_all(colour: str, store: MemoryStore, loads: Loads) -> None:
    """Each is counted in the record, whichever process it was in."""
    options = KEPT | {"refresh_backoff": (AT_ONCE, HOURS)}
    with made(colour, loads, store, **options) as one, made(colour, loads, store, **options) as two:
        assert one.get("a") == ["a", 1]
        one.do("expire", "a")
        loads.ends = [OSError("down")] * 1_000

        def has_failed_often() -> bool:
            assert one.get("a") == two.get("a") == ["a", 1]
            return parse(store.read("a")).failures >= 3

        wait_until(has_failed_often)
