"""`on_remove` is foreign code: it may raise, call the cache, and be broken off; no value is lost sight of by that."""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import herdless.threads
from herdless import _listener as listening
from herdless._testing._injection import LIBRARY
from herdless.testing import Injection, interrupt_everywhere
from herdless_core import PolicyError
from tests.runtimes.scenes import RUNTIMES, Client, Get, Told, cache_of, play


class Awaited(Client):
    """One that is closed in an event loop."""

    async def aclose(self) -> None:
        """Close it."""
        self.closed += 1


# Foreign code


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_listener_may_call_the_cache(runtime: str) -> None:
    """It is outside of the lock. What leaves by its own calls is told after it, and not inside of it."""
    told: Told = []
    depth = 0

    def on_remove(key: object, value: object, cause: str) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1
        assert not cache._is_entered
        told.append((key, value, cause))
        if cause == "replaced":
            cache.put("log", key)
            cache.invalidate("log")
        depth -= 1

    cache = cache_of(runtime, str.upper, on_remove=on_remove)
    cache.put("a", 1)
    cache.put("a", 2)
    assert told == [("a", 1, "replaced"), ("log", "a", "invalidated")]


def test_the_listener_may_look_up_in_threads() -> None:
    """The very key that it is told of, too: its entry is gone, and the load is the listener's own."""
    again: list[object] = []

    def on_remove(key: str, _value: object, cause: str) -> None:
        if cause == "invalidated":
            again.append(cache.get(key))

    cache: herdless.threads.Cache[str, str] = herdless.threads.Cache(str.upper, on_remove=on_remove)
    cache.get("a")
    cache.invalidate("a")
    assert again == ["A"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_many_that_leave_at_once_do_not_grow_the_stack(runtime: str) -> None:
    """A listener that removes more is called for each of them from the same place."""
    told: list[object] = []

    def on_remove(key: int, _value: object, _cause: str) -> None:
        told.append(key)
        cache.invalidate(key + 1)

    cache = cache_of(runtime, str, on_remove=on_remove)
    for key in range(5_000):
        cache.put(key, object())
    cache.invalidate(0)
    assert told == list(range(5_000))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_listener_that_raises_is_logged_and_the_next_value_is_told(
    runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It harms neither the caller nor the others that wait to be closed."""
    clients = [Client() for _ in range(3)]

    def on_remove(_key: object, client: Client, _cause: str) -> None:
        client.close()
        raise OSError("already closed")

    async def body(cache: Any, get: Get) -> None:
        for number, client in enumerate(clients):
            cache.put(number, client)
        cache.clear()
        assert await get("a") == "a"
        cache.invalidate("nothing")
        cache.put("a", Client())

    play(runtime, body, lambda key: key, on_remove=lambda *removal: on_remove(*removal) if removal[0] != "a" else None)
    assert [client.closed for client in clients] == [1, 1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        f"on_remove failed for the value of {number}" for number in range(3)
    ]


@pytest.fixture
def _log_breaks() -> Iterator[None]:
    class Breaks(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            raise OSError("the log is broken")

    logger, handler = logging.getLogger("herdless"), Breaks()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("_log_breaks")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_broken_log_of_a_broken_listener_breaks_nothing(runtime: str) -> None:
    """The cache goes on, and the next value is told."""
    told: list[object] = []

    def on_remove(key: object, _value: object, _cause: str) -> None:
        told.append(key)
        raise OSError("already closed")

    cache = cache_of(runtime, str.upper, on_remove=on_remove)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.clear()
    assert told == ["a", "b"]


async def not_called(_key: object, _value: object, _cause: str) -> None:
    """Would have to be awaited."""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("on_remove", [1, "close", not_called])
def test_what_cannot_be_called_is_refused_by_name(runtime: str, on_remove: Any) -> None:
    """At once, and not by a coroutine that nobody awaits."""
    with pytest.raises(PolicyError, match=r"on_remove=.* is not accepted: give a function .* not async"):
        cache_of(runtime, str.upper, on_remove=on_remove)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_listener_leaves_to_be_awaited_is_told(runtime: str, caplog: pytest.LogCaptureFixture) -> None:
    """`lambda key, client, cause: client.aclose()` closes nothing: the log says so, and not a warning somewhere."""
    cache = cache_of(runtime, str.upper, on_remove=lambda _key, client, _cause: client.aclose())
    cache.put("a", Awaited())
    cache.invalidate("a")
    assert "to be awaited" in caplog.text
    gc.collect()


def test_a_value_that_leaves_by_foreign_code_inside_the_lock_is_told_when_the_lock_is_left() -> None:
    """An observer may invalidate: the change is put off, and so is the word of it."""
    told: Told = []

    def observe(key: object, _step: object) -> None:
        if key == "b":
            cache.invalidate("a")
            assert told == []

    def on_remove(*removal: Any) -> None:
        assert not cache._is_inside()
        told.append(removal)

    cache: herdless.threads.Cache[str, Any] = herdless.threads.Cache(str.upper, observe=observe, on_remove=on_remove)
    cache.put("a", 1)
    cache.get("b")
    assert told == [("a", 1, "invalidated")]


# What is broken off


OPERATIONS: dict[str, Any] = {
    "put": lambda cache: cache.put("a", Client("new")),
    "invalidate": lambda cache: cache.invalidate("a"),
    "clear": lambda cache: cache.clear(),
    "get": lambda cache: cache.get("c"),
    "close": lambda cache: cache.close(),
}


NO_SIGNAL = re.compile(r"Listener\._call|before STORE_FAST at .* in Listener\._tell_all")
"""Between the mark that a value is told and the call, and between what takes it off and its name, no signal comes in:
the interpreter looks for one only after calls, and where a function or another round of a loop begins.
"""


@pytest.mark.pure("a compiled step has no points")
@pytest.mark.parametrize("files", [[listening.__file__], LIBRARY], ids=["where it is told", "anywhere"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_interrupt_loses_no_value_and_tells_none_twice(operation: str, files: Sequence[str]) -> None:
    """Between the removal and the call too: what is not told yet is told by whoever comes next, at the latest `close`.

    What was in the hands of the interrupted operation itself, and never came in, is not the cache's.
    """

    def scene(injection: Injection) -> None:
        told: list[Any] = []
        clients: list[Client] = []

        def load(key: str) -> Client:
            clients.append(Client(key))
            return clients[-1]

        cache: herdless.threads.Cache[str, Client] = herdless.threads.Cache(
            load, maxsize=2, on_remove=lambda _key, value, _cause: told.append(value)
        )
        for key in ("a", "b"):
            cache.get(key)
        known = list(clients)
        with injection:
            OPERATIONS[operation](cache)
        cache.close()
        assert len(told) == len(set(told))
        missing = [client.name for client in known if client not in told]
        at_the_call = injection.point is not None and NO_SIGNAL.search(injection.point.place)
        assert not missing or (at_the_call and len(missing) == 1), f"{missing} were never told"
        assert not cache._keyspace.leaving

    assert interrupt_everywhere(scene, files=files, every=11 if files is LIBRARY else 1) > 20


def test_a_listener_that_is_interrupted_was_called() -> None:
    """It is not called a second time; the others are told with the next one that leaves."""
    told: list[object] = []

    def on_remove(key: object, _value: object, _cause: str) -> None:
        told.append(key)
        if len(told) == 1:
            raise KeyboardInterrupt

    cache: herdless.threads.Cache[str, int] = herdless.threads.Cache(len, on_remove=on_remove)
    for key in ("a", "b", "c"):
        cache.put(key, 1)
    with pytest.raises(KeyboardInterrupt):
        cache.clear()
    assert told == ["a"]
    cache.close()
    assert told == ["a", "b", "c"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_what_left_before_a_fork_is_told_in_the_parent_alone() -> None:
    """The child has the values that are held, and tells of these."""
    reader, writer = os.pipe()

    def on_remove(_key: object, value: bytes, _cause: str) -> None:
        if value == b"forks":
            if os.fork() == 0:
                try:
                    cache.clear()
                finally:
                    os._exit(0)
            os.wait()
        os.write(writer, value)

    cache: herdless.threads.Cache[int, bytes] = herdless.threads.Cache(lambda _: b"", on_remove=on_remove)
    cache.put(0, b"held ")
    cache.put(1, b"forks")
    cache.put(2, b" left")
    cache._change(lambda now: cache._keyspace.invalidate(1, now) + cache._keyspace.invalidate(2, now))
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        assert told.read() == b"held forks left"
