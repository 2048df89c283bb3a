"""threads: a load that somebody waits for always runs, whatever hangs on the threads that take up refreshes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

import pytest

from herdless._workers import MAX_REFRESHERS
from herdless.testing import VirtualClock
from herdless.threads import Cache
from herdless_core import LoadCancelled

PATIENCE: Final = 30


class HungOrigin:
    """Loads hang from the second on, but for the key "healthy"."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.hung = threading.Semaphore(0)
        self.healthy = threading.Semaphore(0)
        self.is_down = False

    def load(self, key: object) -> str:
        """The loader."""
        if key == "healthy":
            self.healthy.release()
        elif self.is_down:
            self.hung.release()
            self.release.wait()  # with a timeout it would not hang, and set free what the test says is not needed
        return str(key)

    def wait_for_hung(self, count: int) -> None:
        """Until so many more loads hang."""
        for _ in range(count):
            assert self.hung.acquire(timeout=PATIENCE)


@pytest.fixture
def origin() -> Iterator[HungOrigin]:
    """Its loads end with the test."""
    origin = HungOrigin()
    yield origin
    origin.release.set()


def stale_cache(origin: HungOrigin, clock: VirtualClock, **options: Any) -> Cache[object, str]:
    """Eight keys whose refreshes hang, and a healthy one, all of them stale."""
    cache = Cache[object, str](
        origin.load, ttl=10, stale_while_revalidate=100, refresh_backoff=1, clock=clock, **options
    )
    for key in (*range(MAX_REFRESHERS), "healthy"):
        cache.get(key)
    assert origin.healthy.acquire(timeout=PATIENCE)
    clock.advance(50)
    origin.is_down = True
    for key in range(MAX_REFRESHERS):
        assert cache.lookup(key).how == "stale"
    origin.wait_for_hung(MAX_REFRESHERS)
    return cache


def ask_behind_the_hung_ones(cache: Cache[object, str], clock: VirtualClock, timeout: float | None) -> str:
    """The healthy key's refresh is queued; past the stale window its callers wait."""
    assert cache.lookup("healthy").how == "stale"
    clock.advance(500)
    return cache.get("healthy", timeout)


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_caller_who_joins_a_queued_refresh_is_answered_at_once(origin: HungOrigin, timeout: float | None) -> None:
    """The caller runs it, or a thread of its own does; the value counts from then, not from the queueing."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock)
    assert ask_behind_the_hung_ones(cache, clock, timeout) == "healthy"
    assert cache.lookup("healthy").age < 1


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_the_same_behind_an_executor_of_the_users(origin: HungOrigin, timeout: float | None) -> None:
    """It may be full of hung loads too."""
    clock = VirtualClock()
    with ThreadPoolExecutor(MAX_REFRESHERS) as executor:
        cache = stale_cache(origin, clock, executor=executor)
        if timeout is None:
            assert ask_behind_the_hung_ones(cache, clock, timeout) == "healthy"
        else:  # whoever bounds the threads bounds them for this caller too
            with pytest.raises(TimeoutError):
                ask_behind_the_hung_ones(cache, clock, 0)
        origin.release.set()


def test_unknown_key_that_is_being_refreshed_is_loaded_at_once(origin: HungOrigin) -> None:
    """`refresh` warms a key up; who needs it now does not wait for the warming of others."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock)
    cache.refresh("new")
    origin.is_down = False
    assert cache.get("new") == "new"


def test_queued_refresh_is_loaded_at_once_by_the_loader_it_was_given(origin: HungOrigin) -> None:
    """Who needs the key now and brings no loader has it loaded by that of the refresh, whose place its load takes."""
    cache = stale_cache(origin, VirtualClock())
    cache.refresh("new", load=lambda key: f"{key} by the refresh")
    assert cache.get("new") == "new by the refresh"
    cache.refresh("newer", load=lambda key: f"{key} by the refresh")
    assert cache.get("newer", load=lambda key: f"{key} by the caller") == "newer by the caller"


def test_early_refresh_behind_hung_ones_is_loaded_when_needed(origin: HungOrigin) -> None:
    """Its value is a hit until the ttl, and afterwards the caller loads."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock, early_refresh=0.5)
    origin.is_down = False
    cache.put("early", "old")
    clock.advance(6)
    assert cache.lookup("early").how == "hit"
    clock.advance(600)
    assert cache.get("early") == "early"


def test_refreshes_that_were_given_up_take_up_no_room(origin: HungOrigin) -> None:
    """With `load_timeout` a hung origin costs its threads once, and other keys are refreshed as before."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock, load_timeout=5)
    for _ in range(5):
        clock.advance(60)
        cache.lookup("healthy")
        assert origin.healthy.acquire(timeout=PATIENCE)
        cache.settled(PATIENCE)


