"""What leaves a cache is free at once, without the cyclic collector: values and errors may be large."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, Final

import pytest
import trio
import trio.testing

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless.adapter import LOADING
from herdless.testing import VirtualClock

PATIENCE: Final = 30


class Big:
    """What is held."""


class BigError(Exception):
    """An error that holds a lot."""


class Seen:
    """What loaders made, weakly."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Any]] = []

    def value(self, key: object) -> Big:
        """A value; for the key "fail" an error."""
        made: Any = BigError(key) if key == "fail" else Big()
        self.made.append(weakref.ref(made))
        if isinstance(made, BigError):
            try:
                raise made
            finally:
                del made
        return made  # type: ignore[no-any-return]  # it is no error

    @property
    def alive(self) -> int:
        """How many are still there."""
        return sum(each() is not None for each in self.made)


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ask(cache: Any, key: str) -> None:
    """Look up, and keep nothing."""
    with contextlib.suppress(BigError):
        cache.get(key)


async def ask_async(cache: Any, key: str) -> None:
    """The same where the runtime awaits."""
    with contextlib.suppress(BigError):
        await cache.get(key)


every_key = pytest.mark.parametrize("key", ["a", "fail"])
REMOVALS: dict[str, Callable[[Any], object]] = {
    "invalidate": lambda cache: (cache.invalidate("a"), cache.invalidate("fail")),
    "clear": lambda cache: cache.clear(),
    "put": lambda cache: (cache.put("a", None), cache.put("fail", None)),
}
every_removal = pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
every_policy = pytest.mark.parametrize(
    "options", [{}, {"load_timeout": 60}, {"negative_ttl": 60}, {"maxsize": 4}], ids="".join
)


@every_key
@every_removal
@every_policy
def test_threads(key: str, remove: Callable[[Any], object], options: Any) -> None:
    """On the caller's thread, and with a deadline on a worker."""
    seen = Seen()
    cache = herdless.threads.Cache(seen.value, **options)
    for _ in range(5):
        ask(cache, key)
        remove(cache)
    _wait_for_idle_workers(cache)
    assert seen.alive == 0


def _wait_for_idle_workers(cache: Any) -> None:
    while cache._workers.running() or cache._workers._taken:
        pass


@every_key
@every_removal
@every_policy
def test_asyncio(key: str, remove: Callable[[Any], object], options: Any) -> None:
    """A task's context holds the flight, and the flight its task: not longer than it runs."""
    seen = Seen()

    async def load(key: str) -> Big:
        await asyncio.sleep(0)
        return seen.value(key)

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, **options)
        for _ in range(5):
            await asyncio.gather(*(ask_async(cache, key) for _ in range(3)))
            remove(cache)
        await asyncio.sleep(0)
        assert seen.alive == 0

    asyncio.run(main())


@every_key
@every_removal
@every_policy
def test_trio(key: str, remove: Callable[[Any], object], options: Any) -> None:
    """The same in a nursery."""
    seen = Seen()

    async def load(key: str) -> Big:
        await trio.lowlevel.checkpoint()
        return seen.value(key)

    async def main() -> None:
        async with herdless.trio.Cache(load, **options) as cache:
            for _ in range(5):
                await ask_async(cache, key)
                remove(cache)
            await trio.testing.wait_all_tasks_blocked()
            assert seen.alive == 0

    trio.run(main)


def test_what_an_asyncio_load_starts_keeps_nothing_of_it() -> None:
    """A task that goes on after the load has the load's context, for as long as it runs."""
    seen = Seen()

    async def main() -> None:
        for_ever = asyncio.Event()

        async def load(key: str) -> Big:
            background.append(asyncio.create_task(for_ever.wait()))
            return seen.value(key)

        background: list[asyncio.Task[Any]] = []
        cache = herdless.asyncio.Cache(load)
        await asyncio.gather(*(ask_async(cache, "a") for _ in range(3)))
        cache.invalidate("a")
        await asyncio.sleep(0)
        assert seen.alive == 0
        for_ever.set()
        await background[0]

    asyncio.run(main())


