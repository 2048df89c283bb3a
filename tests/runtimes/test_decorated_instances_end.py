"""`per_instance=True`: the cache of an instance ends with it, whatever runs, and whatever comes in between."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import weakref
from typing import Any, Final

import pytest
import trio

import herdless.asyncio
import herdless.trio
from herdless import _call, _decorator, _instances, _methods
from herdless.testing import (
    Injection,
    Schedule,
    Threads,
    VirtualClock,
    call_everywhere,
    explore,
    interrupt_everywhere,
    run_threads,
)
from herdless.threads import cached
from herdless_core import CacheClosed
from tests.runtimes.decorated import Log
from tests.runtimes.decorating import Opened, Runtime, every_runtime, got
from tests.runtimes.instances import Client, Slotted, Value, client_in, no_collector
from tests.runtimes.on_threads import PATIENCE, Gate, run_script
from tests.runtimes.on_threads import Call as InThread
from tests.runtimes.test_fork import in_child

FILES: Final = (_instances.__file__, _methods.__file__, _decorator.__file__, _call.__file__)


@every_runtime
def test_all_is_gone_with_the_instance(runtime: Runtime, log: Log) -> None:
    """What the cache holds, at once and without the garbage collector, whatever it was used for."""
    cls = client_in(runtime, log, ttl=60)

    async def use(one: Any) -> list[weakref.ref[Any]]:
        async with Opened(one.fetch.cache), Opened(one.fail.cache):
            value = await got(one.fetch("tea"))
            assert (await got(one.fetch.lookup("tea"))).value is value
            assert cls.fetch.peek(one, "tea") is value
            one.fetch.put(Value(), "coffee")
            one.fetch.refresh("milk")
            await got(one.fetch.cache.settled())
            one.fetch.expire("milk")
            key = one.fetch.key("tea")
            assert await got(one.fetch.cache.get(key)) is value
            with pytest.raises(LookupError):
                await got(one.fail("tea"))
            held = [value, *map(one.fetch.peek, ("tea", "coffee"))]
            assert len(one.fetch.cache) == 3
            return [weakref.ref(each) for each in (one, *held)]

    async def scene() -> None:
        one = cls()
        kept = await use(one)
        with no_collector():
            del one
            await turn()
            assert [each() for each in kept] == [None] * len(kept)

    async def turn() -> None:
        if runtime.play is trio.run:
            await trio.lowlevel.checkpoint()
        else:
            await asyncio.sleep(0)  # asyncio holds what it has woken somebody with for so long

    runtime.play(scene)


def test_without_a_dict_it_is_gone_as_well() -> None:
    """There it is held in another place."""
    one: Any = Slotted()
    number = id(one)
    kept = [weakref.ref(each) for each in (one, one.fetch("tea"))]
    assert None not in [each() for each in kept]
    with no_collector():
        del one
        assert [each() for each in kept] == [None] * 2
    assert number not in _instances._ELSEWHERE


def test_a_value_that_refers_to_its_instance_is_no_leak() -> None:
    """It makes a cycle, of the user's own, which the garbage collector can see."""

    class Local:
        @cached(per_instance=True)
        def itself(self) -> Any:
            return self

    one = Local()
    assert one.itself() is one
    kept = weakref.ref(one)
    del one
    gc.collect()
    assert kept() is None


def test_a_load_keeps_the_instance_for_as_long_as_it_runs() -> None:
    """Nobody else needs to: a refresh that was begun is done. Nothing is left of it then."""
    gate = Gate()

    class Local:
        @cached(per_instance=True)
        def fetch(self, article: str) -> str:
            return gate.load(article)

    one = Local()
    kept = weakref.ref(one)
    one.fetch.refresh("tea")
    gate.wait_for_load()
    del one
    assert kept() is not None
    with no_collector():
        ended = threading.Event()
        weakref.finalize(kept(), ended.set)
        gate.open.set()
        assert ended.wait(PATIENCE)
        assert kept() is None


