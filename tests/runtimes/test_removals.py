"""`on_remove`: who closes what a cache held is told of each value, once, when the lock is left, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless_core import CacheClosed, Loaded
from tests.runtimes.on_threads import PATIENCE, Call
from tests.runtimes.scenes import RUNTIMES, Client, Get, Told, cache_of, play


class Clock:
    """Stands until it is told."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        """Tell the time."""
        return self.now

    def advance(self, seconds: int) -> None:
        """Let so much time pass."""
        self.now += seconds * 1_000_000_000


# Each cause


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_value_that_leaves_is_told_with_its_cause(runtime: str) -> None:
    """By a put or a load over it, by time, for want of room, by the caller, and at the end."""
    told: Told = []
    clock = Clock()

    async def body(cache: Any, get: Get) -> None:
        cache.put("a", 1)
        cache.put("a", 2)
        assert told.pop() == ("a", 1, "replaced")
        cache.invalidate("a")
        assert told.pop() == ("a", 2, "invalidated")
        cache.put("a", 3)
        clock.advance(11)
        assert await get("a") == "A"
        assert told.pop() == ("a", 3, "expired")
        cache.put("b", 4)
        cache.put("c", 5)
        ((key, _, cause),) = told
        assert (key in {"a", "b"}, cause) == (True, "evicted")
        told.clear()
        cache.clear()
        assert {cause for _, _, cause in told} == {"invalidated"}
        assert len(told) == 2
        told.clear()
        cache.put("d", 6)
        assert told == []

    play(runtime, body, str.upper, ttl=10, maxsize=2, clock=clock, on_remove=lambda *removal: told.append(removal))
    assert told == [("d", 6, "closed")]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_refresh_replaces_and_an_answer_does_too(runtime: str) -> None:
    """The old value is told of when the new one is there; "no such row" takes its place as well."""
    told: Told = []
    clock = Clock()
    values = iter([1, 2, LookupError("no such row")])

    def load(_key: str) -> Any:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    async def body(cache: Any, get: Get) -> None:
        assert await get("a") == 1
        clock.advance(15)
        assert await get("a") == 2
        assert told == [("a", 1, "replaced")]
        clock.advance(15)
        with pytest.raises(LookupError):
            await get("a")
        assert told[1:] == [("a", 2, "replaced")]
        cache.invalidate("a")

    options: dict[str, Any] = {"ttl": 10, "stale_if_error": 100, "answers": LookupError, "negative_ttl": 10}
    play(runtime, body, load, clock=clock, on_remove=lambda *removal: told.append(removal), **options)
    assert len(told) == 2, "an error that was remembered is no value"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_same_object_put_again_has_not_left(runtime: str) -> None:
    """A client that is put again is in use."""
    told: Told = []
    client = Client()
    cache = cache_of(runtime, str.upper, ttl=10, on_remove=lambda *removal: told.append(removal))
    cache.put("a", client)
    cache.put("a", client)
    cache.put("a", Loaded(client, ttl=20))
    assert told == []
    cache.invalidate("a")
    assert told == [("a", client, "invalidated")]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("options", [{"maxsize": 0}, {"maxweight": 1, "weigh": lambda _key, _value: 2}])
def test_what_finds_no_room_is_told_at_once(runtime: str, options: dict[str, Any]) -> None:
    """Who put it has handed it over, and has nothing else that would close it."""
    told: Told = []

    async def body(cache: Any, get: Get) -> None:
        cache.put("a", 1)
        assert await get("b") == "B"
        assert told == [("a", 1, "evicted"), ("b", "B", "evicted")]

    play(runtime, body, str.upper, on_remove=lambda *removal: told.append(removal), **options)
    assert len(told) == 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_loader_keeps_for_its_callers_is_not_told(runtime: str) -> None:
    """`keep=False` says that the cache has nothing to do with it."""
    told: Told = []

    async def body(_cache: Any, get: Get) -> None:
        assert await get("a") == "a"

    play(runtime, body, lambda key: Loaded(key, keep=False), on_remove=lambda *removal: told.append(removal))
    assert told == []


# Superseded loads


@pytest.mark.parametrize("change", ["invalidate", "put", "clear", "close"])
def test_a_client_whose_load_was_superseded_is_told_in_threads(change: str) -> None:
    """Nobody else would ever close it: threads let the load finish, and its value is dropped."""
    told: Told = []
    opened, go_on = threading.Event(), threading.Event()

    def load(key: str) -> Client:
        opened.set()
        assert go_on.wait(PATIENCE)
        return Client(key)

    cache = herdless.threads.Cache(load, on_remove=lambda *removal: told.append(removal))
    caller = Call(cache.get, "a")
    assert opened.wait(PATIENCE)
    if change == "close":
        cache._refuse_more(cancel=False)  # how it begins; the rest of it waits for the load
    else:
        {
            "invalidate": lambda: cache.invalidate("a"),
            "put": lambda: cache.put("a", Client("put")),
            "clear": cache.clear,
        }[change]()
    go_on.set()
    answer = caller.result()
    if change == "put":
        assert answer.name == "put"
    else:
        assert told == [("a", answer, "superseded")]
    ((key, value, cause),) = told
    assert (key, value.name, cause) == ("a", "a", "superseded")  # type: ignore[attr-defined]  # a Client


@pytest.mark.parametrize("change", ["invalidate", "put"])
def test_a_client_whose_load_was_superseded_is_told_on_asyncio(change: str) -> None:
    """Also where a loader ends by a value although it was cancelled."""
    told: Told = []

    async def main() -> None:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def load(key: str) -> str:
            with contextlib.suppress(asyncio.CancelledError):
                begun.set()
                await gate.wait()
            return key.upper()

        async with herdless.asyncio.Cache(load, on_remove=lambda *removal: told.append(removal)) as cache:
            caller = asyncio.create_task(cache.get("a"))
            await begun.wait()
            if change == "put":
                cache.put("a", "put")
            else:
                cache.invalidate("a")
            gate.set()
            assert await caller == ("put" if change == "put" else "A")
            await cache.settled()
            assert told == [("a", "A", "superseded")]

    asyncio.run(main())


# At the end


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_with_closes_every_client(runtime: str) -> None:
    """`with Cache(...)` is all that it takes, and nothing that was closed is used afterwards."""
    clients: list[Client] = []

    def load(key: str) -> Client:
        clients.append(Client(key))
        return clients[-1]

    async def body(_cache: Any, get: Get) -> None:
        for key in ("a", "b", "a", "c"):
            assert (await get(key)).closed == 0

    cache = play(runtime, body, load, on_remove=lambda _key, client, _cause: client.close())
    assert [client.closed for client in clients] == [1, 1, 1]
    with pytest.raises(CacheClosed):
        cache.put("d", Client())


def test_decorated_functions_have_the_listener() -> None:
    """Told by the arguments, as the cache keys them."""
    told: Told = []

    @herdless.threads.cached(on_remove=lambda *removal: told.append(removal))
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    double.cache_clear()
    assert told == [((4,), 8, "invalidated")]
