"""What a caller gets of a load that failed, in every runtime: an exception of its own, and nothing of the key that the
user did not allow.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import LoadTimeout, Policy, TooManyWaiters
from herdless.testing import VirtualClock

Get: TypeAlias = Callable[[], Any]
Request: TypeAlias = Callable[[Get], Any]


def on_threads(load: Callable[[Any], Any], *requests: Request, **options: Any) -> list[Any]:
    """What each request, which is given a lookup to make, raised, one after the other."""
    with herdless.threads.Cache(load, **options) as cache:
        return [_caught(request, lambda: cache.get("key")) for request in requests]


def _caught(request: Request, get: Get) -> object:
    try:
        return request(get)
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error


def in_a_request(get: Get, name: str) -> Any:
    """A request that goes on to ask the cache while it handles something."""
    try:
        raise LookupError(f"of {name}")
    except LookupError:
        try:
            return get()
        except ConnectionError as error:
            error.add_note(f"while serving {name}")
            raise


class Body:
    """What a request keeps in its variables."""


def down(_key: object) -> str:
    """A loader without its origin."""
    raise ConnectionError("down")


async def async_down(_key: object) -> str:
    """The same, for the other runtimes."""
    raise ConnectionError("down")


def _requests(seen: list[weakref.ref[object]]) -> list[Request]:
    def request(name: str, get: Get) -> Any:
        body = Body()
        seen.append(weakref.ref(body))
        return in_a_request(get, name)

    return [functools.partial(request, name) for name in ("alice", "bob", "carol")]


@pytest.mark.parametrize("negative_ttl", [0, 60])
def test_a_thread_sees_nothing_of_the_others(negative_ttl: float) -> None:
    """The first caller runs the load on its own stack, where Python takes what it handles for the loader's context."""
    errors = on_threads(down, *_requests([]), negative_ttl=negative_ttl, clock=lambda: 0)
    assert [error.__notes__ for error in errors] == [[f"while serving {name}"] for name in ("alice", "bob", "carol")]
    assert [str(error.__context__) for error in errors] == ["of alice", "of bob", "of carol"]
    assert [error.__context__.__context__ for error in errors] == [None] * 3
    for error in errors:
        assert traceback.extract_tb(error.__traceback__)[-1].name == "down"


def test_the_loaders_own_context_is_kept_before_the_callers() -> None:
    """What went wrong in the loader first is the reason; that the caller was handling something is not."""

    def load(key: object) -> str:
        try:
            raise TimeoutError("the replica")
        except TimeoutError:
            return down(key)

    for error in on_threads(load, *_requests([]), negative_ttl=60, clock=lambda: 0):
        contexts = [error.__context__, error.__context__.__context__]
        assert [type(context) for context in contexts] == [TimeoutError, LookupError]


def test_a_loader_may_raise_one_object_again_and_again() -> None:
    """A constant is raised by several loads at once, and changed by each."""
    constant = ConnectionError("down")

    def load(_key: object) -> str:
        raise constant

    errors = on_threads(load, *_requests([]))
    assert len({id(error) for error in (*errors, constant)}) == 4
    assert not hasattr(constant, "__notes__")


def _bodies_after(fail: Callable[[list[weakref.ref[object]]], Any]) -> list[object]:
    seen: list[weakref.ref[object]] = []
    cache = fail(seen)
    gc.collect()
    left = [body() for body in seen]
    assert len(left) == 3
    assert cache is not None
    return left


def test_a_remembered_error_keeps_nothing_of_a_threads_request() -> None:
    """For as long as it is remembered, and longer, since what has expired is only looked at when it is asked for."""

    def fail(seen: list[weakref.ref[object]]) -> Any:
        cache = herdless.threads.Cache(down, negative_ttl=60, clock=lambda: 0)
        for request in _requests(seen):
            _caught(request, lambda: cache.get("key"))
        return cache

    assert _bodies_after(fail) == [None] * 3


async def _async_request(get: Get, seen: list[weakref.ref[object]], name: str) -> Any:
    body = Body()
    seen.append(weakref.ref(body))
    try:
        raise LookupError(f"of {name}")
    except LookupError:
        try:
            return await get()
        except ConnectionError as error:
            error.add_note(f"while serving {name}")
            return (error.__notes__, str(error.__context__))