def test_refresh_whose_time_is_over_in_the_queue_gives_its_turn_to_the_next(origin: HungOrigin) -> None:
    """It is never begun, and no thread comes to say so: with its turn kept, no load would ever be given one."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock, load_timeout=5, max_loads=MAX_REFRESHERS + 1)
    assert cache.lookup("healthy").how == "stale"
    for seconds in (6, 2):  # it is given up, and tried again after the back-off
        clock.advance(seconds)
        assert cache.lookup("healthy").how == "stale"
    assert origin.healthy.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("ends", ["put", "invalidate", "clear"])
def test_refresh_that_is_superseded_in_the_queue_gives_its_turn_away(origin: HungOrigin, ends: str) -> None:
    """Whatever superseded it: a caller who waits for that turn would wait for as long as the others hang."""
    clock = VirtualClock()
    cache = stale_cache(origin, clock, max_loads=MAX_REFRESHERS + 1)
    assert cache.lookup("healthy").how == "stale"
    if ends == "put":
        cache.put("healthy", "put")
    elif ends == "invalidate":
        cache.invalidate("healthy")
    else:
        cache.clear()
    got: list[str] = []
    caller = threading.Thread(target=lambda: got.append(cache.get("another", load=lambda _: "loaded")), daemon=True)
    caller.start()
    caller.join(PATIENCE)
    assert got == ["loaded"]


def test_executor_that_is_shut_down_leaves_nobody_waiting() -> None:
    """Its queued jobs are cancelled: those who wait for them are told, and the key can be loaded again."""
    began, release = threading.Event(), threading.Event()

    def load(key: str) -> str:
        began.set()
        assert release.wait(PATIENCE)
        return key

    executor = ThreadPoolExecutor(1)
    cache = Cache(load, executor=executor)
    cache.refresh("runs")
    assert began.wait(PATIENCE)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            cache.get("queued", timeout=PATIENCE)
        except LoadCancelled as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while not cache.stats().misses:
        pass
    executor.shutdown(wait=False, cancel_futures=True)
    asking.join(PATIENCE)
    assert errors or not asking.is_alive()
    release.set()
    assert cache.get("queued") == "queued"
    executor.shutdown()


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)], ids=["own", "executor"])
def test_hook_around_loads_that_no_caller_runs(executor: Executor | None) -> None:
    """Django's `close_old_connections`, Flask's app context: on those threads no framework does it."""
    events: list[str] = []

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        events.append("before")
        try:
            yield
        finally:
            events.append("after")

    def load(key: str) -> str:
        events.append(key)
        return key

    cache = Cache(load, around_load=around, executor=executor)
    assert cache.get("here") == "here"
    assert events == ["here"], "the caller's own thread is the framework's"
    assert cache.get("aside", timeout=PATIENCE) == "aside"
    cache.refresh("refreshed")
    cache.settled(PATIENCE)
    while events.count("after") < 2:
        pass
    assert events == ["here", *("before", "aside", "after"), *("before", "refreshed", "after")]


@pytest.mark.parametrize("fails", ["making", "entering"])
def test_hook_that_fails_fails_the_load(fails: str) -> None:
    """Its callers are told; nobody hangs."""

    class Broken:
        def __enter__(self) -> None:
            raise OSError("no context")

        def __exit__(self, *_: object) -> None: ...

    def around() -> Any:
        if fails == "making":
            raise OSError("no context")
        return Broken()

    cache = Cache(str.upper, around_load=around)
    with pytest.raises(OSError, match="no context"):
        cache.get("k", timeout=PATIENCE)
    assert cache.get("k") == "K"


def test_hook_that_is_no_function_is_refused() -> None:
    """At once, and not on some thread later."""
    with pytest.raises(ValueError, match="around_load=3 is not accepted: give a function that returns a context"):
        Cache(str.upper, around_load=3)  # type: ignore[arg-type]  # that is what is refused


def test_thread_that_begins_may_order_another_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may run a finalizer before whoever started it goes on: nothing that it needs may be held meanwhile."""
    cache = Cache(str.upper)
    meddling: list[threading.Thread] = []

    class Beginning(threading.Thread):
        """A thread in whose first moments foreign code refreshes a key."""

        def start(self) -> None:
            if not meddling:
                meddling.append(threading.Thread(target=cache.refresh, args=("other",), daemon=True))
                meddling[0].start()
                meddling[0].join(PATIENCE)
                assert not meddling[0].is_alive(), "it waits for whoever waits for it"
            super().start()

    monkeypatch.setattr("herdless._daemons.Thread", Beginning)
    cache.refresh("k")
    cache.settled(PATIENCE)
    assert (cache.peek("k"), cache.peek("other")) == ("K", "OTHER")


def test_load_for_which_no_thread_can_be_had_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers are not left waiting for a thread, and nothing of it stays in the queue."""
    cache = Cache(str.upper)

    class Refused(threading.Thread):
        """The system has no more."""

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("herdless._daemons.Thread", Refused)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            cache.get("k", timeout=PATIENCE)
    assert cache.get("k", timeout=PATIENCE) == "K"
    assert not cache._workers._jobs