def test_what_a_trio_load_starts_keeps_nothing_of_it() -> None:
    """The same of a task in another nursery."""
    seen = Seen()

    async def main() -> None:
        async with trio.open_nursery() as background:

            async def load(key: str) -> Big:
                background.start_soon(trio.sleep_forever)
                return seen.value(key)

            async with herdless.trio.Cache(load) as cache:
                await ask_async(cache, "a")
                cache.invalidate("a")
                await trio.testing.wait_all_tasks_blocked()
                assert seen.alive == 0
            background.cancel_scope.cancel()

    trio.run(main)


def test_a_thread_that_a_load_starts_keeps_nothing_of_it() -> None:
    """The same of a thread that was given the load's context."""
    seen, release = Seen(), threading.Event()
    started: list[threading.Thread] = []

    def load(key: str) -> Big:
        started.append(threading.Thread(target=copy_context().run, args=(release.wait,)))
        started[-1].start()
        return seen.value(key)

    cache = herdless.threads.Cache(load)
    ask(cache, "a")
    cache.invalidate("a")
    assert seen.alive == 0
    release.set()
    started[0].join()


def test_idle_worker_keeps_nothing_of_its_last_load() -> None:
    """python/cpython#60488 was that of ThreadPoolExecutor."""
    seen = Seen()
    cache = herdless.threads.Cache(seen.value, load_timeout=60)
    ask(cache, "a")
    cache.invalidate("a")
    _wait_for_idle_workers(cache)
    assert seen.alive == 0


@pytest.mark.pure("an object of a compiled class cannot be referred to weakly")
@pytest.mark.parametrize("runtime", ["asyncio", "trio", "threads"])
def test_nothing_of_a_load_waits_for_the_collector(runtime: str) -> None:
    """Its flight and its task hold each other while it runs, and no longer."""
    flights: list[weakref.ref[Any]] = []

    def see(key: str) -> str:
        flights.append(weakref.ref(LOADING.get()))
        return key

    async def load(key: str) -> str:
        return see(key)

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, load_timeout=60)
        for key in "abc":
            await cache.get(key)
        for _ in range(3):
            await asyncio.sleep(0)
        assert_all_gone()

    async def main_in_trio() -> None:
        async with herdless.trio.Cache(load, load_timeout=60) as cache:
            for key in "abc":
                await cache.get(key)
            await trio.testing.wait_all_tasks_blocked()
            assert_all_gone()

    def assert_all_gone() -> None:
        assert len(flights) == 3
        assert [flight() for flight in flights] == [None] * 3

    match runtime:
        case "asyncio":
            asyncio.run(main())
        case "trio":
            trio.run(main_in_trio)
        case _:
            cache = herdless.threads.Cache(see, load_timeout=60)
            for key in "abc":
                cache.get(key)
            _wait_for_idle_workers(cache)
            assert_all_gone()


def test_an_idle_worker_keeps_nothing_of_the_context_of_its_last_load() -> None:
    """A request may be in a context variable, and a worker idle for long."""
    request: ContextVar[Any] = ContextVar("request")
    seen: list[weakref.ref[Any]] = []

    def ask_in_a_request() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        request.set(big)
        cache.get("k", timeout=60)

    cache = herdless.threads.Cache(str.upper)
    copy_context().run(ask_in_a_request)
    _wait_for_idle_workers(cache)
    assert seen[0]() is None


class Finalized:
    """A value whose finalizer asks the cache."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask

    def __del__(self) -> None:
        self._ask()


@pytest.mark.parametrize("by", ["get", "refresh", "invalidate"])
def test_what_leaves_is_let_go_when_the_load_that_is_to_follow_is_on_its_way(by: str) -> None:
    """Its finalizer may wait for that very load, on the thread that was to launch it."""
    clock = VirtualClock()
    told: list[object] = []

    def load(key: str) -> Any:
        return key

    cache = herdless.threads.Cache[str, Any](load, ttl=10, clock=clock)
    cache.put("k", Finalized(lambda: told.append(cache.get("k", timeout=PATIENCE))))
    clock.advance(20)
    match by:
        case "get":
            assert cache.get("k", timeout=PATIENCE) == "k"
        case "refresh":
            cache.refresh("k")
        case _:
            cache.invalidate("k")
    cache.settled(PATIENCE)
    assert told == ["k"]
