"""Many keys at once, where it meets what only one runtime has: cancelling, loops, threads, timeouts, interrupts."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import LoadCancelled
from herdless.testing import LIBRARY, Injection, interrupt_everywhere
from tests.runtimes.on_asyncio import run, ticks

PATIENCE = 30


def nothing(_keys: list[str]) -> dict[str, str]:
    """A loader that finds no rows."""
    return {}


class Rows(Exception):
    """The loader's own error."""


# asyncio


class Gate:
    """A bulk loader whose calls wait, and are told when they are cancelled."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.cancelled = 0
        self.open = asyncio.Event()

    async def load_many(self, keys: list[str]) -> dict[str, str]:
        """The loader."""
        self.calls.append(keys)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return {key: key.upper() for key in keys}


def test_call_that_nobody_waits_for_is_cancelled() -> None:
    """Only with the last of its keys: the others are still wanted."""

    async def main() -> None:
        gate = Gate()
        cache = herdless.asyncio.Cache[str, str](load_many=gate.load_many)
        many = asyncio.create_task(cache.get_many(["a", "b"]))
        one = asyncio.create_task(cache.get("c"))
        await ticks()
        many.cancel()
        await ticks()
        assert (gate.calls, gate.cancelled, cache.stats().in_flight) == ([["a", "b", "c"]], 0, 1)
        one.cancel()
        await ticks()
        assert (gate.cancelled, cache.stats().in_flight) == (1, 0)

    run(main)


def test_key_that_nobody_wants_any_more_is_not_asked_for() -> None:
    """Its caller left before the turn of the loop was over."""

    async def main() -> None:
        gate = Gate()
        gate.open.set()
        cache = herdless.asyncio.Cache[str, str](load_many=gate.load_many)
        lost, kept = cache.get("a"), cache.get("b")
        leaver, stayer = asyncio.create_task(lost), asyncio.create_task(kept)
        await asyncio.sleep(0)  # both have started their loads
        leaver.cancel()
        assert await stayer == "B"
        assert gate.calls == [["b"]]

    run(main)


@pytest.mark.parametrize("loads_in", ["loop", "thread"])
def test_callers_of_two_loops_share_a_call(loads_in: Any) -> None:
    """Who waits in another loop is woken there, and one who leaves there is counted off."""
    begun, release = threading.Event(), threading.Event()

    async def load_many(keys: list[str]) -> dict[str, str]:
        begun.set()
        await asyncio.to_thread(release.wait, PATIENCE)
        return {key: key.upper() for key in keys}

    cache = herdless.asyncio.Cache[str, str](load_many=load_many, loads_in=loads_in)

    async def elsewhere() -> dict[str, str]:
        leaver = asyncio.create_task(cache.get_many(["a", "b"]))
        await ticks()
        leaver.cancel()
        await asyncio.wait([leaver])
        joined = asyncio.create_task(cache.get_many(["b", "a"]))
        await ticks()
        release.set()
        return await joined

    async def main() -> None:
        leader = asyncio.create_task(cache.get_many(["a", "b"]))
        await asyncio.to_thread(begun.wait, PATIENCE)
        with ThreadPoolExecutor(1) as pool:
            joined = await asyncio.wrap_future(pool.submit(asyncio.run, elsewhere()))
        assert joined == await leader == {"a": "A", "b": "B"}
        assert (cache.stats().loads, cache.stats().in_flight) == (2, 0)
        await cache.close()

    run(main)


def test_task_factory_that_fails_is_told_to_the_loads() -> None:
    """It is foreign code: nobody waits for a call that could not be begun."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            if "AsyncioBatches" in getattr(coroutine, "__qualname__", ""):
                raise Rows("no task")
            return asyncio.Task(coroutine, loop=loop, **options)

        loop.set_task_factory(factory)
        cache = herdless.asyncio.Cache[str, str](load_many=Gate().load_many)
        with pytest.raises(Rows):
            await cache.get_many(["a"])
        assert cache.stats().in_flight == 0

    run(main)


if sys.version_info >= (3, 12):  # older ones have no eager tasks

    def test_eager_tasks_make_one_call_too() -> None:
        """A load that begins at once waits for the others of its turn."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            gate = Gate()
            gate.open.set()
            cache = herdless.asyncio.Cache[str, str](load_many=gate.load_many)
            assert await cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}
            assert gate.calls == [["a", "b"]]

        run(main)


def test_errors_that_are_returned_wait_for_no_collector() -> None:
    """They would keep all that the frames of the request hold, until the collector comes."""
    alive: list[weakref.ref[Any]] = []

    async def load_many(keys: list[str]) -> dict[str, str]:
        raise Rows("down")

    async def main() -> None:
        cache = herdless.asyncio.Cache[str, str](load_many=load_many)
        for return_exceptions in (True, False):
            try:
                found = await cache.get_many(["a", "b"], return_exceptions=return_exceptions)
                alive.extend(map(weakref.ref, found.values()))
                del found
            except Rows as error:
                alive.append(weakref.ref(error))
        await ticks()

    gc.disable()
    try:
        run(main)
        assert [ref() for ref in alive] == [None] * 3
    finally:
        gc.enable()


def test_settled_inside_a_call_does_not_wait_for_the_call() -> None:
    """It would wait for itself; so would the close of a cache by its own loader."""

    async def main() -> None:
        async def load_many(keys: list[str]) -> dict[str, str]:
            await cache.settled()
            return {key: key.upper() for key in keys}

        cache = herdless.asyncio.Cache[str, str](load_many=load_many)
        assert await cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}

    run(main)


# trio


def test_call_that_nobody_waits_for_is_cancelled_on_trio() -> None:
    """As on asyncio; and `settled` inside it does not wait for itself."""
    cancelled: list[list[str]] = []

    async def main() -> None:
        async def load_many(keys: list[str]) -> dict[str, str]:
            await cache.settled()
            try:
                await trio.sleep_forever()
            finally:
                cancelled.append(sorted(keys))
            return {}

        async with herdless.trio.Cache[str, str](load_many=load_many) as cache:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cache.get_many, ["a", "b"])
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert (cancelled, cache.stats().in_flight) == ([["a", "b"]], 0)

    trio.run(main)


# threads


def test_call_is_left_behind_when_the_timeout_is_over() -> None:
    """It runs on a thread of the cache's own then, is one call, and its values are stored."""
    calls: list[list[str]] = []
    release = threading.Event()

    def load_many(keys: list[str]) -> dict[str, str]:
        calls.append(keys)
        release.wait(PATIENCE)
        return {key: key.upper() for key in keys}

    cache = herdless.threads.Cache[str, str](load_many=load_many)
    with pytest.raises(TimeoutError):
        cache.get_many(["a", "b"], timeout=0.001)
    release.set()
    assert cache.get_many(["b", "a"], timeout=PATIENCE) == {"b": "B", "a": "A"}
    assert calls == [["a", "b"]]


