"""`cached(store=...)` of every runtime: a function whose results all processes share."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest
import trio

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import PolicyError
from herdless._shared.calls import text_of_calls
from herdless.stores import MemoryStore

DECORATORS: Final[dict[str, Any]] = {
    "asyncio": herdless.asyncio.cached,
    "threads": herdless.threads.cached,
    "trio": herdless.trio.cached,
}

CALLED: Final[list[Any]] = []


class Order:
    """What a key has to be made of."""

    def __init__(self, number: int) -> None:
        self.number = number


def priced(item: int, currency: str = "EUR", *, net: bool = False) -> list[Any]:
    """The function of the tests. In a module, so that it has a name of its own."""
    CALLED.append(item)
    return [item, currency, net, len(CALLED)]


async def priced_async(item: int, currency: str = "EUR", *, net: bool = False) -> list[Any]:
    """The same, awaited."""
    return priced(item, currency, net=net)


def by_number(order: Order) -> int:
    """A function of something that is no key."""
    CALLED.append(order.number)
    return order.number


async def by_number_async(order: Order) -> int:
    """The same, awaited."""
    return by_number(order)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


def run(colour: str, *functions: Any, test: Callable[[Callable[..., Any]], Coroutine[Any, Any, None]]) -> None:
    """Run the test with the caches of these functions open; it is given what calls something, and waits for it."""
    if colour == "threads":

        async def plain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        try:
            asyncio.run(test(plain))
        finally:
            for function in functions:
                function.cache.close()
        return

    async def awaited(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if asyncio.iscoroutine(result) else result

    async def opened(rest: tuple[Any, ...]) -> None:
        if not rest:
            await test(awaited)
            return
        async with rest[0].cache:
            await opened(rest[1:])

    if colour == "asyncio":
        asyncio.run(opened(functions))
    else:
        trio.run(opened, functions)


def made(colour: str, store: MemoryStore, function: Any = None, **options: Any) -> Any:
    """The function, decorated."""
    if function is None:
        function = priced if colour == "threads" else priced_async
    return DECORATORS[colour](store=store, ttl=600, **options)(function)


def test_two_processes_call_it_once(colour: str, store: MemoryStore) -> None:
    """However its arguments are given."""
    here, there = made(colour, store), made(colour, store)

    async def test(call: Callable[..., Any]) -> None:
        assert await call(here, 7) == [7, "EUR", False, 1]
        assert await call(there, item=7, currency="EUR") == [7, "EUR", False, 1]
        assert (await call(there.lookup, 7)).how == "hit"
        assert await call(here, 7, net=True) == [7, "EUR", True, 2]
        assert there.peek(7) == [7, "EUR", False, 1]
        assert here.__wrapped__ in {priced, priced_async}

    run(colour, here, there, test=test)


def test_its_words_are_the_fleets(colour: str, store: MemoryStore) -> None:
    """With the function's own arguments in the place of the key."""
    here, there = made(colour, store), made(colour, store)

    async def test(call: Callable[..., Any]) -> None:
        await call(here.put, "put", 7, net=True)
        assert await call(there, 7, net=True) == "put"
        await call(there.invalidate, 7, net=True)
        assert await call(there, 7, net=True) == [7, "EUR", True, 1]
        assert await call(there.refresh, 8) is True
        await call(there.expire, 8)
        assert (await call(there.reload, 7))[3] > 1
        assert [each[0] for each in await call(there.get_many, [(1,), (2, "USD")])] == [1, 2]
        there.cache_clear()
        assert there.cache_info().currsize == there.cache_info().hits == 0
        assert (await call(there.lookup, 1)).how == "fetched"
        assert there.cache_info()[:2] == (1, 0)

    run(colour, here, there, test=test)


def test_two_functions_may_have_one_store(colour: str, store: MemoryStore) -> None:
    """The text of a call begins with the function's name: 7 of one is not 7 of the other."""
    is_plain = colour == "threads"
    one = made(colour, store)
    two = made(colour, store, by_number if is_plain else by_number_async, key=lambda order: order.number)

    async def test(call: Callable[..., Any]) -> None:
        assert await call(one, 7) == [7, "EUR", False, 1]
        assert await call(two, Order(7)) == 7
        texts = sorted(store._records)
        name = "" if is_plain else "_async"
        module = "tests.fleet.test_decorated"
        assert texts == [f"{module}.by_number{name}(7)", f'{module}.priced{name}(7,"EUR",*,"net",0)']

    run(colour, one, two, test=test)


