"""Tags, where an interrupt or a handler comes in between any two instructions: no value is held without its tags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
from herdless.testing import Injection, call_everywhere, interrupt_everywhere
from herdless_core import Loaded
from tests.interrupts.tables import assert_tables_agree
from tests.schedules.depth import IS_DEEP

OPERATIONS: dict[str, Callable[[Any], object]] = {
    "load": lambda cache: cache.get("a"),
    "put": lambda cache: cache.put("a", "a", tags=["t", "u"]),
    "replace": lambda cache: cache.put("b", "b", tags=["u", "t"]),
    "replace by a bare value": lambda cache: cache.put("c", "c"),
    "remove": lambda cache: cache.invalidate("b"),
    "invalidate_tag": lambda cache: cache.invalidate_tag("t"),
    "clear": lambda cache: cache.clear(),
}
"""What may be done to a cache in which `b` has the tag `t`, and `c` the tag `v`."""


def assert_tags_agree(cache: Any) -> None:
    """The index has no key that holds no value; and by the tag everything is found that has it."""
    assert_tables_agree(cache)
    index = cache._keyspace._store.tags
    assert set(index._labels) <= {key for key in "abc" if key in cache}
    cache.invalidate_tag("t")
    assert "a" not in cache
    assert "b" not in cache
    assert not set(index._groups) & {"t"}


def scene(operation: str) -> Callable[[Injection], None]:
    """The operation, disturbed, and then the judgement."""

    def once(injection: Injection) -> None:
        cache = herdless.threads.Cache[str, str](lambda key: Loaded(key, tags=["t"]), maxsize=3)
        cache.put("b", "b", tags=["t"])
        cache.put("c", "c", tags=["v"])
        with injection.using(cache):
            OPERATIONS[operation](cache)
        assert_tags_agree(cache)

    return once


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_value_is_held_with_all_its_tags_wherever_an_interrupt_comes(operation: str) -> None:
    """Broken off between the entry and its tags, it could never be invalidated by them."""
    assert interrupt_everywhere(scene(operation), every=1 if IS_DEEP else 17, first=1 + len(operation)) > 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_handler_may_invalidate_a_tag_wherever_it_comes(operation: str) -> None:
    """Inside the lock it is put off until that is left."""
    handler = OPERATIONS["invalidate_tag"]
    assert call_everywhere(scene(operation), handler, every=1 if IS_DEEP else 29, first=1 + len(operation)) > 5


def test_nobody_hangs_where_an_invalidation_is_interrupted_during_a_load() -> None:
    """Those who are being told apart are answered, or told that they were cancelled."""

    def once(injection: Injection) -> None:
        async def main() -> None:
            gate = asyncio.Event()
            version = ["old"]

            async def load(key: str) -> Loaded[str]:
                read = version[0]
                await gate.wait()
                return Loaded(read, tags=["t"])

            cache = herdless.asyncio.Cache[str, str](load)
            early = [asyncio.ensure_future(cache.get("k")) for _ in range(2)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            version[0] = "new"
            oldest = "old"
            with injection:
                cache.invalidate_tag("t")
                oldest = "new"
            late = asyncio.ensure_future(cache.get("k"))
            await asyncio.sleep(0)
            gate.set()
            for waiter in early:
                assert await asyncio.wait_for(waiter, 30) in {"old", "new"}
            assert await asyncio.wait_for(late, 30) in {oldest, "new"}
            assert_tables_agree(cache)

        asyncio.run(main())

    assert interrupt_everywhere(once, every=1 if IS_DEEP else 7) > 20