def test_a_refresh_that_has_not_begun_is_given_up(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing left to load with, nobody to load for, and nothing to warn of."""

    class Local:
        @herdless.asyncio.cached(per_instance=True)
        async def fetch(self, article: str) -> Any:
            return log.note(article)

    async def main() -> None:
        one = Local()
        one.fetch.refresh("tea")
        cache = one.fetch.cache
        del one
        await cache.settled()

    with caplog.at_level(logging.DEBUG, logger="herdless"):
        asyncio.run(main())
    assert log.calls == []
    assert caplog.records == []


def test_whoever_waits_keeps_the_instance() -> None:
    """The call of a method of an instance that nobody else has is the commonest of all."""

    class Local:
        @herdless.asyncio.cached(per_instance=True)
        async def fetch(self, article: str) -> str:
            await asyncio.sleep(0)
            return article

    async def main() -> None:
        with no_collector():
            call, lookup = Local().fetch("tea"), Local().fetch.lookup("tea")
            by_class, task = Local.fetch(Local(), "tea"), asyncio.ensure_future(Local().fetch("tea"))
            assert [await call, (await lookup).value, await by_class, await task] == ["tea"] * 4

    asyncio.run(main())


def test_a_cache_that_outlives_its_instance_is_closed() -> None:
    """Whoever held it is told so, and not that some object is None."""
    cache = Client().fetch.cache
    with pytest.raises(CacheClosed):
        cache.get(("tea", 1))
    cache.__enter__()
    with pytest.raises(CacheClosed, match=r"the instance is gone of whose fetch\(\) this is the cache"):
        cache.get(("tea", 1))


def test_a_trio_cache_is_opened_for_each_instance() -> None:
    """By `async with instance.method.cache`, inside of which the instance may end."""

    class Local:
        @herdless.trio.cached(per_instance=True)
        async def fetch(self, article: str) -> str:
            await trio.lowlevel.checkpoint()
            return article

    async def main() -> None:
        one = Local()
        with pytest.raises(CacheClosed, match="open it by `async with cache:`"):
            await one.fetch("tea")
        async with one.fetch.cache:
            assert await one.fetch("tea") == "tea"
        async with Local().fetch.cache as orphan:
            with pytest.raises(CacheClosed):
                await orphan.get(("tea",))
        async with one.fetch.cache:
            one.fetch.refresh("milk")
            del one

    trio.run(main)


def test_a_finalizer_may_call_a_method_of_its_own_instance() -> None:
    """It gets a result, and what it was cached in is gone afterwards."""
    values: list[Any] = []

    class Local(Client):
        def __del__(self) -> None:
            values.append(self.fetch("tea"))

    class Cycle(Local):
        def __init__(self) -> None:
            super().__init__()
            self.itself = self

    with no_collector():
        Local()
        Cycle()
        assert len(values) == 1
    gc.collect()
    assert len(values) == 2
    kept = [weakref.ref(each) for each in values]
    values.clear()
    gc.collect()
    assert [each() for each in kept] == [None, None]


def test_an_instance_that_a_finalizer_saves_has_a_cache_again() -> None:
    """Its weak references are dead by then."""
    saved: list[Any] = []

    class Local(Client):
        def __del__(self) -> None:
            if not saved:
                saved.append(self)

    one: Any = Local()
    one.itself, first = one, one.fetch("tea")
    del one
    gc.collect()
    assert saved[0].fetch("tea") is saved[0].fetch("tea")
    assert saved[0].fetch("tea") is not first


def test_nothing_is_said_when_the_interpreter_ends() -> None:
    """Modules are taken apart then, and the instances in them go after what they are made of."""
    told = run_script(
        """
        import sys
        sys.stderr = sys.stdout
        from herdless.threads import cached

        class Client:
            @cached(per_instance=True)
            def fetch(self):
                return self

        class Slotted:
            __slots__ = ("__weakref__",)
            fetch = Client.fetch

        clients = [Client(), Slotted()]
        for each in clients:
            each.fetch()
            each.fetch.refresh()
        sys.holder = clients
        """
    )
    assert told == ""


# Foreign code, threads, forks


def play_first_calls(schedule: Schedule) -> None:
    """Two threads call two methods of one instance for the first time."""

    def main(threads: Threads) -> None:
        loads: list[str] = []

        class Local:
            @cached(per_instance=True, clock=threads.clock)
            def fetch(self, article: str) -> str:
                loads.append(article)
                threads.pause("loads")
                return article

        one = Local()
        callers = [threads.spawn(functools.partial(one_call, one), name=f"caller {number}") for number in (1, 2)]
        caches = [caller.result() for caller in callers]
        assert caches[0] is caches[1] is one.fetch.cache
        assert loads == ["tea"]

    def one_call(one: Any) -> Any:
        assert one.fetch("tea") == "tea"
        return one.fetch.cache

    run_threads(main, schedule, clock=VirtualClock(), lines_of=(_instances.__file__, _methods.__file__))


def test_two_threads_that_come_first_get_one_cache() -> None:
    """Otherwise one of them would have loaded what nobody finds again."""
    assert explore(play_first_calls, bound=1) > 50


def test_a_call_that_comes_into_the_first_one_gets_the_same_cache() -> None:
    """A finalizer or a signal handler may come in at any point of it."""

    def scene(injection: Injection) -> None:
        one = Client()
        with no_collector(first=False), injection.using(one):
            cache = one.other.cache
        assert one.other.cache is cache

    points = call_everywhere(scene, lambda one: one.other.cache, files=FILES)
    assert points > 20


@pytest.mark.parametrize("make", [Client, Slotted])
def test_the_first_call_may_be_interrupted_anywhere(make: Any) -> None:
    """What is there afterwards can be called, and goes with the instance."""

    def scene(injection: Injection) -> None:
        one = make()
        with no_collector(first=False), injection:  # which would end the instances of the runs before
            one.fetch("tea")
        assert one.fetch("tea") is one.fetch("tea")

    assert interrupt_everywhere(scene, files=FILES) > 40
    gc.collect()  # what the interrupts have left behind
    assert not _instances._ELSEWHERE


def test_an_instance_may_go_at_any_point_of_another_ones_call() -> None:
    """Its end takes the lock of its own caches only, and raises nothing."""

    def scene(injection: Injection) -> None:
        one, others = Client(), [Client()]
        others[0].fetch("tea")
        kept = weakref.ref(others[0])
        with no_collector(first=False), injection.using(others):
            value = one.fetch("tea")
        others.clear()
        assert kept() is None
        assert one.fetch("tea") is value

    assert call_everywhere(scene, lambda others: others.clear(), every=37) > 5


def test_a_forked_child_has_the_values_and_no_flights() -> None:
    """As of every cache; and an instance that ends there ends nothing in its parent."""
    gate = Gate()

    class Local:
        @cached(per_instance=True)
        def fetch(self, article: str) -> str:
            return gate.load(article) if article == "tea" else article

    one = Local()
    one.fetch("milk")
    caller = InThread(one.fetch, "tea")
    gate.wait_for_load()

    def check() -> bool:
        gate.open.set()
        hits = one.fetch("milk") == "milk" and one.fetch.cache_info().hits == 1
        return hits and one.fetch("tea") == "TEA" and one.fetch.cache.stats().in_flight == 0

    in_child(check)
    gate.open.set()
    assert caller.result() == "TEA"
