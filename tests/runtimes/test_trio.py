"""What only trio can do: a nursery that outlives no load, checkpoints, and cancellation that reaches everything."""

from __future__ import annotations

import logging
from typing import Any, Literal

import pytest
import trio
import trio.testing

from herdless.trio import Cache, cached
from herdless_core import CacheClosed, LoadCancelled, PolicyError


async def echo(key: str) -> str:
    """Load at once, with a checkpoint as any load has."""
    await trio.lowlevel.checkpoint()
    return key


class Gate:
    """A loader whose loads wait for the gate."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self.keys: list[str] = []
        self.cancelled: list[str] = []

    async def load(self, key: str) -> str:
        """Wait for the gate."""
        self.keys.append(key)
        try:
            await self.open.wait()
        except trio.Cancelled:
            self.cancelled.append(key)
            raise
        return key.upper()


def virtual_clock() -> int:
    """The time of the trio run, which MockClock makes."""
    return round(trio.current_time() * 1_000_000_000)


# Opening and closing


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


# Failing loads


def test_failing_refresh_leaves_the_nursery_alone() -> None:
    """The cache's nursery is no place where the error of one load ends the others."""
    gate = Gate()

    async def main() -> None:
        async def load(key: str) -> str:
            if key == "bad":
                raise OSError("down")
            return await gate.load(key)

        async with Cache(load) as cache:
            cache.refresh("good")
            cache.refresh("bad")
            await trio.testing.wait_all_tasks_blocked()
            gate.open.set()
            assert await cache.get("good") == "GOOD"
            with pytest.raises(OSError, match="down"):
                await cache.get("bad")

    trio.run(main)


def test_loader_with_a_nursery_of_its_own() -> None:
    """What fails inside a loader's own nursery comes out as a group, as trio's rules have it."""

    async def main() -> None:
        async def fail() -> None:
            raise OSError("part")

        async def load(_key: str) -> str:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                await trio.sleep_forever()
            raise AssertionError("not reached")

        async with Cache(load) as cache:
            for _ in range(2):
                with pytest.raises(ExceptionGroup) as caught:
                    await cache.get("k")
                assert caught.group_contains(OSError, match="part")

    trio.run(main)


def test_loader_that_fails_while_it_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A clean-up that fails during cancellation gives a mixed group: it is logged, nothing else ends by it."""
    caplog.set_level(logging.DEBUG, logger="herdless")

    async def main() -> None:
        async def fail_at_the_end() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("clean-up")

        async def load(_key: str) -> str:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_at_the_end)
                await trio.sleep_forever()
            raise AssertionError("not reached")

        async with Cache(load) as cache:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cache.get, "k")
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert cache.stats().in_flight == 0
            assert "left behind" in caplog.text
            cache.put("k", "put")
            assert await cache.get("k") == "put"

    trio.run(main)


class Stop(BaseException):
    """An exception that is no `Exception`."""


@pytest.mark.parametrize("interrupt", [Stop, KeyboardInterrupt, SystemExit])
def test_interrupt_in_a_loader_ends_the_nursery_and_answers_the_waiters(interrupt: type[BaseException]) -> None:
    """Trio lets no interrupt vanish: it ends the cache's nursery; the waiters are answered, nothing is orphaned."""
    error = interrupt("stop")
    errors: list[BaseException] = []
    cache: Cache[str, str]

    async def main() -> None:
        nonlocal cache

        async def load(_key: str) -> str:
            await started.wait()
            raise error

        async def caller() -> None:
            with trio.CancelScope(shield=True):
                try:
                    await cache.get("k")
                except LoadCancelled as raised:
                    errors.append(raised)

        started = trio.Event()
        cache = Cache(load)
        async with trio.open_nursery() as nursery, cache:
            for _ in range(3):
                nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            started.set()
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(interrupt)
    assert [repr(raised.__cause__) for raised in errors] == [repr(error)] * 3
    assert cache.stats().in_flight == 0


def test_sync_loader_is_told() -> None:
    """The likeliest mistake of all gets an error that names the loader and what to do."""

    async def main() -> None:
        cache: Cache[str, str] = Cache(lambda key: key)  # type: ignore[arg-type, return-value]  # the mistake
        async with cache:
            with pytest.raises(TypeError, match=r"load=.* is not accepted: .*async function"):
                await cache.get("k")

    trio.run(main)


