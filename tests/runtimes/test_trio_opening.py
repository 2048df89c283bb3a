"""A trio cache is opened and closed: its nursery outlives no load, and what is asked of it before or after is told."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from herdless.trio import Cache, cached
from herdless_core import CacheClosed, LoadCancelled
from tests.runtimes.on_trio import Gate, echo


def test_unopened_cache_is_told() -> None:
    """Loads need the cache's nursery: whoever forgets `async with` reads what to write, and nothing is left pending."""
    cache = Cache(echo)

    async def main() -> None:
        for request in (cache.get, cache.lookup):
            with pytest.raises(CacheClosed, match="async with cache"):
                await request("k")
        with pytest.raises(CacheClosed, match="async with cache"):
            cache.refresh("k")

    trio.run(main)
    assert cache.stats().in_flight == 0
    assert cache.stats().misses == 0


def test_unopened_cache_serves_what_was_put() -> None:
    """A hit needs no nursery."""
    cache: Cache[str, str] = Cache(echo)
    cache.put("k", "put")
    assert trio.run(cache.get, "k") == "put"


def test_cache_is_opened_once_at_a_time() -> None:
    """A second `async with` around the first would lose the first one's nursery."""

    async def main() -> None:
        async with Cache(echo) as cache:
            with pytest.raises(CacheClosed, match="open already"):
                await cache.__aenter__()
            assert await cache.get("k") == "k"

    trio.run(main)


def test_cache_is_opened_again() -> None:
    """A cache of a module serves a second test, a second `trio.run`; between the two it is closed."""
    cache = Cache(echo)

    async def main() -> None:
        async with cache:
            assert await cache.get("k") == "k"
        with pytest.raises(CacheClosed):
            await cache.get("k")

    for _ in range(2):
        trio.run(main)
    assert cache.stats().loads == 2


def test_lookup_in_another_run_is_refused() -> None:
    """Another run, in another thread, could not be woken: it is told so at once, and the load goes on."""
    cache = Cache(echo)

    async def look_up() -> None:
        with pytest.raises(CacheClosed, match="another trio run"):
            await cache.get("k")

    async def main() -> None:
        async with cache:
            await trio.to_thread.run_sync(trio.run, look_up)
            assert await cache.get("k") == "k"

    trio.run(main)


@pytest.mark.parametrize("request_", ["put", "invalidate", "expire", "refresh", "clear"])
def test_request_from_another_thread(request_: str) -> None:
    """A webhook's or a consumer's thread may change the cache: the waiters are woken in their own run."""
    gate = trio.Event()

    async def load(key: str) -> str:
        await gate.wait()
        return key

    async def main() -> None:
        async with Cache(load) as cache, trio.open_nursery() as nursery:
            answers: list[str] = []

            async def ask() -> None:
                answers.append(await cache.get("k"))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            arguments = {"put": ("k", "put"), "clear": ()}.get(request_, ("k",))
            await trio.to_thread.run_sync(getattr(cache, request_), *arguments)
            gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert answers == ["put" if request_ == "put" else "k"]

    trio.run(main)


def test_error_of_the_body_is_not_wrapped() -> None:
    """The nursery is the cache's own business: what the body raises comes out of `async with` as it is."""
    error = OSError("body")

    async def main() -> None:
        async with Cache(Gate().load) as cache:
            cache.refresh("k")
            await trio.testing.wait_all_tasks_blocked()
            raise error

    with pytest.raises(OSError, match="body") as caught:
        trio.run(main)
    assert caught.value is error


def test_cancelled_body_leaves() -> None:
    """Cancellation from outside reaches the loads too, awaited or not, and `async with` ends."""
    gate = Gate()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with Cache(gate.load) as cache, trio.open_nursery() as nursery:
                nursery.start_soon(cache.get, "awaited")
                cache.refresh("unawaited")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught

    trio.run(main)
    assert sorted(gate.cancelled) == ["awaited", "unawaited"]


def test_leaving_waits_for_awaited_loads_alone() -> None:
    """Who waits when the body ends still gets the value; a refresh that nobody waits for is cancelled."""
    gate = Gate()
    values: list[str] = []

    async def main() -> None:
        async def caller() -> None:
            values.append(await cache.get("awaited"))

        async def opener() -> None:
            await trio.testing.wait_all_tasks_blocked()
            assert gate.cancelled == ["unawaited"]
            gate.open.set()

        async with trio.open_nursery() as nursery, Cache(gate.load) as cache:
            nursery.start_soon(caller)
            cache.refresh("unawaited")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(opener)

    trio.run(main)
    assert values == ["AWAITED"]


def test_leaving_by_an_exception_answers_the_waiters() -> None:
    """The waiters outside of the body that failed get LoadCancelled, none hangs."""
    errors: list[BaseException] = []

    async def main() -> None:
        async def caller() -> None:
            try:
                await cache.get("k")
            except LoadCancelled as error:
                errors.append(error)

        async def body() -> None:
            async with cache:
                nursery.start_soon(caller)
                await trio.testing.wait_all_tasks_blocked()
                raise OSError("body")

        cache = Cache(Gate().load)
        async with trio.open_nursery() as nursery:
            with pytest.raises(OSError, match="body"):
                await body()

    trio.run(main)
    assert len(errors) == 1


def test_cancelled_close_cancels_the_loads() -> None:
    """Who is cancelled while closing does not leave loads behind."""
    gate = Gate()

    async def main() -> None:
        async def caller() -> None:
            with pytest.raises(LoadCancelled):
                await cache.get("k")

        async with Cache(gate.load) as cache, trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                nursery.start_soon(_cancel, scope)
                await cache.close()
            assert scope.cancelled_caught

    trio.run(main)
    assert gate.cancelled == ["k"]


async def _cancel(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


def test_loader_may_close_its_cache() -> None:
    """A load does not wait for its own end."""

    async def main() -> None:
        async def load(key: str) -> str:
            await cache.close()
            return key

        async with Cache(load) as cache:
            assert await cache.get("k") == "k"

    trio.run(main)


def test_decorated_function_is_opened_by_its_cache() -> None:
    """A decorated function has no `async with` of its own: its cache has."""

    @cached(ttl=60)
    async def shout(word: str) -> str:
        await trio.lowlevel.checkpoint()
        return word.upper()

    async def main() -> None:
        async with shout.cache:
            assert await shout("a") == await shout("a") == "A"

    trio.run(main)
    assert shout.cache_info().misses == 1