EXPECTED: Final = [([f"while serving {name}"], f"of {name}") for name in ("alice", "bob")]


@pytest.mark.parametrize("negative_ttl", [0, 60])
def test_a_task_sees_nothing_of_the_others(negative_ttl: float) -> None:
    """Those who wait for one load, and, where it is remembered, those who come later."""

    async def main(seen: list[weakref.ref[object]]) -> Any:
        cache = herdless.asyncio.Cache(async_down, negative_ttl=negative_ttl, clock=lambda: 0)
        for _ in range(2):
            asked = (_async_request(lambda: cache.get("key"), seen, name) for name in ("alice", "bob"))
            assert list(await asyncio.gather(*asked)) == EXPECTED
        del seen[3:]
        return cache

    assert _bodies_after(lambda seen: asyncio.run(main(seen))) == [None] * 3


@pytest.mark.parametrize("negative_ttl", [0, 60])
def test_a_trio_task_sees_nothing_of_the_others(negative_ttl: float) -> None:
    """The same, in trio."""

    async def main(seen: list[weakref.ref[object]]) -> Any:
        async with herdless.trio.Cache(async_down, negative_ttl=negative_ttl, clock=lambda: 0) as cache:
            for _ in range(2):
                told: dict[str, Any] = {}

                async def ask(name: str, told: dict[str, Any] = told) -> None:
                    told[name] = await _async_request(lambda: cache.get("key"), seen, name)

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, "alice")
                    nursery.start_soon(ask, "bob")
                assert [told["alice"], told["bob"]] == EXPECTED
        del seen[3:]
        return cache

    assert _bodies_after(lambda seen: trio.run(main, seen)) == [None] * 3


# What is logged, and how keys are shown


def _records(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "herdless_event", "") for record in caplog.records if record.name == "herdless"]


@contextmanager
def _listening() -> Iterator[SimpleQueue[Any]]:
    """What is logged, for who waits until it is."""
    heard: SimpleQueue[Any] = SimpleQueue()
    handler = QueueHandler(heard)
    logging.getLogger("herdless").addHandler(handler)
    yield heard
    logging.getLogger("herdless").removeHandler(handler)


