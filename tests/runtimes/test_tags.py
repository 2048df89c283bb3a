"""Tags in the runtimes that tell callers apart: nobody loads for nothing, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
from herdless.adapter import MOST_PLACES, BaseCache
from herdless_core import Join, Loaded, Step
from herdless_verify.contract import World
from herdless_verify.contract import tags as scenarios
from herdless_verify.contract.world import outcome_of
from tests.contract.drivers import WORLDS

Scene = Callable[[World], Coroutine[Any, Any, None]]

TELL_APART = ("asyncio", "trio", "threads")


@pytest.fixture(params=TELL_APART)
def play(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    """Plays a scene in one of the runtimes."""
    return lambda scene: WORLDS[request.param]().check(scene)


def test_a_value_without_the_tag_is_loaded_once(play: Callable[[Scene], None]) -> None:
    """A stream of invalidations by other tags must not keep a cache from storing anything."""

    async def scene(w: World) -> None:
        cache = await w.open()
        callers = []
        for number in range(2 * MOST_PLACES):
            callers.append(w.get("k"))
            await w.settle()
            cache.invalidate_tag(f"user:{number}")
        w.load.succeed(Loaded(1, tags=["team:1"]))
        await w.settle()
        assert [caller.value for caller in callers] == [1] * len(callers)
        assert (len(w.loads), cache.peek("k")) == (1, 1)

    play(scene)


def test_each_caller_is_judged_by_when_it_asked(play: Callable[[Scene], None]) -> None:
    """Of several invalidations it is the first of the value's own tags that tells who came too late."""

    async def scene(w: World) -> None:
        cache = await w.open()
        first = w.get("k")
        await w.settle()
        cache.invalidate_tag("other")
        second = w.get("k")
        await w.settle()
        cache.invalidate_tag("user:7")
        third = w.get("k")
        await w.settle()
        cache.invalidate_tag("team:1")
        cache.invalidate_tag("user:7")
        fourth = w.get("k")
        await w.settle()
        w.loads[0].succeed(Loaded("old", tags=["team:1", "user:7"]))
        await w.settle()
        assert (first.value, second.value) == ("old", "old")
        w.loads[1].succeed(Loaded("new", tags=["team:1", "user:7"]))
        await w.settle()
        assert (third.value, fourth.value) == ("new", "new")
        assert len(w.loads) == 2

    play(scene)


@pytest.mark.parametrize("end", ["fails", "is late", "is overtaken by a put"])
def test_all_callers_share_what_is_not_the_loaders_value(play: Callable[[Scene], None], end: str) -> None:
    """An error has no tags, and what was put is newer than the invalidation."""

    async def scene(w: World) -> None:
        cache = await w.open(load_timeout=5)
        early = w.get("k")
        await w.settle()
        cache.invalidate_tag("user:7")
        late = w.get("k")
        await w.settle()
        match end:
            case "fails":
                w.load.fail(OSError("down"))
                await w.settle()
            case "is late":
                await w.advance(5)
            case _:
                cache.put("k", "put", tags=["user:7"])
                await w.settle()
        assert (early.is_done, late.is_done) == (True, True)
        assert repr(early.error) == repr(late.error)
        assert len(w.loads) == 1

    play(scene)


def test_outdated_refresh_leaves_what_was_held(play: Callable[[Scene], None]) -> None:
    """That has not the tag, or it would have gone; the next lookup that needs a load starts one."""

    async def scene(w: World) -> None:
        cache = await w.open(ttl=10, stale_while_revalidate=10)
        await w.fill("k", 1)
        await w.advance(10)
        assert await outcome_of(w, "k") == "stale"
        cache.invalidate_tag("user:7")
        w.load.succeed(Loaded(2, tags=["user:7"]))
        await w.settle()
        assert cache.peek("k") == 1
        assert await outcome_of(w, "k") == "stale"
        assert len(w.loads) == 3
        w.load.succeed(Loaded(3, tags=["user:7"]))
        await w.settle()
        assert cache.peek("k") == 3

    play(scene)


