# mypy: ignore-errors
"""Code of somebody who uses herdless, for `test_typing.py` to check; it is never run.

A line that ends in `# expect: CODE` must be an error with that code of mypy, and one of pyright; one that ends in
`# expect of mypy: CODE`, of mypy alone. No other line may be one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, assert_type, overload

import herdless.asyncio
import herdless.threads
import herdless.trio
from herdless import Loaded, Policy, Stats
from herdless.asyncio import Cache as AsyncCache
from herdless.asyncio import Lookup
from herdless.threads import Cache as ThreadsCache
from herdless.trio import Cache as TrioCache
from herdless_verify.contract import AsyncioWorld, BlockingWorld, ContractSuite


class User:
    """What is cached."""


async def load_user(key: int) -> User:
    """Load plainly."""
    return User()


async def load_with_ttl(key: int) -> Loaded[User]:
    """Load with a lifetime."""
    return Loaded(User(), ttl=timedelta(minutes=1))


async def load_either(key: int) -> User | Loaded[User]:
    """Load with a lifetime now and then."""
    return User() if key else Loaded(User(), ttl=1)


def load_user_here(key: int) -> User:
    """Load without a loop."""
    return User()


def load_with_ttl_here(key: int) -> Loaded[User]:
    """Load without a loop, with a lifetime."""
    return Loaded(User(), ttl=0.5, stale_while_revalidate=5)


async def in_asyncio() -> None:
    """Look up, peek, change, close."""
    cache = AsyncCache(load_user, ttl=60, stale_while_revalidate=timedelta(minutes=5), maxsize=10_000)
    assert_type(cache, AsyncCache[int, User])
    assert_type(await cache.get(1), User)
    result = await cache.lookup(1)
    assert_type(result, Lookup[User])
    assert_type(result.value, User)
    assert_type(result.how, Literal["hit", "stale", "joined", "loaded", "fetched"])
    assert_type(result.outcome, Literal["hit", "stale", "joined", "loaded", "fetched"])
    assert_type(result.age, float)
    assert_type(cache.peek(1), User | None)
    assert_type(cache.peek(1, "nobody"), User | str | None)
    assert_type(1 in cache, bool)
    assert_type(cache.keys(), list[int])
    assert_type(list(cache), list[int])
    assert_type(result.ttl, float)
    assert_type(cache.ttl_of(1), float | None)
    assert_type(cache.touch(1, 60), bool)
    assert_type(cache.invalidate_where(lambda key: key > 1), int)
    assert_type(cache.restore(cache.dump(), older_by=60), int)
    assert_type(len(cache), int)
    cache.put(1, User())
    cache.put(1, Loaded(User(), ttl=1))
    cache.invalidate(1)
    stats = cache.stats()
    assert_type(stats, Stats)
    assert_type(stats.hits, int)
    assert_type(stats.maxsize, int | None)
    async with AsyncCache(load_user, policy=Policy(ttl=1)) as opened:
        assert_type(opened, AsyncCache[int, User])

    await cache.get("one")  # expect: arg-type
    cache.put(1, "user")  # expect: arg-type
    cache.put(1, Loaded("user"))  # expect: arg-type
    cache.invalidate(None)  # expect: arg-type
    _ = cache.get(1).name  # expect: attr-defined
    result.how = "hit"  # expect: misc
    stats.hits = 0  # expect: misc
    AsyncCache(load_user_here)  # expect: arg-type
    AsyncCache(load_user, ttl="60")  # expect: arg-type
    AsyncCache(load_user, tll=60)  # expect: call-arg
    AsyncCache(load_user, 60)  # expect: call-arg
    AsyncCache(load_user, maxsize=1.5)  # expect: arg-type
    if result.how == "miss":  # expect: comparison-overlap
        pass


async def what_loaders_may_return() -> None:
    """`Loaded` is unwrapped, in every runtime."""
    assert_type(await AsyncCache[int, User](load_with_ttl).get(1), User)
    assert_type(await AsyncCache[int, User](load_either).get(1), User)
    assert_type(await TrioCache[int, User](load_with_ttl).get(1), User)
    assert_type(ThreadsCache[int, User](load_with_ttl_here).get(1), User)


async def in_trio() -> None:
    """The same words, and the checkpoints."""
    async with TrioCache(load_user, checkpoint="always") as cache:
        assert_type(cache, TrioCache[int, User])
        assert_type(await cache.get(1), User)
        assert_type((await cache.lookup(1)).value, User)
        assert_type(cache.peek(1, 0), User | int | None)
    TrioCache(load_user, checkpoint="sometimes")  # expect: arg-type
    TrioCache(load_user_here)  # expect: arg-type


def in_threads() -> None:
    """The same words, and the caller's own time."""
    with ThreadsCache(load_user_here, ttl=60) as cache:
        assert_type(cache, ThreadsCache[int, User])
        assert_type(cache.get(1, timeout=0.5), User)
        assert_type(cache.lookup(1).value, User)
        assert_type(cache.peek(1), User | None)
    cache.get(1, timeout="0.5")  # expect: arg-type
    cache.get("one")  # expect: arg-type


