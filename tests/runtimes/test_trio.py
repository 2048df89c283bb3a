"""What only trio can do: loads that fail in a nursery, cancellation that reaches everything, checkpoints."""

from __future__ import annotations

import logging
from typing import Any, Literal

import pytest
import trio
import trio.testing

from herdless.trio import Cache
from herdless_core import LoadCancelled, PolicyError
from tests.runtimes.on_trio import Gate, echo, virtual_clock

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
        cache: Cache[str, str] = Cache(lambda key: key)  # the mistake
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