def test_caller_who_joined_before_its_key_was_invalidated_too_looks_again(play: Callable[[Scene], None]) -> None:
    """After the tag, and before the key: the load is superseded, and still too old for this caller."""

    async def scene(w: World) -> None:
        cache = await w.open()
        early = w.get("k")
        await w.settle()
        cache.invalidate_tag("user:7")
        late = w.get("k")
        await w.settle()
        cache.invalidate("k")
        w.loads[0].succeed(Loaded("old", tags=["user:7"]))
        await w.settle()
        assert early.value == "old"
        assert not late.is_done
        w.loads[1].succeed(Loaded("new", tags=["user:7"]))
        await w.settle()
        assert late.value == "new"

    play(scene)


def test_late_caller_brings_its_own_loader_again(play: Callable[[Scene], None]) -> None:
    """It was not called by the load that was joined; now it is, once."""

    async def scene(w: World) -> None:
        cache = await w.open()
        w.get("k")
        await w.settle()
        cache.invalidate_tag("user:7")
        brought: list[Any] = []

        def load(key: Any) -> Any:
            brought.append(key)
            return w.loader(key)

        late = w.begin(lambda: cache.get("k", load=load))
        await w.settle()
        assert brought == []
        w.loads[0].succeed(Loaded("old", tags=["user:7"]))
        await w.settle()
        assert brought == ["k"]
        w.loads[1].succeed("new")
        await w.settle()
        assert late.value == "new"

    play(scene)


def test_caller_whose_key_was_invalidated_before_the_tag_is_answered(play: Callable[[Scene], None]) -> None:
    """Nobody joins that load any more, and all who wait for it asked before."""

    async def scene(w: World) -> None:
        cache = await w.open()
        early = w.get("k")
        await w.settle()
        cache.invalidate("k")
        cache.invalidate_tag("user:7")
        w.loads[0].succeed(Loaded("old", tags=["user:7"]))
        await w.settle()
        assert (early.value, len(w.loads)) == ("old", 1)

    play(scene)


def test_many_keys_are_looked_up_again_where_they_come_too_late(play: Callable[[Scene], None]) -> None:
    """Each key by itself: those that turn out to be outdated, and no others."""

    async def scene(w: World) -> None:
        cache = await w.open()
        for key in ("old", "fresh"):
            w.get(key)
            await w.settle()
        cache.invalidate_tag("user:7")
        late = w.begin(lambda: cache.get_many(["old", "fresh"]))
        await w.settle()
        w.loads[0].succeed(Loaded(0, tags=["user:7"]))
        w.loads[1].succeed(Loaded(1, tags=["user:8"]))
        await w.settle()
        assert [load.key for load in w.loads] == ["old", "fresh", "old"]
        w.load.succeed(2)
        await w.settle()
        assert late.value == {"old": 2, "fresh": 1}

    play(scene)


def test_many_invalidations_during_a_load_that_hangs_leave_little_behind(play: Callable[[Scene], None]) -> None:
    """Each finds one more caller, who leaves; what is told apart is bounded."""

    async def scene(w: World) -> None:
        cache = await w.open()
        w.get("k")
        await w.settle()
        for number in range(3 * MOST_PLACES):
            w.get("k")
            await w.settle()
            cache.invalidate_tag(f"user:{number}")
        (flight,) = cache._flights.values()
        assert len(flight.places) <= MOST_PLACES
        w.load.succeed(Loaded("old", tags=["user:0"]))
        await w.settle()
        w.load.succeed("new")
        await w.settle()
        assert {caller.value for caller in w.callers} == {"old", "new"}
        assert flight.places == ()

    play(scene)


# An adapter that does not tell callers apart


@pytest.mark.pure("derives from a class that is final")
@pytest.mark.parametrize("keep", [True, False])
def test_adapter_that_tells_nobody_apart_keeps_the_promise(keep: bool) -> None:
    """Its late callers start another load, which is more than it takes, but tells nobody what is outdated."""

    class Plain(herdless.threads.Cache):  # type: ignore[misc, type-arg]  # it is final, and so is not for users
        _tell_apart = BaseCache._tell_apart

        def _settle(self, flight: Any, outcome: Any) -> None:
            flight.outdated_by = 0
            super()._settle(flight, outcome)

    world: Any = WORLDS["threads"]

    class PlainWorld(world):  # type: ignore[misc]  # chosen by a name
        cache_class = Plain

    PlainWorld().check(partial(scenarios.test_no_stale_read_of_a_tag, keep=keep))
    PlainWorld().check(scenarios.test_no_stale_read_of_a_tag_by_refresh)
    PlainWorld().check(scenarios.test_load_whose_tag_was_invalidated_is_not_stored)