def test_arguments_that_key_makes_nothing_of_are_let_go(colour: str, store: MemoryStore) -> None:
    """Fetched or loaded, held or not: the cache keeps what it was asked by, and not the whole request."""
    function = by_number if colour == "threads" else by_number_async
    here, there = [made(colour, store, function, key=lambda order: order.number) for _ in range(2)]

    async def test(call: Callable[..., Any]) -> None:
        for each in (here, there):
            order = Order(7)
            kept = weakref.ref(order)
            assert await call(each, order) == 7
            await call(each.refresh, order)
            assert (
                await call(each.reload, order) == await call(each, Order(7)) == await call(each.reload, Order(7)) == 7
            )
            del order
            for _ in range(100):
                gc.collect()
                if kept() is None:
                    break
                await call(each, Order(8))
                await pause(colour)
            assert kept() is None

    run(colour, here, there, test=test)


async def pause(colour: str) -> None:
    """Let what is in the background go on."""
    if colour == "trio":
        await trio.sleep(0.01)
    else:
        await asyncio.sleep(0.01)


def test_an_argument_that_is_no_key_is_refused_and_says_what_to_do(colour: str, store: MemoryStore) -> None:
    """Two processes would not agree about what it is called."""
    function = by_number if colour == "threads" else by_number_async
    decorated = made(colour, store, function)

    async def test(call: Callable[..., Any]) -> None:
        with pytest.raises(PolicyError, match=r"type Order is not accepted in a key.*Give key="):
            await call(decorated, Order(7))
        assert CALLED == []

    run(colour, decorated, test=test)


def test_a_function_of_which_there_may_be_several_is_refused(colour: str, store: MemoryStore) -> None:
    """Each of them would get the results of the others."""

    def inner(item: int) -> int:
        return item

    async def inner_async(item: int) -> int:
        return item

    function = inner if colour == "threads" else inner_async
    with pytest.raises(PolicyError, match="store_key="):
        made(colour, store, function)
    decorated = made(colour, store, function, store_key=lambda call: f"item {call[0]}")

    async def test(call: Callable[..., Any]) -> None:
        assert await call(decorated, 7) == 7
        assert list(store._records) == ["item 7"]

    run(colour, decorated, test=test)


@pytest.mark.parametrize("option", [{"per_instance": True}, {"load_many": None}, {"previous": True}, {"ttl": -1}])
def test_what_it_cannot_have_is_refused(colour: str, store: MemoryStore, option: dict[str, Any]) -> None:
    """By name, when it is decorated."""
    function = priced if colour == "threads" else priced_async
    with pytest.raises(PolicyError, match=next(iter(option))):
        DECORATORS[colour](store=store, **option)(function)


@pytest.mark.parametrize(
    ("colour_", "option"),
    [("threads", {"executor": 1}), ("threads", {"around_load": 1}), ("trio", {"checkpoint": "never"})],
)
def test_what_only_the_cache_of_its_runtime_has_is_refused(
    store: MemoryStore, colour_: str, option: dict[str, Any]
) -> None:
    """And not passed over."""
    with pytest.raises(PolicyError, match=next(iter(option))):
        made(colour_, store, **option)


# Texts


EQUAL: Final[list[tuple[Any, ...]]] = [
    ((1,), (True,), (1.0,)),
    ((0,), (False,), (-0.0,), (0.0,)),
    ((10**20,), (1e20,)),
    ((("a", (1, None)),), (("a", (True, None)),)),
]


@pytest.mark.parametrize("calls", EQUAL)
def test_arguments_that_are_equal_have_one_text(calls: tuple[Any, ...]) -> None:
    """They are one key in a process: an invalidation of one is one of all."""
    assert len({text_of_calls("f")(call) for call in calls}) == 1
    assert len(set(calls)) == 1


def test_arguments_that_differ_have_texts_that_differ() -> None:
    """Whatever is in a string."""
    arguments: list[Any] = [
        *(1, -1, 1.5, 10**15 - 1, 10**15, -(10**15), 10**5_000, float("inf"), -float("inf"), 1e-300),
        *("1", "", '"', ",", '1,"2"', "null", "*", "(1)", "ä", "\ud800", "\0", "b00", "#", "x" * 1_000, "x" * 1_001),
        *(None, b"", b"1", b"\0", (), (1,), ((1,),), (1, 2), ("1,2",), ("1", "2")),
    ]
    calls = [*((each,) for each in arguments), (), (1, 2), ("1", "2"), ("1,2", "")]
    texts = [text_of_calls("f")(call) for call in calls]
    assert len(set(texts)) == len(calls)
    assert max(map(len, texts)) < 600
    for text in texts:
        text.encode("ascii")


@pytest.mark.parametrize("argument", [float("nan"), [1], {1}, frozenset(), 1j, object(), bytearray()])
def test_arguments_of_other_types_are_refused(argument: Any) -> None:
    """`repr` would be a guess."""
    with pytest.raises(PolicyError, match="is not accepted in a key"):
        text_of_calls("f")((1, (argument,)))
