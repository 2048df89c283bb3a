"""Methods under the `cached` decorator: of an instance, of the class, static, async."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import herdless.asyncio
from herdless.threads import cached
from tests.runtimes.decorated import Log, Shop


class Stall(Shop):
    """A class that inherits cached methods."""


def test_method_is_cached_for_each_instance() -> None:
    """`self` is one of the arguments."""
    one, two = Shop(1), Shop(2)
    for _ in range(2):
        assert (one.price(5), two.price(5), two.price(5, tax=1)) == (5, 10, 11)
    assert (one.calls, two.calls) == (1, 2)


def test_method_is_invalidated_for_one_instance() -> None:
    """On an instance, `invalidate` needs no `self`, like the method itself; on the class it does."""
    one, two = Shop(1), Shop(2)
    one.price(5)
    two.price(5)
    one.price.invalidate(5)
    one.price(5)
    two.price(5)
    assert (one.calls, two.calls) == (2, 1)
    Shop.price.invalidate(two, 5)
    two.price(5)
    assert (one.calls, two.calls) == (2, 2)


def test_method_called_on_the_class() -> None:
    """The plain function is still there, with the same cache."""
    one = Shop(1)
    assert Shop.price(one, 5) == one.price(5) == 5
    assert one.calls == 1
    assert Shop.price.cache is one.price.cache


def test_static_method() -> None:
    """`@staticmethod` stands above `@cached`."""
    Shop.double.cache_clear()
    assert Shop.double(2) == Shop(1).double(2) == 4
    assert Shop.double.cache_info().misses == 1
    Shop(1).double.invalidate(2)
    Shop.double(2)
    assert Shop.double.cache_info().misses == 2


def test_class_method() -> None:
    """`@classmethod` stands above `@cached`, and the class is one of the arguments."""
    Shop.name.cache_clear()
    for _ in range(2):
        assert (Shop.name(1), Stall.name(1), Stall(1).name(1)) == ("Shop 1", "Stall 1", "Stall 1")
    assert Stall.name.cache_info().misses == 2


@pytest.mark.parametrize("times", [0, 1])
def test_class_method_is_invalidated_without_the_class(log: Log, times: int) -> None:
    """As a method is without `self`: by Python 3.13 nobody is told the class, and the wrong key would be invalidated.

    It is not an error to begin with it either, when nothing is cached yet.
    """

    class Base:
        @classmethod
        @cached()
        def name(cls, article: int = 5) -> Any:
            return log.note(cls, article)

    class Derived(Base):
        """Another first argument."""

    for _ in range(times):
        Base.name()
        Derived.name()
    Base.name.invalidate()
    Derived.name.invalidate()
    assert (Base.name(5), Derived().name()) == ((Base, 5), (Derived, 5))
    Derived().name.invalidate(5)
    assert (Base.name(6), Derived.name(5)) == ((Base, 6), (Derived, 5))
    assert log.calls.count((Derived, 5)) == times + 2


class Remote:
    """A class with a cached async method."""

    def __init__(self) -> None:
        self.calls = 0

    @herdless.asyncio.cached(ttl=60)
    async def fetch(self, name: str, *, upper: bool = False) -> str:
        """Count and compute."""
        self.calls += 1
        await asyncio.sleep(0)
        return name.upper() if upper else name


def test_async_method() -> None:
    """One load for callers together, and the method's `invalidate` without `self`."""

    async def main() -> None:
        remote = Remote()
        assert await asyncio.gather(*[remote.fetch("a", upper=True) for _ in range(5)]) == ["A"] * 5
        assert remote.calls == 1
        remote.fetch.invalidate("a", upper=True)
        await remote.fetch("a", upper=True)
        assert remote.calls == 2
        assert await Remote.fetch(remote, "a", upper=True) == "A"
        assert remote.calls == 2

    asyncio.run(main())
