"""What only threads can do: hits without the lock, timeouts of one caller, interrupts, callers while it is closed."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from threading import Event
from typing import Any

import pytest

from herdless.adapter import LOADING
from herdless.threads import Cache
from herdless_core import Join, LoadCancelled, LoadTimeout, PolicyError, ReentrantLoad, StartLoad, Step
from tests.runtimes.on_threads import PATIENCE, Call, Gate

# Hits


def test_hit_takes_no_lock() -> None:
    """A hit returns while another thread holds the lock."""
    cache = Cache(str.upper)
    cache.get("k")
    with cache._lock:
        assert Call(cache.get, "k").result() == "K"
    assert cache.stats().hits == 1


def test_one_load_for_thousands_of_callers() -> None:
    """With threads stopped anywhere, a generation has one load, and all who ask get its value."""
    loads: Counter[int] = Counter()
    generation = 0

    def load(_key: str) -> int:
        loads[generation] += 1
        return generation

    def caller() -> None:
        start.wait()
        values.extend(cache.get("k") for _ in range(200))

    cache = Cache(load)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for generation in range(5):  # the loader reads it
            values: list[int] = []
            start = Event()
            calls = [Call(caller) for _ in range(20)]
            start.set()
            for call in calls:
                call.result()
            assert set(values) == {generation}
            assert len(values) == 4_000
            cache.invalidate("k")
    finally:
        sys.setswitchinterval(before)
    assert loads == Counter(dict.fromkeys(range(5), 1))


def test_hot_path_under_change() -> None:
    """Readers without the lock, while entries are evicted, moved and replaced: each key's value, or a load of it."""
    cache: Cache[int, int] = Cache(lambda key: key, maxsize=8)
    errors: list[tuple[int, int]] = []

    def reader(offset: int) -> None:
        for number in range(2_000):
            key = (number * offset) % 24
            if (value := cache.get(key)) != key:
                errors.append((key, value))

    def writer() -> None:
        for number in range(1_000):
            cache.put(number % 24, number % 24)
            cache.invalidate((number + 7) % 24)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for call in [*[Call(reader, offset) for offset in (1, 5, 7)], Call(writer)]:
            call.result()
    finally:
        sys.setswitchinterval(before)
    assert not errors
    assert len(cache) <= 8


# Time-outs


def test_timeout_is_of_one_caller_alone() -> None:
    """A caller that gives up gets TimeoutError; the load and the others go on."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    patient = Call(cache.get, "k")
    gate.wait_for_load()
    with pytest.raises(TimeoutError, match="the load goes on"):
        cache.get("k", 0.01)
    gate.open.set()
    assert patient.result() == "K"


def test_timeout_by_a_clock_that_runs_slower() -> None:
    """The cache's clock decides: who looked at it too early waits on."""
    gate = Gate()
    looks = iter(range(0, 1_000_000_000, 4_000_000))
    cache = Cache(gate.load, clock=lambda: next(looks))
    with pytest.raises(TimeoutError):
        cache.get("k", timeout=0.02)
    gate.open.set()
    assert next(looks) >= 20_000_000


def test_leader_that_gives_up_leaves_its_load_behind() -> None:
    """The load of a caller with a timeout runs on a thread of its own, ends there and is stored."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    with pytest.raises(TimeoutError):
        cache.get("k", timeout=0)
    gate.wait_for_load()
    joiner = Call(cache.get, "k")
    gate.wait_for_joins(2)
    gate.open.set()
    assert joiner.result() == "K"
    assert gate.threads == ["herdless load"]


def test_leader_without_a_timeout_loads_on_its_own_thread() -> None:
    """No thread is started, and thread-local connections of the caller's are the loader's."""
    cache: Cache[str, int] = Cache(lambda _key: threading.get_ident())
    assert cache.get("k") == threading.get_ident()


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**30, 1e10])
def test_endless_timeout(timeout: float) -> None:
    """A timeout longer than a lock can wait is none."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    call = Call(cache.get, "k", timeout)
    gate.wait_for_load()
    gate.open.set()
    assert call.result() == "K"


def test_endless_load_timeout() -> None:
    """The same for the policy's."""
    gate = Gate()
    cache = Cache(gate.load, load_timeout=1e10)
    call = Call(cache.get, "k")
    gate.wait_for_load()
    gate.open.set()
    assert call.result() == "K"