@herdless.asyncio.cached(ttl=60)
async def find(name: str, *, limit: int = 10) -> list[User]:
    """Find by name."""
    return []


@herdless.trio.cached(ttl=60)
async def find_in_trio(name: str) -> list[User] | Loaded[list[User]]:
    """Find by name, with a lifetime."""
    return Loaded([], ttl=1)


@herdless.threads.cached(maxsize=100, key=lambda name: name.lower())
def find_here(name: str) -> User | None:
    """Find by name, without a loop."""
    return None


class Service:
    """Methods are cached as functions are."""

    @herdless.asyncio.cached(ttl=60)
    async def find(self, name: str) -> User:
        """Find by name."""
        return User()

    @herdless.threads.cached(ttl=60)
    def find_here(self, name: str) -> User:
        """Find by name, without a loop."""
        return User()

    @herdless.asyncio.cached(ttl=60, per_instance=True)
    async def of_instance(self, name: str) -> User:
        """Find by name, each instance for itself."""
        return User()

    @herdless.threads.cached(per_instance=True)
    def of_instance_here(self, name: str, limit: int = 1) -> User:
        """Find by name, each instance for itself, without a loop."""
        return User()

    @classmethod
    @herdless.threads.cached()
    def of_class(cls, name: str) -> User:
        """Find by name, for a class."""
        return User()

    @classmethod
    @herdless.asyncio.cached()
    async def await_of_class(cls, name: str) -> User:
        """Find by name, for a class."""
        return User()

    @staticmethod
    @herdless.threads.cached()
    def static(number: int) -> User:
        """Find by number."""
        return User()

    @staticmethod
    @herdless.asyncio.cached()
    async def await_static(number: int) -> User:
        """Find by number."""
        return User()


class BetterService(Service):
    """Methods are inherited."""


@overload
def double(what: int) -> int: ...
@overload
def double(what: str) -> str: ...
@herdless.threads.cached()
def double(what: Any) -> Any:
    """Double it."""
    return 2 * what


@overload
async def await_double(what: int) -> int: ...
@overload
async def await_double(what: str) -> str: ...
@herdless.asyncio.cached()
async def await_double(what: Any) -> Any:
    """Double it."""
    return 2 * what


async def decorated() -> None:
    """A cached function is called as before, by its own signature."""
    assert_type(await find("a", limit=3), list[User])
    assert_type(find_here("a"), User | None)
    assert_type(await Service().find("a"), User)
    assert_type(Service().find_here("a"), User)
    assert_type(find.cache_info().hits, int)
    find.invalidate("a", limit=3)
    Service().find.invalidate("a")
    find.cache_clear()

    await find(1)  # expect: arg-type
    await find("a", 3)  # expect: call-arg
    await find("a", limit="3")  # expect: arg-type
    await Service().find()  # expect: call-arg
    await Service().find(1)  # expect: arg-type
    find.invalidate()  # expect: call-arg
    find_here("a", "b")  # expect: call-arg
    _ = find("a").append  # expect: attr-defined
    herdless.asyncio.cached(find_here)  # expect: call-overload


async def words_of_decorated_functions() -> None:
    """They take the function's arguments; what they give is of the function's type."""
    assert_type(await find.lookup("a", limit=3), Lookup[list[User]])
    assert_type((await find_in_trio.lookup("a")).value, list[User])
    assert_type(find_here.lookup("a"), Lookup[User | None])
    assert_type(find.peek("a"), list[User] | None)
    assert_type(find_here.peek("a"), User | None)
    find.put([User()], "a", limit=3)
    find.put(Loaded([User()], ttl=1), "a")
    find_here.put(None, name="a")
    find.expire("a")
    find_here.refresh("a")
    assert_type(find.cache.peek(find.key("a", limit=3)), Any)

    find.lookup(1)  # expect: arg-type
    find.peek()  # expect: call-arg
    find.put([1], "a")  # expect: list-item
    find.put([User()])  # expect: call-arg
    find_here.put(User(), 1)  # expect: arg-type
    find_here.expire("a", "b")  # expect: call-arg
    find.refresh(limit="3", name="a")  # expect: arg-type
    find.key("a", 3)  # expect: call-arg
    _ = find.lookup("a").value  # expect: attr-defined


