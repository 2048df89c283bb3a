"""What foreign code does inside the lock: a change is carried out when the lock is left, and may fail there too; a
question is answered; a lookup is refused.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.trio
from herdless.threads import Cache
from herdless_core import Invalidate, MisuseError, Put, Step
from tests.interrupts.tables import assert_tables_agree

CHANGES: dict[str, Callable[[Any, object], None]] = {
    "put": lambda cache, key: cache.put(key, 1),
    "refresh": lambda cache, key: cache.refresh(key),
    "invalidate": lambda cache, key: cache.invalidate(key),
    "expire": lambda cache, key: cache.expire(key),
    "touch": lambda cache, key: cache.touch(key),
}


NOT_YET = -1_000


class Moody:
    """A key that fails at one of the times when it is hashed, as those do that ask a closed session."""

    def __init__(self) -> None:
        self.left = 0

    def __hash__(self) -> int:
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("the session is closed")
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moody)


def fail_inside(change: str, left: int, maxsize: int | None, *, is_filled: bool) -> bool:
    """Make the change inside the lock, with a key that fails when it is hashed for the so manieth time; whether it did.
    Everything is as it should be afterwards.
    """
    key = Moody()
    changes = [CHANGES[change]]

    def observe(_key: object, _step: object) -> None:
        if key.left == NOT_YET and changes:
            key.left = left
            changes.pop()(cache, key)

    with ThreadPoolExecutor(1) as executor:
        cache: Cache[object, int] = Cache(lambda _: 2, ttl=60, maxsize=maxsize, executor=executor, observe=observe)
        if is_filled:
            cache.get(key)
        key.left = NOT_YET
        assert cache.get("another") == 2
        has_failed = key.left < 1
        key.left = 0
        assert cache.get("one more") == 2  # which also looks after what the change could not
        assert cache.get(key) in {1, 2}
    assert cache.stats().in_flight == 0
    assert_tables_agree(cache)
    return has_failed


@pytest.mark.parametrize("is_filled", [False, True], ids=["absent", "held"])
@pytest.mark.parametrize("maxsize", [None, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_a_postponed_change_that_fails_leaves_the_tables_whole(
    change: str, maxsize: int | None, is_filled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it breaks off, it is told to the log, no flight is left that nobody runs, and the cache goes on."""
    with caplog.at_level(logging.ERROR, "herdless"):
        failed = [fail_inside(change, left, maxsize, is_filled=is_filled) for left in range(1, 30)]
    assert failed[0]
    assert not failed[-1]
    assert "a change that was made inside the lock failed" in caplog.text


def test_a_postponed_refresh_whose_loop_has_ended_starts_no_flight(caplog: pytest.LogCaptureFixture) -> None:
    """Foreign code inside the lock may have had a loop of its own. Nobody could run the load: the step is not taken."""

    async def refresh() -> None:
        cache.refresh("another")

    def observe(key: object, _step: object) -> None:
        if key == "key":
            asyncio.run(refresh())

    async def load(_key: str) -> int:
        return 2

    cache: herdless.asyncio.Cache[str, int] = herdless.asyncio.Cache(load, ttl=60, observe=observe)
    with caplog.at_level(logging.ERROR, "herdless"):
        cache.put("key", 1)
    assert "a change that was made inside the lock failed" in caplog.text
    assert (cache.stats().loads, cache.stats().load_cancellations, cache.stats().in_flight) == (0, 0, 0)
    assert_tables_agree(cache)


RUNTIMES: dict[str, Any] = {
    "asyncio": herdless.asyncio.Cache,
    "trio": herdless.trio.Cache,
    "threads": Cache,
}
QUESTIONS: dict[str, Callable[[Any], object]] = {
    "peek": lambda cache: cache.peek("k"),
    "contains": lambda cache: "k" in cache,
    "stats": lambda cache: cache.stats(),
    "len": len,
    "keys": list,
    "ttl_of": lambda cache: cache.ttl_of("k"),
    "dump": lambda cache: cache.dump(),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_question_inside_the_lock_is_no_way_out_of_it(runtime: str, question: str) -> None:
    """It is answered at once; a change that is made after it waits all the same, or steps would be within steps."""
    depth = deepest = 0
    steps: list[object] = []

    def observe(key: object, step: Step) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        QUESTIONS[question](cache)
        if key == "k" and isinstance(step.event, Put):
            cache.put("another", 2)
        steps.append(key)
        depth -= 1

    cache = RUNTIMES[runtime](str.upper, observe=observe)
    cache.put("k", 1)
    assert (deepest, steps) == (1, ["k", "another"])
    assert (cache.peek("k"), cache.peek("another")) == (1, 2)


@pytest.mark.parametrize("method", ["get", "lookup"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_lookup_inside_the_lock_is_refused(runtime: str, method: str) -> None:
    """It would wait for its own thread, or see a step that is half taken. What was begun goes on."""
    refusals: list[BaseException] = []

    def observe(_key: object, _step: object) -> None:
        with pytest.raises(MisuseError, match="inside the cache's own lock") as caught:
            run_on_the_spot(getattr(cache, method)("another"))
        refusals.append(caught.value)

    async def load(key: str) -> str:
        return key

    def load_in_threads(key: str) -> str:
        return key

    async def main() -> None:
        assert await cache.get("k") == "k"

    async def main_in_trio() -> None:
        async with cache:
            await main()

    options = {"checkpoint": "never"} if runtime == "trio" else {}
    cache = RUNTIMES[runtime](load_in_threads if runtime == "threads" else load, observe=observe, **options)
    match runtime:
        case "asyncio":
            asyncio.run(main())
        case "trio":
            trio.run(main_in_trio)
        case _:
            assert cache.get("k") == "k"
    assert len(refusals) >= 2
    assert cache.stats().loads == 1


def run_on_the_spot(returned: Any) -> None:
    """Run a coroutine as far as it goes."""
    if inspect.isawaitable(returned):
        coroutine: Any = returned  # of another type where it is compiled
        coroutine.send(None)


def test_a_change_that_comes_when_the_cache_was_closed_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing left that it could change."""

    def observe(_key: object, step: Step) -> None:
        if isinstance(step.event, Invalidate):
            cache.put("another", "too late")

    cache = Cache[str, str](str.upper, observe=observe)
    cache.put("k", "value")
    cache.close()
    assert not caplog.records