# Cancellation


def test_load_is_not_under_its_callers_scope() -> None:
    """The first caller's deadline is the first caller's: who joined goes on waiting for the same load."""
    gate = Gate()
    values: list[str] = []

    async def main() -> None:
        async def patient() -> None:
            values.append(await cache.get("k"))

        async with Cache(gate.load, clock=virtual_clock) as cache, trio.open_nursery() as nursery:
            with trio.move_on_after(5):
                nursery.start_soon(patient)
                await cache.get("k")
            await trio.testing.wait_all_tasks_blocked()
            assert not gate.cancelled
            gate.open.set()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert values == ["K"]
    assert gate.keys == ["k"]


def test_caller_cancelled_in_the_tick_of_its_answer() -> None:
    """Waking is atomic with respect to cancellation: a caller that was woken is answered, and the count is right."""
    values: list[str] = []

    async def main() -> None:
        async def caller() -> None:
            with scope:
                values.append(await cache.get("k"))

        scope = trio.CancelScope()
        async with Cache(Gate().load) as cache, trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            cache.put("k", "put")
            scope.cancel()

    trio.run(main)
    assert values == ["put"]


def test_load_timeout_with_trios_own_clock() -> None:
    """The deadline is a sleep in the cache's nursery, and MockClock moves it."""

    async def main() -> None:
        async with Cache(Gate().load, load_timeout=5, clock=virtual_clock) as cache:
            with pytest.raises(TimeoutError, match="load_timeout=5"):
                await cache.get("k")
            assert trio.current_time() == 5

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_load_timeout_with_a_clock_that_runs_slower() -> None:
    """The cache's clock decides, not trio's: the timer that comes too early sleeps again."""

    async def main() -> None:
        async with Cache(Gate().load, load_timeout=4, clock=lambda: virtual_clock() // 2) as cache:
            with pytest.raises(TimeoutError):
                await cache.get("k")
            assert 8 <= trio.current_time() < 9

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# Checkpoints


@pytest.mark.parametrize("request_", ["get", "lookup"])
@pytest.mark.parametrize("mode", ["always", "never", "fair"])
def test_checkpoints_of_hits(mode: Literal["always", "never", "fair"], request_: str) -> None:
    """With "always" every hit is one, with "never" none, with "fair" one in a millisecond of the cache's clock."""
    now = 0

    async def main() -> None:
        nonlocal now
        async with Cache(echo, checkpoint=mode, clock=lambda: now) as cache:
            hit: Any = getattr(cache, request_)
            cache.put("k", "put")
            checkpoints = []
            for step in (0, 0, 999_999, 1, 0):
                now += step
                checkpoints.append(await makes_a_checkpoint(hit))
        assert (
            checkpoints
            == {
                "always": [True] * 5,
                "never": [False] * 5,
                "fair": [True, False, False, True, False],
            }[mode]
        )

    trio.run(main)


async def makes_a_checkpoint(function: Any) -> bool:
    """Whether calling the function is a checkpoint."""
    try:
        with trio.testing.assert_checkpoints():
            await function("k")
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("mode", ["always", "never", "fair"])
def test_miss_is_a_checkpoint(mode: Literal["always", "never", "fair"]) -> None:
    """A miss waits, so it is one in every mode."""

    async def main() -> None:
        async with Cache(echo, checkpoint=mode, clock=lambda: 0) as cache:
            for key in "ab":
                with trio.testing.assert_checkpoints():
                    await cache.get(key)

    trio.run(main)


def test_never_asserts_no_checkpoint() -> None:
    """With "never" a hit can be used where no checkpoint may be."""

    async def main() -> None:
        async with Cache(echo, checkpoint="never") as cache:
            await cache.get("k")
            with trio.testing.assert_no_checkpoints():
                await cache.get("k")

    trio.run(main)


def test_unknown_checkpoint_mode_is_named() -> None:
    """The error names the argument, its value and what is accepted."""
    with pytest.raises(PolicyError, match='checkpoint=\'often\' is not accepted: give "fair", "always" or "never"'):
        Cache(echo, checkpoint="often")  # type: ignore[arg-type]  # the mistake


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
