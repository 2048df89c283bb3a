"""`Cache(name=...)`: what a cache is called in logs, and by what it is found."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import PolicyError
from herdless._known import Known, known, set_standard_clock, standard_clock, unwatch, watch
from herdless.testing import VirtualClock

CACHES: Any = [herdless.asyncio.Cache, herdless.threads.Cache, herdless.trio.Cache]


def caches() -> list[Any]:
    """Those that are alive."""
    gc.collect()  # a compiled cache waits for it
    return [cache for each in known() if (cache := each.cache()) is not None]


@pytest.mark.parametrize("cache_class", CACHES, ids=lambda each: each.__module__)
def test_a_cache_is_known_while_it_lives(cache_class: Any) -> None:
    """Metrics of all caches must not keep one alive that the program has dropped."""
    before = len(caches())
    cache = cache_class(str.upper, name="users")
    assert cache.name == "users"
    assert [each for each in caches() if each is cache]
    del cache
    assert len(caches()) == before


@pytest.mark.parametrize("name", ["", 7, b"users", True])
def test_what_is_no_name_is_refused(name: Any) -> None:
    """A number would be a label in one place and an error in another."""
    with pytest.raises(PolicyError, match=r"name=.* is not accepted: give None or a text that is not empty"):
        herdless.threads.Cache(str.upper, name=name)


def test_a_cached_function_may_have_a_name() -> None:
    """Most caches are decorators."""

    @herdless.threads.cached(ttl=60, name="prices")
    def price(item: str) -> int:
        return len(item)

    assert price.cache.name == "prices"
    assert herdless.threads.Cache(str.upper).name is None


def test_whoever_watches_is_told_of_caches_to_come() -> None:
    """Metrics are set up before, between and after the modules that make caches."""
    told: list[str | None] = []

    def watcher(known: Known) -> None:
        told.append(known.name)

    first = herdless.threads.Cache(str.upper, name="first")
    watch(watcher)
    second = herdless.threads.Cache(str.upper, name="second")
    unwatch(watcher)
    third = herdless.threads.Cache(str.upper, name="third")
    unwatch(watcher)  # once more does no harm
    assert [name for name in told if name in {"first", "second", "third"}] == ["first", "second"]
    assert {each.name for each in (first, second, third)} == {"first", "second", "third"}


def test_each_name_has_a_logger_and_its_records_say_so(caplog: pytest.LogCaptureFixture) -> None:
    """One cache's outage can be silenced, or sent elsewhere, without the others'."""

    def fail(key: str) -> str:
        raise ConnectionError("down")

    named = herdless.threads.Cache(fail, ttl=60, stale_if_error=60, name="users")
    unnamed = herdless.threads.Cache(fail, ttl=60, stale_if_error=60)
    for cache in (named, unnamed):
        cache.put("a", "A")
        cache.expire("a")
        assert cache.get("a") == "A"
    told = [(record.name, record.herdless_cache, record.herdless_event) for record in caplog.records]  # type: ignore[attr-defined]  # documented
    assert told == [("herdless.users", "users", "refresh_failed"), ("herdless", None, "refresh_failed")]
    logging.getLogger("herdless.users").disabled = True
    try:
        named.put("b", "B")
        named.expire("b")
        named.get("b")
    finally:
        logging.getLogger("herdless.users").disabled = False
    assert len(caplog.records) == 2


def test_every_record_has_an_event(caplog: pytest.LogCaptureFixture) -> None:
    """What counts by `herdless_event` must not miss a failing observer."""

    def observe(key: str, step: object) -> None:
        raise ValueError(key)

    herdless.threads.Cache(str.upper, observe=observe, name="users").put("a", "A")
    (record,) = caplog.records
    assert (record.herdless_event, record.herdless_cache) == ("observer_failed", "users")  # type: ignore[attr-defined]  # documented
    assert record.funcName != "tell"
    assert record.exc_info is not None


def test_the_clock_of_caches_that_are_given_none_can_be_another() -> None:
    """The pytest plugin sets it before any module makes a cache."""
    before, clock = standard_clock(), VirtualClock()
    set_standard_clock(clock)
    try:
        cache, own = herdless.threads.Cache(str.upper, ttl=60), herdless.threads.Cache(str.upper, clock=before)
    finally:
        set_standard_clock(before)
    cache.get("a")
    clock.advance(60)
    assert cache.lookup("a").how == "loaded"
    assert own._clock is herdless.threads.Cache(str.upper)._clock is before


def test_an_observer_can_be_added_and_taken_away() -> None:
    """What measures is set up when the cache is in use already."""
    told: list[tuple[str, str]] = []
    cache = herdless.threads.Cache(str.upper, observe=lambda key, step: told.append(("first", key)))

    def second(key: str, step: object) -> None:
        told.append(("second", key))

    cache._add_observer(second)
    cache.put("a", "A")
    cache._drop_observer(second)
    cache.put("b", "B")
    assert told == [("first", "a"), ("second", "a"), ("first", "b")]
    bare = herdless.threads.Cache(str.upper)
    bare._add_observer(second)
    bare._drop_observer(second)
    assert bare._keyspace.observe is None