# Real programs


class Joined:
    """An observer by which a test waits until a caller has joined a load."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, key: object, step: Step) -> None:
        """Told of every step."""
        if any(isinstance(effect, Join) and not effect.leads for effect in step.effects):
            self.event.set()


def test_decorated_function_has_tags() -> None:
    """Its loader returns Loaded, and its cache has the word; with keywords the key is not the arguments."""
    names = {7: "ada"}

    @herdless.threads.cached(ttl=60)
    def greeting(user: int, *, polite: bool = False) -> str | Loaded[str]:
        return Loaded(f"Dear {names[user]}" if polite else names[user], tags=[f"user:{user}"])

    assert (greeting(7), greeting(7, polite=True)) == ("ada", "Dear ada")
    names[7] = "grace"
    greeting.cache.invalidate_tag("user:7")
    assert (greeting(7), greeting(7, polite=True)) == ("grace", "Dear grace")
    assert greeting.cache_info().misses == 4


def test_decorated_call_that_comes_too_late_looks_again_with_its_arguments() -> None:
    """The call is made again by the cache, which needs the arguments for it."""
    begun, may_end, joined = threading.Event(), threading.Event(), Joined()
    names = {7: "ada"}

    @herdless.threads.cached(observe=joined)
    def greeting(*, user: int) -> str | Loaded[str]:
        read = names[user]
        begun.set()
        may_end.wait()
        return Loaded(read, tags=[f"user:{user}"])

    said: dict[str, str] = {}
    early = threading.Thread(target=lambda: said.update(early=greeting(user=7)))
    early.start()
    begun.wait()
    names[7] = "grace"
    greeting.cache.invalidate_tag("user:7")
    late = threading.Thread(target=lambda: said.update(late=greeting(user=7)))
    late.start()
    joined.event.wait()
    may_end.set()
    early.join()
    late.join()
    assert said == {"early": "ada", "late": "grace"}


def test_late_caller_in_another_loop_looks_again() -> None:
    """It is woken in its own loop, and loads there."""
    begun, may_end, joined = threading.Event(), threading.Event(), Joined()
    version = ["old"]

    async def load(key: str) -> Loaded[str]:
        read = version[0]
        begun.set()
        await asyncio.to_thread(may_end.wait)
        return Loaded(read, tags=["t"])

    cache = herdless.asyncio.Cache[str, str](load, observe=joined)
    said: dict[str, str] = {}

    async def get(who: str) -> None:
        said[who] = await cache.get("k")

    early = threading.Thread(target=lambda: asyncio.run(get("early")))
    early.start()
    begun.wait()
    version[0] = "new"
    cache.invalidate_tag("t")
    late = threading.Thread(target=lambda: asyncio.run(get("late")))
    late.start()
    joined.event.wait()
    may_end.set()
    early.join()
    late.join()
    assert said == {"early": "old", "late": "new"}


def test_finalizer_inside_the_lock_may_invalidate_a_tag() -> None:
    """As any change it is put off until the lock is left."""
    cache = herdless.threads.Cache[str, Any](lambda key: key)
    cache.put("tagged", "value", tags=["t"])

    class Value:
        def __del__(self) -> None:
            cache.invalidate_tag("t")

    cache.put("k", Value())
    cache.put("k", "other")
    gc.collect()
    assert "tagged" not in cache


def test_key_of_an_invalidated_value_is_let_go() -> None:
    """Nothing of it is left in the index."""

    class Key:
        """Can be referred to weakly."""

    cache = herdless.threads.Cache[Key, str](lambda key: "value")
    key = Key()
    cache.put(key, "value", tags=["t", "u"])
    seen = weakref.ref(key)
    del key
    cache.invalidate_tag("t")
    gc.collect()
    assert seen() is None