def test_call_runs_inside_around_load_where_no_caller_runs_it() -> None:
    """What a framework does around a request is done around a call that another thread makes."""
    inside: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        inside.append("begin")
        yield
        inside.append("end")

    cache = herdless.threads.Cache[str, str](
        load_many=lambda keys: {key: "".join(inside) for key in keys}, around_load=around, load_timeout=PATIENCE
    )
    assert cache.get_many(["a", "b"]) == {"a": "begin", "b": "begin"}
    cache.settled()


def test_around_load_that_fails_is_told_to_all_of_the_call() -> None:
    """Nobody waits for a call that was never made, and the thread does not try it for ever."""

    def around() -> Any:
        raise Rows("no connection")

    cache = herdless.threads.Cache[str, str](load_many=nothing, around_load=around, load_timeout=PATIENCE)
    found: dict[str, Any] = cache.get_many(["a", "b"], return_exceptions=True)
    assert [type(error) for error in found.values()] == [Rows, Rows]
    assert cache.stats().in_flight == 0


def test_executor_that_takes_no_job_is_told_to_all_of_the_call() -> None:
    """It was shut down: that is the end of these loads, and of no other."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    cache = herdless.threads.Cache[str, str](load_many=nothing, executor=executor)
    found: dict[str, Any] = cache.get_many(["a", "b"], timeout=PATIENCE, return_exceptions=True)
    assert [type(error) for error in found.values()] == [RuntimeError, RuntimeError]
    assert cache.stats().in_flight == 0


class Cancels:
    """An executor that cancels each job before it begins, as one does that is shut down meanwhile."""

    def submit(self, _job: object) -> Future[None]:
        """Take the job, and give it up."""
        future: Future[None] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_executor_that_gives_the_job_up_leaves_nobody_waiting() -> None:
    """It never begins: all of the call are told; and a job that was done is no concern of that."""
    cache = herdless.threads.Cache[str, str](load_many=nothing, executor=Cancels())
    found: dict[str, Any] = cache.get_many(["a", "b"], timeout=PATIENCE, return_exceptions=True)
    assert [type(error) for error in found.values()] == [LoadCancelled, LoadCancelled]
    assert cache.stats().in_flight == 0
    with ThreadPoolExecutor(1) as executor:
        done: herdless.threads.Cache[str, str] = herdless.threads.Cache(
            load_many=lambda keys: {key: key.upper() for key in keys}, executor=executor
        )
        assert done.get_many(["a", "b"], timeout=PATIENCE) == {"a": "A", "b": "B"}


def test_call_that_is_interrupted_leaves_nobody_waiting() -> None:
    """Ctrl-C in the leader's bulk loader: it gets through to the leader, and who joined is told."""
    begun = threading.Event()
    interrupted = threading.Event()

    def load_many(keys: list[str]) -> dict[str, str]:
        begun.set()
        interrupted.wait(PATIENCE)
        raise KeyboardInterrupt

    cache = herdless.threads.Cache[str, str](load_many=load_many)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cache.get_many, ["a", "b"])
        assert begun.wait(PATIENCE)
        joiner = pool.submit(lambda: cache.get_many(["b"], return_exceptions=True))
        while not cache.stats().joins:
            pass
        interrupted.set()
        assert isinstance(leader.exception(PATIENCE), KeyboardInterrupt)
        assert isinstance(joiner.result()["b"], LoadCancelled)
    assert cache.stats().in_flight == 0


def test_get_many_that_is_interrupted_anywhere_leaves_the_cache_whole() -> None:
    """Between the keys, in the call, in the reports: no load is lost, and the lock is free."""

    def scene(injection: Injection) -> None:
        cache = herdless.threads.Cache[str, str](load_many=lambda keys: {key: key.upper() for key in keys})
        cache.put("c", "C")
        with injection.using(cache):
            cache.get_many(["a", "c", "b"])
        assert cache.stats().in_flight == 0
        assert cache.get_many(["a", "b", "c"], timeout=PATIENCE) == {"a": "A", "b": "B", "c": "C"}

    interrupt_everywhere(scene, files=LIBRARY, every=3)