def test_an_outage_and_its_end_are_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred hot keys, refreshed once a second by the virtual clock, for two minutes and a half."""
    clock, is_up = VirtualClock(), [True]

    async def load(key: object) -> object:
        if not is_up[0]:
            raise ConnectionError("down")
        return key

    async def main() -> None:
        cache = herdless.asyncio.Cache(load, ttl=1, stale_while_revalidate=3_600, clock=clock)
        for second in range(180):
            is_up[0] = not 10 <= second < 160
            for key in range(100):
                await cache.get(key)
            await cache.settled()
            clock.advance(1)

    asyncio.run(main())
    assert _records(caplog) == ["refresh_failed", *["refreshes_fail"] * 2, "refreshes_succeed"]
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False, False]


def test_refreshes_that_are_too_late_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """An origin that hangs is an outage as well, and no caller sees it while the old value is served."""
    clock = VirtualClock()
    is_up = [True]

    async def load(key: object) -> object:
        if not is_up[0]:
            await trio.sleep_forever()
        return key

    async def main() -> None:
        policy = {"ttl": 1, "stale_while_revalidate": 60, "load_timeout": 5}
        async with herdless.trio.Cache(load, clock=clock, **policy) as cache:  # type: ignore[arg-type]  # a mixed dict
            await cache.get("key")
            clock.advance(2)
            is_up[0] = False
            assert await cache.get("key") == "key"
            await trio.testing.wait_all_tasks_blocked()
            clock.advance(5)
            await trio.sleep(5)
            await trio.testing.wait_all_tasks_blocked()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [(record.herdless_event, record.herdless_error) for record in caplog.records] == [  # type: ignore[attr-defined]  # as documented
        ("refresh_failed", "LoadTimeout")
    ]
    assert caplog.records[0].exc_info is not None
    assert isinstance(caplog.records[0].exc_info[1], LoadTimeout)


def test_a_failure_that_its_waiter_does_not_see_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """With stale_if_error a caller waits for the load, and gets the old value when it fails."""
    clock, is_up = VirtualClock(), [True]

    def load(key: object) -> object:
        return key if is_up[0] else down(key)

    with herdless.threads.Cache(load, ttl=1, stale_if_error=60, clock=clock) as cache:
        cache.get("key")
        clock.advance(2)
        is_up[0] = False
        assert cache.get("key") == "key"
    assert _records(caplog) == ["refresh_failed"]


class NotFound(LookupError):
    """An answer."""


def test_an_answer_is_no_outage() -> None:
    """It is not logged, whoever waits; and an origin that answers is there again."""
    clock = VirtualClock()
    ends: list[Exception | None] = [None, ConnectionError("down"), NotFound("key"), NotFound("key")]

    def load(key: object) -> object:
        end = ends.pop(0)
        if end is not None:
            raise end
        return key

    policy = Policy(ttl=1, stale_while_revalidate=3_600, refresh_backoff=0, answers=NotFound)
    with _listening() as heard, herdless.threads.Cache(load, policy=policy, clock=clock) as cache:
        cache.get("key")
        for word in ("refresh_failed", "refreshes_succeed"):
            clock.advance(2)
            assert cache.get("key") == "key"
            assert heard.get(timeout=30).herdless_event == word  # the load's thread writes it after its end
        assert cache.peek("key") is None
        cache.refresh("key")
        cache.settled()
        assert cache.stats().load_failures == 1
    assert heard.empty()


def test_a_failure_that_its_callers_see_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """They have it, and do with it what they want."""
    on_threads(down, *_requests([]))
    assert _records(caplog) == []


class Asking(logging.Handler):
    """Asks the cache for what it logs, and then fails."""

    cache: Any

    def handle(self, record: logging.LogRecord) -> bool:
        """Raises."""
        self.cache.put("handled", record.getMessage())
        self.cache.get("handled")
        raise OSError("no space left")


def test_a_handler_that_asks_the_cache_and_fails_does_no_harm() -> None:
    """Nothing is logged inside the lock, and what the handler raises reaches nobody."""
    clock, is_up = VirtualClock(), [True]
    handler = Asking()

    def load(key: object) -> object:
        return key if is_up[0] else down(key)

    with herdless.threads.Cache(load, ttl=1, stale_if_error=60, clock=clock) as cache:
        handler.cache = cache
        logging.getLogger("herdless").addHandler(handler)
        try:
            cache.get("key")
            clock.advance(2)
            is_up[0] = False
            assert cache.get("key") == "key"
        finally:
            logging.getLogger("herdless").removeHandler(handler)
        assert str(cache.peek("handled")).startswith("the refresh of 'key' failed")


def test_keys_are_shown_as_the_user_says(caplog: pytest.LogCaptureFixture) -> None:
    """The key may be a token: in no message, log or name may it stand."""
    clock, is_up, started, go_on = VirtualClock(), [True], threading.Event(), threading.Event()
    names: list[str] = []

    def load(key: str) -> str:
        names.append(threading.current_thread().name)
        if key == "s3cr3t slow":
            started.set()
            go_on.wait()
        return key if is_up[0] else down(None)

    cache = herdless.threads.Cache(
        load, ttl=1, stale_if_error=60, max_waiters=1, clock=clock, show_key=lambda key: f"token of {len(key)}"
    )
    errors: list[Exception] = []
    thread = threading.Thread(target=cache.get, args=("s3cr3t slow",), name="caller")
    thread.start()
    started.wait()
    with pytest.raises(TooManyWaiters, match="the load of token of 11 already") as refused:
        cache.get("s3cr3t slow")
    errors.append(refused.value)
    go_on.set()
    thread.join()
    cache.get("s3cr3t")
    clock.advance(2)
    is_up[0] = False
    cache.get("s3cr3t")
    with pytest.raises(TypeError, match="the key token of 1 cannot be looked up") as unhashable:
        cache.get(["s3cr3t"])  # type: ignore[arg-type]  # the mistake
    errors.append(unhashable.value)
    cache.close()
    assert "the refresh of token of 6 failed" in caplog.text
    assert "s3cr3t" not in "".join([*names, *map(str, errors), *(record.getMessage() for record in caplog.records)])