@pytest.mark.parametrize("timeout", [-1, "1", True, float("nan")])
def test_bad_timeout_is_named(timeout: Any) -> None:
    """The error names the argument, its value and what is accepted; nothing is left pending."""
    cache = Cache(str.upper)
    with pytest.raises(PolicyError, match=r"timeout=.* is not accepted: give None or a number of seconds >= 0"):
        cache.get("k", timeout)
    assert cache.stats().in_flight == 0


def test_load_timeout_with_the_real_clock() -> None:
    """The waiters look at the clock themselves; the hung load stays behind on its thread."""
    gate = Gate()
    cache = Cache(gate.load, load_timeout=0.01)
    with pytest.raises(LoadTimeout):
        cache.get("k")
    gate.open.set()


# Errors


def test_interrupt_in_the_leader_answers_the_others() -> None:
    """Ctrl-C hits the thread that loads: it gets the interrupt, the others LoadCancelled, and the key loads again."""
    gate = Gate()

    def load(key: str) -> str:
        gate.load(key)
        raise KeyboardInterrupt

    cache = Cache(load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    others = [Call(cache.get, "k") for _ in range(3)]
    gate.wait_for_joins(4)
    gate.open.set()
    leader.join()
    assert isinstance(leader.error, KeyboardInterrupt)
    for other in others:
        other.join()
        assert isinstance(other.error, LoadCancelled)
        assert isinstance(other.error.__cause__, KeyboardInterrupt)
    assert cache.stats().in_flight == 0


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt], ids=str)
def test_thread_is_inside_no_load_after_it(error: type[BaseException] | None) -> None:
    """However the load ended: what is looked up later is not asked for by it, nor refused as if it were."""

    def load(key: str) -> str:
        if error is not None:
            raise error
        return key

    cache = Cache(load)
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        cache.get("a")
    assert LOADING.get() is None


def test_async_loader_is_told() -> None:
    """A coroutine would be cached, and awaited by the first caller alone."""

    async def load(key: str) -> str:
        return key

    cache: Cache[str, Any] = Cache(load)
    with pytest.raises(TypeError, match=r"load=.* is not accepted: give a function that is not async"):
        cache.get("k")


def test_reentrancy_across_threads() -> None:
    """Two threads, each inside the load that the other one asks for: one of them is told, neither hangs."""
    inside = {"a": Event(), "b": Event()}
    joined = Event()

    def load(key: str) -> str:
        other = "b" if key == "a" else "a"
        inside[key].set()
        assert inside[other].wait(PATIENCE)
        return cache.get(other)

    def observe(_key: str, step: Step) -> None:
        if any(isinstance(effect, Join) for effect in step.effects):
            joined.set()

    cache: Cache[str, str] = Cache(load, observe=observe)
    calls = [Call(cache.get, key) for key in "ab"]
    for call in calls:
        call.join()
        assert isinstance(call.error, ReentrantLoad)


# Closing


def test_leaving_by_an_exception_answers_the_waiters() -> None:
    """The body failed: its `with` does not wait for what others load."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    joiner = Call(cache.get, "k")
    gate.wait_for_joins(2)
    with pytest.raises(OSError, match="body"), cache:
        raise OSError("body")
    joiner.join()
    assert isinstance(joiner.error, LoadCancelled)
    gate.open.set()
    leader.join()
    assert isinstance(leader.error, LoadCancelled)


def test_leaving_waits_for_the_waiters() -> None:
    """Who waits when the body ends still gets the value."""
    gate = Gate()
    cache = Cache(gate.load, observe=gate.observe)
    leader = Call(cache.get, "k")
    gate.wait_for_load()
    closing = Call(cache.close)
    gate.open.set()
    closing.join()
    assert leader.result() == "K"


def test_loader_may_close_its_cache() -> None:
    """A load does not wait for its own end."""

    def load(key: str) -> str:
        cache.close()
        return key

    cache: Cache[str, str] = Cache(load)
    assert Call(cache.get, "k").result() == "k"


def test_start_load_names_each_generation_once() -> None:
    """Under contention as well, no generation is started twice."""
    generations: list[int] = []

    def observe(_key: int, step: Step) -> None:
        generations.extend(effect.generation for effect in step.effects if isinstance(effect, StartLoad))

    cache: Cache[int, int] = Cache(lambda key: key, observe=observe, ttl=0)

    def caller() -> None:
        for key in range(200):
            cache.get(key % 3)

    for call in [Call(caller) for _ in range(8)]:
        call.result()
    assert generations == sorted(set(generations))
    assert len(generations) == cache.stats().loads