async def words_in_a_class() -> None:
    """On an instance they need no `self`, on the class they do; of a class method never the class."""
    service = Service()
    assert_type((await service.find.lookup("a")).value, User)
    assert_type(service.find_here.peek("a"), User | None)
    assert_type(await service.of_instance("a"), User)
    assert_type((await service.of_instance.lookup("a")).value, User)
    assert_type(service.of_instance_here("a", limit=2), User)
    assert_type(Service.of_instance_here(service, "a"), User)
    service.of_instance_here.put(User(), "a", 2)
    Service.of_instance_here.put(User(), service, "a")
    Service.of_instance.expire(service, "a")
    assert_type(service.of_instance_here.cache_info().hits, int)
    assert_type(BetterService.of_class.lookup("a").value, User)
    assert_type(Service.static.peek(1), User | None)

    service.of_instance_here.put(1, "a")  # expect: arg-type
    service.of_instance.expire(service, "a")  # expect: call-arg
    Service.of_instance_here.peek("a")  # expect: arg-type
    await service.of_instance(1)  # expect: arg-type
    BetterService.of_class.lookup(1)  # expect: arg-type
    herdless.threads.cached(per_instance="yes")  # expect: call-overload


async def decorated_in_a_class() -> None:
    """On the class, on a derived one, on an instance."""
    assert_type(Service.find_here(Service(), "a"), User)
    assert_type(Service.of_class("a"), User)
    assert_type(BetterService.of_class(name="a"), User)
    assert_type(BetterService().of_class("a"), User)
    assert_type(await Service.await_of_class("a"), User)
    assert_type(await BetterService().await_of_class("a"), User)
    assert_type(Service.static(1), User)
    assert_type(BetterService().static(number=1), User)
    assert_type(await BetterService.await_static(1), User)
    assert_type(await Service().await_static(1), User)
    Service.find_here.invalidate(Service(), "a")
    BetterService.of_class.invalidate("a")
    BetterService().static.invalidate(1)
    assert_type(Service().find_here.cache_info().hits, int)

    Service.find_here("a")  # expect: arg-type
    Service.of_class(1)  # expect: arg-type
    Service().of_class("a", "b")  # expect: call-arg
    Service.static("a")  # expect: arg-type
    Service().static()  # expect: call-arg
    await BetterService.await_static("a")  # expect: arg-type
    Service().static.invalidate("a")  # expect: arg-type


async def decorated_with_overloads() -> None:
    """A caller is told what the overloads say."""
    assert_type(double(1), int)
    assert_type(double("a"), str)
    assert_type(await await_double("a"), str)
    double(1.5)  # expect: call-overload


async def decorated_with_loaded() -> None:
    """`Loaded` is unwrapped for callers of a cached function too."""
    assert_type(await find_in_trio("a"), list[User])


class MyWorld(BlockingWorld):
    """A driver of a foreign runtime."""

    cache_class = ThreadsCache
    cancellation = TimeoutError
    exempt: ClassVar[Mapping[str, str]] = {"test_single_flight": "for this example"}

    def make_spot(self) -> threading.Event:
        """Where loads wait."""
        return threading.Event()

    def spawn(self, body: Callable[[], Any]) -> threading.Thread:
        """Start a caller."""
        thread = threading.Thread(target=body)
        thread.start()
        return thread

    async def settle(self) -> None:
        """Wait for nothing."""


class TestMine(ContractSuite):
    """The suite for it."""

    world = MyWorld


class WrongWorld(AsyncioWorld):
    """What a driver may not be."""

    cache_class = 1  # expect: assignment
    cancellation = TimeoutError()  # expect of mypy: assignment
    exempt: ClassVar[Mapping[str, str]] = {"test_single_flight": None}  # expect: dict-item

    def settle(self) -> None:  # expect: override
        """A driver's `settle` is awaited."""


class TestWrong(ContractSuite):
    """A world is needed."""

    world = ThreadsCache  # expect: assignment
